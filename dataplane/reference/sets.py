"""Sets of addresses, ports and the like, as packets look them up and change them.

ip_set_core.c, ip_set_hash_gen.h, ip_set_bitmap_gen.h, ip_set_list_set.c and xt_set.c, v6.18.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from _fastpath.trace import EventKind
from dataplane.node.ipset_elements import masks_of
from dataplane.node.ipset_rows import SetElement, SetEntry
from dataplane.node.ipset_types import TYPES
from dataplane.node.ipset_words import Network, one
from dataplane.node.iptables import Option
from dataplane.reference.match_words import Answer, Options, Unmodelled
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place
from dataplane.reference.set_probe import Lacking, Probe, probe
from dataplane.reference.set_table import SECOND_NS, LiveEntry, LiveSet, Sets, is_expired

MAXELEM = 65536
COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda count, value: count == value,
    "lt": lambda count, value: count < value,
    "gt": lambda count, value: count > value,
}


@dataclass
class Question:
    """struct ip_set_adt_opt"""

    place: Place
    packet: Packet
    sides: list[str]
    returns_nomatch: bool = False
    skips_counters: bool = False
    skips_subcounters: bool = False
    comparisons: tuple[Option, ...] = ()
    skbmark: tuple[int, int] = (0, 0)  # of what was found


def _named(sets: Sets, name: str) -> LiveSet:
    if sets.by_name is None:
        raise Unmodelled
    return sets.by_name[name]


def _extensions_match(live: LiveSet, entry: LiveEntry, question: Question) -> bool:
    """ip_set_match_extensions: counts first, and compares what it counted."""
    if live.has_timeout and is_expired(live, entry, question.place.now_ns):
        return False
    if live.ipset.option("counters") is not None:
        if not question.skips_counters:
            entry.packets += 1
            entry.bytes += question.packet.ip_length
        if not all(_compares(option, entry) for option in question.comparisons):
            return False
    if live.ipset.option("skbinfo") is not None:
        question.skbmark = entry.entry.skbmark or (0, 0)
    return True


def _compares(option: Option, entry: LiveEntry) -> bool:
    what, _, how = option.name.removeprefix("--").partition("-")
    count = {"packets": entry.packets, "bytes": entry.bytes}[what]
    return COMPARISONS[how](count, int(option.values[0], 0)) != option.negated


def _fits(live: LiveSet, question: Question) -> bool:
    """As many sides as the type has parts, and the set's family if it has one."""
    ipset = live.ipset
    if len(question.sides) < len(ipset.parts):
        return False
    has_family = TYPES[ipset.type].has_family or ipset.type.startswith("bitmap:ip")
    return not has_family or ipset.family == question.packet.family


def _probe(live: LiveSet, question: Question) -> Probe:
    masks = masks_of(live.ipset.type, live.ipset.family, live.ipset.options)
    return probe(live.ipset, masks, question.place, question.sides, question.packet)


def _is_at(element: SetElement, wanted: SetElement) -> bool:
    """All is equal but the device, which net,iface compares by itself.  No rule asks for
    bridge ports."""
    unnamed = replace(element, device=None, is_wildcard=False)
    return unnamed == replace(wanted, device=None)


def _is_device(element: SetElement, name: str | None) -> bool:
    if element.device is None:
        return True
    if element.is_wildcard:
        return (name or "").startswith(element.device)
    return element.device == name


def _element(live: LiveSet, found: Probe, lengths: tuple[int, int]) -> SetElement:
    """The element that a probe would be, with networks of these lengths."""
    family, parts = live.ipset.family, live.ipset.parts

    def part(number: int | None, at: int, length: int) -> Network | None:
        if number is None:
            return None
        exact = one(number, family)
        if parts[at] != "net":
            return exact
        return exact.supernet(new_prefix=length) if length < exact.max_prefixlen else exact

    mac = None if live.learns_mac else found.mac
    return SetElement(
        part(found.first, 0, lengths[0]), found.protocol, found.port,
        part(found.second, len(parts) - 1, lengths[1]), found.device, False, False, mac, found.mark,
    )  # fmt: skip


def _held(live: LiveSet, entry: LiveEntry) -> SetElement:
    element = entry.entry.element
    return replace(element, mac=None) if live.learns_mac else element


def _lengths(live: LiveSet) -> list[list[int]]:
    """Prefix lengths that there are, the longest first; [0] for a part that is no network."""
    found = []
    for member, at in (("network", 0), ("second", len(live.ipset.parts) - 1)):
        networks = [getattr(entry.entry.element, member) for entry in live.entries]
        is_net = live.ipset.parts[at] == "net" and (at or member == "network")
        lengths = {n.prefixlen for n in networks if n is not None} if is_net else {0}
        found.append(sorted(lengths, reverse=True))
    return found


