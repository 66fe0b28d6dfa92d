"""Captures out: frames as a pcap file.

Nanoseconds, EN10MB, little-endian, snaplen 262144, whatever came in: libpcap, and so
tcpdump and Wireshark, read such a file, and files of several taps can be merged.  A file is
written beside its name and renamed when it is whole, so nobody ever reads half of it.
"""

import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from _fastpath.capture import MAX_FRAME, LinkType
from _fastpath.capture_frames import format_records
from dataplane.errors import CaptureError, Source

NANOSECOND_MAGIC = 0xA1B23C4D
FILE_HEADER = struct.pack("<IHHiIII", NANOSECOND_MAGIC, 2, 4, 0, 0, MAX_FRAME, int(LinkType.EN10MB))
RECORD_BYTES = 16
BATCH_FRAMES = 1 << 14
FIRST_UNWRITABLE_NS = 2**32 * 10**9  # a record counts its seconds in 32 bits


def write(path: str, frames: NDArray[Any], data: Any) -> None:
    """Write Ethernet frames to a pcap file; `-` is standard output.

    frames  (n,) FRAME, written in this order
    data    the bytes that their offsets are into
    raises  CaptureError if the file cannot be written, or a time lies after 2106
    """
    source = Source(path, 0)
    times = frames["time_ns"]
    if len(frames) and times.max() >= FIRST_UNWRITABLE_NS:
        first = int(np.argmax(times >= FIRST_UNWRITABLE_NS)) + 1
        raise CaptureError(f"packet {first} is later than 2106: pcap has no such time", source)
    try:
        with _replacing(path) as file:
            file.write(FILE_HEADER)
            for start in range(0, len(frames), BATCH_FRAMES):
                file.write(_records(frames[start : start + BATCH_FRAMES], data))
    except OSError as error:
        raise CaptureError(error.strerror or str(error), source) from error


def _records(frames: NDArray[Any], data: Any) -> memoryview:
    size = int(frames["captured"].sum(dtype=np.uint64)) + RECORD_BYTES * len(frames)
    out = np.empty(size, np.uint8)
    format_records(frames, data, out)
    return out.data


@contextmanager
def _replacing(path: str) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` if all goes well, and vanishes if not."""
    if path == "-":
        yield sys.stdout.buffer
        return
    if not is_replaceable(path):
        with Path(path).open("wb") as file:
            yield file
        return
    partial = Path(f"{path}.part-{os.getpid()}")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def is_replaceable(path: str) -> bool:
    """Another file may take its place: it is no pipe, and no terminal."""
    return Path(path).is_file() or not Path(path).exists()
