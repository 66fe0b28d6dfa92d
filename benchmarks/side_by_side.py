"""Sides measured in turns on one core: A B C A B C …, so that noise meets all of them alike."""

import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

RUNS = 7
Side = Callable[[], float]  # runs once, and gives what it measured: nanoseconds a packet


@contextmanager
def pinned(core: int | None = None) -> Iterator[int]:
    """This process, and children started meanwhile, on one core: the last one there is."""
    before = os.sched_getaffinity(0)
    core = max(before) if core is None else core
    os.sched_setaffinity(0, {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, before)


def interleaved(sides: Mapping[str, Side], runs: int = RUNS) -> dict[str, float]:
    """The median of `runs` runs of each side, after one that warms up and does not count."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(-1, runs):
        for name, side in sides.items():
            value = side()
            if turn >= 0:
                found[name].append(value)
    return {name: statistics.median(values) for name, values in found.items()}
