"""Captures window by window: only so much of them is in memory, whatever their size.

Bytes are read in pieces into one buffer (from the page cache that is as fast as a mapping, and a
file that shrinks meanwhile is no fault), and what is not a whole record yet waits there for the
next piece.  So pipes and compressed files need no temporary file, and may be endless.
"""

import io
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from _fastpath.capture import MAX_BLOCK, Status
from _fastpath.capture import scan as scan_batch
from _fastpath.capture_frames import Buffers
from dataplane.errors import CaptureError, Source
from dataplane.replay.capture import (
    CURSOR,
    FRAME,
    INTERFACE,
    Array,
    Capture,
    Frames,
)
from dataplane.replay.capture_file import STDIN, Read, compression_of, ends_early, unpacker
from dataplane.replay.capture_oddities import Oddities, corrupt, truncated, unreadable

# What is found in it (32 bytes a frame, 128 a record) stays in the cache: JSON lines take 243 ns a
# packet where 16 MiB take 317.  Mapping each window instead of reading it was slower (9 GB/s
# instead of 11 in tmpfs, 20 instead of 28 in ext4).
WINDOW_BYTES = 4 << 20
LEAST_WINDOW = 1 << 16
PIECE_BYTES = 1 << 20  # that an unpacker is asked for at a time
LEAST_RECORD = 16  # bytes of a record without a frame


class Input(io.RawIOBase):
    """The bytes of a file as they are on disk, from the first on, and how many were read."""

    def __init__(self, file: Any, source: Source):
        self._file, self._source, self._head = file, source, b""
        self.position = 0
        self.size = _size(file)  # 0 = not known

    def head(self, size: int) -> bytes:
        """What comes first, without taking it away."""
        while len(self._head) < size and (piece := self._file.read(size - len(self._head))):
            self._head += piece
        return self._head

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        if self._head:
            count = min(len(self._head), len(room))
            room[:count], self._head = self._head[:count], self._head[count:]
        else:
            try:
                count = self._file.readinto(room) or 0
            except OSError as error:
                raise CaptureError(error.strerror or str(error), self._source) from error
        self.position += count
        return count

    def has_more(self) -> bool:
        """There is something to read without waiting; a pipe may have to be waited for."""
        if self._head or self.size:
            return True
        try:
            return bool(select.select([self._file], [], [], 0)[0])
        except (OSError, ValueError):  # not a file of the system's: it has what it has
            return True

    def close(self) -> None:
        super().close()
        self._file.close()


def _size(file: Any) -> int:
    with suppress(OSError, ValueError):
        if file.seekable():
            here = file.tell()
            size = file.seek(0, 2) - here
            file.seek(here)
            return int(size)
    return 0


def _open(path: str) -> Input:
    source = Source(path, 0)
    if path != STDIN:
        try:
            return Input(Path(path).open("rb", buffering=0), source)
        except OSError as error:
            raise CaptureError(error.strerror or str(error), source) from error
    if sys.stdin is None:
        raise CaptureError("standard input is closed", source)
    return Input(_unbuffered(sys.stdin.buffer), source)


def _unbuffered(stdin: Any) -> Any:
    """A buffered reader waits until it has all that was asked for."""
    try:
        return open(stdin.fileno(), "rb", buffering=0, closefd=False)
    except (OSError, ValueError):
        return stdin


