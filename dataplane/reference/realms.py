"""Realms: what class the routes of an IPv4 packet give it (dst_entry.tclassid).

A route says what is FROM its network and TO it; where it does not, the rule that led to it may.
Packets that are forwarded have the TO of their own route, and as FROM the TO of the route back to
their source; for the node itself, that alone.  net/ipv4/route.c, fib_frontend.c, v6.12.
"""

from dataplane.node import realms
from dataplane.node.multipath import legs
from dataplane.node.state import Route
from dataplane.reference import forwarding
from dataplane.reference.fib_rules import Flow, input_flow, lookup_by
from dataplane.reference.node import Node
from dataplane.reference.packet import Packet


def of_input(node: Node, device: str, packet: Packet, route: Route | None) -> int:
    """ip_route_input_slow.  `route`: None for the limited broadcast."""
    if packet.family != 4 or not node.has_realms:
        return 0
    if route is None:
        return 0 if packet.src.packed[0] == 0 else _of_source(node, device, packet, None, True)
    if forwarding.is_for_node(node, device, route):
        return _of_source(node, device, packet, None, route.type == "broadcast")
    found = _joined(_number(route.realms), _of_rule(node, input_flow(packet, device)))
    return _joined(found, _of_source(node, device, packet, route.dev, False))


def of_output(node: Node, flow: Flow, route: Route) -> int:
    """__mkroute_output: no leg of a broadcast's, or of a default route to a group, counts."""
    if flow.dst.version != 4 or not node.has_realms:
        return 0
    has_leg = route.type != "broadcast" and flow.dst != forwarding.LIMITED_BROADCAST
    if flow.dst.is_multicast and route.dst.prefixlen < 4:
        has_leg = False
    return _joined(_number(route.realms) if has_leg else 0, _of_rule(node, flow))


def _joined(own: int, other: int) -> int:
    """set_class_tag: each half, if it is not there yet."""
    low, high = own & 0xFFFF or other & 0xFFFF, own >> 16 or other >> 16
    return high << 16 | low


def _of_rule(node: Node, flow: Flow) -> int:
    rule = lookup_by(node, flow)[1]
    return _number(realms.of_rule(rule)) if rule else 0


def _of_source(
    node: Node, device: str, packet: Packet, out: str | None, is_to_everybody: bool
) -> int:
    """__fib_validate_source, fib_combine_itag: what leads back to the source."""
    flow = forwarding.reverse_flow(node, device, packet, out, is_to_everybody)
    back, rule = lookup_by(node, flow)
    if back is None or rule is None or forwarding.kind_of(back) not in ("unicast", "local"):
        return 0
    if not forwarding.has_address(node, device) and not forwarding.leads_to(node, back, device):
        return 0
    leg = legs(back)[0] if back.nexthops else back
    own = _number(realms.of_rule(rule))
    return (_number(leg.realms) << 16 & 0xFFFFFFFF or own << 16 & 0xFFFFFFFF) | own >> 16


def _number(text: str) -> int:
    return realms.number(text) if realms.is_known(text) else 0
