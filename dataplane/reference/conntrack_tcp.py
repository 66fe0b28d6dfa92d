"""TCP in conntrack: a table, and the few cases where the table is not enough.

nf_conntrack_proto_tcp.c, v6.12.  Windows are not tracked: every segment counts as inside.

A row is what arrives (by direction), a column the state before, a cell the state after.
"""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32


class TcpState(IntEnum):
    NONE = 0
    SYN_SENT = 1
    SYN_RECV = 2
    ESTABLISHED = 3
    FIN_WAIT = 4
    CLOSE_WAIT = 5
    LAST_ACK = 6
    TIME_WAIT = 7
    CLOSE = 8
    SYN_SENT2 = 9  # both sides opened at once
    INVALID = 10
    IGNORE = 11  # let pass, and change nothing


class Segment(IntEnum):
    """What kind of segment the flags make (get_conntrack_index)."""

    SYN = 0
    SYNACK = 1
    FIN = 2
    ACK = 3
    RST = 4
    NONE = 5


_STATES = {
    "no": TcpState.NONE,
    "ss": TcpState.SYN_SENT,
    "sr": TcpState.SYN_RECV,
    "es": TcpState.ESTABLISHED,
    "fw": TcpState.FIN_WAIT,
    "cw": TcpState.CLOSE_WAIT,
    "la": TcpState.LAST_ACK,
    "tw": TcpState.TIME_WAIT,
    "cl": TcpState.CLOSE,
    "s2": TcpState.SYN_SENT2,
    "--": TcpState.INVALID,
    "ig": TcpState.IGNORE,
}


def _rows(text: str) -> list[list[TcpState]]:
    return [[_STATES[cell] for cell in row.split()] for row in text.strip().splitlines()]


# before:  no ss sr es fw cw la tw cl s2
TRANSITIONS = [
    _rows(  # original direction: syn, syn/ack, fin, ack, rst, none
        """
        ss ss ig ig ig ig ig ss ss s2
        -- -- sr -- -- -- -- -- -- sr
        -- -- fw fw la la la tw cl --
        es -- es es cw cw tw tw cl --
        -- cl cl cl cl cl cl cl cl cl
        -- -- -- -- -- -- -- -- -- --
        """
    ),
    _rows(  # reply direction
        """
        -- s2 -- -- -- -- -- ss -- s2
        -- sr ig ig ig ig ig ig ig sr
        -- -- fw fw la la la tw cl --
        -- ig sr es cw cw tw tw cl ig
        -- cl cl cl cl cl cl cl cl cl
        -- -- -- -- -- -- -- -- -- --
        """
    ),
]

# Seconds; net.netfilter.nf_conntrack_tcp_timeout_NAME.
TIMEOUTS = {
    TcpState.SYN_SENT: ("syn_sent", 120),
    TcpState.SYN_RECV: ("syn_recv", 60),
    TcpState.ESTABLISHED: ("established", 432000),
    TcpState.FIN_WAIT: ("fin_wait", 120),
    TcpState.CLOSE_WAIT: ("close_wait", 60),
    TcpState.LAST_ACK: ("last_ack", 30),
    TcpState.TIME_WAIT: ("time_wait", 120),
    TcpState.CLOSE: ("close", 10),
    TcpState.SYN_SENT2: ("syn_sent", 120),
}
UNACKNOWLEDGED = ("unacknowledged", 300)

# Combinations of SYN, FIN, RST, ACK, URG that a sound stack sends (tcp_valid_flags).
VALID_FLAGS = frozenset(
    (
        SYN,
        SYN | URG,
        SYN | ACK,
        RST,
        RST | ACK,
        FIN | ACK,
        FIN | ACK | URG,
        ACK,
        ACK | URG,
    )
)


class Seen(IntFlag):
    """What is remembered beside the state."""

    NOTHING = 0
    CLOSE_INIT = 1  # that direction's FIN began the closing
    SIMULTANEOUS_OPEN = 2
    CHALLENGE_ACK = 4  # a SYN in LAST_ACK: its answer acknowledges no FIN (RFC 5961)


@dataclass
class TcpConnection:
    state: TcpState = TcpState.NONE
    seen: list[Seen] = field(default_factory=lambda: [Seen.NOTHING, Seen.NOTHING])
    flags: Seen = Seen.NOTHING
    # Of the last segment that counted, or was let pass.
    last_direction: int = 0
    last_segment: Segment = Segment.NONE
    last_end: int = 0  # sequence number after it


