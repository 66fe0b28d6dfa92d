"""Where an IP packet goes: routing rules and tables, source addresses."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network

from _fastpath.reason import Reason
from dataplane.node.state import Address, InterfaceAddress, Network, Route, RoutingRule
from dataplane.reference.lpm import longest
from dataplane.reference.node import Node
from dataplane.reference.packet import Packet
from dataplane.reference.steps import dropped, unknown

LIMITED_BROADCAST = IPv4Address("255.255.255.255")
NONE4 = IPv4Address("0.0.0.0")
REFUSALS = {
    "blackhole": Reason.ROUTE_BLACKHOLE,
    "unreachable": Reason.ROUTE_UNREACHABLE,
    "prohibit": Reason.ROUTE_PROHIBIT,
}
EVERYTHING: dict[int, Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
UNMODELLED = "a routing rule that is not modelled"
SCOPES = {"global": 0, "universe": 0, "site": 200, "link": 253, "host": 254}


def lookup(node: Node, dst: Address, oif: str | None = None) -> Route | None:
    """fib_lookup: the first table with an answer, in the order of `ip rule`.

    oif  only routes by this device count
    A rule that asks for more than a destination (a source, a mark, a device) is not modelled:
    it answers everything, with a route of a type that nothing knows.
    """
    for rule in node.rules:
        if rule.family != dst.version:
            continue
        if _is_unmodelled(rule):
            return Route(dst=EVERYTHING[rule.family], type=UNMODELLED, table="")
        own = [route for route in node.routes if route.table == rule.table]
        route = longest((route for route in own if oif in (None, route.dev)), dst)
        if route is not None and route.type != "throw":
            return route
    return None


def _is_unmodelled(rule: RoutingRule) -> bool:
    selectors = (rule.src, rule.dst, rule.fwmark, rule.iif, rule.oif)
    return (
        rule.negated
        or any(selector is not None for selector in selectors)
        or rule.action not in ("", "to_tbl")
        or rule.table is None
    )


def address_type(node: Node, address: Address, device: str | None = None) -> str:
    """inet_dev_addr_type: what the local table alone says.

    device  when given, only its own routes count
    """
    if address.is_multicast:
        return "multicast"
    if address.version == 4 and (address.packed[0] == 0 or address == LIMITED_BROADCAST):
        return "broadcast"
    route = longest((route for route in node.routes if route.table == "local"), address)
    if route is None or (device is not None and route.dev != device):
        return "unicast"
    return route.type


# Input.


def route_input(node: Node, device: str, packet: Packet) -> Route | None:
    """ip_route_input_slow: the route of a packet that arrived on `device`; None if there is
    none.  Raises Ended for addresses that may not arrive there."""
    if packet.family == 4:
        _refuse_martians(node, device, packet)
    if packet.dst == LIMITED_BROADCAST:
        return None
    return lookup(node, packet.dst)


def is_for_node(packet: Packet, route: Route | None) -> bool:
    if route is None:
        return packet.dst == LIMITED_BROADCAST
    return route.type in ("local", "broadcast")


def check_input(node: Node, device: str, packet: Packet, route: Route | None) -> None:
    """Raises Ended unless the packet may go on by its route."""
    if not is_for_node(packet, route):
        if not node.forwards(packet.family):
            raise dropped(Reason.FORWARDING_DISABLED)
        check_route(route)
    validate_source(node, device, packet)


def check_route(route: Route | None) -> Route:
    """Raises Ended for a route that carries nothing."""
    if route is None:
        raise dropped(Reason.NO_ROUTE)
    if route.type in REFUSALS:
        raise dropped(REFUSALS[route.type])
    if not _is_modelled(route):
        raise unknown(Reason.ROUTE_UNMODELLED)
    return route


def _is_modelled(route: Route) -> bool:
    if route.type not in ("unicast", "local", "broadcast") or route.nexthops:
        return False
    is_foreign = route.gateway is not None and route.gateway.version != route.dst.version
    return not is_foreign and (route.dev is not None or route.type == "local")


def _refuse_martians(node: Node, device: str, packet: Packet) -> None:
    src, dst = packet.src, packet.dst
    if src.is_multicast or src == LIMITED_BROADCAST:
        raise dropped(Reason.MARTIAN_SOURCE)
    if dst == LIMITED_BROADCAST:  # the only destination for which source 0.0.0.0 is right
        return
    if src.packed[0] == 0:
        raise dropped(Reason.MARTIAN_SOURCE)
    if dst.packed[0] == 0:
        raise dropped(Reason.MARTIAN_DESTINATION)
    if device != node.loopback and not node.either_setting(device, "route_localnet"):
        if dst.is_loopback:
            raise dropped(Reason.MARTIAN_DESTINATION)
        if src.is_loopback:
            raise dropped(Reason.MARTIAN_SOURCE)


def validate_source(node: Node, device: str, packet: Packet) -> None:
    """fib_validate_source: nobody else may have this node's addresses, and (rp_filter) the
    way back must be the way it came (RFC 3704: strict 1, loose 2)."""
    if packet.family == 6 or (packet.dst == LIMITED_BROADCAST and packet.src == NONE4):
        return
    accepts_local = device == node.loopback or node.either_setting(device, "accept_local")
    strictness = max(
        node.setting("net.ipv4.conf.all.rp_filter", 0), node.device_setting(device, "rp_filter")
    )
    if not accepts_local and address_type(node, packet.src) == "local":
        raise dropped(Reason.MARTIAN_SOURCE)
    if strictness:
        back = lookup(node, packet.src)
        _filter_reverse_path(back, device, strictness)


def _filter_reverse_path(back: Route | None, device: str, strictness: int) -> None:
    if back is None or back.type in ("blackhole", "unreachable", "prohibit", "throw"):
        raise dropped(Reason.REVERSE_PATH)
    if back.type == UNMODELLED or back.nexthops:
        raise unknown(Reason.ROUTE_UNMODELLED)
    if back.type == "local":  # accept_local
        return
    if back.type != "unicast":
        raise dropped(Reason.MARTIAN_SOURCE)
    if strictness == 1 and device != back.dev:
        raise dropped(Reason.REVERSE_PATH)


# Source addresses.


def source_address(node: Node, route: Route, dst: Address) -> Address | None:
    """For packets that the node itself sends by `route`."""
    if route.prefsrc is not None:
        return route.prefsrc
    if route.type == "local":
        return dst
    return select_address(node, route.dev or "", route.gateway or dst)


def select_address(node: Node, device: str, next_hop: Address) -> Address | None:
    """inet_select_addr, scope universe: the device's first primary address whose subnet
    holds the next hop, else its first, else the first of another device."""
    own = [address for address in _global_addresses(node, next_hop) if address.dev == device]
    near = [address for address in own if _on_link(address, next_hop)]
    others = _global_addresses(node, next_hop)
    found = next(iter((*near, *own, *others)), None)
    return found.local if found else None


def _global_addresses(node: Node, like: Address) -> list[InterfaceAddress]:
    """In the order of the devices' indices."""
    order = {link.name: link.index for link in node.state.links}
    found = [
        address
        for address in node.state.addresses
        if address.local.version == like.version
        and not address.secondary
        and SCOPES.get(address.scope, 0) == 0
    ]
    return sorted(found, key=lambda address: order.get(address.dev, 0))


def _on_link(address: InterfaceAddress, next_hop: Address) -> bool:
    bits = address.local.max_prefixlen - address.prefixlen
    return int(address.local) >> bits == int(next_hop) >> bits
