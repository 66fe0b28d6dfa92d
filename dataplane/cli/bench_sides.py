"""What `dataplane bench` measures: the stages of a replay and its outputs, in turns."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory

from dataplane.cli.packets import Texts
from dataplane.errors import CaptureError
from dataplane.replay.coded import Words
from dataplane.replay.result import Result
from dataplane.replay.stages import Measured, Stopwatch, Take, read, recorded, walk
from dataplane.replay.tap_files import TapFiles
from dataplane.trace.compared import Comparisons
from dataplane.trace.describe import Describer

READ, PARSE, LONG, RECORDED = "read", "5-tuples", "first packets", "established"
TEXT, JSONL, TABLES, TAPS = "text", "jsonl", "tables", "captures"
OF_REPLAY = (READ, LONG, RECORDED)  # together they are `dataplane replay -q`
Say = Callable[[str], None]
Sink = tuple[Take, Callable[[Result | None], object]]  # window by window; at the end


@dataclass(frozen=True)
class Bench:
    name: str
    of: Measured
    describer: Describer
    seed: int
    runs: int


@dataclass(frozen=True)
class Stage:
    """share  of the time of OF_REPLAY; None of what is no part of it"""

    name: str
    packets: int
    ns_per_packet: float
    share: float | None = None


@dataclass(frozen=True)
class Spread:
    mean: float
    median: float
    most: int

    @staticmethod
    def of(values: Sequence[int]) -> "Spread":
        """Zeros of nothing."""
        return Spread(fmean(values), median(values), max(values)) if values else Spread(0, 0, 0)


@dataclass(frozen=True)
class Found:
    """What was measured.

    recorded  packets that took the recorded way
    matched   rules that match the first packet of a flow; `compared`: rules that a walk one by
              one compares for it
    """

    bench: Bench
    packets: int
    recorded: int
    stages: list[Stage]
    new_flows: int
    matched: Spread
    compared: Spread
    checksum: str


def measure(bench: Bench, say: Say) -> Found:
    """Raises CaptureError if there is no packet."""
    of = bench.of
    say(f"{bench.name}: which packets take the recorded way")
    is_recorded = recorded(of)
    count, short = len(is_recorded), int(is_recorded.sum())
    if not count:
        raise CaptureError(f"{', '.join(of.captures)}: no packets")
    times: dict[str, list[int]] = defaultdict(list)
    for turn in range(-1, bench.runs):
        say(f"{bench.name}: run {turn + 1} of {bench.runs}" if turn >= 0 else f"{bench.name}: once")
        everything = walk(of)
        found = read(of)
        times[READ].append(found.read_ns)
        times[PARSE].append(found.parse_ns)
        alone = walk(of, ~is_recorded).walk_ns if short else everything.walk_ns
        times[LONG].append(alone)
        times[RECORDED].append(max(everything.walk_ns - alone, 0))
        for name, ns in _outputs(bench):
            times[name].append(ns)
        if turn < 0:
            times.clear()
    packets = dict.fromkeys(times, count) | {LONG: count - short, RECORDED: short}
    met = everything.met(Comparisons(bench.describer.rules))
    return Found(
        bench, count, short, list(_stages(times, packets)), sum(met.values()),
        Spread.of([one.matched for one in met.elements()]),
        Spread.of([one.compared for one in met.elements()]),
        f"{everything.checksum:08x}",
    )  # fmt: skip


def _stages(times: dict[str, list[int]], packets: dict[str, int]) -> Iterator[Stage]:
    spent = {name: median(each) for name, each in times.items()}
    whole = sum(spent[name] for name in OF_REPLAY) or 1
    for name, ns in spent.items():
        if packets[name]:
            share = ns / whole if name in OF_REPLAY else None
            yield Stage(name, packets[name], ns / packets[name], share)


def _outputs(bench: Bench) -> Iterator[tuple[str, int]]:
    """What it takes to tell what became of the packets, form by form."""
    for name, form in OUTPUTS.items():
        if name == TABLES and find_spec("pyarrow") is None:
            continue
        options = replace(bench.of.options, taps="all") if name == TAPS else bench.of.options
        of = replace(bench.of, options=options)
        with TemporaryDirectory() as folder, form(bench.describer, Path(folder)) as (take, finish):
            found, finishing = walk(of, take=take), Stopwatch(of.clock)
            with finishing.running():
                finish(found.last)
            yield name, found.take_ns + finishing.ns


def _done(last: Result | None) -> None:
    """Nothing is left to be written."""


@contextmanager
def _texts(describer: Describer, folder: Path) -> Iterator[Sink]:
    texts = Texts(describer)
    with Path(os.devnull).open("w") as file:
        yield lambda result: file.writelines(texts.lines(result)), _done


@contextmanager
def _objects(describer: Describer, folder: Path) -> Iterator[Sink]:
    from dataplane.replay.json_lines import JsonWindows  # msgspec, which no other form needs

    with Path(os.devnull).open("wb", buffering=0) as file:
        yield JsonWindows(Words(describer), file.write).take, _done


@contextmanager
def _tables(describer: Describer, folder: Path) -> Iterator[Sink]:
    from dataplane.replay.parquet import ParquetFiles

    with ParquetFiles(folder, Words(describer)) as files:
        yield files.take, files.finish


@contextmanager
def _taps(describer: Describer, folder: Path) -> Iterator[Sink]:
    with TapFiles(folder) as files:
        yield files.take, lambda _: files.finish()


OUTPUTS = {TEXT: _texts, JSONL: _objects, TABLES: _tables, TAPS: _taps}
