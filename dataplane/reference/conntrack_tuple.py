"""Tuples: what one direction of a connection looks like.  nf_ct_get_tuple, nf_ct_invert_tuple."""

from typing import NamedTuple

from dataplane.node.state import Address
from dataplane.reference.packet import (
    DCCP,
    ETHER_SIZE,
    EXTENSIONS,
    GRE,
    ICMP,
    ICMPV6,
    TRANSPORT_SIZES,
    Packet,
)

NO_NEXT = 59  # IPPROTO_NONE
GRE_PPTP, GRE_PROTO_PPP = 1, 0x880B
# An ICMP query's type to its answer's; the only ones that make connections.
ICMP_ANSWERS = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17}
ICMPV6_ANSWERS = {128: 129, 129: 128, 139: 140, 140: 139}


class Tuple(NamedTuple):
    """One direction, in the zone that is this direction's.

    ICMP: sport is the identifier, dport is type << 8 | code.
    """

    protocol: int
    src: Address
    sport: int
    dst: Address
    dport: int
    zone: int = 0

    def inverted(self) -> "Tuple | None":
        """The other direction, in the same zone; None for ICMP types that have none."""
        if self.protocol not in (ICMP, ICMPV6):
            return Tuple(self.protocol, self.dst, self.dport, self.src, self.sport, self.zone)
        answers = ICMP_ANSWERS if self.protocol == ICMP else ICMPV6_ANSWERS
        answer = answers.get(self.dport >> 8)
        if answer is None:
            return None
        other = answer << 8 | self.dport & 0xFF
        return Tuple(self.protocol, self.dst, self.sport, self.src, other, self.zone)


def tuple_of(packet: Packet, tracks_dccp: bool) -> Tuple | None:
    """The packet's own tuple, in zone 0; None if too little of its transport header is there, or
    there is none (ipv6_skip_exthdr)."""
    if packet.family == 6 and packet.protocol in (NO_NEXT, *EXTENSIONS):  # that is cut short
        return None
    if packet.protocol == GRE:
        return _gre_tuple(packet)
    if packet.protocol not in TRANSPORT_SIZES or (packet.protocol == DCCP and not tracks_dccp):
        return Tuple(packet.protocol, packet.src, 0, packet.dst, 0)
    if not packet.has_transport:
        return None
    return Tuple(packet.protocol, packet.src, packet.sport, packet.dst, packet.dport)


def _gre_tuple(packet: Packet) -> Tuple | None:
    """gre_pkt_to_tuple: PPTP has a call identifier; whose, only its helper would know."""
    header, key = packet.payload[:8], 0
    if len(header) == 8 and header[1] & 7 == GRE_PPTP:
        if int.from_bytes(header[2:4]) != GRE_PROTO_PPP:
            return None
        key = int.from_bytes(header[6:8])
    return Tuple(packet.protocol, packet.src, 0, packet.dst, key)


def quoted_packet(packet: Packet) -> Packet | None:
    """What an ICMP error quotes, as a packet of its own; None if it is not one."""
    inside = packet.payload[8:]
    fixed = 20 if packet.family == 4 else 40
    if len(inside) < fixed or inside[0] >> 4 != packet.family:
        return None
    quoted = Packet(bytes(packet.frame[:ETHER_SIZE]) + inside)
    needed = 8 if quoted.is_icmp else 0  # nf_ct_get_tuple: of what has no ports nothing
    if quoted.transport.offset + needed > len(quoted.frame) or not quoted.is_first:
        return None
    quoted.is_quoted = True
    quoted.is_partial = False  # Linux edits it as it would a finished one
    return quoted
