"""Which bits of a packet each rule of a long chain is found by."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from _fastpath.image import PATTERNS_MAX, MatchKind, RuleInvert

SMALL_MAX = 16  # rules that are compared one by one, whatever the packet
CROWD_MAX = 24  # rules that look for the same values, before they are found by more
# (lengths of prefixes, of ports) that are told apart: what rules are found by, and then by more.
# Where any of a port is told apart, so is the protocol.
LEVELS = {
    4: (
        ((0, 16, 24), (0,)),
        ((0, 8, 16, 24, 32), (0,)),
        ((0, 8, 16, 24, 32), (0, 16)),
        ((0, 8, 16, 24, 32), (0, 4, 8, 12, 16)),
    ),
    6: (
        ((0, 32, 48, 64), (0,)),
        ((0, 16, 32, 48, 64, 80, 96, 112, 128), (0,)),
        ((0, 16, 32, 48, 64, 80, 96, 112, 128), (0, 16)),
        ((0, 16, 32, 48, 64, 80, 96, 112, 128), (0, 4, 8, 12, 16)),
    ),
}
# Matches that leave no mark and drop nothing: what comes after them may say no first.
SILENT = (MatchKind.MATCH_CONNTRACK, MatchKind.MATCH_MARK)
Array = NDArray[Any]


class Address(NamedTuple):
    """Networks, by rule."""

    hi: Array
    lo: Array
    mask_hi: Array  # 0 where the rule says not
    mask_lo: Array
    length: Array  # of the prefix; 0 where the rule says not, or the mask is no prefix


class Rows(NamedTuple):
    """What the rules of a chain look for, by rule."""

    family: int
    src: Address
    dst: Address
    proto: Array  # 0 = any
    sport: tuple[Array, Array]  # low, high
    dport: tuple[Array, Array]


class Pattern(NamedTuple):
    """Lengths of what is looked at, from the first bit on."""

    src: int
    dst: int
    sport: int
    dport: int
    has_proto: int


ANY = Pattern(0, 0, 0, 0, 0)


def rows_of(rules: Array, masks: Array, matches: Array, family: int) -> Rows:
    asks_proto = (rules["proto"] != 0) & ((rules["invert"] & RuleInvert.INVERT_PROTO) == 0)
    sport, dport = _ports(rules, matches, asks_proto)
    return Rows(
        family,
        _address(rules, masks, "src", RuleInvert.INVERT_SRC, family),
        _address(rules, masks, "dst", RuleInvert.INVERT_DST, family),
        np.where(asks_proto, rules["proto"], 0).astype(np.int64),
        sport,
        dport,
    )


def is_any(rows: Rows) -> Array:
    """Whether there is nothing about a rule that an index could know."""
    ports = rows.sport[0] + (rows.sport[1] ^ 0xFFFF) + rows.dport[0] + (rows.dport[1] ^ 0xFFFF)
    masks = rows.src.mask_hi | rows.src.mask_lo | rows.dst.mask_hi | rows.dst.mask_lo
    found: Array = (masks == 0) & (rows.proto + ports == 0)
    return found


def _address(rules: Array, masks: Array, side: str, inverted: int, family: int) -> Address:
    mask = masks[rules[f"{side}_mask"]]
    mask[(rules["invert"] & inverted) != 0] = 0
    length = np.bitwise_count(mask["hi"]).astype(np.int64) + np.bitwise_count(mask["lo"])
    length[~_is_prefix(mask, family)] = 0
    network = rules[side]
    return Address(network["hi"], network["lo"], mask["hi"], mask["lo"], length)


def _is_prefix(mask: Array, family: int) -> Array:
    """The bits that are not set are the last ones."""
    ones = np.uint64(0xFFFFFFFFFFFFFFFF)
    low = mask["lo"] ^ (ones if family == 6 else np.uint64(0xFFFFFFFF))
    high = mask["hi"] ^ (ones if family == 6 else np.uint64(0))
    one = np.uint64(1)
    is_low_tail, is_high_tail = low & (low + one) == 0, high & (high + one) == 0
    found: Array = is_low_tail & ((high == 0) | (is_high_tail & (low == ones)))
    return found


def _ports(
    rules: Array, matches: Array, asks_proto: Array
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Ranges of source and destination ports that the first match asks for."""
    last = len(matches) - 1
    first = matches[np.minimum(rules["match_start"], last)]
    is_second = (rules["match_count"] > 1) & np.isin(first["kind"], SILENT)
    match = matches[np.minimum(rules["match_start"] + is_second, last)]
    asks = asks_proto & (rules["match_count"] > 0) & (match["kind"] == MatchKind.MATCH_PORTS)
    sides = []
    for low, high, bit in (("a", "b", 1), ("c", "d", 2)):
        is_range = asks & ((match["invert"] & bit) == 0) & (match[low] <= match[high])
        sides.append((
            np.where(is_range, match[low], 0).astype(np.int64),
            np.where(is_range, match[high], 0xFFFF).astype(np.int64),
        ))  # fmt: skip
    return sides[0], sides[1]


