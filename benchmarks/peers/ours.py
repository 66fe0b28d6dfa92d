"""Ours: flows are opened by a replay, then captures of their packets are replayed on and on.

What is measured is what a user waits for: the file is read window by window and scanned, every
packet walks both nodes, its record is written and its trace kept, and the frames that leave
node-a's uplink and arrive at the pod are handed out.  Processor time counts, of all threads, as it
does for the other sides: what other programs take of the core does not.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from _fastpath.reason import Verdict
from benchmarks.peers.cluster import CLIENT_NODE, SERVER, SERVER_NODE, nodes, pod_port
from dataplane.image.image import assemble
from dataplane.replay.capture_stream import Windows
from dataplane.replay.replay import Options
from dataplane.replay.result import Output, Result
from dataplane.replay.run import Run

UPLINK = (CLIENT_NODE, "eth0")


def taps() -> list[tuple[str, str]]:
    return [UPLINK, (SERVER_NODE, pod_port(SERVER_NODE, SERVER)[0])]


class Ours:
    """Two nodes whose flows are open."""

    def __init__(self, opening: list[Path], flows: int, seed: int = 0, kept: bool = True):
        """kept: output frames are produced; else only records and traces"""
        options = Options(seed=seed, taps=taps() if kept else (), connections=2 * flows + 1024)
        self.replay = Run(assemble(nodes(), seed=seed), options)
        self.encapsulated = 0  # packets that node-a put into the tunnel
        for path in opening:
            self.run(path)

    def run(self, capture: Path, take: Callable[[Result], None] | None = None) -> float:
        """Nanoseconds a packet over one capture, after what came before.

        take    is called, untimed, with what each window left behind
        raises  RuntimeError if a packet is lost
        """
        windows, spent, count = self._windows(capture), 0, 0
        while True:
            start = time.process_time_ns()
            result = next(windows, None)
            spent += time.process_time_ns() - start
            if result is None:
                return spent / count
            self._check(result)
            count += len(result)
            if take:
                take(result)

    def _windows(self, capture: Path) -> Iterator[Result]:
        for frames in Windows([str(capture)]):
            yield from self.replay.window(frames)

    def _check(self, result: Result) -> None:
        """Every packet reached its pod: else another thing was measured than was meant."""
        if (result.columns["verdict"] != Verdict.DELIVERED).any():
            raise RuntimeError(f"not delivered: {np.unique(result.columns[['verdict', 'reason']])}")
        self.encapsulated += int((result.columns["reply"] == 0).sum())

    def frames_out(self, capture: Path) -> bytes:
        """What goes out for a capture: for each packet the tunnel's frame and the pod's."""
        found: list[bytes] = []
        self.run(capture, lambda result: found.append(bytes_of(result.output)))
        return b"".join(found)


def bytes_of(output: Output) -> bytes:
    """The frames, end to end."""
    starts, ends = output.rows["offset"], output.rows["offset"] + output.rows["size"]
    if len(ends) and (ends[:-1] == starts[1:]).all():
        return output.data[starts[0] : ends[-1]].tobytes()
    return b"".join(output.frame(number) for number in range(len(output.rows)))
