"""Captures: scanning, bringing into Ethernet form, and writing; packets a second.

`make bench`.  Captures come from a fixed seed; `checksum` is of the answers, so that a fast
wrong answer shows.
"""

import struct
import zlib
from functools import cache

import numpy as np
import pytest

from _fastpath.capture_tuples import five_tuples
from dataplane.replay.capture import FIVE_TUPLE, Frames, merge, scan
from dataplane.replay.capture import Capture as CaptureFile
from dataplane.replay.capture_write import _records
from tests import frames as fr

SEED, PACKETS, WINDOW = 1519, 200_000, 4096
IMIX = [(7, 60), (4, 576), (1, 1500)]  # the usual 7:4:1 of sizes


def sizes(mix: str) -> list[int]:
    if mix == "64B":
        return [60] * PACKETS
    choices = [size for share, size in IMIX for _ in range(share)]
    return np.random.default_rng(SEED).choice(choices, PACKETS).tolist()


def pcap(mix: str, linktype: int = 1) -> bytes:
    parts = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, linktype)]
    for number, size in enumerate(sizes(mix)):
        parts.append(struct.pack("<IIII", number // 1000, number % 1000, size, size))
        parts.append(b"\x45" * size)
    return b"".join(parts)


def pcapng(mix: str) -> bytes:
    parts = [
        struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28),
        struct.pack("<IIHHII", 1, 20, 1, 0, 0, 20),
    ]
    for number, size in enumerate(sizes(mix)):
        total = 32 + (size + 3) // 4 * 4
        parts.append(struct.pack("<IIIIIII", 6, total, 0, 0, number, size, size))
        parts.append(b"\x45" * size + b"\0" * (total - 32 - size) + struct.pack("<I", total))
    return b"".join(parts)


def report(benchmark, frames: np.ndarray) -> None:
    seconds = benchmark.stats.stats.min
    benchmark.extra_info.update(
        packets_per_second=round(PACKETS / seconds),
        ns_per_packet=round(seconds / PACKETS * 1e9, 2),
        checksum=zlib.crc32(frames.tobytes()),
    )


def opened(data: bytes) -> Frames:
    found = scan(data)
    return merge([CaptureFile("bench", data, found.frames, found.interfaces, [])])


@pytest.mark.parametrize("mix", ["64B", "IMIX"])
@pytest.mark.parametrize("write", [pcap, pcapng], ids=lambda write: write.__name__)
def test_scan(benchmark, write, mix):
    data = write(mix)
    found = benchmark(scan, data)
    assert len(found.frames) == PACKETS
    report(benchmark, found.frames)


def datagrams(mix: str) -> bytes:
    """UDP and TCP by turns, over IPv4."""
    parts = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)]
    ends = ("10.244.1.2", 1000, "10.244.2.3", 8080)
    for number, size in enumerate(sizes(mix)):
        make, header = (fr.udp, 8) if number & 1 else (fr.tcp, 20)
        frame = whole(make, ends, 6 if header == 20 else 17, size - 34 - header)
        parts.append(struct.pack("<IIII", number // 1000, number % 1000, size, size) + frame)
    return b"".join(parts)


@cache
def whole(make, ends, protocol: int, payload: int) -> bytes:
    fields = {"payload": bytes(payload)} | ({"flags": fr.ACK} if protocol == 6 else {})
    body = fr.ipv4(ends[0], ends[2], protocol, make(*ends, **fields))
    return fr.ether("02:00:00:00:00:01", "02:00:00:00:00:02", b"\x08\x00", body)


@pytest.mark.parametrize("mix", ["64B", "IMIX"])
def test_scan_and_five_tuples(benchmark, mix):
    data = datagrams(mix)
    array, found = np.frombuffer(data, np.uint8), np.empty(PACKETS, FIVE_TUPLE)

    def read() -> None:
        five_tuples(scan(data).frames, array, found)

    benchmark(read)
    assert (found["dport"] == 8080).all()
    report(benchmark, found)


@pytest.mark.parametrize("linktype", [1, 101, 113])
def test_ethernet(benchmark, linktype):
    frames = opened(pcap("IMIX", linktype))

    def by_windows() -> list[np.ndarray]:
        starts = range(0, PACKETS, WINDOW)
        return [frames.ethernet(start, start + WINDOW)[0] for start in starts]

    report(benchmark, np.concatenate(benchmark(by_windows)))


def test_write(benchmark):
    data = pcap("IMIX")
    frames = scan(data).frames
    records = benchmark(_records, frames, data)
    assert len(records) == len(data) - 24
    report(benchmark, frames)
