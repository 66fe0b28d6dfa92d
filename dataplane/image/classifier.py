"""Long chains, indexed: rules by the values that they look for.

Rules of a chain that look at the same bits share a pattern; rules whose bits have the same hash
share a bucket, in order.  Prefixes are shortened to whole bytes (IPv6: pairs of bytes), so that
patterns stay few; ports are not looked at.  Only rules that would crowd a bucket that way are
found by more: by their ports, as far as the ends of a range begin alike, and by half as short
steps.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataplane.image import dtypes
from dataplane.image.classifier_patterns import (
    Pattern,
    Rows,
    assign,
    is_any,
    port_masks,
    prefix_masks,
    rows_of,
)

RULES_MIN = 8  # of a chain that is worth an index, and
RULES_PER_PATTERN = 2  # on average: a pattern costs what two rules do
FILTERED_MIN = 3  # patterns that are worth a filter
SIDES = ("src", "dst")
Array = NDArray[Any]


class Chain(NamedTuple):
    """First row, and the row that closes it."""

    start: int
    end: int
    family: int


class _Built(NamedTuple):
    classifiers: list[tuple[int, ...]]
    patterns: list[tuple[int, ...]]
    masks: list[tuple[object, ...]]
    filters: list[Array]
    buckets: list[Array]
    candidates: list[Array]


def classifier_arrays(
    rules: Array, masks: Array, matches: Array, chains: list[Chain]
) -> dict[str, Array]:
    """By the names of image_t's members."""
    built = _Built([], [], [], [], [], [])
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
        "prefix_masks": _rows(built.masks, dtypes.PREFIX_MASK),
        "pattern_filter": _joined(built.filters, np.dtype(np.uint32)),
        "candidate_buckets": _joined(built.buckets, np.dtype(np.uint32)),
        "candidates": _joined(built.candidates, dtypes.CANDIDATE),
    }


def _rows(rows: list[Any], dtype: np.dtype[Any]) -> Array:
    array = np.zeros(max(len(rows), 1), dtype)
    array[: len(rows)] = rows
    return array