def assign(rows: Rows) -> tuple[list[Pattern], Array]:
    """At most PATTERNS_MAX patterns, in the order of their first rules; each rule's number."""
    if len(rows.proto) <= SMALL_MAX:
        return [ANY], np.zeros(len(rows.proto), np.int64)
    shapes = np.zeros((len(rows.proto), len(Pattern._fields)), np.int64)
    left = np.arange(len(shapes))
    for prefixes, ports in LEVELS[rows.family]:
        shapes[left] = _shapes(rows, prefixes, ports)[left]
        left = left[_crowds(rows, shapes, left) > CROWD_MAX]
    packed = shapes @ (256 ** np.arange(shapes.shape[1]))
    _, some, which = np.unique(packed, return_index=True, return_inverse=True)
    patterns, which = _merged([Pattern(*shape) for shape in shapes[some].tolist()], which)
    numbers, first, which = np.unique(which, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return [patterns[number] for number in numbers[order].tolist()], rank[which]


def _shapes(rows: Rows, prefixes: tuple[int, ...], ports: tuple[int, ...]) -> Array:
    with_ports = len(ports) > 1
    return np.stack([
        _shortened(rows.src.length, prefixes),
        _shortened(rows.dst.length, prefixes),
        _shortened(_alike(*rows.sport), ports),
        _shortened(_alike(*rows.dport), ports),
        (rows.proto > 0) & with_ports,
    ], axis=1)  # fmt: skip


def _shortened(lengths: Array, told: tuple[int, ...]) -> Array:
    found: Array = np.array(told)[np.searchsorted(told, lengths, side="right") - 1]
    return found


def _alike(low: Array, high: Array) -> Array:
    """Bits that the ends of a range of ports begin with."""
    differing: Array = np.ceil(np.log2((low ^ high) + 1)).astype(np.int64)
    return 16 - differing


def prefix_masks(lengths: Array, family: int) -> tuple[Array, Array]:
    """Prefix lengths as masks: hi, lo."""
    if family == 4:
        return _mask(0 * lengths, 32), _mask(lengths, 32)
    return _mask(np.minimum(lengths, 64), 64), _mask(np.maximum(lengths - 64, 0), 64)


def _mask(lengths: Array, width: int) -> Array:
    host = (width - lengths).astype(np.uint64)
    ones = np.uint64((1 << width) - 1)
    # Shifting by all 64 bits is not defined.
    mask: Array = np.where(lengths == 0, np.uint64(0), ones >> host << host)
    return mask


def port_masks(lengths: Array) -> Array:
    found: Array = (0xFFFF << (16 - lengths)) & 0xFFFF
    return found


def _crowds(rows: Rows, shapes: Array, members: Array) -> Array:
    """How many of these rules look for the same values as each."""
    shape = shapes[members]
    columns: list[Array] = [shape[:, i].astype(np.uint64) for i in range(shape.shape[1])]
    for address, lengths in ((rows.src, shape[:, 0]), (rows.dst, shape[:, 1])):
        hi, lo = prefix_masks(lengths, rows.family)
        columns += (address.hi[members] & hi, address.lo[members] & lo)
    for ports, lengths in ((rows.sport, shape[:, 2]), (rows.dport, shape[:, 3])):
        columns.append((ports[0][members] & port_masks(lengths)).astype(np.uint64))
    columns.append(np.where(shape[:, 4], rows.proto[members], 0).astype(np.uint64))
    value = np.zeros(len(members), np.uint64)
    for column in columns:
        value = (value ^ column) * np.uint64(0x9E3779B97F4A7C15)
        value ^= value >> np.uint64(29)
    _, which, counts = np.unique(value, return_inverse=True, return_counts=True)
    crowds: Array = counts[which.reshape(-1)]
    return crowds


def _merged(patterns: list[Pattern], which: Array) -> tuple[list[Pattern], Array]:
    """The same, after patterns of the fewest rules have become ones that look at less."""
    if len(patterns) <= PATTERNS_MAX:
        return patterns, which
    patterns = [*patterns, ANY]
    counts = dict(enumerate(np.bincount(which, minlength=len(patterns)).tolist()))
    counts[len(patterns) - 1] = len(which)  # the one that others can always become
    becomes = np.arange(len(patterns))
    while len(counts) > PATTERNS_MAX:
        number = min(counts, key=lambda other: counts[other])
        rules = counts.pop(number)
        parents = [other for other in counts if _looks_at_less(patterns[other], patterns[number])]
        parent = max(parents, key=lambda other: sum(patterns[other]))
        counts[parent] += rules
        becomes[becomes == number] = parent
    return patterns, becomes[which]


def _looks_at_less(one: Pattern, other: Pattern) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))
