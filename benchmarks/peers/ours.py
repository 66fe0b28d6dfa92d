"""Ours: flows are opened by a replay, then captures of their packets are replayed on and on.

What is measured is what a user waits for: the file is opened and scanned, every packet walks
both nodes, its record is written and its trace kept, and the frames that leave node-a's uplink
and arrive at the pod are handed out.  Processor time counts, of all threads, as it does for the
other sides: what other programs take of the core does not.
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from _fastpath.reason import Verdict
from benchmarks.peers.cluster import CLIENT_NODE, SERVER, SERVER_NODE, nodes, pod_port
from dataplane.image.image import assemble
from dataplane.replay.capture import Frames, open_captures
from dataplane.replay.replay import WINDOW_FRAMES, Options, _Run
from dataplane.replay.result import Result

UPLINK = (CLIENT_NODE, "eth0")


def taps() -> list[tuple[str, str]]:
    return [UPLINK, (SERVER_NODE, pod_port(SERVER_NODE, SERVER)[0])]


class Ran(NamedTuple):
    ns_per_packet: float
    result: Result

    def frames_out(self) -> bytes:
        """End to end, for each packet the tunnel's frame and the pod's."""
        output = self.result.output
        ends = output.rows["offset"] + output.rows["size"]
        if len(ends) and (ends[:-1] == output.rows["offset"][1:]).all():
            return output.data[output.rows["offset"][0] : ends[-1]].tobytes()
        return b"".join(output.frame(number) for number in range(len(output.rows)))


class Ours:
    """Two nodes whose flows are open."""

    def __init__(self, opening: list[Path], flows: int, seed: int = 0, kept: bool = True):
        """kept: output frames are produced; else only records and traces"""
        options = Options(seed=seed, taps=taps() if kept else (), connections=2 * flows + 1024)
        frames = open_captures([str(opening[0])])
        self.encapsulated = 0  # packets that node-a put into the tunnel
        self.replay = _Run(assemble(nodes(), seed=seed), frames, options)
        for path in opening:
            self.run(path)

    def run(self, capture: Path) -> Ran:
        """One capture after what came before.  Raises RuntimeError if a packet is lost."""
        start = time.process_time_ns()
        frames = open_captures([str(capture)])
        result = self._carry(frames)
        spent = time.process_time_ns() - start
        check(result)
        self.encapsulated += int((result.columns["reply"] == 0).sum())
        return Ran(spent / len(frames), result)

    def _carry(self, frames: Frames) -> Result:
        run = self.replay
        run.frames, run.records = frames, np.zeros(len(frames), run.records.dtype)
        for done in range(0, len(frames), WINDOW_FRAMES):
            rows, data = frames.ethernet(done, min(done + WINDOW_FRAMES, len(frames)))
            run.window(rows, data, done)
        return run.result()


def check(result: Result) -> None:
    """Every packet reached its pod: else another thing was measured than was meant."""
    if (result.columns["verdict"] != Verdict.DELIVERED).any():
        raise RuntimeError(f"not delivered: {np.unique(result.columns[['verdict', 'reason']])}")