def _search(live: LiveSet, question: Question, found: Probe) -> bool | None:
    """True: present, False: excepted by nomatch, None: absent.

    mtype_test_cidrs: from the longest prefix to the shortest, and no further than the first
    network that stands in the set, with whatever device.
    """
    lengths = _lengths(live)
    for first in lengths[0]:
        for second in lengths[1]:
            wanted, has_several = _element(live, found, (first, second)), False
            for entry in live.entries:
                if not _is_at(_held(live, entry), wanted):
                    continue
                has_several = has_several or "iface" in live.ipset.parts
                if not _is_device(entry.entry.element, found.device):
                    continue
                if _extensions_match(live, entry, question):
                    return not entry.entry.nomatch
                has_several = False
            if has_several:
                return None
    return None


def _find(live: LiveSet, found: Probe) -> LiveEntry | None:
    """The element itself.  What a packet adds or deletes is a network as long as the longest
    that is there (INIT_CIDR)."""
    longest = [max(lengths, default=128) for lengths in _lengths(live)]
    wanted = _element(live, found, (longest[0], longest[1]))
    for entry in live.entries:
        if _is_at(_held(live, entry), wanted) and _is_device(entry.entry.element, found.device):
            return entry
    return None


def _learn_mac(live: LiveSet, entry: LiveEntry, question: Question, mac: str | None) -> None:
    """bitmap_ipmac_do_add: the timer starts with the MAC address."""
    entry.mac = mac
    if entry.expires_ns is not None:
        entry.expires_ns += question.place.now_ns
    _count_first(live, entry, question)


def _count_first(live: LiveSet, entry: LiveEntry, question: Question) -> None:
    """ip_set_init_counter: the packet that adds an element is its first.  What one that is there
    was given besides goes, `nomatch` too (mtype_data_set_flags)."""
    has_counters = live.ipset.option("counters") is not None
    entry.packets = 1 if has_counters else 0
    entry.bytes = question.packet.ip_length if has_counters else 0
    entry.entry = SetEntry(entry.entry.element)


def _test_bitmap(live: LiveSet, question: Question, found: Probe) -> bool:
    entry = _find(live, found)
    if entry is None:
        return False
    if live.learns_mac and entry.mac is None:
        _learn_mac(live, entry, question, found.mac)
        return True
    if live.learns_mac and entry.mac != found.mac:
        return False
    return _extensions_match(live, entry, question)


def _test_simple(live: LiveSet, question: Question) -> bool:
    if not _fits(live, question):
        return False
    try:
        found = _probe(live, question)
    except Lacking:
        return False
    if live.ipset.type.startswith("bitmap"):
        return _test_bitmap(live, question, found)
    outcome = _search(live, question, found)
    if outcome is not None and question.returns_nomatch and TYPES[live.ipset.type].has_nomatch:
        return not outcome  # what is excepted is what is wanted
    return bool(outcome)


def _test(sets: Sets, live: LiveSet, question: Question) -> bool:
    """ip_set_test; of a list, list_set_ktest."""
    if live.ipset.type != "list:set":
        return _test_simple(live, question)
    for member in live.entries:
        inner = replace(
            question,
            comparisons=(),  # "Don't lookup sub-counters at all"
            skips_counters=question.skips_counters or question.skips_subcounters,
        )
        if _test_simple(_named(sets, member.entry.element.set_name or ""), inner):
            question.skbmark = inner.skbmark
            if _extensions_match(live, member, question):
                return True
    return False


def _with_members(sets: Sets, live: LiveSet) -> list[LiveSet]:
    names = [entry.entry.element.set_name for entry in live.entries]
    return [live, *(_named(sets, name) for name in names if name is not None)]


def _check_learned(sets: Sets, live: LiveSet) -> None:
    """What is not known to have been learned decides nothing."""
    found = _with_members(sets, live)
    if any(each.learns_mac for each in found) and any(each.is_uncertain for each in found):
        raise Unmodelled


def keep_out(place: Place, options: Options) -> None:
    """A packet may or may not meet this match, which would count or learn.

    raises  Unmodelled if it would
    """
    name = next(option.values[0] for option in options if option.name == "--match-set")
    sets = place.node.sets
    found = _with_members(sets, _named(sets, name))
    if any(s.learns_mac or s.ipset.option("counters") is not None for s in found):
        for each in found:
            each.is_uncertain = True
        raise Unmodelled


