"""What a benchmark says: packets a second, nanoseconds a packet, and a checksum of its answers.

The checksum makes a fast wrong answer show: it must not change when only the speed does.
"""

import zlib
from typing import Any

import numpy as np


def report(benchmark: Any, packets: int, *answers: np.ndarray) -> None:
    """`packets` were handled in one round; `answers` are what came out of the last one."""
    seconds = benchmark.stats.stats.min
    checksum = 0
    for array in answers:
        checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), checksum)
    benchmark.extra_info.update(
        packets=packets,
        packets_per_second=round(packets / seconds),
        ns_per_packet=round(seconds / packets * 1e9, 2),
        checksum=f"{checksum:08x}",
    )


def line(name: str, info: dict[str, Any]) -> str:
    return (
        f"{name:<52} {info['packets_per_second']:>14,} {info['ns_per_packet']:>12,.1f}"
        f"   {info['checksum']}"
    )


HEAD = f"{'':<52} {'packets/s':>14} {'ns/packet':>12}   checksum"
