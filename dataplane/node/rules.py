"""Policy routing rules: `ip -j rule` (and `ip -j -6 rule`)."""

from collections.abc import Iterable
from typing import Any

from dataplane.node.entries import WORD, Entry, read_entries, render_entries
from dataplane.node.state import Network, RoutingRule

# Selectors and actions that are not modelled; without them the rule would match more.
SELECTORS = (
    "tos",
    "ipproto",
    "sport",
    "sport_start",
    "dport",
    "dport_start",
    "uid_start",
    "tun_id",
    "l3mdev",
    "goto",
    "suppress_prefixlen",
    "suppress_ifgroup",
    "flow_from",
    "flow_to",
)


def parse(text: str, path: str, family: int = 4) -> tuple[RoutingRule, ...]:
    return tuple(_rule(entry, family) for entry in read_entries(text, path))


def _rule(entry: Entry, family: int) -> RoutingRule:
    entry.refuse(SELECTORS)
    src, dst = _prefix(entry, "src"), _prefix(entry, "dst")
    named = src or dst
    return RoutingRule(
        priority=entry.number("priority", 0),
        table=_table(entry),
        action="nop" if entry.has("nop") else entry.text("action", ""),
        family=named.version if named else family,
        negated=entry.has("not"),
        src=src,
        dst=dst,
        fwmark=entry.hexadecimal("fwmark", 0) if entry.has("fwmark") else None,
        fwmask=entry.hexadecimal("fwmask", WORD),
        iif=entry.optional_text("iif"),
        oif=entry.optional_text("oif"),
        source=entry.source,
    )


def _prefix(entry: Entry, key: str) -> Network | None:
    """`src` and `srclen`; without the latter the whole address.  "all" is None."""
    text, length = entry.text(key, "all"), f"{key}len"
    if entry.has(length):
        number = entry.number(length, most=128)
        return entry.network(key, f"{text}/{number}") if number else None
    return None if text == "all" else entry.network(key, text)


def _table(entry: Entry) -> str | None:
    value = entry.values.get("table")
    return str(value) if isinstance(value, int) else entry.optional_text("table")


def render(rules: Iterable[RoutingRule]) -> str:
    return render_entries(map(_entry, rules))


def _entry(rule: RoutingRule) -> dict[str, Any]:
    entry: dict[str, Any] = {"priority": rule.priority}
    if rule.negated:
        entry["not"] = None  # as `ip -j` prints it: the key alone says so
    entry |= _prefix_entry("src", rule.src) or {"src": "all"}
    entry |= _prefix_entry("dst", rule.dst)
    if rule.fwmark is not None:
        entry["fwmark"] = hex(rule.fwmark)
        if rule.fwmask != WORD:
            entry["fwmask"] = hex(rule.fwmask)
    entry |= {key: value for key, value in _rest(rule) if value}
    if rule.action == "nop":
        entry["nop"] = None
    return entry


def _rest(rule: RoutingRule) -> list[tuple[str, str | None]]:
    action = rule.action if rule.action != "nop" else None
    return [("iif", rule.iif), ("oif", rule.oif), ("table", rule.table), ("action", action)]


def _prefix_entry(key: str, prefix: Network | None) -> dict[str, Any]:
    if prefix is None:
        return {}
    entry: dict[str, Any] = {key: str(prefix.network_address)}
    if prefix.prefixlen < prefix.max_prefixlen:
        entry[f"{key}len"] = prefix.prefixlen
    return entry
