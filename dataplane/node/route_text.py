"""A route in one line, as `ip route show table all` begins it."""

from dataplane.node.state import Address, Network, NextHop, Route


def route_text(route: Route) -> str:
    """What of a route decides where packets go; who made it and its scope are left out.

    local 10.244.1.1 dev cni0 table local
    10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink
    default via 192.168.50.1 dev eth0 metric 100
    """
    words = [] if route.type == "unicast" else [route.type]
    words += [_destination(route.dst), *_next_hop(route.gateway, route.dev, route.dst.version)]
    words += ["tos", hex(route.tos)] if route.tos else []
    words += ["table", route.table] if route.table != "main" else []
    words += ["metric", str(route.metric)] if route.metric else []
    words += ["onlink"] if route.onlink else []
    words += ["mtu", str(route.mtu)] if route.mtu else []
    for hop in route.nexthops:
        words += ["nexthop", *_leg(hop, route.dst.version)]
    return " ".join(words)


def _destination(network: Network) -> str:
    if network.prefixlen == 0:
        return "default"
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)


def _next_hop(gateway: Address | None, dev: str | None, version: int) -> list[str]:
    words = []
    if gateway is not None:
        # `via inet6 ADDRESS`: an IPv4 route with an IPv6 next hop (RFC 5549), or the reverse.
        family = [] if gateway.version == version else [f"inet{gateway.version}".rstrip("4")]
        words += ["via", *family, str(gateway)]
    return words + (["dev", dev] if dev else [])


def _leg(hop: NextHop, version: int) -> list[str]:
    onlink = ["onlink"] if hop.onlink else []
    return [*_next_hop(hop.gateway, hop.dev, version), "weight", str(hop.weight), *onlink]