@dataclass(frozen=True)
class Header:
    """The fields of a TCP header that matter here."""

    flags: int
    sequence: int
    acknowledgement: int
    size: int  # of the header
    payload: int  # bytes after it, on the wire

    @property
    def segment(self) -> Segment:
        if self.flags & RST:
            return Segment.RST
        if self.flags & SYN:
            return Segment.SYNACK if self.flags & ACK else Segment.SYN
        if self.flags & FIN:
            return Segment.FIN
        return Segment.ACK if self.flags & ACK else Segment.NONE

    @property
    def end(self) -> int:
        """Sequence number after this segment (RFC 793: SYN and FIN take one each)."""
        extra = bool(self.flags & SYN) + bool(self.flags & FIN)
        return (self.sequence + self.payload + extra) & 0xFFFFFFFF

    @property
    def is_sound(self) -> bool:
        valid = self.flags & (FIN | SYN | RST | ACK | URG) in VALID_FLAGS
        return valid and self.size >= 20 and self.payload >= 0


class Verdict(IntEnum):
    ACCEPT = 0
    IGNORE = 1  # belongs to the connection, which stays as it is
    INVALID = 2
    RESTART = 3  # an old connection's tuple is used again: forget the old one


def begins(header: Header, is_loose: bool) -> bool:
    """tcp_new: may this segment begin a connection?  `is_loose`: even in its middle."""
    state = TRANSITIONS[0][header.segment][TcpState.NONE]
    return state == TcpState.SYN_SENT or (is_loose and state != TcpState.INVALID)


def follow(tcp: TcpConnection, direction: int, header: Header) -> Verdict:
    """nf_conntrack_tcp_packet: one segment of a connection, up to its new state."""
    segment = header.segment
    before = tcp.state
    after = TRANSITIONS[direction][segment][before]
    if after == TcpState.INVALID:
        return Verdict.INVALID
    if after == TcpState.SYN_SENT and before >= TcpState.TIME_WAIT:
        if _is_closed(tcp, direction):
            return Verdict.RESTART
        after = TcpState.IGNORE
    if after == TcpState.IGNORE:
        if not _resynchronises(tcp, direction, header):
            _remember_ignored(tcp, direction, header)
            return Verdict.IGNORE
        after, before = TcpState.SYN_RECV, TcpState.SYN_SENT
        tcp.flags &= ~Seen.CHALLENGE_ACK
        tcp.seen = [Seen.NOTHING, Seen.NOTHING]
    if after == TcpState.TIME_WAIT and _is_challenge(tcp, direction, header):
        tcp.flags &= ~Seen.CHALLENGE_ACK
        return Verdict.IGNORE
    if after == TcpState.SYN_SENT2:
        tcp.flags |= Seen.SIMULTANEOUS_OPEN
    if after == TcpState.SYN_RECV and direction == 1 and segment == Segment.ACK:
        if tcp.flags & Seen.SIMULTANEOUS_OPEN:
            after = TcpState.ESTABLISHED
    _enter(tcp, direction, segment, after, before)
    return Verdict.ACCEPT


def _is_closed(tcp: TcpConnection, direction: int) -> bool:
    """One side has begun to close, or the same side's reset was the last thing heard."""
    began = (tcp.seen[0] | tcp.seen[1]) & Seen.CLOSE_INIT
    reset = tcp.last_segment == Segment.RST and tcp.last_direction == direction
    return bool(began) or reset


def _resynchronises(tcp: TcpConnection, direction: int, header: Header) -> bool:
    """A SYN/ACK that acknowledges a SYN which was ignored: the ends agree, we did not."""
    return (
        header.segment == Segment.SYNACK
        and tcp.last_segment == Segment.SYN
        and tcp.last_direction != direction
        and header.acknowledgement == tcp.last_end
    )


def _remember_ignored(tcp: TcpConnection, direction: int, header: Header) -> None:
    tcp.last_segment = header.segment
    tcp.last_direction = direction
    tcp.last_end = header.end
    if header.segment == Segment.SYN:
        last_ack = tcp.state == TcpState.LAST_ACK
        tcp.flags = Seen.CHALLENGE_ACK if last_ack else Seen.NOTHING


def _is_challenge(tcp: TcpConnection, direction: int, header: Header) -> bool:
    return (
        tcp.state == TcpState.LAST_ACK
        and header.segment == Segment.ACK
        and tcp.last_direction != direction
        and tcp.last_segment == Segment.SYN
        and bool(tcp.flags & Seen.CHALLENGE_ACK)
    )


def _enter(
    tcp: TcpConnection, direction: int, segment: Segment, after: TcpState, before: TcpState
) -> None:
    tcp.last_segment = segment
    tcp.last_direction = direction
    tcp.state = after
    if before != after and after == TcpState.FIN_WAIT:
        tcp.seen[direction] |= Seen.CLOSE_INIT
