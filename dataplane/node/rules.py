"""Policy routing rules: `ip -j rule` (and `ip -j -6 rule`)."""

from collections.abc import Iterable
from typing import Any

from dataplane.node.entries import WORD, Entry, read_entries, render_entries
from dataplane.node.protocols import PROTOCOL_NAMES, PROTOCOL_NUMBERS
from dataplane.node.state import Network, RoutingRule

# Selectors that are not read; without them the rule would match more.
SELECTORS = ("dscp", "dscp_mask", "flowlabel", "flowlabel_mask", "sport_mask", "dport_mask")


def parse(text: str, path: str, family: int = 4) -> tuple[RoutingRule, ...]:
    return tuple(_rule(entry, family) for entry in read_entries(text, path))


def _rule(entry: Entry, family: int) -> RoutingRule:
    entry.refuse(SELECTORS)
    src, dst = _prefix(entry, "src"), _prefix(entry, "dst")
    named = src or dst
    return RoutingRule(
        priority=entry.number("priority", 0),
        table=_table(entry),
        action=_action(entry),
        family=named.version if named else family,
        negated=entry.has("not"),
        src=src,
        dst=dst,
        fwmark=entry.hexadecimal("fwmark", 0) if entry.has("fwmark") else None,
        fwmask=entry.hexadecimal("fwmask", WORD),
        iif=entry.optional_text("iif"),
        oif=entry.optional_text("oif"),
        tos=entry.dsfield("tos") if entry.has("tos") else None,
        ipproto=_protocol(entry) if entry.has("ipproto") else None,
        sport=_range(entry, "sport", 65535),
        dport=_range(entry, "dport", 65535),
        uidrange=_range(entry, "uid", WORD),
        tun_id=entry.number("tun_id", most=2**64 - 1) if entry.has("tun_id") else None,
        l3mdev=entry.has("l3mdev"),
        goto=entry.number("goto") if entry.has("goto") else None,
        suppress_prefixlength=(
            entry.number("suppress_prefixlen", most=128)
            if entry.has("suppress_prefixlen")
            else None
        ),
        suppress_ifgroup=entry.optional_text("suppress_ifgroup"),
        flow_from=entry.optional_text("flow_from"),
        flow_to=entry.optional_text("flow_to"),
        protocol=entry.optional_text("protocol"),
        source=entry.source,
    )


def _action(entry: Entry) -> str:
    for word in ("goto", "nop"):
        if entry.has(word):
            return word
    return entry.text("action", "")


def _protocol(entry: Entry) -> int:
    word = entry.values["ipproto"]
    number = PROTOCOL_NUMBERS.get(word) if isinstance(word, str) else entry.number("ipproto")
    if isinstance(word, str) and word.removeprefix("ipproto-").isdecimal():
        number = int(word.removeprefix("ipproto-"))
    if number is None or number > 255:
        raise entry.wrong("ipproto", "a protocol")
    return number


def _range(entry: Entry, key: str, most: int) -> tuple[int, int] | None:
    """`sport`, or `sport_start` and `sport_end`."""
    if entry.has(key):
        number = entry.number(key, most=most)
        return number, number
    if entry.has(f"{key}_start") or entry.has(f"{key}_end"):
        return entry.number(f"{key}_start", most=most), entry.number(f"{key}_end", most=most)
    return None


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
    """The keys in the order in which `ip -j` prints them."""
    entry: dict[str, Any] = {"priority": rule.priority}
    if rule.negated:
        entry["not"] = None  # as `ip -j` prints it: the key alone says so
    entry |= _prefix_entry("src", rule.src) or {"src": "all"}
    entry |= _prefix_entry("dst", rule.dst)
    if rule.tos is not None:
        entry["tos"] = hex(rule.tos)
    entry |= _mark_entry(rule)
    entry |= {key: name for key, name in (("iif", rule.iif), ("oif", rule.oif)) if name}
    if rule.l3mdev:
        entry["l3mdev"] = None
    if rule.uidrange is not None:
        entry |= {"uid_start": rule.uidrange[0], "uid_end": rule.uidrange[1]}
    return entry | _flow_entry(rule) | _answer_entry(rule)


def _mark_entry(rule: RoutingRule) -> dict[str, Any]:
    if rule.fwmark is None:
        return {}
    mask = {"fwmask": hex(rule.fwmask)} if rule.fwmask != WORD else {}
    return {"fwmark": hex(rule.fwmark), **mask}


def _flow_entry(rule: RoutingRule) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if rule.ipproto is not None:
        name = PROTOCOL_NAMES.get(rule.ipproto)
        entry["ipproto"] = name if name else f"ipproto-{rule.ipproto}"  # inet_proto_n2a
    for key, ports in (("sport", rule.sport), ("dport", rule.dport)):
        if ports is not None and ports[0] == ports[1]:
            entry[key] = ports[0]
        elif ports is not None:
            entry |= {f"{key}_start": ports[0], f"{key}_end": ports[1]}
    if rule.tun_id is not None:
        entry["tun_id"] = rule.tun_id
    return entry


def _answer_entry(rule: RoutingRule) -> dict[str, Any]:
    """What the rule does.  A table with an action that asks none is printed with it."""
    entry: dict[str, Any] = {
        "table": rule.table or None,
        "suppress_prefixlen": rule.suppress_prefixlength,
        "suppress_ifgroup": rule.suppress_ifgroup,
        "flow_from": rule.flow_from,
        "flow_to": rule.flow_to,
        "goto": rule.goto,
        "action": rule.action if rule.action not in ("", "goto", "nop") else None,
        "protocol": rule.protocol,
    }
    entry = {key: value for key, value in entry.items() if value is not None}
    return entry | ({"nop": None} if rule.action == "nop" else {})


def _prefix_entry(key: str, prefix: Network | None) -> dict[str, Any]:
    if prefix is None:
        return {}
    entry: dict[str, Any] = {key: str(prefix.network_address)}
    if prefix.prefixlen < prefix.max_prefixlen:
        entry[f"{key}len"] = prefix.prefixlen
    return entry
