"""How `dataplane bench` says what it found: a table, or a JSON object per figure."""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dataplane.cli import output, version
from dataplane.cli.bench_sides import (
    JSONL,
    LONG,
    PARSE,
    READ,
    RECORDED,
    TABLES,
    TAPS,
    TEXT,
    Found,
    Stage,
)

WORDS = {
    READ: "read the capture",
    PARSE: "5-tuples alone, without a walk",
    LONG: "first packets: the long way",
    RECORDED: "established: the recorded way",
    TEXT: "a line of text each",
    JSONL: "a JSON object each (-o jsonl)",
    TABLES: "rows of tables (--parquet)",
    TAPS: "captures of all devices (-w)",
}
HEAD = ("", "packets", "ns each", "packets/s", "share")
Tell = Callable[[Found], None]


def writer(form: str) -> Tell:
    """To standard output."""
    if form == "jsonl":
        return _tell_objects
    blank = ""

    def tell(found: Found) -> None:
        nonlocal blank
        output.text_writer()(blank)
        _tell_table(found)
        blank = "\n"

    return tell


def machine() -> str:
    """The processor's name for itself."""
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()


# ------------------------------------------------------------------------------ objects


def _tell_objects(found: Found) -> None:
    write = output.text_writer()
    for row in objects(found):
        write(json.dumps(row) + "\n")


def objects(found: Found) -> Iterator[dict[str, Any]]:
    """An object per stage, one of the rules and one of the recorded way."""
    of = {
        "bench": found.bench.name, "seed": found.bench.seed, "runs": found.bench.runs,
        "checksum": found.checksum, "version": version.own(), "machine": machine(),
    }  # fmt: skip
    for stage in found.stages:
        row = {"stage": stage.name, "packets": stage.packets}
        row["ns_per_packet"] = round(stage.ns_per_packet, 2)
        if stage.share is not None:
            row["share"] = round(stage.share, 4)
        yield of | row
    rules = {"matched": asdict(found.matched), "compared": asdict(found.compared)}
    yield of | {"stage": "rules", "new_flows": found.new_flows} | rules
    ways = {"packets": found.packets, "recorded": found.recorded}
    yield of | {"stage": "ways", **ways, "share": round(found.recorded / found.packets, 4)}


# -------------------------------------------------------------------------------- table


def _tell_table(found: Found) -> None:
    title = f"{found.bench.name}: {found.packets:,} packets"
    rows = [_cells(stage) for stage in found.stages]
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        _rich_table(title, rows)
    else:
        output.text_writer()("\n".join(_plain_table(title, rows)) + "\n")
    output.text_writer()("\n".join([*_notes(found), ""]))


def _cells(stage: Stage) -> tuple[str, ...]:
    per_second = f"{1e9 / stage.ns_per_packet:,.0f}" if stage.ns_per_packet else ""
    share = "" if stage.share is None else f"{stage.share:.0%}"
    words = WORDS[stage.name]
    return words, f"{stage.packets:,}", f"{stage.ns_per_packet:,.1f}", per_second, share


def _plain_table(title: str, rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(HEAD, *rows, strict=True)]
    yield title
    for cells in (HEAD, *rows):
        rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        yield "  ".join(["", cells[0].ljust(widths[0]), *rest]).rstrip()


def _rich_table(title: str, rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console  # slow to load
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in HEAD:
        table.add_column(name, justify="right" if name else "left")
    for cells in rows:
        table.add_row(*cells)
    Console().print(table)


def _notes(found: Found) -> Iterator[str]:
    matched, compared = found.matched, found.compared
    yield f"  on the recorded way: {found.recorded / found.packets:.1%} of the packets"
    yield (
        f"  rules that a new flow matches: mean {matched.mean:,.1f}, median {matched.median:,g},"
        f" max {matched.most:,}  ({found.new_flows:,} flows)"
    )
    yield (
        f"  rules compared one by one:     mean {compared.mean:,.1f}, median {compared.median:,g},"
        f" max {compared.most:,}"
    )
    yield (
        f"  seed {found.bench.seed}, median of {found.bench.runs}, processor time,"
        f" {machine()}; records {found.checksum}"
    )
