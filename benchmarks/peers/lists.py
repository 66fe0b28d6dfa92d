"""Lists looked through rule by rule, in C: what an index has to beat, on the same machine.

services  rules for one destination, port and protocol each, all asked for alike often; the
          comparison is of one word
access    rules after ClassBench's manner (benchmarks/access_lists.py): prefixes, ranges,
          protocols; nine packets of ten are made for a rule
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.access_lists import AccessList, Headers, access_list, headers
from benchmarks.peers import floor
from benchmarks.peers.files import write
from benchmarks.report import Measurement
from benchmarks.side_by_side import interleaved
from benchmarks.traffic import SEED
from dataplane.replay.synthetic_frames import UDP, Array, Ends, Segment, capture, frames

PACKETS = 1_000_000
COMPARISONS = 4e8  # of packets with rules, in one run
SIZES = {"services": (10, 100, 1_000, 10_000), "access": (10, 100, 1_000, 10_000, 100_000)}
FIRST_SERVICE = 0x0A700000  # 10.112.0.0
ANY_PORT = 0xFFFF
FULL = 0xFFFFFFFF


def services(count: int) -> Array:
    """(count,) floor.RULE: UDP, port 80."""
    rules = np.zeros(count, floor.RULE)
    rules["dst"], rules["dst_mask"] = FIRST_SERVICE + np.arange(count), FULL
    rules["sport_high"], rules["dport_low"], rules["dport_high"] = ANY_PORT, 80, 80
    rules["proto"], rules["proto_mask"] = UDP, 0xFF
    return rules


def asking(count: int, packets: int) -> Headers:
    """Packets to those services, to each as often as to the others."""
    random = np.random.default_rng([SEED, count])
    same = np.zeros(packets, np.int64)
    asked = FIRST_SERVICE + random.integers(0, count, packets)
    return Headers(same + 0x0AF40102, asked, same + 4000, same + 80, same + UDP)


def rules_of(found: AccessList) -> Array:
    """(n,) floor.RULE"""
    rules = np.zeros(len(found), floor.RULE)
    rules["src"], rules["dst"], rules["proto"] = found.src, found.dst, found.proto
    rules["src_mask"] = FULL << (32 - found.src_length) & FULL
    rules["dst_mask"] = FULL << (32 - found.dst_length) & FULL
    rules["proto_mask"] = np.where(found.proto, 0xFF, 0)
    rules["sport_low"], rules["sport_high"] = found.sport
    rules["dport_low"], rules["dport_high"] = found.dport
    return rules


def capture_of(packets: Headers) -> bytes:
    """Frames of 64 bytes; those that are not UDP have its header all the same."""
    ends = Ends(packets.src, packets.dst, packets.sport, packets.dport, bytes(12))
    made = frames(ends, UDP, 64, Segment(0, 0, 0))
    made[:, 23] = packets.proto
    return capture([(np.arange(len(packets)), made)])


def made(kind: str, count: int, packets: int) -> tuple[Array, Headers]:
    if kind == "services":
        return services(count), asking(count, packets)
    found = access_list("acl", count, SEED)
    return rules_of(found), headers(found, packets, SEED)


def scan(rules: Array, packets: Headers, folder: Path, passes: int = 1) -> Callable[[], floor.Ran]:
    """One run of the linear scan, to be called in turns with other sides."""
    path = write(folder / f"list-{len(rules)}", capture_of(packets))
    return lambda: floor.linear_scan(rules, path, len(packets), passes, folder)


def linear_scans(runs: int, folder: Path) -> list[Measurement]:
    """Nanoseconds per packet by the length of the list."""
    return [row for kind in SIZES for row in _scans(kind, runs, folder)]


def _scans(kind: str, runs: int, folder: Path) -> list[Measurement]:
    found: list[Measurement] = []
    for count in SIZES[kind]:
        run = scan(*made(kind, count, int(min(PACKETS, COMPARISONS / count))), folder)
        ns = interleaved({kind: lambda run=run: run().ns_per_packet}, runs)[kind]
        growth = ns / found[0].ns_per_packet if found else 1.0
        name = f"linear scan in C, {kind}"
        found.append(Measurement(name, count, ns, run().checksum, SEED, growth=growth))
    return found
