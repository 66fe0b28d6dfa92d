"""Routing tables of all nodes as tries over one array of routes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from _fastpath.image import Anycast, RouteKind
from dataplane.errors import TableError
from dataplane.image import encode
from dataplane.image.devices import SCOPES, Devices
from dataplane.image.fib_rules import is_custom, rule_rows
from dataplane.image.lpm import Tries
from dataplane.node import realms
from dataplane.node.local_routes import all_routes
from dataplane.node.multipath import UNMODELLED, answer_route, legs, upper_bounds
from dataplane.node.route_text import route_text
from dataplane.node.state import NodeState, Route, RoutingRule

NEXT, LEGS, BOUND, KIND = 3, 4, 6, 8  # columns of ROUTE
KINDS = {
    "unicast": RouteKind.ROUTE_UNICAST, "local": RouteKind.ROUTE_LOCAL,
    "anycast": RouteKind.ROUTE_LOCAL, "broadcast": RouteKind.ROUTE_BROADCAST,
    "multicast": RouteKind.ROUTE_MULTICAST, "blackhole": RouteKind.ROUTE_BLACKHOLE,
    "unreachable": RouteKind.ROUTE_UNREACHABLE, "prohibit": RouteKind.ROUTE_PROHIBIT,
    "throw": RouteKind.ROUTE_THROW,
}  # fmt: skip
NEEDS_DEVICE = {RouteKind.ROUTE_UNICAST, RouteKind.ROUTE_BROADCAST}


@dataclass(frozen=True)
class RouteName:
    """What a row of the route array is."""

    node: str
    family: int
    table: str
    text: str


@dataclass
class RouteTables:
    rows: list[list[object]] = field(default_factory=list)  # ROUTE
    names: list[RouteName] = field(default_factory=list)
    tries: Tries = field(default_factory=Tries)
    rules: list[tuple[object, ...]] = field(default_factory=list)  # FIB_RULE, by priority
    # (node, family) -> (first of its rules, how many, root of its local table or -1)
    of_node: dict[tuple[str, int], tuple[int, int, int]] = field(default_factory=dict)

    def add(self, row: list[object], name: RouteName) -> int:
        self.rows.append(row)
        self.names.append(name)
        return len(self.rows) - 1


def assemble_routes(devices: Devices, nodes: Mapping[str, NodeState]) -> RouteTables:
    """Raises TableError for routes by devices that are not there, and rules that go back."""
    tables = RouteTables()
    tables.tries.new()  # node 0 is nobody's child, so no trie's root may be a child of 0
    for state in nodes.values():
        routes = all_routes(state)
        for family in (4, 6):
            _add_node(tables, devices, state, family, routes)
    return tables


def _add_node(
    tables: RouteTables,
    devices: Devices,
    state: NodeState,
    family: int,
    routes: tuple[Route, ...],
) -> None:
    roots: dict[str, int] = {}
    node = state.name
    last: dict[tuple[int, object], int] = {}  # of each prefix
    own = [route for route in routes if route.dst.version == family]
    if family == 4 and not is_custom(state):
        roots["local"] = roots["main"] = tables.tries.new()  # one, until a rule asks: fib_unmerge
    # fib_table.c, fib_insert_alias: of equal prefixes the local table's comes first, then the
    # highest type of service, then the lowest metric.
    for route in sorted(own, key=lambda route: (route.table != "local", -route.tos, route.metric)):
        _check_devices(devices, node, route)
        root = roots.get(route.table)
        if root is None:
            root = roots[route.table] = tables.tries.new()
        index = _add_route(tables, devices, node, route)
        tables.tries.add(root, route.dst, index)
        before = last.get((root, route.dst))
        if before is not None:
            tables.rows[before][NEXT] = index
        last[root, route.dst] = index
    first = len(tables.rules)

    def answer(kind: str, rule: RoutingRule) -> int:
        return _answering(tables, node, family, kind, rule)

    tables.rules += rule_rows(devices, state, family, first, roots, answer)
    tables.of_node[node, family] = (first, len(tables.rules) - first, roots.get("local", -1))


def _check_devices(devices: Devices, node: str, route: Route) -> None:
    for name in [route.dev, *(hop.dev for hop in route.nexthops)]:
        if name is not None and devices.of(node, name) < 0:
            raise TableError(
                f"node {node}: route to {route.dst} by {name!r}, which is no device", route.source
            )


def _add_route(tables: RouteTables, devices: Devices, node: str, route: Route) -> int:
    """The route's row, and after it those of its legs, each a route of its own."""
    name = RouteName(node, route.dst.version, route.table, route_text(route))
    index = tables.add(_row(devices, node, route), name)
    if route.nexthops and tables.rows[index][KIND] != RouteKind.ROUTE_UNKNOWN:
        tables.rows[index][LEGS] = len(tables.rows)
        tables.rows[index][LEGS + 1] = len(route.nexthops)
        for leg, bound in zip(legs(route), upper_bounds(route), strict=True):
            row = _row(devices, node, leg)
            row[BOUND] = bound
            tables.add(row, replace(name, text=route_text(leg)))
    return index


def _answering(tables: RouteTables, node: str, family: int, kind: str, rule: RoutingRule) -> int:
    """The route that a rule answers everything with."""
    route = answer_route(rule, kind)
    row: list[object] = [
        encode.ZERO, encode.ZERO, -1, -1, 0, 0, 0, 0,
        int(KINDS.get(route.type, RouteKind.ROUTE_UNKNOWN)), family, 0, 0, 0, 0, family, 0,
        0, 0,
    ]  # fmt: skip
    text = UNMODELLED if route.type == UNMODELLED else route_text(route)
    return tables.add(row, RouteName(node, family, "", text))


def _anycast(route: Route) -> Anycast:
    if route.type != "anycast":
        return Anycast.ANYCAST_NONE
    is_own = route.protocol == "kernel"
    return Anycast.ANYCAST_KERNEL if is_own else Anycast.ANYCAST_LISTED


def _row(devices: Devices, node: str, route: Route) -> list[object]:
    kind = KINDS.get(route.type, RouteKind.ROUTE_UNKNOWN)
    family = route.dst.version
    device = devices.of(node, route.dev)
    gateway_family = route.gateway.version if route.gateway else family
    if kind in NEEDS_DEVICE and device < 0 and not route.nexthops:
        kind = RouteKind.ROUTE_UNKNOWN
    if family == 6 and gateway_family == 4:
        kind = RouteKind.ROUTE_UNKNOWN
    return [
        encode.pair(route.gateway), encode.pair(route.prefsrc), device, -1, 0, 0, 0,
        realms.number(route.realms) if realms.is_known(route.realms) else 0, int(kind),
        family, SCOPES.get(route.scope, 0), 1, route.tos, route.dst.prefixlen, gateway_family,
        int(_anycast(route)),
        route.mtu, 0,
    ]  # fmt: skip
