"""ICMP in conntrack: nf_conntrack_proto_icmp.c and nf_conntrack_proto_icmpv6.c."""

from dataplane.reference.conntrack_table import ORIGINAL, CtInfo
from dataplane.reference.conntrack_tuple import quoted_packet, tuple_of
from dataplane.reference.node import Node
from dataplane.reference.packet import ICMP, ICMPV6, Packet

ERRORS = frozenset((3, 4, 5, 11, 12))
QUERIES = {ICMP: frozenset((8, 13, 15, 17)), ICMPV6: frozenset((128, 139))}  # open connections
# Neighbour discovery and multicast listeners: never tracked.
UNTRACKED = frozenset((130, 131, 132, 133, 134, 135, 136, 143))


def is_untracked(packet: Packet) -> bool:
    return packet.protocol == ICMPV6 and packet.dport >> 8 in UNTRACKED


def is_error(packet: Packet) -> bool:
    kind = packet.dport >> 8
    if packet.family == 4:
        return packet.protocol == ICMP and kind in ERRORS
    return packet.protocol == ICMPV6 and kind < 128


def relate(node: Node, packet: Packet, zones: tuple[int, int], now_ns: int) -> None:
    """nf_conntrack_inet_error: an ICMP error belongs to the connection it quotes."""
    quoted = quoted_packet(packet)
    original = tuple_of(quoted, node.tracks_dccp) if quoted else None
    wanted = original.inverted() if original else None
    found = node.conntrack.find_in_zones(wanted, zones, now_ns) if wanted else None
    if found is None:
        return
    connection, direction = found
    if packet.dst != connection.tuples[direction].dst:
        return  # an error to somebody who never sent what it quotes
    packet.connection = connection
    packet.ctinfo = CtInfo.RELATED if direction == ORIGINAL else CtInfo.RELATED_REPLY
