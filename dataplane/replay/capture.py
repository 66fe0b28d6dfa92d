"""Captures as arrays: open them, find their frames, bring them into one order.

A frame of a capture is a row of a FRAME array and stays where it is in the file, which is
mapped.  `Frames` holds the frames of all captures of a replay in the order in which they
happened, each with the file and the packet number it has there, as tcpdump and Wireshark
count.  The walk reads them window by window as Ethernet (`Frames.ethernet`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from _fastpath.capture import LinkType, Status
from _fastpath.capture import scan as scan_batch
from _fastpath.capture_frames import MAX_GROWTH, Buffers, to_ethernet
from _fastpath.capture_tuples import five_tuples
from dataplane.errors import Source
from dataplane.image import dtypes
from dataplane.replay.capture_file import Bytes, read_bytes
from dataplane.replay.capture_oddities import Oddities, corrupt, truncated, unreadable

Array = NDArray[Any]

# The structs of _fastpath/capture.pxd, where the fields are explained.
FRAME = np.dtype([
    ("time_ns", "u8"), ("offset", "u8"), ("captured", "u4"), ("length", "u4"),
    ("interface", "u4"), ("linktype", "u2"), ("flags", "u2"),
])  # fmt: skip
INTERFACE = np.dtype([
    ("time_offset_s", "i8"), ("snaplen", "u4"), ("linktype", "u2"), ("resolution", "u1"),
    ("unused", "u1"),
])  # fmt: skip
CURSOR = np.dtype([
    ("offset", "u8"), ("last_ns", "u8"), ("found", "u4"), ("interfaces", "u4"), ("section", "u4"),
    ("format", "u1"), ("big_endian", "u1"), ("record_bytes", "u1"), ("lengths", "u1"),
])  # fmt: skip

FIVE_TUPLE = np.dtype(
    [
        ("src", dtypes.ADDR), ("dst", dtypes.ADDR), ("sport", "u2"), ("dport", "u2"),
        ("family", "u1"), ("proto", "u1"), ("tcp_flags", "u1"), ("is_fragment", "u1"),
    ],
    align=True,
)  # fmt: skip

BATCH_FRAMES = 1 << 24
LEAST_ETHERNET = 14  # bytes of its header
SMALL_RECORD_BYTES = 16 + 60  # a pcap record of the shortest Ethernet frame


class Scan(NamedTuple):
    frames: Array  # (n,) FRAME, in file order
    interfaces: Array  # (m,) INTERFACE, over all sections
    status: Status
    offset: int  # where the scan ended


@dataclass(frozen=True)
class Capture:
    """One capture file."""

    path: str
    data: Bytes
    frames: Array  # (n,) FRAME, in file order
    interfaces: Array  # (m,) INTERFACE
    warnings: list[str]  # each begins with the path


@dataclass(frozen=True)
class Frames:
    """The frames of some captures in the order in which they happened."""

    captures: Sequence[Capture]
    records: Array  # (n,) FRAME; offsets are into the data of the frame's capture
    source: Array  # (n,) uint32, index into captures
    number: Array  # (n,) uint32, 1-based within its capture
    buffers: Buffers = field(repr=False)  # the captures' data, for kernels

    def __len__(self) -> int:
        return len(self.records)

    @property
    def warnings(self) -> list[str]:
        return [warning for capture in self.captures for warning in capture.warnings]

    def part(self, start: int, stop: int) -> "Frames":
        """Frames start:stop."""
        return replace(
            self,
            records=self.records[start:stop],
            source=self.source[start:stop],
            number=self.number[start:stop],
        )

    def where(self, index: int) -> Source:
        """File and packet number: `client.pcap:17`."""
        return Source(self.captures[self.source[index]].path, int(self.number[index]))

    def raw(self, index: int) -> bytes:
        """A frame as it stands in its file."""
        record = self.records[index]
        offset, captured = int(record["offset"]), int(record["captured"])
        return bytes(self.captures[self.source[index]].data[offset : offset + captured])

    def ethernet(self, start: int = 0, stop: int | None = None) -> tuple[Array, Array]:
        """Frames start:stop as Ethernet: (n,) FRAME, and the uint8 array they lie in.

        A frame too short for its link type is FRAME_FORMLESS and has no bytes.
        """
        records = self.records[start:stop]
        if len(self.captures) == 1 and _is_ethernet(records):
            # The copy would be the same bytes: 42 ns a frame, IMIX.
            return records, np.frombuffer(self.captures[0].data, np.uint8)
        written = np.empty(len(records), FRAME)
        size = int(records["captured"].sum(dtype=np.uint64)) + MAX_GROWTH * len(records)
        data = np.empty(size, np.uint8)
        to_ethernet(records, self.source[start:stop], self.buffers, data, written)
        return written, data

    def five_tuples(self, start: int = 0, stop: int | None = None) -> Array:
        """(n,) FIVE_TUPLE: what the headers of frames start:stop say, before they are walked."""
        rows, data = self.ethernet(start, stop)
        found = np.empty(len(rows), FIVE_TUPLE)
        five_tuples(rows, data, found)
        return found


def _is_ethernet(records: Array) -> bool:
    """All have their Ethernet form already, and there is none that has none."""
    return bool(
        len(records)
        and (records["linktype"] == LinkType.EN10MB).all()
        and records["captured"].min() >= LEAST_ETHERNET
    )


def open_captures(paths: Sequence[str]) -> Frames:
    """All frames of some capture files (`-` is standard input), merged by time.

    Raises CaptureError if one cannot be read, is corrupt, or has a link type other than
    those of _fastpath.capture.LinkType.
    """
    return merge([read(path) for path in paths])


def read(path: str) -> Capture:
    """One capture file.  Raises CaptureError as open_captures does."""
    data, warnings = read_bytes(path)
    source = Source(path, 0)
    if len(data) == 0:
        return _capture(path, data, *_nothing(), [*warnings, "the file is empty"])
    found = scan(data)
    # What is wrong first is told first: a file is corrupt behind its last frame.
    wrong = unreadable(found.frames, 0, source)
    if wrong:
        raise wrong[1]
    if found.status not in (Status.DONE, Status.TRUNCATED):
        raise corrupt(found.status, found.offset, source)
    oddities = Oddities()
    if found.status == Status.TRUNCATED:
        oddities.say(truncated(found.frames, len(found.frames), found.offset))
    oddities.look(found.frames, 0)
    return _capture(path, data, found.frames, found.interfaces, warnings + oddities.texts())


def _capture(
    path: str, data: Bytes, frames: Array, interfaces: Array, warnings: list[str]
) -> Capture:
    return Capture(path, data, frames, interfaces, [f"{path}: {text}" for text in warnings])


def _nothing() -> tuple[Array, Array]:
    return np.zeros(0, FRAME), np.zeros(0, INTERFACE)


def scan(data: Bytes, batch_frames: int | None = None) -> Scan:
    """Where the frames of a capture lie, up to its end or to where it is corrupt."""
    # Full-size frames fit the first batch, whose untouched pages cost nothing.
    size = batch_frames or min(len(data) // SMALL_RECORD_BYTES + 1, BATCH_FRAMES)
    cursor = np.zeros(1, CURSOR)
    interfaces = np.zeros(1, INTERFACE)
    batches, batch, filled = [], np.empty(size, FRAME), 0
    status = Status.MORE
    while status in (Status.MORE, Status.MORE_INTERFACES):
        found, status = scan_batch(data, batch[filled:], interfaces, cursor)
        filled += found
        if status == Status.MORE_INTERFACES:
            interfaces = np.concatenate([interfaces, np.zeros_like(interfaces)])
        elif status == Status.MORE:
            batches.append(batch)
            batch, filled = np.empty(size, FRAME), 0
    frames = np.concatenate([*batches, batch[:filled]]) if batches else batch[:filled]
    described = interfaces[: int(cursor["interfaces"][0])]
    return Scan(frames, described, Status(status), int(cursor["offset"][0]))


def merge(captures: Sequence[Capture]) -> Frames:
    """Frames of all captures by time, and for equal times by the order of the captures.

    The frames of one capture keep their order even where its time goes back, as mergecap
    keeps it: a frame is due when no earlier frame of its own file is still to come.
    """
    records = np.concatenate([_nothing()[0], *(capture.frames for capture in captures)])
    counts = [len(capture.frames) for capture in captures]
    source = np.repeat(np.arange(len(captures), dtype=np.uint32), counts)
    number = np.concatenate([np.arange(1, count + 1, dtype=np.uint32) for count in [0, *counts]])
    if len(captures) > 1:
        due = [np.maximum.accumulate(capture.frames["time_ns"]) for capture in captures]
        order = np.argsort(np.concatenate(due), kind="stable")
        records, source, number = records[order], source[order], number[order]
    buffers = Buffers([capture.data for capture in captures])
    return Frames(tuple(captures), records, source, number, buffers)
