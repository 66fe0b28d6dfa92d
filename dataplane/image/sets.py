"""Sets of all nodes as rows: what each is, and what is in it at first.

Elements of a list stand together, in order, so that a list is a range of rows.  What a rule
asks of a set, or does to it, is a row and some words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from _fastpath import image as numbers
from _fastpath.image import MatchKind, SetCounterOperator, SetFlag, SetKind, SetMatchFlag, SetPart
from _fastpath.state import SetElementFlag
from dataplane.errors import Source, TableError
from dataplane.image import encode
from dataplane.image.match_rows import Row, Rows, row
from dataplane.image.pools import Pools
from dataplane.node.ipset_elements import masks_of
from dataplane.node.ipset_rows import Ipset, SetEntry
from dataplane.node.ipset_types import TYPES
from dataplane.node.iptables import Match, Option, Target

MAXELEM = 65536  # IPSET_DEFAULT_MAXELEM, and the most that a bitmap holds
ROOM_MAX = 1 << 22  # rows for what packets add
SECOND_NS = 10**9
NO_SET_TIMEOUT = 0xFFFFFFFF

KINDS = {"hash": SetKind.SET_HASH, "bitmap": SetKind.SET_BITMAP, "list": SetKind.SET_LIST}
PARTS = {
    "ip": SetPart.PART_IP, "net": SetPart.PART_NET, "port": SetPart.PART_PORT,
    "mac": SetPart.PART_MAC, "mark": SetPart.PART_MARK, "iface": SetPart.PART_IFACE,
    "set": SetPart.PART_NONE,
}  # fmt: skip
CHANGING = SetFlag.SET_LEARNS | SetFlag.SET_CHANGES
FLAGS = {
    "timeout": SetFlag.SET_TIMEOUT,
    "counters": SetFlag.SET_COUNTERS,
    "skbinfo": SetFlag.SET_SKBINFO,
    "forceadd": SetFlag.SET_FORCEADD,
}


@dataclass
class SetTables:
    rows: list[tuple[object, ...]] = field(default_factory=list)  # SET
    elements: list[tuple[object, ...]] = field(default_factory=list)  # SET_ELEMENT
    names: list[tuple[str, str]] = field(default_factory=list)  # node, set
    room: int = 0  # rows for what packets add


def add_sets(tables: SetTables, node: str, sets: tuple[Ipset, ...] | None) -> dict[str, int] | None:
    """Append a node's sets; each name's index.  None: they are not known."""
    if sets is None:
        return None
    index = {found.name: len(tables.rows) + at for at, found in enumerate(sets)}
    flags = {found.name: _flags(found) for found in sets}
    for found in sets:
        start = len(tables.elements)
        owner = index[found.name]
        tables.elements += [_element_row(found, entry, owner, index) for entry in found.entries]
        bits = flags[found.name]
        for entry in found.entries if found.type == "list:set" else ():
            bits |= flags[entry.element.set_name or ""] & CHANGING
        tables.rows.append(_set_row(found, start, bits))
        tables.names.append((node, found.name))
        tables.room = min(tables.room + int(found.option("maxelem") or MAXELEM), ROOM_MAX)
    return index


def _set_row(found: Ipset, start: int, flags: int) -> tuple[object, ...]:
    masks = masks_of(found.type, found.family, found.options)
    first, last = masks.bounds if "range" in dict(found.options) else (0, 0)
    is_list = found.type == "list:set"
    parts = [int(PARTS[part]) for part in found.parts]
    family = found.family if TYPES[found.type].has_family else 0
    if found.type.startswith("bitmap:ip"):
        family = 4
    return (
        encode.pair(masks.address), masks.mark, int(found.option("maxelem") or MAXELEM),
        int(found.option("timeout") or 0), first, last, start,
        len(found.entries) if is_list else 0, tuple(parts + [0] * (4 - len(parts))),
        int(KINDS[found.type.partition(":")[0]]), family, len(parts), flags,
    )  # fmt: skip


def _flags(found: Ipset) -> int:
    bits = sum(int(bit) for word, bit in FLAGS.items() if found.option(word) is not None)
    bits |= SetFlag.SET_NOMATCH if TYPES[found.type].has_nomatch else 0
    bits |= SetFlag.SET_REFUSES_ZERO if found.type == "hash:ip" else 0
    bits |= CHANGING if found.type == "bitmap:ip,mac" else 0
    return bits | (SetFlag.SET_CHANGES if bits & SetFlag.SET_COUNTERS else 0)


def _element_row(
    found: Ipset, entry: SetEntry, owner: int, index: Mapping[str, int]
) -> tuple[object, ...]:
    element = entry.element
    name = encode.name_words(element.device) if element.device else (encode.mac(element.mac), 0)
    nets = [part == "net" for part in found.parts]
    second_is_net = any(nets[1:])
    mark, mask = entry.skbmark or (0, 0)
    member = index[element.set_name] if element.set_name is not None else element.mark or 0
    return (
        encode.pair(element.network.network_address if element.network else None),
        encode.pair(element.second.network_address if element.second else None),
        name, entry.packets, entry.bytes, (entry.timeout or 0) * SECOND_NS,
        mark, mask, member, owner, -1, element.port or 0, element.protocol or 0,
        element.network.prefixlen if nets[0] and element.network else 0,
        element.second.prefixlen if second_is_net and element.second else 0,
        _element_flags(found, entry), 0,
    )  # fmt: skip


def _element_flags(found: Ipset, entry: SetEntry) -> int:
    bits = int(SetElementFlag.ELEMENT_IN_USE)
    bits |= SetElementFlag.ELEMENT_NOMATCH if entry.nomatch else 0
    bits |= SetElementFlag.ELEMENT_PHYSICAL if entry.element.is_physical else 0
    bits |= SetElementFlag.ELEMENT_WILDCARD if entry.element.is_wildcard else 0
    has_no_mac = found.type == "bitmap:ip,mac" and entry.element.mac is None
    return bits | (SetElementFlag.ELEMENT_NO_MAC if has_no_mac else 0)


# What rules ask of them.


def check_names(pools: Pools, asking: Match | Target, source: Source) -> None:
    """Raises TableError for a set that the node has not: no kernel would take such a rule."""
    if pools.sets is None or asking.name not in ("set", "SET"):
        return
    for option in asking.options:
        if option.name.endswith("-set") and option.values[0] not in pools.sets:
            raise TableError(f"no such set: {option.values[0]!r}", source)


def _index(pools: Pools, name: str) -> int:
    if pools.sets is None:
        raise KeyError("the node's sets are not known")
    return pools.sets[name]


def _sides(text: str) -> tuple[int, int]:
    """(how many, bits of those that are `src`) of `src,dst,src`."""
    sides = text.split(",")
    if not 1 <= len(sides) <= 6 or not set(sides) <= {"src", "dst"}:
        raise ValueError(text)
    return len(sides), sum(1 << at for at, side in enumerate(sides) if side == "src")


def _set(match: Match, pools: Pools, family: int) -> list[Row]:
    flags, wanted = 0, Option("")
    counters = [0] * 6
    for option in match.options:
        if option.name == "--match-set" and not wanted.name:
            wanted = option
        elif option.name == "--return-nomatch" and not option.negated:
            flags |= SetMatchFlag.SET_RETURN_NOMATCH
        elif option.name == "--update-counters":
            flags |= SetMatchFlag.SET_SKIP_COUNTERS if option.negated else 0
        elif option.name == "--update-subcounters":
            flags |= SetMatchFlag.SET_SKIP_SUBCOUNTERS if option.negated else 0
        else:
            _compare(option, counters)
            flags |= SetMatchFlag.SET_MATCH_COUNTERS
    count, sources = _sides(wanted.values[1])
    return [
        row(MatchKind.MATCH_SET, _index(pools, wanted.values[0]), count << 8 | sources,
            pools.add_words(counters), flags, invert=wanted.negated)
    ]  # fmt: skip


def _compare(option: Option, counters: list[int]) -> None:
    """`--packets-eq`, `--bytes-lt`, …: an operator and a number of 64 bits."""
    what, _, how = option.name.removeprefix("--").partition("-")
    at = {"packets": 0, "bytes": 3}[what]
    operator = {
        "eq": SetCounterOperator.SET_COUNTER_NE if option.negated
        else SetCounterOperator.SET_COUNTER_EQ,
        "lt": SetCounterOperator.SET_COUNTER_LT,
        "gt": SetCounterOperator.SET_COUNTER_GT,
    }[how]  # fmt: skip
    number = int(option.values[0], 0)
    if counters[at] or not 0 <= number < 1 << 64 or (option.negated and how != "eq"):
        raise ValueError(option)
    counters[at : at + 3] = [int(operator), number >> 32, number & 0xFFFFFFFF]


def target_words(target: Target, pools: Pools) -> int:
    """Where the words of a SET target begin.  Raises KeyError, ValueError."""
    words = [0] * numbers.SET_TARGET_WORDS
    words[numbers.SET_ADD_TIMEOUT] = NO_SET_TIMEOUT
    sets = {
        "--add-set": numbers.SET_ADD, "--del-set": numbers.SET_DEL, "--map-set": numbers.SET_MAP
    }  # fmt: skip
    for option in target.options:
        if option.negated:
            raise ValueError(option)
        if option.name in sets:
            count, sources = _sides(option.values[1])
            at = sets[option.name]
            words[at : at + 3] = [_index(pools, option.values[0]) + 1, count, sources]
        elif option.name == "--timeout":
            words[numbers.SET_ADD_TIMEOUT] = int(option.values[0])
        elif option.name == "--exist":
            words[numbers.SET_ADD_EXIST] = 1
        elif option.name == "--map-mark":
            words[numbers.SET_MAP_MARK] = 1
        elif option.name not in ("--map-prio", "--map-queue"):  # which decide no packet's way
            raise KeyError(option.name)
    return pools.add_words(words)


MATCHES: dict[str, Rows] = {
    "set": _set,
}
