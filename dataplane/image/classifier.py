"""Long chains, indexed: rules by the values that they look for.

Rules of a chain that are found by the same bits share a pattern; rules whose bits have the same
hash share a bucket, in order, and are compared one by one.  Prefixes are shortened to a few
lengths, so that patterns stay few; ports are not looked at.  Only rules that would crowd a bucket
that way are found by more.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from _fastpath.image import CANDIDATES_BEHIND
from dataplane.image import dtypes
from dataplane.image.classifier_patterns import (
    Address,
    Pattern,
    Rows,
    assign,
    is_any,
    port_masks,
    prefix_masks,
    rows_of,
)

RULES_MIN = 8  # of a chain that is worth an index
FILTER_BITS = 3  # more of a key than its bucket: 8 to 16 bits a rule
# classifier.pyx: what the halves of addresses, and ports, are multiplied by
MULTIPLIERS = {
    "src": (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x9E3779B97F4A7C15)),
    "dst": (np.uint64(0xD6E8FEB86659FD93), np.uint64(0x94D049BB133111EB)),
}
PORTS = np.uint64(0xA24BAED4963EE407)
SALT = 0x9FB21C651E98DF25  # of the first pattern; the next has twice as much
GUARDS = 0x1000010000100  # classifier.pyx
NO_RULE = 0xFFFFFFFF
Array = NDArray[Any]


class Chain(NamedTuple):
    """First row, and the row that closes it."""

    start: int
    end: int
    family: int


class _Built(NamedTuple):
    classifiers: list[tuple[int, ...]]
    patterns: list[tuple[int, ...]]
    prefix_masks: list[tuple[int, int]]
    port_masks: list[int]
    filters: list[Array]
    buckets: list[Array]
    candidates: list[Array]
    rules: list[Array]


def classifier_arrays(
    rules: Array, masks: Array, matches: Array, chains: list[Chain]
) -> dict[str, Array]:
    """By the names of image_t's members."""
    built = _Built([], [], [], [], [], [], [], [])
    of_rule = np.zeros(len(rules), np.uint32)
    for chain in chains:
        if chain.end - chain.start < RULES_MIN:
            continue
        if _add_chain(built, rules, masks, matches, chain):
            of_rule[chain.start : chain.end] = len(built.classifiers)
    built.candidates.append(np.zeros(CANDIDATES_BEHIND, dtypes.CANDIDATE))
    built.rules.append(np.full(CANDIDATES_BEHIND, NO_RULE, np.uint32))
    return {
        "rule_classifiers": of_rule,
        "classifiers": _rows(built.classifiers, dtypes.CLASSIFIER),
        "patterns": _rows(built.patterns, dtypes.PATTERN),
        "prefix_masks": _rows(built.prefix_masks, dtypes.ADDR),
        "port_masks": _rows(built.port_masks, np.dtype(np.uint64)),
        "pattern_filter": _joined(built.filters, np.dtype(np.uint32)),
        "candidate_buckets": _joined(built.buckets, np.dtype(np.uint32)),
        "candidates": np.concatenate(built.candidates),
        "candidate_rules": np.concatenate(built.rules),
    }


def _rows(rows: list[Any], dtype: np.dtype[Any]) -> Array:
    array = np.zeros(max(len(rows), 1), dtype)
    array[: len(rows)] = rows
    return array


