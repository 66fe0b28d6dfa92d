"""-m recent: which addresses were seen, and when.

A table belongs to all rules of a node that name it, of both families.  Its first rule gives it
its mask; it keeps as many stamps as any of its rules asks for.
"""

from collections.abc import Iterator
from ipaddress import ip_address

from dataplane.reference.match_words import Options, Unmodelled, Where, by_name, tick
from dataplane.reference.memory import RecentTable, Seen
from dataplane.reference.node import Node
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place

ENTRIES = 100  # ip_list_tot
STAMPS = 32  # that an entry keeps if no rule counts hits
KINDS = ("--set", "--rcheck", "--update", "--remove")
KNOWN = (*KINDS, "--seconds", "--reap", "--hitcount", "--rttl", "--name", "--mask", "--rsource",
         "--rdest")  # fmt: skip


def answer(place: Place, where: Where, options: Options, packet: Packet) -> bool:
    """xt_recent.c, recent_mt"""
    values = by_name(options, *KNOWN)
    kind = _kind(options)
    table = _table(place.node, _name(options))
    seconds, hits = _number(options, "--seconds"), _number(options, "--hitcount")
    now = tick(place)
    since = now - seconds * 250
    address = packet.dst if "--rdest" in values else packet.src
    mask = table.mask >> 96 if place.family == 4 else table.mask
    key = (place.family, int(address) & mask)
    ttl = packet.ttl
    if place.out_device is not None and not packet.has_sender:
        ttl = ttl + 1 & 0xFF  # as it was before it was forwarded
    found = table.entries.get(key)
    if found and "--rttl" in values and ttl != found.ttl and ttl and found.ttl:
        found = None
    negated = values[kind].negated
    if found is None:
        if kind == "--set":
            if len(table.entries) >= ENTRIES:
                table.entries.pop(next(iter(table.entries)))
            _stamp(table, key, Seen(ttl), now)
        return (kind == "--set") != negated
    if kind == "--remove":
        del table.entries[key]
        return not negated
    if kind == "--set":
        matches = True
    else:
        stamps = [stamp for stamp in found.stamps if not seconds or stamp >= since]
        matches = len(stamps) >= max(hits, 1)
        if "--reap" in values:
            _reap(table, since)
    if kind == "--set" or (kind == "--update" and matches != negated):
        found.ttl = ttl
        _stamp(table, key, found, now)
    return matches != negated


def memory(options: Options, family: int) -> tuple[object, ...] | None:
    """The name of its table; None if the kernel refuses the rule."""
    return ("recent", _name(options)) if _is_sound(options, family) else None


def _stamp(table: RecentTable, key: tuple[int, int], seen: Seen, now: int) -> None:
    """recent_entry_update: the newest moves to the end."""
    at = seen.index % table.stamps
    seen.stamps[at : at + 1] = [now]
    seen.index = at + 1
    table.entries.pop(key, None)
    table.entries[key] = seen


def _reap(table: RecentTable, since: int) -> None:
    """recent_entry_reap: at most the one that was not used for longest."""
    key, seen = next(iter(table.entries.items()))
    if seen.stamps[seen.index - 1] < since:
        del table.entries[key]


def _kind(options: Options) -> str:
    """Raises Unmodelled for what recent_mt_check refuses."""
    names = {option.name for option in options}
    kinds = names & set(KINDS)
    counts = _number(options, "--seconds") or _number(options, "--hitcount")
    if len(kinds) != 1 or _number(options, "--hitcount") > 255:
        raise Unmodelled
    (kind,) = kinds
    if kind in ("--set", "--remove") and (counts or names & {"--rttl", "--reap"}):
        raise Unmodelled
    if "--reap" in names and not _number(options, "--seconds"):
        raise Unmodelled
    return kind


def _number(options: Options, name: str) -> int:
    value = next((int(option.values[0]) for option in options if option.name == name), 0)
    if not 0 <= value < 1 << 32:
        raise Unmodelled
    return value


def _name(options: Options) -> str:
    return next((option.values[0] for option in options if option.name == "--name"), "DEFAULT")


def _mask(options: Options, family: int) -> int:
    text = next((option.values[0] for option in options if option.name == "--mask"), None)
    if text is None:
        return (1 << 128) - 1
    mask = ip_address(text)
    if mask.version != family:
        raise Unmodelled
    return int(mask) << (96 if family == 4 else 0)


def _table(node: Node, name: str) -> RecentTable:
    if name not in node.recent:
        rules = [rule for rule in _rules(node) if _name(rule[1]) == name]
        hits = [_number(options, "--hitcount") for _, options in rules]
        family, first = rules[0]
        stamps = max(_power_of_two(count) if count else STAMPS for count in hits)
        node.recent[name] = RecentTable(_mask(first, family), stamps)
    return node.recent[name]


def _rules(node: Node) -> Iterator[tuple[int, Options]]:
    """(family, options) of every `recent` of the node that the kernel would take."""
    for family, rules in ((4, node.state.iptables), (6, node.state.ip6tables)):
        for table in rules.tables.values():
            for chain in table.chains.values():
                for rule in chain.rules:
                    for match in rule.matches:
                        if match.name == "recent" and _is_sound(match.options, family):
                            yield family, match.options


def _is_sound(options: Options, family: int) -> bool:
    try:
        by_name(options, *KNOWN)
        _kind(options)
        _mask(options, family)
    except (Unmodelled, ValueError):
        return False
    return True


def _power_of_two(least: int) -> int:
    power = 1
    while power < least:
        power *= 2
    return power
