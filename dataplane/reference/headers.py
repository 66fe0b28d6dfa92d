"""What ip_rcv (ipv6_rcv) refuses, and what a capture left out."""

from _fastpath.reason import Reason
from dataplane.reference.checksum import checksum
from dataplane.reference.packet import (
    ETHER_SIZE,
    EXTENSIONS,
    FRAGMENT,
    HEADER_SIZES,
    ROUTING,
    TRANSPORT_SIZES,
    Packet,
)
from dataplane.reference.steps import Ended, dropped, unknown


def refusal(packet: Packet) -> Ended | None:
    """Why the packet of an IP EtherType goes no further; None if it does."""
    return header_refusal(packet) or _cut(packet)


def header_refusal(packet: Packet) -> Ended | None:
    """The same for the IP header alone."""
    fixed = HEADER_SIZES[packet.family]
    if packet.length < ETHER_SIZE + fixed:
        return dropped(Reason.IP_HEADER_INVALID)
    if len(packet.frame) < ETHER_SIZE + fixed:
        return unknown(Reason.CAPTURE_CUT)
    if packet.frame[ETHER_SIZE] >> 4 != packet.family:
        return dropped(Reason.IP_HEADER_INVALID)
    return _refusal4(packet) if packet.family == 4 else _refusal6(packet)


def _refusal4(packet: Packet) -> Ended | None:
    size = (packet.frame[ETHER_SIZE] & 15) * 4
    if size < 20 or packet.ip_length < size or packet.length < ETHER_SIZE + packet.ip_length:
        return dropped(Reason.IP_HEADER_INVALID)
    if len(packet.frame) < ETHER_SIZE + size:
        return unknown(Reason.CAPTURE_CUT)
    if checksum(bytes(packet.frame[ETHER_SIZE : ETHER_SIZE + size])) != 0:
        return dropped(Reason.IP_CHECKSUM_WRONG)
    return None


def _refusal6(packet: Packet) -> Ended | None:
    if packet.length < ETHER_SIZE + packet.ip_length:
        return dropped(Reason.IP_HEADER_INVALID)
    return None


def _cut(packet: Packet) -> Ended | None:
    """The packet had a transport header, but the capture holds too little of it."""
    size = TRANSPORT_SIZES.get(packet.protocol, 0)
    if packet.family == 6 and packet.protocol in EXTENSIONS:
        # A header that hides the transport's: what ipv6_find_hdr reads of it.
        size = 4 if packet.protocol in (ROUTING, FRAGMENT) else 2
    if packet.is_first and len(packet.payload) < size <= packet.payload_length:
        return unknown(Reason.CAPTURE_CUT)
    return None


def is_unheard_of(packet: Packet) -> bool:
    """Addresses that no IPv6 packet on a link may have (ip6_input.c, ip6_rcv_core)."""
    if header_refusal(packet):
        return False
    return (
        packet.src.is_multicast
        or packet.src.is_loopback
        or packet.dst.is_loopback
        or (packet.dst.is_multicast and packet.dst.packed[1] & 15 in (0, 1))
    )
