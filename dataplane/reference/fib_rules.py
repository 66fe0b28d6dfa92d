"""Policy routing: which rule answers for a flow, and with which route.

net/core/fib_rules.c, net/ipv4/fib_rules.c, net/ipv6/fib6_rules.c, net/ipv4/fib_trie.c, v6.12.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dataplane.node.multipath import answer_route
from dataplane.node.state import Address, Network, Route, RoutingRule
from dataplane.reference.lpm import holds
from dataplane.reference.node import Node
from dataplane.reference.packet import Packet

OLD_TOS = 0x1C  # the type of service of RFC 1349 without ECN: IPv4's rules and routes ask for it
DSCP = 0xFC
AH, ESP = 51, 50
ERRORS = ("blackhole", "unreachable", "prohibit", "throw")
EVERYBODY = (0, 0xFFFFFFFF)


class Flow(NamedTuple):
    """What routing looks at: struct flowi4, flowi6."""

    dst: Address
    src: Address | None = None
    mark: int = 0
    iif: str = ""  # "" for what the node itself sends
    oif: str | None = None  # the route must leave by this device
    protocol: int = 0
    sport: int = 0
    dport: int = 0
    tos: int = 0
    link: str | None = None  # the destination is on this device's link
    is_process: bool = False  # sent by a process: nobody knows by whose
    oif_is_wish: bool = False  # if none of the longest prefix leaves by oif, the first of it does


class Unknown(Exception):  # noqa: N818  not an error
    """Whether a rule matches is not known."""


# Flows.


def input_flow(packet: Packet, device: str) -> Flow:
    """ip_route_input_slow, ip6_route_input"""
    sport, dport = flow_ports(packet)
    is_near = packet.family == 6 and packet.dst.is_link_local and device  # rt6_need_strict
    return Flow(
        packet.dst,
        packet.src,
        packet.mark,
        device,
        None,
        packet.protocol,
        sport,
        dport,
        packet.tos,
        device if is_near else None,
    )


def output_flow(packet: Packet, oif: str | None) -> Flow:
    """What a socket would ask with."""
    is_process = not packet.is_generated and not packet.encapsulations
    return input_flow(packet, "")._replace(oif=oif, is_process=is_process)


def flow_ports(packet: Packet) -> tuple[int, int]:
    """flow_dissector.c, __skb_flow_get_ports: none of a fragment; an SPI counts as two."""
    if packet.is_fragment or packet.is_icmp:
        return 0, 0
    if packet.protocol in (AH, ESP):
        at = 4 if packet.protocol == AH else 0
        word = bytes(packet.payload[at : at + 4])
        return (int.from_bytes(word[:2]), int.from_bytes(word[2:])) if len(word) == 4 else (0, 0)
    return (packet.sport, packet.dport) if packet.has_transport else (0, 0)


# Rules.


def lookup(node: Node, flow: Flow) -> Route | None:
    return lookup_by(node, flow)[0]


def lookup_by(node: Node, flow: Flow) -> tuple[Route | None, RoutingRule | None]:
    """fib_rules_lookup: the route, None if there is none, and the rule that answered.

    A rule that may or may not match answers everything with a route of a type that nothing knows.
    """
    rules = [rule for rule in node.rules if rule.family == flow.dst.version]
    number = 0
    while number < len(rules):
        rule = rules[number]
        number += 1
        try:
            if not matches(node, rule, flow):
                continue
        except Unknown:
            return answer_route(rule, "unknown"), rule
        if rule.action == "nop":
            continue
        if rule.action == "goto":
            number = _target(rules, rule, number)
            continue
        if rule.action not in ("", "to_tbl") or (rule.table is None and not rule.l3mdev):
            # -ENETUNREACH, as if there were no route
            return (None if rule.action == "unreachable" else answer_route(rule, rule.action)), rule
        route = table_lookup(node, rule.table or "", flow)
        if route is None or route.type == "throw" or _is_too_short(rule, route):
            continue
        if rule.suppress_ifgroup is not None and route.type not in ERRORS:
            return answer_route(rule, "unknown"), rule
        return route, rule
    return None, None


def _target(rules: Sequence[RoutingRule], rule: RoutingRule, next_number: int) -> int:
    for number, other in enumerate(rules):
        if other.priority == rule.goto:
            return number
    return next_number


def matches(node: Node, rule: RoutingRule, flow: Flow) -> bool:
    """fib_rule_match.  Raises Unknown."""
    hit = _selects(node, rule, flow)
    has_vrf = any(link.kind == "vrf" for link in node.state.links)
    if hit and rule.l3mdev and has_vrf:
        raise Unknown
    if hit and rule.uidrange not in (None, EVERYBODY):
        if flow.is_process:
            raise Unknown
        assert rule.uidrange is not None
        hit = rule.uidrange[0] == 0  # what is forwarded belongs to root: sock_net_uid
    return hit != rule.negated


def _selects(node: Node, rule: RoutingRule, flow: Flow) -> bool:
    has_vrf = any(link.kind == "vrf" for link in node.state.links)
    if rule.tun_id or (rule.l3mdev and not has_vrf):
        return False
    iif = flow.iif or node.loopback
    if rule.iif is not None and not (rule.iif == iif and _exists(node, iif)):
        return False
    if rule.oif is not None and not (rule.oif == flow.oif and _exists(node, rule.oif)):
        return False
    if rule.fwmark is not None and (rule.fwmark ^ flow.mark) & rule.fwmask:
        return False
    if not (_is_in(rule.src, flow.src) and _is_in(rule.dst, flow.dst)):
        return False
    tos = flow.tos & (OLD_TOS if flow.dst.version == 4 else DSCP)
    if rule.tos and rule.tos != tos:
        return False
    if rule.ipproto and rule.ipproto != flow.protocol:
        return False
    return _ports_fit(rule.sport, flow.sport) and _ports_fit(rule.dport, flow.dport)


def _exists(node: Node, device: str) -> bool:
    return any(link.name == device for link in node.state.links)


def _is_in(network: Network | None, address: Address | None) -> bool:
    if network is None or network.prefixlen == 0:
        return True
    return address is not None and holds(network, address)


def _ports_fit(ports: tuple[int, int] | None, port: int) -> bool:
    """fib_rule_port_range_set: a range that begins with 0 asks nothing."""
    return ports is None or ports[0] == 0 or ports[0] <= port <= ports[1]


def _is_too_short(rule: RoutingRule, route: Route) -> bool:
    """fib4_rule_suppress: of what leads somewhere."""
    if rule.suppress_prefixlength is None or route.type in ERRORS:
        return False
    return route.dst.prefixlen <= rule.suppress_prefixlength


# Tables.


def table_lookup(node: Node, table: str, flow: Flow) -> Route | None:
    """fib_table_lookup: the longest prefix, of it the local table's, the highest type of service,
    then the lowest metric, then the first."""
    tables = node.tables_of(flow.dst.version, table)
    found = [
        route
        for route in node.routes
        if route.table in tables and holds(route.dst, flow.dst) and _may_take(route, flow)
    ]
    if flow.oif_is_wish and found:  # rt6_device_match
        longest = max(route.dst.prefixlen for route in found)
        found = [route for route in found if route.dst.prefixlen == longest]
        found = [route for route in found if _leaves_by(route, flow.oif)] or found
    return min(found, key=order, default=None)


def order(route: Route) -> tuple[int, bool, int, int]:
    return -route.dst.prefixlen, route.table != "local", -route.tos, route.metric


def _may_take(route: Route, flow: Flow) -> bool:
    if route.tos and route.tos != flow.tos & OLD_TOS:
        return False
    if flow.link is not None and not _leaves_by(route, flow.link):
        return False
    if flow.oif is None or flow.oif_is_wish:
        return True
    if route.type in ERRORS and route.dst.version == 4:  # those of IPv6 lead out by the loopback
        return True
    return _leaves_by(route, flow.oif)


def _leaves_by(route: Route, device: str | None) -> bool:
    return device == route.dev or any(leg.dev == device for leg in route.nexthops)
