"""Packets that leave in fragments: ip_fragment, ip6_fragment (ip_output.c, ip6_output.c, v6.12).

Each fragment goes its way to its end before the next; what becomes of the packet is told by the
first fragment that fared worst.
"""

from collections.abc import Callable, Iterator

from _fastpath.reason import Reason, Verdict
from dataplane.reference.checksum import checksum
from dataplane.reference.fragments import write_checksum
from dataplane.reference.packet import (
    DESTINATION,
    ETHER_SIZE,
    FRAGMENT,
    HOP_BY_HOP,
    ROUTING,
    TCP,
    UDP,
    Packet,
)
from dataplane.reference.steps import Ended, dropped, unknown

MOST_CUTS = 4  # fragments of fragments
LEAST_MTU6 = 1280  # RFC 8200, section 5


def exceeds(packet: Packet, mtu: int) -> bool:
    """ip_exceeds_mtu, ip6_pkt_too_big: its sender is told, whose packets must not be cut."""
    if packet.ip_length <= mtu or not packet.dont_fragment:
        return False
    return packet.fragment_max > mtu or not (packet.ignore_df or packet.is_gso)


def limit(packet: Packet, mtu: int) -> int | None:
    """ip_finish_output: the most bytes of one fragment; None: the packet is not cut.

    mtu     of the packet's route
    raises  ValueError if it would have to be, and must not
    """
    if packet.is_gso or (packet.has_sender and packet.protocol == TCP and not packet.ignore_df):
        return None
    if packet.family == 6:
        return _limit6(packet, mtu)
    if packet.ip_length <= mtu and not packet.fragment_max:
        return None
    if packet.dont_fragment and (not packet.ignore_df or packet.fragment_max > mtu):
        raise ValueError
    return min(packet.fragment_max or mtu, mtu)


def _limit6(packet: Packet, mtu: int) -> int | None:
    if packet.ip_length <= min(packet.fragment_max or mtu, mtu):
        return None
    may_be_cut = packet.ignore_df or packet.has_sender
    if packet.fragment_max > mtu or not may_be_cut:
        raise ValueError
    return max(packet.fragment_max, LEAST_MTU6) if packet.fragment_max else mtu


def bridge_limit(packet: Packet, mtu: int, port_mtu: int) -> int | None:
    """br_nf_dev_queue_xmit: the same at a bridge, whose MTU is `mtu`."""
    if packet.is_gso or packet.ip_length <= min(packet.fragment_max or port_mtu, port_mtu):
        return None
    if packet.family == 6:
        if packet.fragment_max > mtu or (packet.ip_length > mtu and not packet.ignore_df):
            raise unknown(Reason.FRAGMENTATION_UNMODELLED)  # an error may be sent, or not
        return max(packet.fragment_max, LEAST_MTU6) if packet.fragment_max else mtu
    if (packet.dont_fragment and not packet.ignore_df) or packet.fragment_max > mtu:
        raise dropped(Reason.FRAGMENTATION_NEEDED)
    return min(packet.fragment_max or mtu, mtu)


def cut(packet: Packet, most: int, identify: Callable[[], int]) -> list[Packet]:
    """The packet in fragments of at most `most` bytes.

    identify  gives IPv6 fragments their identification
    raises    Ended if it cannot be cut
    """
    if packet.is_partial:
        _finish_checksum(packet)
    header = (packet.frame[ETHER_SIZE] & 15) * 4
    if packet.family == 6:
        header = _unfragmentable(packet)[0]
    space = most - header - (8 if packet.family == 6 else 0)
    if space < 8:
        raise dropped(Reason.FRAGMENTATION_NEEDED)
    if packet.family == 6:
        return list(_fragments6(packet, header, space, identify()))
    return list(_fragments4(packet, header, space))


def _finish_checksum(packet: Packet) -> None:
    """skb_checksum_help."""
    if not packet.is_whole:
        raise unknown(Reason.CAPTURE_CUT)
    at = packet.transport.offset + (16 if packet.protocol == TCP else 6)
    value = checksum(packet.payload)  # the field holds the pseudo-header's sum
    if value == 0 and packet.protocol == UDP:
        value = 0xFFFF
    packet.frame[at : at + 2] = value.to_bytes(2)
    packet.is_partial = False


