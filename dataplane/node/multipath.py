"""What follows from a route or a rule as it is listed: its legs, their shares, its answer."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

from dataplane.node.state import Network, Route, RoutingRule

EVERYTHING: dict[int, Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
UNMODELLED = "a routing rule that is not modelled"
HASHES = 1 << 31


def legs(route: Route) -> list[Route]:
    """A multipath route's legs, each a route of its own."""
    return [
        replace(
            route,
            dev=leg.dev,
            gateway=leg.gateway,
            onlink=leg.onlink,
            realms=leg.realms,
            nexthops=(),
        )
        for leg in route.nexthops
    ]


def upper_bounds(route: Route) -> list[int]:
    """The last 31-bit hash that chooses each leg: fib_rebalance, rounded to the nearest."""
    total = sum(leg.weight for leg in route.nexthops) or 1
    bounds, weight = [], 0
    for leg in route.nexthops:
        weight += leg.weight
        bounds.append((weight * HASHES + total // 2) // total - 1)
    return bounds


def answer_route(rule: RoutingRule, kind: str) -> Route:
    """What a rule answers that asks no table."""
    known = kind in ("blackhole", "prohibit")
    return Route(EVERYTHING[rule.family], type=kind if known else UNMODELLED, table="")