def _joined(parts: list[Array], dtype: np.dtype[Any]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(1, dtype)


def _add_chain(built: _Built, rules: Array, masks: Array, matches: Array, chain: Chain) -> bool:
    """False where most rules would be found whatever the packet is."""
    rows = rows_of(rules[chain.start : chain.end], masks, matches, chain.family)
    if 2 * is_any(rows).sum() > len(rows.proto):
        return False
    patterns, which = assign(rows)
    own = np.array(patterns)[which]
    src, dst = _hashes(rows.src, own[:, 0], "src", rows), _hashes(rows.dst, own[:, 1], "dst", rows)
    asked = packed(rows.sport[0], rows.dport[0], rows.proto) & _packed_masks(own)
    keys = src + dst + asked * PORTS + (which + 1).astype(np.uint64) * np.uint64(SALT)
    starts = (len(built.patterns), sum(map(len, built.buckets)), sum(map(len, built.filters)))
    sides = _add_patterns(built, patterns, which, chain)
    shifts = _add_candidates(built, rows, keys, chain.start)
    built.classifiers.append((
        chain.end, starts[0], len(patterns), *sides, *starts[1:], *shifts,
    ))  # fmt: skip
    return True


def _hashes(address: Address, lengths: Array, side: str, rows: Rows) -> Array:
    """classifier.pyx, hash_address"""
    mask = prefix_masks(lengths, rows.family)
    high, low = MULTIPLIERS[side]
    found: Array = (address.lo & mask[1]) * low + (address.hi & mask[0]) * high
    return found


def packed(sport: Array, dport: Array, proto: Array) -> Array:
    """classifier.pyx, packed"""
    found: Array = (sport << 32 | dport << 12 | proto).astype(np.uint64)
    return found


def _packed_masks(patterns: Array) -> Array:
    sport, dport = port_masks(patterns[:, 2]), port_masks(patterns[:, 3])
    return packed(sport, dport, patterns[:, 4] * 0xFF)


def _add_patterns(
    built: _Built, patterns: list[Pattern], which: Array, chain: Chain
) -> tuple[int, ...]:
    """Where the masks of each side and of ports start, and how many they are."""
    first = np.full(len(patterns), len(which))
    np.minimum.at(first, which, np.arange(len(which)))
    all_ports = _packed_masks(np.array(patterns)).tolist()
    sources, destinations = (
        sorted({pattern[side] for pattern in patterns}) for side in range(2)
    )  # fmt: skip
    ports = sorted(set(all_ports))
    for number, pattern in enumerate(patterns):
        built.patterns.append((
            (number + 1) * SALT & (1 << 64) - 1, chain.start + int(first[number]),
            sources.index(pattern.src), destinations.index(pattern.dst),
            ports.index(all_ports[number]), 0,
        ))  # fmt: skip
    sides: list[int] = []
    for lengths in (sources, destinations):
        sides += (len(built.prefix_masks), len(lengths))
        halves = (half.tolist() for half in prefix_masks(np.array(lengths), chain.family))
        built.prefix_masks.extend(zip(*halves, strict=True))
    sides += (len(built.port_masks), len(ports))
    built.port_masks.extend(ports)
    return tuple(sides)


def _add_candidates(built: _Built, rows: Rows, keys: Array, start: int) -> tuple[int, ...]:
    """Rules by bucket, in order; how far keys are shifted for buckets and filter, addresses for
    their words."""
    width = max(len(keys).bit_length(), 2)  # as many buckets as rules, up to twice as many
    bucket = (keys >> np.uint64(64 - width)).astype(np.int64)
    order = np.argsort(bucket, kind="stable")
    src_shift, dst_shift = (_telling(side, rows.family) for side in (rows.src, rows.dst))
    src, src_mask = _words(rows.src, src_shift)
    dst, dst_mask = _words(rows.dst, dst_shift)
    candidates = np.zeros(len(keys), dtypes.CANDIDATE)
    half = np.uint64(32)
    candidates["addresses"] = (src << half | dst)[order]
    candidates["mask"] = (src_mask << half | dst_mask)[order]
    top = np.where(rows.proto == 0, 0xFF, rows.proto)
    candidates["low"] = packed(rows.sport[0], rows.dport[0], rows.proto)[order]
    candidates["high"] = packed(rows.sport[1], rows.dport[1], top)[order] | np.uint64(GUARDS)
    ends = np.cumsum(np.bincount(bucket, minlength=1 << width))
    before = sum(map(len, built.candidates))
    built.buckets.append(np.concatenate([[0], ends]).astype(np.uint32) + np.uint32(before))
    built.candidates.append(candidates)
    built.rules.append((start + order).astype(np.uint32))
    built.filters.append(_filter(keys, width + FILTER_BITS))
    return 64 - width, 64 - width - FILTER_BITS, src_shift, dst_shift


def _filter(keys: Array, width: int) -> Array:
    """A bit is set where a key begins so."""
    is_there = np.zeros(1 << width, bool)
    is_there[(keys >> np.uint64(64 - width)).astype(np.int64)] = True
    bits: Array = np.packbits(is_there, bitorder="little").view("<u4").astype(np.uint32)
    return bits


def _words(address: Address, shift: int) -> tuple[Array, Array]:
    """classifier.pyx, word_of: of networks and their masks."""
    ones = np.uint64(0xFFFFFFFF)
    found = []
    for hi, lo in ((address.hi, address.lo), (address.mask_hi, address.mask_lo)):
        if shift >= 64:
            found.append(hi >> np.uint64(shift - 64) & ones)
        else:
            above = hi << np.uint64(1) << np.uint64(63 - shift)
            found.append((lo >> np.uint64(shift) | above) & ones)
    return found[0], found[1]


def _telling(address: Address, family: int) -> int:
    """Where the 32 bits begin by which most networks are told apart."""
    if family == 4:
        return 0
    counts = {}
    for shift in range(96, -1, -16):
        word, mask = _words(address, shift)
        # Without an index asked for, np.unique loads numpy.ma, which takes 8 ms.
        counts[shift] = len(np.unique((word & mask) << np.uint64(32) | mask, return_index=True)[0])
    return max(counts, key=lambda shift: counts[shift])