def _joined(parts: list[Array], dtype: np.dtype[Any]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(1, dtype)


def _add_chain(built: _Built, rules: Array, masks: Array, matches: Array, chain: Chain) -> bool:
    """False where most rules would be found whatever the packet is, or they look at too much."""
    rows = rows_of(rules[chain.start : chain.end], masks, matches, chain.family)
    if 2 * is_any(rows).sum() > len(rows.proto):
        return False
    patterns, which = assign(rows)
    if RULES_PER_PATTERN * len(patterns) > len(which):
        return False
    sides: list[tuple[int, int]] = []
    numbers, hashes = [], []
    for side in range(2):
        lengths = sorted({pattern[side] for pattern in patterns})
        of_pattern = np.array([lengths.index(pattern[side]) for pattern in patterns])
        own = np.array(lengths)[of_pattern[which]]
        hashed = _hashes((rows.src, rows.dst)[side], prefix_masks(own, rows.family))
        sides.append((len(built.masks), len(lengths)))
        _add_masks(built, rows.family, lengths, of_pattern, which, hashed)
        numbers.append(of_pattern)
        hashes.append(hashed)
    start = len(built.patterns)
    _add_patterns(built, patterns, which, chain.start, numbers)
    bucket_start = sum(map(len, built.buckets))
    keys = _keys(rows, patterns, which, hashes)
    shift = _add_candidates(built, rows, keys, chain.start)
    built.classifiers.append((
        chain.end, start, len(patterns), *sides[0], *sides[1], bucket_start, shift,
    ))  # fmt: skip
    return True


def _hashes(address: tuple[Array, Array], mask: tuple[Array, Array]) -> Array:
    """classifier.pyx, hash_of"""
    found: Array = (address[1] & mask[1]) * np.uint64(0x9E3779B97F4A7C15) + (
        address[0] & mask[0]
    ) * np.uint64(0xBF58476D1CE4E5B9)
    return found


def _keys(rows: Rows, patterns: list[Pattern], which: Array, hashes: list[Array]) -> Array:
    """classifier.pyx, key_of"""
    own = np.array(patterns)[which]
    sport = rows.sport[0] & port_masks(own[:, 2])
    dport = rows.dport[0] & port_masks(own[:, 3])
    proto = np.where(own[:, 4], rows.proto, 0)
    h = (((sport << 16 | dport) << 8 | proto) << 8 | which).astype(np.uint64)
    src, dst = hashes
    half = np.uint64(32)
    h = h * np.uint64(0x94D049BB133111EB) ^ src ^ (dst >> half | dst << half)
    keys: Array = (h ^ h >> half) * np.uint64(0x9E3779B97F4A7C15)
    return keys


def _add_masks(
    built: _Built, family: int, lengths: list[int], of_pattern: Array, which: Array, hashed: Array
) -> None:
    """The prefix masks of one side, and the patterns that have rules by the hash under each."""
    is_filtered = len(of_pattern) >= FILTERED_MIN
    for number, length in enumerate(lengths):
        members = np.flatnonzero(of_pattern[which] == number)
        bits = np.uint32(1) << which[members].astype(np.uint32)
        every = int(np.bitwise_or.reduce(bits))
        # Without an index asked for, np.unique loads numpy.ma, which takes 8 ms.
        found, _ = np.unique(hashed[members], return_index=True)
        width = max(int(len(found) - 1).bit_length(), 1) if is_filtered else 1
        slots = np.zeros(1 << width, np.uint32)
        if is_filtered:
            at = (hashed[members] >> np.uint64(64 - width)).astype(np.int64)
            np.bitwise_or.at(slots, at, bits)
        else:
            slots[:] = every
        mask = tuple(int(half[0]) for half in prefix_masks(np.array([length]), family))
        built.masks.append((mask, every, sum(map(len, built.filters)), 64 - width, 0))
        built.filters.append(slots)


def _add_patterns(
    built: _Built, patterns: list[Pattern], which: Array, start: int, numbers: list[Array]
) -> None:
    first = np.full(len(patterns), len(which))
    np.minimum.at(first, which, np.arange(len(which)))
    last = np.zeros(len(patterns), np.int64)
    np.maximum.at(last, which, np.arange(len(which)))
    for number, pattern in enumerate(patterns):
        ports = port_masks(np.array([pattern.sport, pattern.dport])).tolist()
        built.patterns.append((
            start + int(first[number]), start + int(last[number]), *ports,
            int(numbers[0][number]), int(numbers[1][number]), pattern.has_proto, 0,
        ))  # fmt: skip


def _add_candidates(built: _Built, rows: Rows, keys: Array, start: int) -> int:
    """Rules by bucket, in order; how far a hash is shifted to give its bucket."""
    width = max(len(keys).bit_length() - 1, 1)  # a rule or two to a bucket
    bucket = (keys >> np.uint64(64 - width)).astype(np.int64)
    order = np.argsort(bucket, kind="stable")
    candidates = np.zeros(len(keys), dtypes.CANDIDATE)
    candidates["rule"] = start + order
    for side, ports in (("sport", rows.sport), ("dport", rows.dport)):
        candidates[f"{side}_low"] = ports[0][order]
        candidates[f"{side}_span"] = (ports[1] - ports[0])[order]
    candidates["tag"] = (keys[order] >> np.uint64(16)) & np.uint64(0xFFFF)
    candidates["proto"] = rows.proto[order]
    ends = np.cumsum(np.bincount(bucket, minlength=1 << width))
    before = sum(map(len, built.candidates))
    built.buckets.append(np.concatenate([[0], ends]).astype(np.uint32) + np.uint32(before))
    built.candidates.append(candidates)
    return 64 - width
