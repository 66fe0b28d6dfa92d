"""TCP windows in conntrack: does a segment belong to what its ends have said so far?

tcp_in_window of nf_conntrack_proto_tcp.c, v6.12.  Sequence numbers are numbers of 32 bits that
go round: `after` is the only way to compare them (RFC 793 3.3).
"""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
WORD = 0xFFFFFFFF
LONGEST_ACK_WINDOW = 66000  # MAXACKWINCONST
MOST_SCALE = 14  # RFC 7323 2.3
END, NOP, WINDOW_SCALE, SACK_PERMITTED, SACK = 0, 1, 3, 4, 5
ALIGNED_TIMESTAMP = bytes((1, 1, 8, 10))


class Segment(IntEnum):
    """What kind of segment the flags make (get_conntrack_index)."""

    SYN = 0
    SYNACK = 1
    FIN = 2
    ACK = 3
    RST = 4
    NONE = 5


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


class Seen(IntFlag):
    """IP_CT_TCP_FLAG_*."""

    NOTHING = 0
    WINDOW_SCALE = 1
    SACK_PERM = 2
    CLOSE_INIT = 4  # this end's FIN began the closing
    BE_LIBERAL = 8  # picked up in its middle: windows are not known
    DATA_UNACKNOWLEDGED = 16
    MAXACK_SET = 32
    CHALLENGE_ACK = 64  # a SYN in LAST_ACK: its answer acknowledges no FIN (RFC 5961)
    SIMULTANEOUS_OPEN = 128


@dataclass
class TcpEnd:
    """struct ip_ct_tcp_state: what is known of one end."""

    end: int = 0  # the sequence number after all that it has sent
    maxend: int = 0  # the last that it may send
    maxwin: int = 0  # the largest window that it has offered; 0: nothing seen of it
    maxack: int = 0
    scale: int = 0
    flags: Seen = Seen.NOTHING


@dataclass
class TcpConnection:
    """struct ip_ct_tcp.  What is called last: of the last segment that counted, or was ignored."""

    state: TcpState = TcpState.NONE
    seen: list[TcpEnd] = field(default_factory=lambda: [TcpEnd(), TcpEnd()])
    last_direction: int = 0
    last_segment: Segment = Segment.NONE
    last_seq: int = 0
    last_ack: int = 0
    last_end: int = 0
    last_window: int = 0
    last_scale: int = 0
    last_flags: Seen = Seen.NOTHING
    retransmissions: int = 0


@dataclass(frozen=True)
class Header:
    """The fields of a TCP header that matter here."""

    flags: int
    sequence: int
    acknowledgement: int
    window: int
    size: int  # of the header
    payload: int  # bytes after it, on the wire
    options: bytes = b""  # as far as the capture holds them

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
        return (self.sequence + self.payload + extra) & WORD


class Answer(IntEnum):
    """enum nf_ct_tcp_action."""

    IGNORE = 0  # belongs to the connection, which stays as it is
    INVALID = 1
    ACCEPT = 2


def after(first: int, second: int) -> bool:
    return (second - first) & WORD > WORD >> 1


def read_options(options: bytes) -> list[tuple[int, bytes]]:
    """Kinds and values, up to the first that is damaged."""
    found, at = [], 0
    while at < len(options) and options[at] != END:
        if options[at] == NOP:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if size < 2 or at + size > len(options):
            break
        found.append((options[at], options[at + 2 : at + size]))
        at += size
    return found


def note_options(end: TcpEnd, header: Header) -> None:
    """tcp_options."""
    end.scale = 0
    end.flags &= Seen.BE_LIBERAL
    for kind, value in read_options(header.options):
        if kind == SACK_PERMITTED and not value:
            end.flags |= Seen.SACK_PERM
        elif kind == WINDOW_SCALE and len(value) == 1:
            end.scale = min(value[0], MOST_SCALE)
            end.flags |= Seen.WINDOW_SCALE


def _selectively_acknowledged(header: Header) -> int:
    """tcp_sack: the highest number that is acknowledged, selectively or not."""
    highest = header.acknowledgement
    if len(header.options) == 12 and header.options[:4] == ALIGNED_TIMESTAMP:
        return highest
    for kind, value in read_options(header.options):
        if kind == SACK and value and len(value) % 8 == 0:
            for at in range(4, len(value), 8):
                right = int.from_bytes(value[at : at + 4])
                highest = right if after(right, highest) else highest
            return highest
    return highest


