"""Routes that the kernel makes of a device's addresses, where a listing leaves them out.

Plain `ip route` lists the main table alone, and agents program no local table: its routes
follow from the addresses (net/ipv4/fib_frontend.c, fib_add_ifaddr; net/ipv6/addrconf.c).
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network

from dataplane.node.state import Address, InterfaceAddress, Network, NodeState, Route

LIMITED_BROADCAST = IPv4Address("255.255.255.255")  # needs no route
# The node's own addresses, and refusals: `ip -6 route` shows the loopback with them, up or down.
LASTING = ("local", "blackhole", "unreachable", "prohibit", "throw")
IPV6_METRIC = 256  # IP6_RT_PRIO_ADDRCONF


def all_routes(state: NodeState) -> tuple[Route, ...]:
    """The listed routes, then the derived ones that are not listed.

    When a device goes down the kernel takes away what leads out by it; the node's own
    addresses stay its own (fib_semantics.c, fib_sync_down_dev).
    """
    down = {link.name for link in state.links if not link.is_up}
    found: dict[tuple[object, ...], Route] = {}
    for listed in (*state.routes, *local_routes(state)):
        route = _living(state, listed, down)
        if route is not None:
            found.setdefault(_key(route), route)
    return tuple(found.values())


def _living(state: NodeState, route: Route, down: set[str]) -> Route | None:
    """The route without the legs that carry nothing; None if nothing is left of it."""
    if route.type in LASTING:
        return route
    if not route.nexthops:
        is_dead = route.dev in down or (route.linkdown and _ignores(state, route))
        return None if is_dead else route
    legs = tuple(
        leg
        for leg in route.nexthops
        if leg.dev not in down and not (leg.linkdown and _ignores(state, route, leg.dev))
    )
    return replace(route, nexthops=legs) if legs else None


def _ignores(state: NodeState, route: Route, dev: str | None = None) -> bool:
    """ip_ignore_linkdown: the device is set to, or (IPv4) all are."""
    conf = f"net.ipv{route.dst.version}.conf"
    places = [dev or route.dev or ""] + (["all"] if route.dst.version == 4 else [])
    return any(
        state.sysctls.get(f"{conf}.{place}.ignore_routes_with_linkdown", "0").strip() != "0"
        for place in places
    )


def _key(route: Route) -> tuple[object, ...]:
    where = (route.dev, route.nexthops)
    return (route.dst.version, route.table, route.dst, route.type, route.tos, route.metric, where)


def local_routes(state: NodeState) -> tuple[Route, ...]:
    """Routes of all addresses, in the addresses' order.

    A connected prefix is left out when any route of the main table for it is listed: an
    agent may have replaced it, or have asked for none (`noprefixroute`, where it is not told).
    """
    listed = {route.dst for route in state.routes if route.table == "main"}
    loopbacks = {link.name for link in state.links if link.link_type == "loopback"} or {"lo"}
    routes: list[Route] = []
    for address in state.addresses:
        routes += _routes_of(address, address.dev in loopbacks, listed)
    return tuple(routes)


def _routes_of(
    address: InterfaceAddress, on_loopback: bool, listed: set[Network]
) -> Iterator[Route]:
    yield _kernel_route(_host(address.local), "local", address, scope="host")
    has_prefix = "noprefixroute" not in address.flags
    if isinstance(address.local, IPv6Address):
        yield from _prefix6(address, on_loopback, listed) if has_prefix else ()
    else:
        yield from _broadcasts(address)
        yield from _prefix4(address, on_loopback, listed) if has_prefix else ()


def _broadcasts(address: InterfaceAddress) -> Iterator[Route]:
    """The address's own broadcast address and its prefix's last one (RFC 919).  The first
    one is a host's since 5.14 (RFC 3021 and draft-schoen-intarea-lowest-address)."""
    found = [address.broadcast] if address.broadcast else []
    if address.prefixlen < 31 and not address.secondary:
        found.append(_prefix(address).broadcast_address)  # type: ignore[arg-type]
    for broadcast in dict.fromkeys(found):
        if broadcast != LIMITED_BROADCAST:
            yield _kernel_route(_host(broadcast), "broadcast", address, scope="link")


def _prefix4(address: InterfaceAddress, on_loopback: bool, listed: set[Network]) -> Iterator[Route]:
    prefix = _prefix(address)
    if address.secondary or address.prefixlen == 32 or prefix.network_address.packed[0] == 0:
        return
    if on_loopback:  # all of 127.0.0.0/8 is this node
        yield _kernel_route(prefix, "local", address, scope="host")
    elif prefix not in listed:
        yield _kernel_route(prefix, "unicast", address, scope="link", table="main")


def _prefix6(address: InterfaceAddress, on_loopback: bool, listed: set[Network]) -> Iterator[Route]:
    prefix = _prefix(address)
    if on_loopback or address.prefixlen == 128 or prefix in listed:
        return
    yield Route(
        dst=prefix,
        dev=address.dev,
        metric=IPV6_METRIC,
        protocol="kernel",
        source=address.source,
    )


def _kernel_route(
    dst: Network, kind: str, address: InterfaceAddress, scope: str, table: str = "local"
) -> Route:
    is_ipv4 = isinstance(address.local, IPv4Address)
    return Route(
        dst=dst,
        type=kind,
        dev=address.dev,
        table=table,
        prefsrc=address.local if is_ipv4 else None,
        scope=scope if is_ipv4 else "global",  # IPv6 routes have none
        protocol="kernel",
        source=address.source,
    )


def _host(address: Address) -> Network:
    return ip_network(address)


def _prefix(address: InterfaceAddress) -> Network:
    return ip_network(f"{address.local}/{address.prefixlen}", strict=False)
