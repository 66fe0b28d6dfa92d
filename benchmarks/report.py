"""What a benchmark says: packets a second, nanoseconds a packet, and a checksum of its answers.

The checksum makes a fast wrong answer show: it must not change when only the speed does.

`report` and `line` are for pytest-benchmark (`make bench`).  `Measurement`, `save` and `table` are
for programs that compare (`make bench-peers`, `make bench-scale`): each measurement is one line of
JSON in `benchmarks/results/`, and the same lines are the table on stdout.
"""

import json
import platform
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENT = ROOT / "docs" / "performance.md"


def report(benchmark: Any, packets: int, *answers: np.ndarray) -> None:
    """`packets` were handled in one round; `answers` are what came out of the last one."""
    seconds = benchmark.stats.stats.min
    benchmark.extra_info.update(
        packets=packets,
        packets_per_second=round(packets / seconds),
        ns_per_packet=round(seconds / packets * 1e9, 2),
        checksum=checksum(*answers),
    )


def checksum(*answers: np.ndarray | bytes) -> str:
    """CRC-32 over arrays and bytes, in hexadecimal."""
    crc = 0
    for answer in answers:
        plain = answer if isinstance(answer, bytes) else np.ascontiguousarray(answer).view(np.uint8)
        crc = zlib.crc32(plain, crc)
    return f"{crc:08x}"


def line(name: str, info: dict[str, Any]) -> str:
    return (
        f"{name:<52} {info['packets_per_second']:>14,} {info['ns_per_packet']:>12,.1f}"
        f"   {info['checksum']}"
    )


HEAD = f"{'':<52} {'packets/s':>14} {'ns/packet':>12}   checksum"


@cache
def commit() -> str:
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "no commit"


@cache
def machine() -> str:
    """The processor's name for itself."""
    cpuinfo = Path("/proc/cpuinfo")
    for text in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        if text.startswith("model name"):
            return text.partition(": ")[2]
    return platform.machine()


@dataclass(frozen=True)
class Measurement:
    """One figure.  What does not apply is None, and is left out of the line.

    bench          what was measured: "whole way, 64 B", "new flow, services"
    size           how large what is grown was: flows, rules, services, packets
    ns_per_packet  median of the runs; None where something else is counted
    floor_ns       the plain-C floor for the same steps, of the same run
    linux_ns       Linux, the same packets, of the same run
    growth         times the cost at the smallest size
    rss_bytes      peak resident memory
    checksum       of the answers, `checksum()`
    more           whatever else the line should say, such as `instructions` a packet
    """

    bench: str
    size: int
    ns_per_packet: float | None
    checksum: str = ""
    seed: int | None = None
    floor_ns: float | None = None
    linux_ns: float | None = None
    growth: float | None = None
    rss_bytes: int | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio_floor(self) -> float | None:
        """Times the floor's time: less is better."""
        return self.ns_per_packet / self.floor_ns if self.ns_per_packet and self.floor_ns else None

    @property
    def ratio_linux(self) -> float | None:
        """Times Linux' packets a second: more is better."""
        return self.linux_ns / self.ns_per_packet if self.ns_per_packet and self.linux_ns else None

    def row(self) -> dict[str, Any]:
        found = asdict(self)
        found |= found.pop("more")
        found |= {"ratio_floor": self.ratio_floor, "ratio_linux": self.ratio_linux}
        found |= {"commit": commit(), "machine": machine()}
        return {
            name: float(f"{value:.5g}") if isinstance(value, float) else value
            for name, value in found.items()
            if value is not None
        }


def save(name: str, measurements: Iterable[Measurement]) -> Path:
    """Append to benchmarks/results/`name`.jsonl, a line per measurement."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.jsonl"
    with path.open("a") as out:
        for measurement in measurements:
            out.write(json.dumps(measurement.row()) + "\n")
    return path


COLUMNS = {
    "size": "{:,}",
    "ns_per_packet": "{:,.1f}",
    "floor_ns": "{:,.1f}",
    "ratio_floor": "{:.2f}",
    "linux_ns": "{:,.0f}",
    "ratio_linux": "{:.1f}",
    "untraced_ns": "{:,.1f}",
    "ratio": "{:.3f}",
    "growth": "{:.2f}",
    "rss_bytes": "{:,}",
    "instructions": "{:,.0f}",
    "floor_instructions": "{:,.0f}",
    "checksum": "{}",
}


def table(measurements: Iterable[Measurement]) -> Iterator[str]:
    """Lines of a Markdown table, after the commit, the machine and the seed it is of.

    Columns that no measurement has are left out.
    """
    rows = [measurement.row() for measurement in measurements]
    seeds = sorted({row["seed"] for row in rows if "seed" in row})
    seed = f", seed {', '.join(map(str, seeds))}" if seeds else ""
    yield f"commit {commit()}, Python {platform.python_version()}, {machine()}{seed}"
    yield ""
    names = [name for name in COLUMNS if any(row.get(name, "") != "" for row in rows)]
    yield from _columns(["bench", *names], [_cells(row, names) for row in rows])


def document(name: str, measurements: Iterable[Measurement], path: Path = DOCUMENT) -> None:
    """Write the table between `<!-- name -->` and `<!-- /name -->`.

    raises  ValueError if there is no such place
    """
    text = path.read_text()
    before, begin, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->\n")
    if not (begin and end):
        raise ValueError(f"{path}: no place for the table {name!r}")
    lines = "\n".join(table(measurements))
    path.write_text(f"{before}{begin}\n{lines}\n\n{end}{after}")


def _cells(row: dict[str, Any], names: list[str]) -> list[str]:
    found = (COLUMNS[name].format(row[name]) if name in row else "" for name in names)
    return [row["bench"], *found]


def _columns(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for cells in (head, rule, *rows):
        first = cells[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        yield f"| {' | '.join([first, *rest])} |"
