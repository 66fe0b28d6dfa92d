"""Long chains, indexed: rules by the values that they look for.

Rules of a chain that look at the same bits share a pattern, and a hash table from the values of
those bits to the rules, in order.  Prefixes are shortened to whole bytes (IPv6: pairs of bytes),
so a chain has no more patterns than there are pairs of such lengths, with and without protocol
and port.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from _fastpath.image import MatchKind, RuleInvert
from dataplane.image import dtypes

RULES_MIN = 16  # of a chain that is worth an index, and
RULES_PER_PATTERN = 2  # on average: a pattern costs what two rules do
STEP_BITS = {4: 8, 6: 16}  # prefix lengths that are told apart
Array = NDArray[Any]


class Chain(NamedTuple):
    """First row, and the row that closes it."""

    start: int
    end: int
    family: int


class _Built(NamedTuple):
    classifiers: list[tuple[int, int, int]]
    patterns: list[tuple[object, ...]]
    slots: list[Array]
    keys: list[Array]
    rules: list[Array]


def classifier_arrays(
    rules: Array, masks: Array, matches: Array, chains: list[Chain]
) -> dict[str, Array]:
    """By the names of image_t's members."""
    built = _Built([], [], [], [], [])
    of_rule = np.zeros(len(rules), np.uint32)
    for chain in chains:
        if chain.end - chain.start < RULES_MIN:
            continue
        if _add_chain(built, rules, masks, matches, chain):
            of_rule[chain.start : chain.end] = len(built.classifiers)
    return {
        "rule_classifiers": of_rule,
        "classifiers": _rows(built.classifiers, dtypes.CLASSIFIER),
        "patterns": _rows(built.patterns, dtypes.PATTERN),
        "pattern_slots": _joined(built.slots, np.dtype(np.uint32)),
        "pattern_keys": _joined(built.keys, dtypes.PATTERN_KEY),
        "classifier_rules": _joined(built.rules, np.dtype(np.uint32)),
    }


def _rows(rows: list[Any], dtype: np.dtype[Any]) -> Array:
    array = np.zeros(max(len(rows), 1), dtype)
    array[: len(rows)] = rows
    return array


def _joined(parts: list[Array], dtype: np.dtype[Any]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(1, dtype)


def _mask(length: int, family: int) -> tuple[int, int]:
    bits = 32 if family == 4 else 128
    mask = ((1 << length) - 1) << (bits - length)
    return mask >> 64, mask & 0xFFFFFFFFFFFFFFFF


def _lengths(rules: Array, masks: Array, side: str, inverted: int, family: int) -> Array:
    """Prefix lengths, shortened; 0 where the rule says not, or its mask is no prefix."""
    mask = masks[rules[f"{side}_mask"]]
    length = np.bitwise_count(mask["hi"]).astype(np.int64) + np.bitwise_count(mask["lo"])
    length[(rules["invert"] & inverted) != 0] = 0
    length[~_is_prefix(mask, family)] = 0
    shortened: Array = length // STEP_BITS[family] * STEP_BITS[family]
    return shortened


def _is_prefix(mask: Array, family: int) -> Array:
    """The bits that are not set are the last ones."""
    ones = np.uint64(0xFFFFFFFFFFFFFFFF)
    low = mask["lo"] ^ (ones if family == 6 else np.uint64(0xFFFFFFFF))
    high = mask["hi"] ^ (ones if family == 6 else np.uint64(0))
    one = np.uint64(1)
    is_low_tail, is_high_tail = low & (low + one) == 0, high & (high + one) == 0
    found: Array = is_low_tail & ((high == 0) | (is_high_tail & (low == ones)))
    return found


def _ports(rules: Array, matches: Array) -> Array:
    """The destination port, where the first match asks for one; else -1."""
    has_match = rules["match_count"] > 0
    first = matches[np.where(has_match, rules["match_start"], 0)]
    asks = has_match & (first["kind"] == MatchKind.MATCH_PORTS) & (first["c"] == first["d"])
    asks &= (first["invert"] & 2) == 0
    return np.where(asks, first["c"].astype(np.int64), -1)


def _mix(x: Array) -> Array:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = x ^ (x >> np.uint64(31))
    return mixed


def _fold(h: Array, word: Array) -> Array:
    """choice.pxd, fold"""
    return _mix((h + np.uint64(0x9E3779B97F4A7C15)) ^ word)


def _add_chain(built: _Built, rules: Array, masks: Array, matches: Array, chain: Chain) -> bool:
    """False where it looks at too many things to be worth an index."""
    rows = rules[chain.start : chain.end]
    src = _lengths(rows, masks, "src", RuleInvert.INVERT_SRC, chain.family)
    dst = _lengths(rows, masks, "dst", RuleInvert.INVERT_DST, chain.family)
    asks_proto = (rows["proto"] != 0) & ((rows["invert"] & RuleInvert.INVERT_PROTO) == 0)
    proto = np.where(asks_proto, rows["proto"].astype(np.int64), -1)
    dport = np.where(asks_proto, _ports(rows, matches), -1)
    shape = ((src * 256 + dst) * 2 + (proto >= 0)) * 2 + (dport >= 0)
    start = len(built.patterns)
    # In the order of their first rules.
    shapes, first = np.unique(shape, return_index=True)
    if len(shapes) * RULES_PER_PATTERN > len(rows):
        return False
    for which in shapes[np.argsort(first)].tolist():
        members = np.flatnonzero(shape == which)
        _add_pattern(built, rows, chain, members, src, dst, proto, dport)
    built.classifiers.append((start, len(built.patterns) - start, chain.end))
    return True


def _add_pattern(
    built: _Built, rows: Array, chain: Chain, members: Array, src: Array, dst: Array,
    proto: Array, dport: Array,
) -> None:  # fmt: skip
    head = members[0]
    masks = [_mask(int(lengths[head]), chain.family) for lengths in (src, dst)]
    h = np.zeros(len(members), np.uint64)
    for side, mask in zip(("src", "dst"), masks, strict=True):
        for half, bits in zip(("hi", "lo"), mask, strict=True):
            h = _fold(h, rows[side][half][members] & np.uint64(bits))
    has_proto, has_dport = int(proto[head] >= 0), int(dport[head] >= 0)
    last = (proto[members] << 16 if has_proto else 0) | (dport[members] if has_dport else 0)
    h = _fold(h, np.broadcast_to(np.asarray(last), len(members)).astype(np.uint64))
    order = np.argsort(h, kind="stable")
    found, starts, counts = np.unique(h[order], return_index=True, return_counts=True)
    keys = np.zeros(len(found), dtypes.PATTERN_KEY)
    keys["hash"], keys["count"] = found, counts
    keys["start"] = starts + sum(map(len, built.rules))
    slot_mask = (1 << (2 * len(found) - 1).bit_length()) - 1
    slots = _slots(found, slot_mask, sum(map(len, built.keys)))
    rules = chain.start + members
    built.patterns.append((
        *masks, rules[0], rules[-1], sum(map(len, built.slots)), slot_mask, has_proto, has_dport,
        (0,) * 6,
    ))  # fmt: skip
    built.slots.append(slots)
    built.keys.append(keys)
    built.rules.append(rules[order].astype(np.uint32))


def _slots(hashes: Array, mask: int, first_key: int) -> Array:
    """Open addressing: key + 1 in the first free slot from its hash on."""
    slots = [0] * (mask + 1)
    for number, slot in enumerate((hashes & np.uint64(mask)).tolist(), start=first_key + 1):
        while slots[slot]:
            slot = slot + 1 & mask
        slots[slot] = number
    return np.array(slots, np.uint32)