def in_window(tcp: TcpConnection, direction: int, header: Header, is_liberal: bool) -> Answer:
    sender, receiver = tcp.seen[direction], tcp.seen[1 - direction]
    has_ack, is_syn = bool(header.flags & ACK), bool(header.flags & SYN)
    seq, ack, end = header.sequence, header.acknowledgement, header.end
    sack = _selectively_acknowledged(header) if receiver.flags & Seen.SACK_PERM else ack
    is_opening = tcp.state in (TcpState.SYN_SENT, TcpState.SYN_RECV)
    if sender.maxwin == 0 and is_syn:
        _begin(tcp, direction, header)
        if not has_ack:
            return Answer.ACCEPT  # both ends open at once
    elif sender.maxwin == 0:
        _join(sender, receiver, header, sack)
    elif is_syn and after(end, sender.end) and is_opening:
        _begin(tcp, direction, header)
        if direction == 1 and not has_ack:
            return Answer.ACCEPT
    if not has_ack or (header.flags & RST and ack == 0):
        ack = sack = receiver.end
    if header.flags & RST and seq == 0 and tcp.state == TcpState.SYN_SENT:
        seq = end = sender.end
    answer = _judge(sender, receiver, seq, end, sack)
    if answer != Answer.ACCEPT:
        return Answer.ACCEPT if is_liberal or sender.flags & Seen.BE_LIBERAL else answer
    window = header.window if is_syn else header.window << sender.scale
    _update(sender, receiver, end, ack if has_ack else None, sack, window)
    if ack == receiver.end:
        receiver.flags &= ~Seen.DATA_UNACKNOWLEDGED
    if header.segment == Segment.ACK:
        _note_retransmission(tcp, direction, seq, end, ack, header.window)
    return Answer.ACCEPT


def _begin(tcp: TcpConnection, direction: int, header: Header) -> None:
    """tcp_init_sender: what a SYN or SYN/ACK says of its sender."""
    sender, receiver = tcp.seen[direction], tcp.seen[1 - direction]
    sender.end = sender.maxend = header.end
    sender.maxwin = max(header.window, 1)
    note_options(sender, header)
    # RFC 7323 2.2: windows are scaled only when both ends have sent the option.
    if direction == 1 and not sender.flags & receiver.flags & Seen.WINDOW_SCALE:
        sender.scale = receiver.scale = 0


def _join(sender: TcpEnd, receiver: TcpEnd, header: Header, sack: int) -> None:
    """In the middle of a connection: its history is what this segment tells."""
    sender.end = header.end
    sender.maxwin = max(header.window << sender.scale, 1)
    sender.maxend = (header.end + sender.maxwin) & WORD
    if receiver.maxwin == 0:
        receiver.end = receiver.maxend = sack
    elif sack == (receiver.end + 1) & WORD:
        receiver.end = sack  # the answer to a keepalive


def _judge(sender: TcpEnd, receiver: TcpEnd, seq: int, end: int, sack: int) -> Answer:
    window = max(sender.maxwin, LONGEST_ACK_WINDOW)
    is_recent = after(sack, (receiver.end - window - 1) & WORD)
    is_late = not after(end, (sender.end - receiver.maxwin - 1) & WORD)
    if after(seq, sender.maxend):
        overshot = (end - sender.maxend + 1) & WORD
        fits = bool(receiver.maxwin) and overshot <= receiver.maxwin
        if fits and is_recent and not is_late and not after(sack, receiver.end):
            # All else is right: should the other end take it, its answer must be understood.
            sender.end = end
            sender.flags |= Seen.DATA_UNACKNOWLEDGED
            return Answer.IGNORE
        return Answer.INVALID
    if after(sack, receiver.end):  # acknowledges what was not sent
        return Answer.INVALID
    if (receiver.maxwin and is_late) or not is_recent:
        return Answer.IGNORE
    return Answer.ACCEPT


def _update(
    sender: TcpEnd, receiver: TcpEnd, end: int, ack: int | None, sack: int, window: int
) -> None:
    acknowledged = receiver.end if ack is None else ack
    sender.maxwin = max(sender.maxwin, (window + sack - acknowledged) & WORD)
    if after(end, sender.end):
        sender.end = end
        sender.flags |= Seen.DATA_UNACKNOWLEDGED
    if ack is not None and (not sender.flags & Seen.MAXACK_SET or after(ack, sender.maxack)):
        sender.maxack = ack
        sender.flags |= Seen.MAXACK_SET
    if receiver.maxwin and after(end, sender.maxend):
        receiver.maxwin = (receiver.maxwin + end - sender.maxend) & WORD
    if after((sack + window) & WORD, (receiver.maxend - 1) & WORD):
        receiver.maxend = (sack + window + (window == 0)) & WORD


def _note_retransmission(
    tcp: TcpConnection, direction: int, seq: int, end: int, ack: int, window: int
) -> None:
    before = tcp.last_direction, tcp.last_seq, tcp.last_ack, tcp.last_end, tcp.last_window
    if before == (direction, seq, ack, end, window):
        tcp.retransmissions = (tcp.retransmissions + 1) & 0xFF
        return
    tcp.last_direction, tcp.last_seq, tcp.last_ack = direction, seq, ack
    tcp.last_end, tcp.last_window, tcp.retransmissions = end, window, 0
