"""What ip_rcv (ipv6_rcv) refuses, and what a capture left out."""

from _fastpath.reason import Reason
from dataplane.reference.checksum import checksum
from dataplane.reference.packet import (
    DCCP,
    ETHER_SIZE,
    ICMP,
    ICMPV6,
    SCTP,
    TCP,
    UDP,
    UDPLITE,
    Packet,
)
from dataplane.reference.steps import Ended, dropped, unknown

# What the walk reads of a transport header.
READ = {TCP: 20, UDP: 8, UDPLITE: 8, DCCP: 8, SCTP: 8, ICMP: 8, ICMPV6: 8}


def refusal(packet: Packet) -> Ended | None:
    """Why the packet of an IP EtherType goes no further; None if it does."""
    fixed = 20 if packet.family == 4 else 40
    if packet.length < ETHER_SIZE + fixed:
        return dropped(Reason.IP_HEADER_INVALID)
    if len(packet.frame) < ETHER_SIZE + fixed:
        return unknown(Reason.CAPTURE_CUT)
    if packet.frame[ETHER_SIZE] >> 4 != packet.family:
        return dropped(Reason.IP_HEADER_INVALID)
    return (_refusal4(packet) if packet.family == 4 else _refusal6(packet)) or _cut(packet)


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
    needed = min(READ.get(packet.protocol, 0), packet.payload_length)
    if packet.is_first and len(packet.payload) < needed:
        return unknown(Reason.CAPTURE_CUT)
    return None
