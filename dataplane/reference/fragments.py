"""Fragments wait until their packet is whole.

ip_fragment.c, inet_fragment.c, nf_conntrack_reasm.c, reassembly.c, v6.12.  Those of one packet
wait in a queue; conntrack at PREROUTING, at OUTPUT and at bridges, and a node's processes each
have queues of their own.  What overlaps ends the whole queue (RFC 5722), what came before is
ignored.  A queue whose time is up vanishes; the ICMP error about it, which a timer would send
with no packet there, is not modelled.
"""

from _fastpath.reason import Reason, Verdict
from _fastpath.state import FRAGMENT_HEAD, FragmentUser
from _fastpath.trace import StepKind
from dataplane.reference.checksum import checksum
from dataplane.reference.fragment_queues import Piece, Queue
from dataplane.reference.node import Node
from dataplane.reference.packet import (
    AUTHENTICATION,
    ETHER_SIZE,
    EXTENSIONS,
    FRAGMENT,
    ICMPV6,
    TCP,
    UDP,
    Packet,
)
from dataplane.reference.steps import Ended, Trace, dropped, unknown

SECOND = 10**9
HEADER_FIELD, HEADER_INCOMPLETE = 0, 3  # RFC 4443, section 3.4; RFC 7112
PAYLOAD_LENGTH = 4  # where it stands in an IPv6 header
MOST = 65535  # bytes of an IPv4 packet, and of an IPv6 payload
NO_NEXT = 59  # IPPROTO_NONE
NOT_ECT, CE = 0, 3  # RFC 3168, section 5
IN, OUT = int(FragmentUser.USER_CONNTRACK_IN), int(FragmentUser.USER_CONNTRACK_OUT)
BRIDGE, LOCAL = int(FragmentUser.USER_BRIDGE_IN), int(FragmentUser.USER_LOCAL)


class Refused(Exception):  # noqa: N818  not an error
    """A process's fragments: their sender is told of a parameter problem."""

    def __init__(self, code: int, pointer: int):
        self.code, self.pointer = code, pointer


def gather(node: Node, packet: Packet, user: int, device: str | None, now_ns: int,
           trace: Trace) -> None:  # fmt: skip
    """Returns if the packet is no fragment, or has become the whole one that it completed, or
    (IPv6) is passed as it stands.  Raises Ended if it waits or is dropped, and Refused.

    device  by which it came
    """
    if packet.family == 4:
        piece = _piece4(node, packet, user)
    else:
        piece = _piece6(node, packet, user, device)
    if piece is None:
        return
    names = _settings(packet.family, user)
    if not node.setting(f"{names}high_thresh", 4194304):
        raise dropped(Reason.FRAGMENT_MEMORY)
    wait_ns = _wait(node, packet.family, user) * SECOND
    queue = node.fragments.find(piece, node.name, packet.family, wait_ns, now_ns)
    if packet.family == 4:
        _check_distance(node, queue, now_ns + wait_ns)
    elif not _is_sound6(node, piece, user):
        return
    _fit(node, queue, piece, is_fatal=packet.family == 4 or user == LOCAL)
    _insert(node, queue, piece)
    _keep(queue, piece, packet)
    if not queue.is_whole:
        raise Ended(Verdict.CONSUMED, Reason.FRAGMENT_HELD)
    del node.fragments.queues[piece.key]
    _reassemble(queue, packet)
    trace.step(StepKind.STEP_REASSEMBLE, node.name)


def _settings(family: int, user: int) -> str:
    if family == 4:
        return "net.ipv4.ipfrag_"
    return "net.ipv6.ip6frag_" if user == LOCAL else "net.netfilter.nf_conntrack_frag6_"


def _wait(node: Node, family: int, user: int) -> int:
    """Seconds."""
    word = "timeout" if family == 6 and user != LOCAL else "time"
    return node.setting(_settings(family, user) + word, 30 if family == 4 else 60)


# What a fragment says.


def _piece4(node: Node, packet: Packet, user: int) -> Piece | None:
    if not packet.is_fragment:
        return None
    transport = packet.transport
    offset, header = transport.fragment_offset * 8, transport.offset - ETHER_SIZE
    end = offset + packet.payload_length
    if transport.more_fragments:
        end &= ~7
    identification = packet.word(ETHER_SIZE + 4)
    return Piece(
        (node.name, user, 4, packet.src, packet.dst, packet.protocol, identification),
        packet.src, offset, end, transport.offset, end - offset + header,
        transport.more_fragments, packet.dont_fragment,
    )  # fmt: skip