def _matches(place: Place, options: Options, packet: Packet) -> bool:
    """xt_set.c, set_match_v4"""
    sets, wanted = place.node.sets, None
    question = Question(place, packet, [])
    for option in options:
        if option.name == "--match-set":
            wanted = option
        elif option.name == "--return-nomatch":
            question.returns_nomatch = True
        elif option.name == "--update-counters":
            question.skips_counters = option.negated
        elif option.name == "--update-subcounters":
            question.skips_subcounters = option.negated
        else:
            question.comparisons += (option,)
    assert wanted is not None
    question.sides = wanted.values[1].split(",")
    live = _named(sets, wanted.values[0])
    _check_learned(sets, live)
    if question.comparisons and any(each.is_uncertain for each in _with_members(sets, live)):
        raise Unmodelled
    return _test(sets, live, question) != wanted.negated


# The SET target.


def _add_simple(live: LiveSet, question: Question, seconds: int | None, exists: bool) -> bool:
    """mtype_add"""
    if not _fits(live, question):
        return False
    try:
        found = _probe(live, question)
    except Lacking:
        return False
    own = int(live.ipset.option("timeout") or 0)
    given = own if seconds is None else seconds
    given = given if live.has_timeout else 0
    now_ns = question.place.now_ns
    is_hash = live.ipset.type.startswith("hash")
    most = int(live.ipset.option("maxelem") or MAXELEM)
    longest = [max(lengths, default=128) for lengths in _lengths(live)]
    if is_hash and len(live.entries) >= most and live.has_timeout:
        live.entries = [e for e in live.entries if not is_expired(live, e, now_ns)]
    deadline = now_ns + given * SECOND_NS if given else None
    wanted = _element(live, found, (longest[0], longest[1]))
    entry = next(
        (e for e in live.entries if _is_at(_held(live, e), wanted)
         and _is_device(e.entry.element, found.device)), None,
    )  # fmt: skip
    if entry is not None and live.learns_mac and entry.mac is None:
        if given != own or entry.expires_ns is None:
            entry.expires_ns = given * SECOND_NS or None
        _learn_mac(live, entry, question, found.mac)
        return True
    if entry is not None:
        if not exists and not is_expired(live, entry, now_ns):
            return False
        if live.learns_mac:
            entry.mac = found.mac
        _count_first(live, entry, question)
        entry.expires_ns = deadline
        return True
    if is_hash and len(live.entries) >= most:
        if live.ipset.option("forceadd") is not None:
            raise Unmodelled  # it takes the place of one that the hash's seed decides
        return False
    entry = LiveEntry(SetEntry(wanted), deadline, mac=found.mac)
    _count_first(live, entry, question)
    live.entries.append(entry)
    return True


def _delete_simple(live: LiveSet, question: Question) -> bool:
    """mtype_del"""
    if not _fits(live, question):
        return False
    try:
        entry = _find(live, _probe(live, question))
    except Lacking:
        return False
    if entry is None:
        return False
    was_expired = is_expired(live, entry, question.place.now_ns)
    if not was_expired or live.ipset.type.startswith("bitmap"):
        live.entries.remove(entry)
    return not was_expired


def _first_that_takes(
    sets: Sets, live: LiveSet, question: Question, change: Callable[[LiveSet], bool]
) -> None:
    """ip_set_add, ip_set_del; of a list, its first member that takes it."""
    _check_learned(sets, live)
    if live.ipset.type != "list:set":
        change(live)
        return
    for member in live.entries:
        if is_expired(live, member, question.place.now_ns):
            continue
        if change(_named(sets, member.entry.element.set_name or "")):
            return


def apply(place: Place, options: dict[str, Option], packet: Packet) -> None:
    """xt_set.c, set_target_v3: adds, then deletes, then looks for a mark.

    raises  Unmodelled
    """
    sets = place.node.sets
    if "--add-set" in options:
        name, sides = options["--add-set"].values
        question = Question(place, packet, sides.split(","))
        timeout = options.get("--timeout")
        seconds = int(timeout.values[0]) if timeout else None
        _first_that_takes(
            sets, _named(sets, name), question,
            lambda live: _add_simple(live, question, seconds, "--exist" in options),
        )  # fmt: skip
    if "--del-set" in options:
        name, sides = options["--del-set"].values
        deleted = Question(place, packet, sides.split(","))
        _first_that_takes(
            sets, _named(sets, name), deleted, lambda live: _delete_simple(live, deleted)
        )
    if "--map-set" in options:
        name, sides = options["--map-set"].values
        mapped = Question(place, packet, sides.split(","))
        _check_learned(sets, _named(sets, name))
        if _test(sets, _named(sets, name), mapped) and "--map-mark" in options:
            before = packet.mark
            packet.mark = before & ~mapped.skbmark[1] ^ mapped.skbmark[0]
            place.trace.event(EventKind.EVENT_MARK, before, packet.mark)


ANSWERS: dict[str, Answer] = {
    "set": _matches,
}
