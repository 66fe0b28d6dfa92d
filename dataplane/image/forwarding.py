"""Routing tables of all nodes as tries over one array of routes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from _fastpath.image import RouteKind
from dataplane.errors import TableError
from dataplane.image import encode
from dataplane.image.devices import SCOPES, Devices
from dataplane.image.lpm import Tries
from dataplane.node.local_routes import all_routes
from dataplane.node.route_text import route_text
from dataplane.node.state import NodeState, Route, RoutingRule

DEFAULT_TABLES = ("local", "main", "default")
KINDS = {
    "unicast": RouteKind.ROUTE_UNICAST, "local": RouteKind.ROUTE_LOCAL,
    "anycast": RouteKind.ROUTE_LOCAL, "broadcast": RouteKind.ROUTE_BROADCAST,
    "multicast": RouteKind.ROUTE_MULTICAST, "blackhole": RouteKind.ROUTE_BLACKHOLE,
    "unreachable": RouteKind.ROUTE_UNREACHABLE, "prohibit": RouteKind.ROUTE_PROHIBIT,
    "throw": RouteKind.ROUTE_THROW,
}  # fmt: skip
NEEDS_DEVICE = {RouteKind.ROUTE_UNICAST, RouteKind.ROUTE_BROADCAST, RouteKind.ROUTE_LOCAL}
ANYWHERE = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


@dataclass(frozen=True)
class RouteName:
    """What a row of the route array is."""

    node: str
    family: int
    table: str
    text: str


@dataclass
class RouteTables:
    rows: list[tuple[object, ...]] = field(default_factory=list)  # ROUTE
    names: list[RouteName] = field(default_factory=list)
    tries: Tries = field(default_factory=Tries)
    fibs: list[int] = field(default_factory=list)  # roots, in rule order
    # (node, family) -> (first of its fibs, how many, root of its local table or -1)
    of_node: dict[tuple[str, int], tuple[int, int, int]] = field(default_factory=dict)


def assemble_routes(devices: Devices, nodes: Mapping[str, NodeState]) -> RouteTables:
    """Raises TableError for routes by devices that are not there."""
    tables = RouteTables()
    tables.tries.new()  # node 0 is nobody's child, so no trie's root may be a child of 0
    for name, state in nodes.items():
        routes = all_routes(state)
        for family in (4, 6):
            _add_node(tables, devices, name, family, routes, state.rules)
    return tables


def _add_node(
    tables: RouteTables,
    devices: Devices,
    node: str,
    family: int,
    routes: tuple[Route, ...],
    rules: tuple[RoutingRule, ...],
) -> None:
    roots: dict[str, int] = {}
    own = [route for route in routes if route.dst.version == family]
    # fib_table.c: of equal prefixes the lowest metric comes first.
    for route in sorted(own, key=lambda route: route.metric):
        _check_devices(devices, node, route)
        root = roots.get(route.table)
        if root is None:
            root = roots[route.table] = tables.tries.new()
        tables.tries.add(root, route.dst, len(tables.rows))
        tables.rows.append(_row(devices, node, route))
        tables.names.append(RouteName(node, family, route.table, route_text(route)))
    start = len(tables.fibs)
    for table in _lookup_order(rules, family):
        if table is None:
            tables.fibs.append(_unmodelled(tables, node, family))
        elif table in roots:
            tables.fibs.append(roots[table])
    tables.of_node[node, family] = (start, len(tables.fibs) - start, roots.get("local", -1))


def _check_devices(devices: Devices, node: str, route: Route) -> None:
    for name in [route.dev, *(hop.dev for hop in route.nexthops)]:
        if name is not None and devices.of(node, name) < 0:
            raise TableError(
                f"node {node}: route to {route.dst} by {name!r}, which is no device", route.source
            )


def _lookup_order(rules: tuple[RoutingRule, ...], family: int) -> list[str | None]:
    """Tables in the order in which they are asked.  None: a rule that is not modelled."""
    own = sorted((rule for rule in rules if rule.family == family), key=lambda r: r.priority)
    if not own:
        return list(DEFAULT_TABLES)
    order: list[str | None] = []
    for rule in own:
        has_selector = rule.negated or any(
            part is not None for part in (rule.src, rule.dst, rule.fwmark, rule.iif, rule.oif)
        )
        is_lookup = rule.table is not None and rule.action in ("", "to_tbl")
        order.append(rule.table if is_lookup and not has_selector else None)
    return order


def _unmodelled(tables: RouteTables, node: str, family: int) -> int:
    """A table that answers everything with "not modelled"."""
    root = tables.tries.new()
    tables.tries.add(root, ANYWHERE[family], len(tables.rows))
    tables.rows.append(
        (encode.ZERO, encode.ZERO, -1, int(RouteKind.ROUTE_UNKNOWN), family, 0, 0, 0)
    )
    tables.names.append(RouteName(node, family, "", "a routing rule that is not modelled"))
    return root


def _row(devices: Devices, node: str, route: Route) -> tuple[object, ...]:
    kind = KINDS.get(route.type, RouteKind.ROUTE_UNKNOWN)
    family = route.dst.version
    device = devices.of(node, route.dev)
    is_foreign = route.gateway is not None and route.gateway.version != family
    if route.nexthops or is_foreign or (kind in NEEDS_DEVICE and device < 0):
        kind = RouteKind.ROUTE_UNKNOWN
    gateway = encode.ZERO if is_foreign else encode.pair(route.gateway)
    return (
        gateway, encode.pair(route.prefsrc), device, int(kind), family,
        SCOPES.get(route.scope, 0), 1, 0,
    )  # fmt: skip