def _piece6(node: Node, packet: Packet, user: int, device: str | None) -> Piece | None:
    found = fragment_header(packet)
    if found is None or packet.ip_length == 40:
        return None
    at, next_header = found
    end_of_packet = ETHER_SIZE + packet.ip_length
    if _is_head_cut(packet, at):
        if user == LOCAL:
            raise Refused(HEADER_INCOMPLETE, 0)
        return None
    if at + 8 > end_of_packet and user == LOCAL:
        raise Refused(HEADER_FIELD, at - ETHER_SIZE)
    if at + 8 > end_of_packet:
        raise dropped(Reason.FRAGMENT_INVALID)
    if at + 8 > len(packet.frame):
        raise unknown(Reason.CAPTURE_CUT)
    word = packet.word(at + 2)
    if user == LOCAL and not word & 0xFFF9:
        return None  # of one fragment alone (RFC 6946)
    if at + 8 > FRAGMENT_HEAD:
        raise unknown(Reason.FRAGMENT_UNMODELLED)
    offset = word & 0xFFF8
    scope = device if packet.dst.is_multicast or packet.dst.is_link_local else None
    identification = bytes(packet.frame[at + 4 : at + 8])
    return Piece(
        (node.name, user, 6, packet.src, packet.dst, scope, identification),
        packet.src, offset, offset + end_of_packet - at - 8, at + 8, packet.ip_length,
        bool(word & 1), False, next_header,
    )  # fmt: skip


def fragment_header(packet: Packet) -> tuple[int, int] | None:
    """find_prev_fhdr: where the first fragment header stands, and the byte that announces it."""
    end = min(ETHER_SIZE + packet.ip_length, len(packet.frame))
    at, field_at = ETHER_SIZE + 40, ETHER_SIZE + 6
    kind = packet.frame[field_at]
    while kind != FRAGMENT:
        if kind not in EXTENSIONS or at + 2 > end:
            return None
        kind, field_at, at = packet.frame[at], at, at + _header_size(packet, kind, at)
    return (at, field_at) if at <= ETHER_SIZE + packet.ip_length else None


def _header_size(packet: Packet, kind: int, at: int) -> int:
    if kind == FRAGMENT:
        return 8
    length = packet.frame[at + 1]
    return (length + 2) * 4 if kind == AUTHENTICATION else (length + 1) * 8


def _is_head_cut(packet: Packet, at: int) -> bool:
    """ipv6frag_thdr_truncated: a first fragment must hold all headers (RFC 8200, 4.5)."""
    end = ETHER_SIZE + packet.ip_length
    there = min(end, len(packet.frame))
    kind = FRAGMENT
    while kind in EXTENSIONS or kind == NO_NEXT:  # ipv6_skip_exthdr
        if kind == NO_NEXT or at + 2 > there:
            return False
        if kind == FRAGMENT and (at + 4 > there or packet.word(at + 2) & 0xFFF8):
            return False
        kind, at = packet.frame[at], at + _header_size(packet, kind, at)
    return at + {TCP: 20, UDP: 8, ICMPV6: 8}.get(kind, 1) > end


def _is_sound6(node: Node, piece: Piece, user: int) -> bool:
    """False: the packet goes on as it stands, and the queue is gone (-EPROTO)."""
    if piece.end > MOST and user == LOCAL:
        raise Refused(HEADER_FIELD, piece.data - 6 - ETHER_SIZE)
    if piece.end > MOST:
        raise dropped(Reason.FRAGMENT_INVALID)
    if not piece.more or not piece.end & 7:
        return True
    if user == LOCAL:
        raise Refused(HEADER_FIELD, PAYLOAD_LENGTH)
    del node.fragments.queues[piece.key]
    return False


# Into the queue.


def _check_distance(node: Node, queue: Queue, expires_ns: int) -> None:
    """ip_frag_too_far: identifications may have come round since."""
    most = node.setting("net.ipv4.ipfrag_max_dist", 64)
    if most and queue.runs and queue.distance > most:
        queue.begin_again(expires_ns)
    queue.distance = 0


