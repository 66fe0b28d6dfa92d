"""Multipath routes: which leg a flow takes.

Linux hashes with a secret of its boot (fib_multipath_hash_seed); here the hash is keyed like
every other draw, over the same fields.  net/ipv4/route.c, net/ipv6/route.c,
net/ipv4/fib_semantics.c, v6.12.
"""

from ipaddress import IPv4Address, IPv6Address

from _fastpath.fib_select import HashField, HashPolicy
from dataplane.node.multipath import legs, upper_bounds
from dataplane.node.state import Route
from dataplane.reference.choice import Choices, Fields
from dataplane.reference.fib_rules import Flow
from dataplane.reference.node import Node
from dataplane.reference.packet import ICMP, ICMPV6, Packet

TUNNELS = (4, 41, 47)  # IP in IP, IPv6 in IP, GRE
FLOWLABEL = 0xFFFFF
IPV4_ERRORS = (3, 5, 11, 12)  # ip_multipath_l3_keys


class Unhashed(Exception):  # noqa: N818  not an error
    """What would be hashed is not modelled."""


def select(node: Node, choices: Choices, flow: Flow, packet: Packet | None, route: Route) -> Route:
    """fib_select_path, fib6_select_path: the leg that the flow takes.  Raises Unhashed.

    packet  what the kernel would hash in place of the flow
    """
    if not route.nexthops:
        return route
    if flow.oif is not None:
        found = next((leg for leg in legs(route) if leg.dev == flow.oif), None)
        if found is None:  # wished for only
            raise Unhashed
        return found
    fields, extra = hash_fields(node, flow, packet)
    fed = choices.multipath_fed(node.name, fields, extra)
    if fed is not None:
        return legs(route)[min(fed, len(route.nexthops) - 1)]
    value = choices.multipath_hash(node.name, fields, extra)
    for leg, bound in zip(legs(route), upper_bounds(route), strict=True):
        if value <= bound:
            return leg
    return legs(route)[-1]


def hash_fields(node: Node, flow: Flow, packet: Packet | None) -> tuple[Fields, int]:
    """fib_multipath_hash, rt6_multipath_hash: the fields, and IPv6's flow label."""
    family = flow.dst.version
    fields = Fields(family, flow.protocol, flow.src, flow.sport, flow.dst, flow.dport)
    label = _flow_label(packet.ip) if packet is not None and family == 6 else 0
    match node.setting(f"net.ipv{family}.fib_multipath_hash_policy", 0):
        case HashPolicy.HASH_L4:
            return fields, 0
        case HashPolicy.HASH_CUSTOM:
            return _custom(node, fields, label)
        case HashPolicy.HASH_INNER if flow.protocol in TUNNELS:
            raise Unhashed
    fields = fields._replace(sport=0, dport=0)
    if family == 4:
        fields = fields._replace(protocol=0)
    return _outer(fields, packet) if packet is not None else (fields, 0)


def _custom(node: Node, fields: Fields, label: int) -> tuple[Fields, int]:
    """fib_multipath_custom_hash_outer, rt6_multipath_custom_hash_outer"""
    asked = node.setting(f"net.ipv{fields.family}.fib_multipath_hash_fields", 7)
    if asked & HashField.FIELDS_INNER and fields.protocol in TUNNELS:
        raise Unhashed
    kept = Fields(
        fields.family,
        fields.protocol if asked & HashField.FIELD_IP_PROTO else 0,
        fields.src if asked & HashField.FIELD_SRC_IP else None,
        fields.sport if asked & HashField.FIELD_SRC_PORT else 0,
        fields.dst if asked & HashField.FIELD_DST_IP else None,
        fields.dport if asked & HashField.FIELD_DST_PORT else 0,
    )
    return kept, label if asked & HashField.FIELD_FLOWLABEL else 0


def _outer(fields: Fields, packet: Packet) -> tuple[Fields, int]:
    """ip_multipath_l3_keys: an ICMP error goes the way of what it quotes."""
    ip, size = packet.ip, 20 if packet.family == 4 else 40
    quoted = packet.payload[8 : 8 + size]
    if _is_icmp_error(packet) and len(quoted) == size:
        ip = quoted
    if packet.family == 4:
        src, dst = IPv4Address(bytes(ip[12:16])), IPv4Address(bytes(ip[16:20]))
        return fields._replace(src=src, dst=dst), 0
    ends = IPv6Address(bytes(ip[8:24])), IPv6Address(bytes(ip[24:40]))
    return fields._replace(src=ends[0], dst=ends[1], protocol=ip[6]), _flow_label(ip)


def _is_icmp_error(packet: Packet) -> bool:
    if not packet.payload:
        return False
    if packet.family == 4:
        return packet.protocol == ICMP and packet.is_first and packet.payload[0] in IPV4_ERRORS
    return packet.ip[6] == ICMPV6 and packet.payload[0] < 128


def _flow_label(ip: bytes) -> int:
    return int.from_bytes(ip[:4]) & FLOWLABEL
