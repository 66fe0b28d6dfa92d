"""Measure all sides and print their tables: `make bench-peers`, or a part of it:

    python -m benchmarks.peers --only way --flows 1000 --runs 3

Lines of JSON go to benchmarks/results/peers.jsonl, progress to standard error.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.peers import linux, lists, steps, tracing, traffic, way
from benchmarks.report import Measurement
from benchmarks.side_by_side import RUNS, pinned

PARTS = ("way", "floor", "read", "rules", "tracing")
TRACED_FLOWS = 100_000  # each run opens them anew
MEMORY = Path("/dev/shm")  # files of captures are read from memory, as from the page cache


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.peers")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--flows", nargs="+", type=int, default=[1_000, 1_000_000])
    parser.add_argument("--sizes", nargs="+", choices=traffic.SIZES, default=list(traffic.SIZES))
    parser.add_argument("--runs", type=int, default=RUNS, help="of which the median is taken")
    parser.add_argument("--seconds", type=float, default=1.0, help="of one run of ours, about")
    parser.add_argument("--without-linux", action="store_true")
    parser.add_argument("--document", action="store_true", help="write docs/performance.md anew")
    return parser.parse_args()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def part(name: str, asked: argparse.Namespace, folder: Path) -> list[Measurement]:
    if name == "rules":
        return lists.linear_scans(asked.runs, folder)
    if name == "read":
        return [row for mix in asked.sizes for row in steps.reading(mix, asked.runs, folder)]
    if name == "tracing":
        return [
            row
            for flows in asked.flows
            for mix in asked.sizes
            for row in tracing.compare(min(flows, TRACED_FLOWS), mix, asked.runs, folder)
        ]
    if name == "floor":
        return [
            row
            for flows in asked.flows
            for mix in asked.sizes
            for row in steps.floor_steps(flows, mix, asked.runs, folder)
        ]
    why_not = "not asked for" if asked.without_linux else linux.reason_not()
    return [
        row
        for flows in asked.flows
        for row in way.compare_all(
            way.Asked(flows, asked.sizes, asked.runs, asked.seconds, folder, why_not), say
        )
    ]


def main() -> None:
    asked = arguments()
    where = MEMORY if MEMORY.is_dir() else None
    with pinned() as core, tempfile.TemporaryDirectory(dir=where) as folder:
        say(f"pinned to core {core}; {asked.runs} runs of each side, in turns")
        for name in asked.only:
            with tempfile.TemporaryDirectory() as on_disk:
                # Read from the page cache of a file system, as captures are: of tmpfs, whose pages
                # are small, the same takes 36 ns a packet of IMIX where ext4's takes 13.
                found = part(name, asked, Path(on_disk if name == "read" else folder))
            report.save("peers", found)
            if asked.document:
                report.document(name, found)
            print("\n".join(["", *report.table(found)]), flush=True)


if __name__ == "__main__":
    main()