def _fit(node: Node, queue: Queue, piece: Piece, is_fatal: bool) -> None:
    """Does it agree with what is known of the packet's end?"""
    if piece.more:
        is_right = piece.end <= queue.length or not queue.has_last
        queue.length = max(queue.length, piece.end) if is_right else queue.length
    else:
        is_right = piece.end == queue.length if queue.has_last else piece.end >= queue.length
        if is_right:
            queue.has_last, queue.length = True, piece.end
    if not is_right or piece.end <= piece.offset:
        if is_fatal:
            del node.fragments.queues[piece.key]
        raise dropped(Reason.FRAGMENT_INVALID)


def _insert(node: Node, queue: Queue, piece: Piece) -> None:
    """inet_frag_queue_insert.  A fragment that goes on where the last one ended makes that
    one's run longer; any other begins a run of its own."""
    for start, end in queue.runs:
        if start <= piece.offset and piece.end <= end:
            raise dropped(Reason.FRAGMENT_DUPLICATE)
        if piece.offset < end and start < piece.end:
            del node.fragments.queues[piece.key]
            raise dropped(Reason.FRAGMENT_INVALID)
    last = max(queue.runs, default=None)
    if last is not None and piece.offset == last[1]:
        queue.runs.remove(last)
        queue.runs.append((last[0], piece.end))
    else:
        queue.runs.append((piece.offset, piece.end))


def _keep(queue: Queue, piece: Piece, packet: Packet) -> None:
    size = piece.end - piece.offset
    queue.pieces[piece.offset] = bytes(packet.frame[piece.data : piece.data + size])
    queue.has_cut |= len(queue.pieces[piece.offset]) < size
    queue.ecn.add(packet.tos & 3)
    if piece.offset == 0:
        queue.head = bytes(packet.frame[: piece.data]), packet.mark, piece.next_header
    queue.max_size = max(queue.max_size, piece.size)
    if piece.has_df:
        queue.max_df_size = max(queue.max_df_size, piece.size)


# Whole.


def _reassemble(queue: Queue, packet: Packet) -> None:
    """ip_frag_reasm, nf_ct_frag6_reasm: the packet becomes the whole one."""
    assert queue.head is not None
    head, mark, next_header = queue.head
    extra = 8 if queue.family == 6 else 0  # the fragment header, which is taken out
    headers = len(head) - extra - ETHER_SIZE - (40 if queue.family == 6 else 0)
    if (NOT_ECT in queue.ecn and len(queue.ecn) > 1) or headers + queue.length > MOST:
        raise dropped(Reason.FRAGMENT_INVALID)
    if queue.has_cut:
        raise unknown(Reason.CAPTURE_CUT)
    frame = bytearray(head)
    if queue.family == 6:
        frame[next_header] = frame[-8]
        del frame[-8:]
    packet.pieces = [len(queue.pieces[at]) for at in sorted(queue.pieces)]
    packet.pieces_from = len(frame) - ETHER_SIZE
    for at in sorted(queue.pieces):
        frame += queue.pieces[at]
    packet.frame, packet.length, packet.mark = frame, len(frame), mark
    packet.ignore_df = True
    packet.fragment_max = queue.max_size
    packet.fragment_df = queue.family == 4 and queue.max_df_size == queue.max_size
    _write_header(packet, CE if CE in queue.ecn and len(queue.ecn) > 1 else 0)
    packet.is_partial = packet.has_partial_checksum()


def _write_header(packet: Packet, ecn: int) -> None:
    """`ecn`: ip_frag_ecn_table; what one fragment met, the packet met (RFC 3168, 5.3)."""
    at, length = ETHER_SIZE, len(packet.frame) - ETHER_SIZE
    if packet.family == 6:
        packet.frame[at + 4 : at + 6] = (length - 40).to_bytes(2)
        packet.frame[at + 1] |= ecn << 4
        return
    packet.frame[at + 1] |= ecn
    packet.frame[at + 2 : at + 4] = length.to_bytes(2)
    packet.frame[at + 6 : at + 8] = (0x4000 if packet.fragment_df else 0).to_bytes(2)
    write_checksum(packet.frame)


def write_checksum(frame: bytearray) -> None:
    """Of the IPv4 header."""
    at = ETHER_SIZE
    frame[at + 10 : at + 12] = bytes(2)
    header = bytes(frame[at : at + (frame[at] & 15) * 4])
    frame[at + 10 : at + 12] = checksum(header).to_bytes(2)
