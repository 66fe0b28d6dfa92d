"""The Internet checksum over whole packets, and its incremental update, called from Python.

A call through the door costs what the smallest size shows.
"""

import numpy as np
import pytest

from _fastpath.checksum import checksum, replace
from benchmarks.report import report
from benchmarks.traffic import SEED

PACKETS = 10_000


@pytest.mark.parametrize("size", [20, 64, 576, 1500])
def test_checksum(benchmark, size):
    random = np.random.default_rng(SEED)
    packets = [random.bytes(size) for _ in range(PACKETS)]
    found = benchmark(lambda: [checksum(packet) for packet in packets])
    report(benchmark, PACKETS, np.array(found))


def test_replace(benchmark):
    words = np.random.default_rng(SEED).integers(0, 0x10000, (PACKETS, 3)).tolist()
    found = benchmark(lambda: [replace(*three) for three in words])
    report(benchmark, PACKETS, np.array(found))
