"""A replay stage by stage, each timed by a clock that is given: what costs how much.

The walk is the kernels' alone, so its two kinds of packets cannot be told apart while they are
walked.  Packets are walked one by one once, to know which took the recorded way; then all of them
in windows, and those that went the long way by themselves.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from _fastpath.reason import Verdict
from dataplane.image import dtypes
from dataplane.image.image import Image
from dataplane.replay.capture import Array, Frames
from dataplane.replay.capture_stream import WINDOW_BYTES, Windows
from dataplane.replay.fast import NO_FLOW, path_of
from dataplane.replay.replay import Options
from dataplane.replay.result import NO_PATH, Result
from dataplane.replay.run import Run
from dataplane.trace.compared import Comparisons, Met

Clock = Callable[[], int]  # nanoseconds
Take = Callable[[Result], object]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Measured:
    """What is replayed, again and again, and by which clock.

    packets  at most so many, the captures' first ones
    """

    image: Image
    captures: Sequence[str]
    options: Options
    clock: Clock
    packets: int
    window_bytes: int = WINDOW_BYTES

    def windows(self) -> Iterator[Frames]:
        left = self.packets
        for frames in Windows(self.captures, self.window_bytes):
            yield frames if len(frames) <= left else frames.part(0, left)
            left -= len(frames)
            if left <= 0:
                return


@dataclass
class Stopwatch:
    clock: Clock
    ns: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        start = self.clock()
        try:
            yield
        finally:
            self.ns += self.clock() - start


@dataclass(frozen=True)
class Read:
    """Nanoseconds over all packets: to find their frames, and to read who speaks to whom."""

    read_ns: int
    parse_ns: int


def read(of: Measured) -> Read:
    reading, parsing = Stopwatch(of.clock), Stopwatch(of.clock)
    for frames in _timed(of.windows(), reading):
        with parsing.running():
            frames.five_tuples()
    return Read(reading.ns, parsing.ns)


@dataclass
class Walked:
    """Nanoseconds over all packets: to walk them, and to pass on what became of them.

    checksum  CRC-32 of the records
    begun     path -> flows whose first packet took it; of packets that entered
    """

    run: Run
    last: Result | None = None
    walk_ns: int = 0
    take_ns: int = 0
    checksum: int = 0
    begun: Counter[int] = field(default_factory=Counter)

    def met(self, comparisons: Comparisons) -> Counter[Met]:
        """Rules met -> flows whose first packet met so many."""
        found: Counter[Met] = Counter()
        for path, flows in self.begun.items():
            found[comparisons.of(path_of(self.run.image, self.run.state, path))] += flows
        return found


def walk(of: Measured, wanted: Array | None = None, take: Take | None = None) -> Walked:
    """wanted  (n,) bool: only these packets are walked"""
    walking, taking = Stopwatch(of.clock), Stopwatch(of.clock)
    found = Walked(Run(of.image, of.options))
    count = flows = 0
    for frames in of.windows():
        some = frames if wanted is None else _only(frames, wanted[count : count + len(frames)])
        count += len(frames)
        for result in _timed(found.run.window(some), walking):
            found.checksum = zlib.crc32(np.ascontiguousarray(result.columns).data, found.checksum)
            found.begun.update(_begun(result.columns, flows))
            flows = len(result.flow_rows)
            found.last = result
            if take:
                with taking.running():
                    take(result)
    found.walk_ns, found.take_ns = walking.ns, taking.ns
    return found


def recorded(of: Measured) -> Array:
    """(n,) bool: which packets take the recorded way."""
    run, found = Run(of.image, of.options), []
    record = np.zeros(1, dtypes.RECORD)
    for frames in of.windows():
        rows, data = frames.ethernet()
        for at in range(len(rows)):
            before = run.injector.taken
            run._walk(rows[at : at + 1], data, record)
            found.append(run.injector.taken != before)
    return np.array(found, bool)


def _begun(columns: Array, flows: int) -> list[int]:
    """Paths of first packets of flows from number `flows` on."""
    new = (columns["flow"] != NO_FLOW) & (columns["flow"] >= flows)
    _, first = np.unique(columns["flow"][new], return_index=True)
    begun = columns[new][first]
    paths = begun["path"][(begun["verdict"] != Verdict.SKIPPED) & (begun["path"] != NO_PATH)]
    return list(paths.tolist())


def _only(frames: Frames, wanted: Array) -> Frames:
    return replace(
        frames, records=frames.records[wanted], source=frames.source[wanted],
        number=frames.number[wanted],
    )  # fmt: skip


def _timed(items: Iterator[Item], watch: Stopwatch) -> Iterator[Item]:
    """The same; the time that it takes to come by them counts."""
    while True:
        with watch.running():
            item = next(items, None)
        if item is None:
            return
        yield item