def _unfragmentable(packet: Packet) -> tuple[int, int]:
    """ip6_find_1stfragopt: bytes of headers that each fragment repeats; the byte of them that
    says what follows."""
    end = min(ETHER_SIZE + packet.ip_length, len(packet.frame))
    at, field_at, is_routed = ETHER_SIZE + 40, ETHER_SIZE + 6, False
    while at <= end:
        kind = packet.frame[field_at]
        is_routed |= kind == ROUTING
        if kind not in (HOP_BY_HOP, ROUTING) and (kind != DESTINATION or is_routed):
            return at - ETHER_SIZE, field_at
        if at + 2 > end:
            break
        field_at, at = at, at + (packet.frame[at + 1] + 1) * 8
    raise dropped(Reason.IP_HEADER_INVALID)


def _as_they_came(packet: Packet, header: int) -> list[int]:
    """Bytes of each fragment that it came in, less the headers that each will repeat; empty if
    these did not all come in the first one."""
    more = header - packet.pieces_from
    if not packet.pieces or more < 0 or more % 8 or packet.pieces[0] <= more:
        return []
    return [packet.pieces[0] - more, *packet.pieces[1:]]


def _slices(packet: Packet, header: int, space: int) -> Iterator[tuple[int, int, bool]]:
    """(offset, size, is_last) of each fragment's part of the payload: as they came, where these
    fit; else as long as fits, all but the last in units of eight bytes."""
    left = packet.ip_length - header
    came = _as_they_came(packet, header)
    if not came or max(came) > space:
        full, came = space & ~7, []
        while left - sum(came) > space:
            came.append(full)
        came.append(left - sum(came))
    at = 0
    for number, size in enumerate(came, 1):
        yield at, size, number == len(came)
        at += size


def _fragments4(packet: Packet, header: int, space: int) -> Iterator[Packet]:
    is_as_it_came = max(_as_they_came(packet, header), default=space + 1) <= space
    before = packet.word(ETHER_SIZE + 6)
    flags = 0x4000 if packet.fragment_df and not is_as_it_came else 0
    for at, size, is_last in _slices(packet, header, space):
        fragment = _part(packet, ETHER_SIZE + header, b"", at, size)
        if at:
            _blank_options(fragment.frame, header)
        more = 0x2000 if not is_last or before & 0x2000 else 0
        word = flags | more | (before & 0x1FFF) + at // 8
        fragment.frame[ETHER_SIZE + 2 : ETHER_SIZE + 4] = (header + size).to_bytes(2)
        fragment.frame[ETHER_SIZE + 6 : ETHER_SIZE + 8] = word.to_bytes(2)
        write_checksum(fragment.frame)
        yield fragment


def _part(packet: Packet, start: int, extra: bytes, at: int, size: int) -> Packet:
    part = packet.copy()
    part.frame = bytearray(packet.frame[:start] + extra + packet.frame[start + at :][:size])
    part.length = start + len(extra) + size
    part.forget_fragments()
    return part


def _blank_options(frame: bytearray, header: int) -> None:
    """ip_options_fragment: only the first has the options that are not copied (RFC 791)."""
    at, end = ETHER_SIZE + 20, ETHER_SIZE + header
    while at < end and frame[at] != 0:
        if frame[at] == 1:
            at += 1
            continue
        if at + 2 > end:
            return
        size = frame[at + 1]
        if size < 2 or at + size > end:
            return
        if not frame[at] & 0x80:
            frame[at : at + size] = b"\x01" * size
        at += size


def _fragments6(packet: Packet, header: int, space: int, number: int) -> Iterator[Packet]:
    field_at = _unfragmentable(packet)[1]
    kind = packet.frame[field_at]
    for at, size, is_last in _slices(packet, header, space):
        word = at | (not is_last)
        extra = bytes([kind, 0]) + word.to_bytes(2) + number.to_bytes(4)
        fragment = _part(packet, ETHER_SIZE + header, extra, at, size)
        fragment.frame[field_at] = FRAGMENT
        length = fragment.length - ETHER_SIZE - 40
        fragment.frame[ETHER_SIZE + 4 : ETHER_SIZE + 6] = length.to_bytes(2)
        yield fragment


def rank(end: Ended) -> int:
    """The higher, the more is it what is told of the packet."""
    if end.verdict in (Verdict.DELIVERED, Verdict.FORWARDED):
        return 2
    if end.verdict == Verdict.CONSUMED:
        return 1 if end.reason == Reason.FRAGMENT_HELD else 2
    return 3
