"""What it costs to keep every decision: the same replay with paths and without, in turns.

First packets of flows, and packets of open flows, both the long way, through both nodes with the
output frames produced.  On the recorded way there is nothing to compare: a path there is a number
that is copied, and the rules of a path are counted by it.
"""

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers import files, traffic
from benchmarks.peers.cluster import nodes
from benchmarks.peers.ours import taps
from benchmarks.report import Measurement, checksum
from benchmarks.side_by_side import interleaved
from benchmarks.traffic import SEED
from dataplane.image.image import Image, assemble
from dataplane.replay.capture_stream import Windows
from dataplane.replay.replay import Options
from dataplane.replay.run import Run

PACKETS = 20_000
APART = ("path",)  # all that differs


class Side:
    """Replays whose flows are new each time; what is measured comes after them, or is they."""

    def __init__(self, image: Image, opening: list[Path], capture: Path, flows: int):
        self.image, self.opening, self.capture = image, opening, capture
        self.options = Options(taps=taps(), connections=2 * flows + 1024, recorded=False)
        self.checksum = ""

    def run(self, is_traced: bool, is_new: bool) -> float:
        """Nanoseconds a packet."""
        run = Run(self.image, self.options)
        run.engine.keep_paths(is_traced)
        if is_new:
            return self._replay(run, self.opening[0])
        for path in self.opening:
            self._replay(run, path)
        return self._replay(run, self.capture)

    def _replay(self, run: Run, path: Path) -> float:
        start, answers = time.process_time_ns(), []
        for frames in Windows([str(path)]):
            for result in run.window(frames):
                answers.append(result)
        spent = time.process_time_ns() - start
        columns = answers[-1].columns
        kept = [name for name in columns.dtype.names or () if name not in APART]
        self.checksum = checksum(*(columns[name] for name in kept))
        return spent / run_count(answers)


def run_count(results: list) -> int:
    return sum(map(len, results))


def compare(flows: int, mix: str, runs: int, folder: Path) -> list[Measurement]:
    """Raises RuntimeError if anything but the paths differs."""
    opening = files.write_all(folder, "tracing", traffic.opening(flows))
    capture = files.write(folder / "traced", traffic.established(flows, PACKETS, mix))
    side = Side(assemble(nodes()), opening, capture, flows)
    sums: dict[str, set[str]] = {}

    def one(name: str, is_traced: bool, is_new: bool) -> Callable[[], float]:
        def run() -> float:
            ns = side.run(is_traced, is_new)
            sums.setdefault(name, set()).add(side.checksum)
            return ns

        return run

    kinds = {"first packets": True, "open flows": False}
    found = interleaved(
        {
            f"{kind}, {traced}": one(kind, traced, is_new)
            for kind, is_new in kinds.items()
            for traced in (True, False)
        },
        runs,
    )
    rows = []
    for kind in kinds:
        if len(sums[kind]) > 1:
            raise RuntimeError(f"tracing, {kind}: other answers without paths")
        traced, untraced = found[f"{kind}, True"], found[f"{kind}, False"]
        more = {"untraced_ns": untraced, "ratio": traced / untraced, "runs": runs}
        name = f"tracing, {mix}: {kind}"
        rows.append(Measurement(name, flows, traced, sums[kind].pop(), SEED, more=more))
    return rows
