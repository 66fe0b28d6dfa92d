"""Routes: `ip -j route show table all`, `ip -j -6 route show table all`, or plain `ip -j route`."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from dataplane.node import realms
from dataplane.node.entries import Entry, read_entries, render_entries
from dataplane.node.state import Address, Network, NextHop, Route

DEFAULTS: dict[int, Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
SELECTORS = ("from", "encap")  # make a route match less, or do more, than we model


def parse(text: str, path: str, family: int = 4) -> tuple[Route, ...]:
    """Routes that a lookup may find.

    family  4 or 6: which "default" is meant where nothing else in the entry says so
    """
    entries = read_entries(text, path)
    return tuple(_route(entry, family) for entry in entries if not _is_dead(entry))


def _is_dead(entry: Entry) -> bool:
    return "dead" in entry.texts("flags")  # RTNH_F_DEAD: fib_table_lookup passes over it


def _route(entry: Entry, family: int) -> Route:
    entry.refuse(SELECTORS)
    return Route(
        dst=_destination(entry, family),
        type=entry.text("type", "unicast"),
        dev=entry.optional_text("dev"),
        gateway=_gateway(entry),
        table=_table(entry),
        metric=entry.number("metric", 0),
        prefsrc=entry.optional_address("prefsrc"),
        scope=entry.text("scope", "global"),
        protocol=entry.text("protocol", "boot"),
        onlink="onlink" in entry.texts("flags"),
        tos=entry.dsfield("tos"),
        linkdown="linkdown" in entry.texts("flags"),
        mtu=max((metrics.number("mtu", 0) for metrics in entry.entries("metrics")), default=0),
        nexthops=tuple(_nexthop(hop) for hop in entry.entries("nexthops") if not _is_dead(hop)),
        realms=realms.parse(entry),
        source=entry.source,
    )


def _destination(entry: Entry, family: int) -> Network:
    text = entry.text("dst")
    return DEFAULTS[_family(entry, family)] if text == "default" else entry.network("dst", text)


def _family(entry: Entry, family: int) -> int:
    """Of a default route: `gateway` is of the route's own family, `via` of the other one, and
    `pref` is printed for IPv6 only (iproute.c, print_route, v6.1)."""
    for part in (entry, *entry.entries("nexthops")):
        if part.has("gateway"):
            return part.address("gateway").version
        if part.has("via"):
            return 10 - part.nested("via").address("host").version
    if entry.has("prefsrc"):
        return entry.address("prefsrc").version
    return 6 if entry.has("pref") else family


def _gateway(entry: Entry) -> Address | None:
    via = entry.nested("via")  # {"family": "inet6", "host": "fe80::1"}
    return via.address("host") if via.values else entry.optional_address("gateway")


def _table(entry: Entry) -> str:
    value = entry.values.get("table", "main")
    return str(value) if isinstance(value, int) else entry.text("table", "main")


def _nexthop(hop: Entry) -> NextHop:
    hop.refuse(("encap",))
    return NextHop(
        dev=hop.optional_text("dev"),
        gateway=_gateway(hop),
        weight=hop.number("weight", 1, most=65535),
        onlink="onlink" in hop.texts("flags"),
        linkdown="linkdown" in hop.texts("flags"),
        realms=realms.parse(hop),
    )


def render(routes: Iterable[Route]) -> str:
    return render_entries(map(_entry, routes))


def _entry(route: Route) -> dict[str, Any]:
    version = route.dst.version
    entry: dict[str, Any] = {
        "type": route.type if route.type != "unicast" else None,
        "dst": _destination_text(route.dst),
        "tos": hex(route.tos) if route.tos else None,
        **_gateway_entry(route.gateway, version),
        "dev": route.dev,
        "table": route.table if route.table != "main" else None,
        "protocol": route.protocol if route.protocol != "boot" else None,
        "scope": route.scope if route.scope != "global" else None,
        "prefsrc": str(route.prefsrc) if route.prefsrc else None,
        "metric": route.metric or None,
        "flags": _flags(route),
        "metrics": [{"mtu": route.mtu}] if route.mtu else None,
        "flow": realms.render(route.realms),
        "pref": "medium" if version == 6 else None,
        "nexthops": [_nexthop_entry(hop, version) for hop in route.nexthops] or None,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _flags(row: Route | NextHop) -> list[str]:
    return [name for name in ("onlink", "linkdown") if getattr(row, name)]


def _destination_text(network: Network) -> str:
    if network.prefixlen == 0:
        return "default"
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)


def _gateway_entry(gateway: Address | None, version: int) -> dict[str, Any]:
    if gateway is None:
        return {}
    if gateway.version == version:
        return {"gateway": str(gateway)}
    return {"via": {"family": f"inet{'6' if gateway.version == 6 else ''}", "host": str(gateway)}}


def _nexthop_entry(hop: NextHop, version: int) -> dict[str, Any]:
    entry: dict[str, Any] = {
        **_gateway_entry(hop.gateway, version),
        "flow": realms.render(hop.realms),
        "dev": hop.dev,
        "weight": hop.weight,
        "flags": _flags(hop),
    }
    return {key: value for key, value in entry.items() if value is not None}