class CaptureStream:
    """One capture file, as far as it has been read.

    data    the buffer; frames of the last window lie in it until the next one is read
    frames  (n,) FRAME: what was found in the last window and has not been taken yet
    """

    def __init__(self, path: str, window_bytes: int):
        self.path, self._source = path, Source(path, 0)
        self.input = _open(path)
        self.data: Array = np.empty(window_bytes, np.uint8)
        self.frames: Array = np.zeros(0, FRAME)
        self.is_over = False
        self.found = 0  # frames so far
        self._rows = np.empty(0, FRAME)
        self._filled = 0
        self._base = 0  # where in the file the buffer begins
        self._cursor = np.zeros(1, CURSOR)
        self._interfaces = np.zeros(1, INTERFACE)
        self._oddities = Oddities()
        self._error: CaptureError | None = None  # what is wrong behind the last frame
        self._read = self._reader()

    @property
    def warnings(self) -> list[str]:
        """What was odd about it; each begins with the path."""
        return [f"{self.path}: {text}" for text in self._oddities.texts()]

    @property
    def first_number(self) -> int:
        """Packet number of frames[0]."""
        return self.found - len(self.frames) + 1

    def _reader(self) -> Read | None:
        """Unpacks; None where there is nothing to unpack."""
        compression = compression_of(self.input.head(16), self._source)
        if compression is None:
            return None
        packed = io.BufferedReader(self.input, PIECE_BYTES)
        unpack = unpacker(compression, packed, self._source)

        def read(size: int) -> bytes:
            try:
                return unpack(min(size, PIECE_BYTES))
            except EOFError:  # how the unpackers of the standard library say "truncated"
                self._oddities.say(ends_early(compression))
                return b""

        return read

    def fill(self) -> None:
        """Read on until there are frames, or no more is to come.  Raises CaptureError."""
        while not len(self.frames) and not self.is_over:
            if self._error is not None:
                raise self._error
            self._make_way()
            is_end = not self._read_more()
            if self._base + self._filled:
                self._scan(is_end)
            else:
                self._oddities.say("the file is empty")
                self.is_over = True

    def take(self, count: int) -> None:
        """The first `count` frames are done with."""
        self.frames = self.frames[count:]

    def _make_way(self) -> None:
        """What was scanned goes; a record that fills the whole buffer gets a longer one."""
        done = int(self._cursor["offset"][0])
        rest = self.data[done : self._filled]
        if 2 * len(rest) > len(self.data):
            grown = np.empty(2 * len(self.data), np.uint8)
            grown[: len(rest)] = rest
            self.data = grown
        else:
            self.data[: len(rest)] = rest
        self._base, self._filled = self._base + done, len(rest)
        self._cursor["offset"] = 0

    def _read_more(self) -> int:
        """Bytes that came; 0 at the end."""
        before, room = self._filled, self.data.data
        while self._filled < len(room):
            if self._filled > before and self._read is None and not self.input.has_more():
                break
            count = self._piece(room[self._filled :])
            if count == 0:
                break
            self._filled += count
        return self._filled - before

    def _piece(self, room: memoryview) -> int:
        if self._read is None:
            return self.input.readinto(room)
        piece = self._read(len(room))
        room[: len(piece)] = piece
        return len(piece)

    def _scan(self, is_end: bool) -> None:
        if len(self._rows) * LEAST_RECORD < self._filled + LEAST_RECORD:
            self._rows = np.empty(self._filled // LEAST_RECORD + 1, FRAME)
        count, status = 0, Status.MORE_INTERFACES
        while status == Status.MORE_INTERFACES:
            found, status = scan_batch(
                self.data[: self._filled], self._rows[count:], self._interfaces, self._cursor
            )
            count += found
            if status == Status.MORE_INTERFACES:
                more = np.zeros_like(self._interfaces)
                self._interfaces = np.concatenate([self._interfaces, more])
        if not is_end and self._is_to_come(status):
            # What is there of the last record comes again when the rest has come.
            at = int(self._cursor["offset"][0])
            count -= bool(count and self._rows["offset"][count - 1] > at)
            status = Status.MORE
        self._settle(self._rows[:count], Status(status), is_end)

    def _is_to_come(self, status: int) -> bool:
        """More bytes may give another answer: not the whole of a block was in sight."""
        if status == Status.NOT_CAPTURE:
            return self._filled < LEAST_RECORD
        left = self._filled - int(self._cursor["offset"][0])
        return bool(status == Status.TRUNCATED or left < MAX_BLOCK)

    def _settle(self, frames: Array, status: Status, is_end: bool) -> None:
        offset = self._base + int(self._cursor["offset"][0])
        if status not in (Status.DONE, Status.MORE, Status.TRUNCATED):
            self._error = corrupt(status, offset, self._source)
        wrong = unreadable(frames, self.found, self._source) if len(frames) else None
        if wrong is not None:
            frames, self._error = frames[: wrong[0]], wrong[1]
        self.frames = frames
        self.found += len(frames)
        if status == Status.TRUNCATED:
            self._oddities.say(truncated(frames, self.found, offset))
        self._oddities.look(frames, self.found - len(frames))
        self.is_over = is_end and self._error is None


class Windows:
    """The frames of some captures in the order in which they happened, window by window.

    The order is that of dataplane.replay.capture.merge, and what a window holds does not change
    it: a frame waits until no earlier one can come from another capture.

    window_bytes  of captures in memory; a capture whose largest record is longer needs more
    """

    def __init__(self, paths: Sequence[str], window_bytes: int = WINDOW_BYTES):
        share = max(window_bytes // max(len(paths), 1), LEAST_WINDOW)
        self._streams = [CaptureStream(path, share) for path in paths]
        self.count = 0  # frames so far
        self._due = [0 for _ in paths]  # the latest time in what was taken of each

    @property
    def paths(self) -> list[str]:
        return [stream.path for stream in self._streams]

    @property
    def warnings(self) -> list[str]:
        return [warning for stream in self._streams for warning in stream.warnings]

    @property
    def position(self) -> int:
        """Bytes of the files that were read."""
        return sum(stream.input.position for stream in self._streams)

    @property
    def size(self) -> int:
        """Bytes of the files; 0 = not known."""
        sizes = [stream.input.size for stream in self._streams]
        return sum(sizes) if all(sizes) else 0

    def __iter__(self) -> Iterator[Frames]:
        """Each is there until the next one is asked for.  Raises CaptureError."""
        while True:
            for stream in self._streams:
                stream.fill()
            if not any(len(stream.frames) for stream in self._streams):
                return
            found = self._window()
            self.count += len(found)
            yield found

    def _window(self) -> Frames:
        due = [self._times_due(at) for at in range(len(self._streams))]
        counts = self._ready(due)
        parts = [stream.frames[:count] for stream, count in zip(self._streams, counts, strict=True)]
        numbers = [
            np.arange(stream.first_number, stream.first_number + count, dtype=np.uint32)
            for stream, count in zip(self._streams, counts, strict=True)
        ]
        source = np.repeat(np.arange(len(parts), dtype=np.uint32), counts)
        captures = tuple(
            Capture(stream.path, stream.data.data, part, stream.frames[:0], [])
            for stream, part in zip(self._streams, parts, strict=True)
        )
        buffers = Buffers([stream.data for stream in self._streams])
        found = Frames(captures, _joined(parts), source, _joined(numbers), buffers)
        if len(parts) > 1:
            order = np.argsort(_joined([times[:n] for times, n in zip(due, counts, strict=True)]),
                               kind="stable")  # fmt: skip
            found = replace(
                found, records=found.records[order], source=source[order],
                number=found.number[order],
            )  # fmt: skip
        self._take(due, counts)
        return found

    def _times_due(self, at: int) -> Array:
        """A frame is due when no earlier frame of its own file is still to come."""
        times = self._streams[at].frames["time_ns"]
        if len(self._streams) == 1:
            return times
        return np.maximum(np.maximum.accumulate(times), np.uint64(self._due[at]))

    def _ready(self, due: Sequence[Array]) -> list[int]:
        """How many frames of each capture nothing can come before any more.

        That of which the last frame in sight is the earliest has to be read on; of frames at the
        same time those of the first capture come first.
        """
        going = [
            (int(due[at][-1]), at) for at, stream in enumerate(self._streams) if not stream.is_over
        ]
        if not going or len(self._streams) == 1:
            return [len(times) for times in due]
        last, which = min(going)
        return [
            int(np.searchsorted(times, np.uint64(last), "right" if at <= which else "left"))
            for at, times in enumerate(due)
        ]

    def _take(self, due: Sequence[Array], counts: Sequence[int]) -> None:
        for at, (stream, times, count) in enumerate(zip(self._streams, due, counts, strict=True)):
            if count:
                self._due[at] = int(times[count - 1])
            stream.take(count)


def _joined(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
