"""TCP in conntrack: a table, and the cases where the table is not enough.

nf_conntrack_tcp_packet of nf_conntrack_proto_tcp.c, v6.12; whether a segment is in the window:
conntrack_window.

A row is what arrives (by direction), a column the state before, a cell the state after.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from dataplane.reference.conntrack_window import (
    ACK,
    FIN,
    RST,
    SYN,
    URG,
    Answer,
    Header,
    Seen,
    Segment,
    TcpConnection,
    TcpEnd,
    TcpState,
    after,
    in_window,
    note_options,
)

SECOND = 10**9
SHORTENED = 120 * SECOND  # a connection that has less time left is not shortened


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
    TcpState.SYN_SENT2: ("syn_sent2", 120),  # no sysctl has that name
}
UNACKNOWLEDGED = ("unacknowledged", 300)
RETRANSMITTED = ("max_retrans", 300)

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


@dataclass(frozen=True)
class Settings:
    """Sysctls net.netfilter.nf_conntrack_tcp_…"""

    loose: bool = True
    be_liberal: bool = False
    ignore_invalid_rst: bool = False
    max_retrans: int = 3


def is_sound(header: Header) -> bool:
    """tcp_error."""
    valid = header.flags & (FIN | SYN | RST | ACK | URG) in VALID_FLAGS
    return valid and header.size >= 20 and header.payload >= 0


class Verdict(IntEnum):
    ACCEPT = 0
    IGNORE = 1  # belongs to the connection, which stays as it is
    INVALID = 2
    RESTART = 3  # an old connection's tuple is used again: forget the old one
    OUTSIDE = 4  # of its window: INVALID


def begin(tcp: TcpConnection, header: Header, is_loose: bool) -> bool:
    """tcp_new: may this segment begin a connection?  `is_loose`: even in its middle."""
    state = TRANSITIONS[0][header.segment][TcpState.NONE]
    if state == TcpState.INVALID or (state != TcpState.SYN_SENT and not is_loose):
        return False
    opener = tcp.seen[0]
    opener.end = opener.maxend = header.end
    opener.maxwin = max(header.window, 1)
    if state == TcpState.SYN_SENT:
        note_options(opener, header)
    else:  # its history is lost: SACK and scaling may have been agreed upon
        opener.maxend = (header.end + opener.maxwin) & 0xFFFFFFFF
        for end in tcp.seen:
            end.flags = Seen.SACK_PERM | Seen.BE_LIBERAL
    return True


def follow(
    tcp: TcpConnection, direction: int, header: Header, settings: Settings, status: "Known"
) -> Verdict:
    """nf_conntrack_tcp_packet: one segment of a connection, up to its new state."""
    segment, before = header.segment, tcp.state
    next_state = TRANSITIONS[direction][segment][before]
    looks_at_window = True
    if next_state == TcpState.INVALID:
        return Verdict.INVALID
    if next_state == TcpState.SYN_SENT and before >= TcpState.TIME_WAIT:
        if _is_closed(tcp, direction):
            return Verdict.RESTART
        next_state = TcpState.IGNORE
    if next_state == TcpState.IGNORE:
        if not _resynchronises(tcp, direction, header):
            _remember_ignored(tcp, direction, header)
            return Verdict.IGNORE
        next_state, before = TcpState.SYN_RECV, TcpState.SYN_SENT
        _resynchronise(tcp, direction)
    elif next_state == TcpState.TIME_WAIT and _is_challenge(tcp, direction, header):
        tcp.last_flags &= ~Seen.CHALLENGE_ACK
        return Verdict.IGNORE
    elif next_state == TcpState.SYN_SENT2:
        tcp.last_flags |= Seen.SIMULTANEOUS_OPEN
    elif next_state == TcpState.SYN_RECV and direction == 1 and segment == Segment.ACK:
        if tcp.last_flags & Seen.SIMULTANEOUS_OPEN:
            next_state = TcpState.ESTABLISHED
    elif next_state == TcpState.CLOSE and segment == Segment.RST:
        reset = _judge_reset(tcp, direction, header, settings, status)
        if reset == Reset.INVALID:
            return Verdict.INVALID
        next_state = before if reset == Reset.STAY else next_state
        looks_at_window = reset != Reset.ACCEPT
    if looks_at_window:
        answer = in_window(tcp, direction, header, settings.be_liberal)
        if answer == Answer.INVALID:
            return Verdict.OUTSIDE
        if answer == Answer.IGNORE:
            return Verdict.IGNORE
    _enter(tcp, direction, segment, next_state, before)
    return Verdict.ACCEPT


class Known(NamedTuple):
    """Status bits of the connection."""

    has_seen_reply: bool
    is_assured: bool


class Reset(IntEnum):
    CHECK = 0  # the window decides
    INVALID = 1
    ACCEPT = 2  # whatever the window says
    STAY = 3  # the window decides, but the connection stays as it is


def _judge_reset(
    tcp: TcpConnection, direction: int, header: Header, settings: Settings, status: Known
) -> Reset:
    if TcpState.FIN_WAIT <= tcp.state <= TcpState.CLOSE:
        return Reset.ACCEPT  # tcp_can_early_drop: its ports may be in use again
    is_set = tcp.seen[1 - direction].flags & Seen.MAXACK_SET
    if is_set and tcp.last_segment != Segment.SYN:
        return _judge_reset_sequence(tcp, direction, header, settings, status)
    last = tcp.last_segment
    answers_syn = last == Segment.SYN and tcp.last_direction != direction
    answers_ignored = (status.has_seen_reply and answers_syn) or (
        not status.is_assured and last == Segment.ACK
    )
    if answers_ignored and header.acknowledgement == tcp.last_end:
        return Reset.ACCEPT
    was_challenged = last == Segment.ACK and tcp.last_direction == 1
    if tcp.state == TcpState.SYN_SENT and was_challenged and header.sequence == tcp.last_ack:
        return Reset.ACCEPT
    return Reset.CHECK


def _judge_reset_sequence(
    tcp: TcpConnection, direction: int, header: Header, settings: Settings, status: Known
) -> Reset:
    """A reset's sequence number against what the other end has acknowledged (RFC 5961 3.2)."""
    is_established = tcp.state == TcpState.ESTABLISHED and status.is_assured
    maxack = tcp.seen[1 - direction].maxack
    if header.sequence == 0 and not is_established:
        return Reset.CHECK  # the answer to a SYN that was let pass
    if after(maxack, header.sequence) and not settings.ignore_invalid_rst:
        return Reset.INVALID
    if not is_established or header.sequence == maxack:
        return Reset.CHECK
    follows_data = tcp.last_segment == Segment.ACK and tcp.last_direction == direction
    if follows_data and header.sequence == tcp.last_end:
        return Reset.CHECK
    return Reset.STAY  # a challenge ACK may follow


def _is_closed(tcp: TcpConnection, direction: int) -> bool:
    """One side has begun to close, or the same side's reset was the last thing heard."""
    began = (tcp.seen[0].flags | tcp.seen[1].flags) & Seen.CLOSE_INIT
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


def _resynchronise(tcp: TcpConnection, direction: int) -> None:
    tcp.last_flags &= ~Seen.CHALLENGE_ACK
    tcp.seen[tcp.last_direction] = TcpEnd(
        end=tcp.last_end,
        maxend=tcp.last_end,
        maxwin=max(tcp.last_window, 1),
        maxack=tcp.seen[tcp.last_direction].maxack,
        scale=tcp.last_scale,
        flags=tcp.last_flags,
    )
    # nf_ct_tcp_state_reset: what was picked up in its middle stays so.
    tcp.seen[direction] = TcpEnd(flags=tcp.seen[direction].flags & Seen.BE_LIBERAL)


def _remember_ignored(tcp: TcpConnection, direction: int, header: Header) -> None:
    tcp.last_segment, tcp.last_direction = header.segment, direction
    tcp.last_seq, tcp.last_end, tcp.last_window = header.sequence, header.end, header.window
    if header.segment == Segment.SYN and direction == 0:
        said = TcpEnd()
        note_options(said, header)
        tcp.last_flags, tcp.last_scale = said.flags, said.scale
        if tcp.state == TcpState.LAST_ACK:
            tcp.last_flags |= Seen.CHALLENGE_ACK
    if tcp.state == TcpState.SYN_SENT and header.segment == Segment.ACK and direction == 1:
        tcp.last_ack = header.acknowledgement  # perhaps a challenge ACK


def _is_challenge(tcp: TcpConnection, direction: int, header: Header) -> bool:
    return (
        tcp.state == TcpState.LAST_ACK
        and header.segment == Segment.ACK
        and tcp.last_direction != direction
        and tcp.last_segment == Segment.SYN
        and bool(tcp.last_flags & Seen.CHALLENGE_ACK)
    )


def _enter(
    tcp: TcpConnection, direction: int, segment: Segment, state: TcpState, before: TcpState
) -> None:
    tcp.last_segment = segment
    tcp.last_direction = direction
    tcp.state = state
    if before != state and state == TcpState.FIN_WAIT:
        tcp.seen[direction].flags |= Seen.CLOSE_INIT


def responds_to_close(tcp: TcpConnection, direction: int, segment: Segment) -> bool:
    """nf_tcp_handle_invalid: does a FIN or reset outside of its window follow one of the other
    end?  Then both think that it is over.  If not, it is remembered."""
    closing = (Segment.FIN, Segment.RST)
    if segment not in closing:
        return False
    if tcp.last_direction != direction and tcp.last_segment in closing:
        return True
    tcp.last_segment, tcp.last_direction = segment, direction
    return False


def timeout_of(
    tcp: TcpConnection, segment: Segment, settings: Settings, length: Callable[[str, int], int]
) -> int:
    """How long the connection lives on.  `length` of a timeout's name and default."""
    usual = length(*TIMEOUTS[tcp.state])
    retransmitted, unacknowledged = length(*RETRANSMITTED), length(*UNACKNOWLEDGED)
    has_unacknowledged = (tcp.seen[0].flags | tcp.seen[1].flags) & Seen.DATA_UNACKNOWLEDGED
    if tcp.retransmissions >= settings.max_retrans and usual > retransmitted:
        return retransmitted
    if segment == Segment.RST:
        return length(*TIMEOUTS[TcpState.CLOSE])
    if has_unacknowledged and usual > unacknowledged:
        return unacknowledged
    if tcp.last_window == 0 and usual > retransmitted:
        return retransmitted
    return usual
