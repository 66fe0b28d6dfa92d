"""Output frames as captures: one file per tapped device, written as the frames come."""

import os
from io import FileIO
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from _fastpath.capture_frames import format_taps, measure_taps
from dataplane.errors import CaptureError, Source, UsageError
from dataplane.replay.capture_write import FILE_HEADER, FIRST_UNWRITABLE_NS, is_replaceable
from dataplane.replay.result import Result

# Of what is written at a time: of more, ext4 (6.18) takes 250 to 800 ns a packet instead of 245.
PIECE = 1 << 20
LAST_SECOND = FIRST_UNWRITABLE_NS // 10**9 - 1


class TapFiles:
    """NODE-DEVICE.pcap for each device at which a frame was seen.

    Written beside their names, and renamed by `finish`: so nobody ever reads half of one.  Left
    without it, as a context, they vanish.

    raises  UsageError if there cannot be such a folder, CaptureError if a file cannot be written
    """

    def __init__(self, folder: str | Path):
        self._folder = Path(folder)
        self._partial: dict[str, Path] = {}  # path -> where it is written
        self._pipes: dict[str, FileIO] = {}  # open, for they end when they are closed
        self._records = np.empty(0, np.uint8)  # of the packets that were taken last
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: {error.strerror or error}") from None

    def take(self, result: Result) -> None:
        """The output frames of the next packets."""
        rows, data = result.output.rows, result.output.data
        devices = result.image.names.devices
        sizes = np.zeros(len(devices), np.uint64)
        if measure_taps(rows, data, sizes) > LAST_SECOND:
            message = "a frame is later than 2106: pcap has no such time"
            raise CaptureError(message, Source(str(self._folder), 0))
        ends = np.cumsum(sizes)
        starts = ends - sizes
        # One buffer for all, and one write for each device: the frames are touched once.
        records = self._room(int(ends[-1]) if len(ends) else 0)
        format_taps(rows, data, starts.copy(), records)
        for index in np.flatnonzero(sizes).tolist():
            self._append(file_name(*devices[index]), records[starts[index] : ends[index]].data)

    def _room(self, size: int) -> NDArray[np.uint8]:
        """The same memory again: new pages would be zeroed first, 200 ns a packet."""
        if len(self._records) < size:
            self._records = np.empty(size, np.uint8)
        return self._records[:size]

    def _append(self, name: str, records: memoryview) -> None:
        """Files are not kept open: a cluster may have more devices than a process may files."""
        path = str(self._folder / name)
        try:
            if path not in self._partial:
                self._begin(path)
            if path in self._pipes:
                _write(self._pipes[path], records)
                return
            with self._partial[path].open("ab", buffering=0) as file:
                _write(file, records)
        except OSError as error:
            raise CaptureError(error.strerror or str(error), Source(path, 0)) from error

    def _begin(self, path: str) -> None:
        if is_replaceable(path):
            partial = self._partial[path] = Path(f"{path}.part-{os.getpid()}")
            partial.write_bytes(FILE_HEADER)
            return
        self._partial[path] = Path(path)
        self._pipes[path] = Path(path).open("wb", buffering=0)  # noqa: SIM115  who reads it waits
        _write(self._pipes[path], memoryview(FILE_HEADER))

    def finish(self) -> list[str]:
        """The paths, sorted."""
        written = sorted(self._partial)
        for path, partial in self._partial.items():
            if path not in self._pipes:
                partial.replace(path)
        self._close()
        return written

    def _close(self) -> None:
        for pipe in self._pipes.values():
            pipe.close()
        self._partial, self._pipes = {}, {}

    def __enter__(self) -> "TapFiles":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for path, partial in self._partial.items():
            if path not in self._pipes:
                partial.unlink(missing_ok=True)
        self._close()


def _write(file: FileIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data[:PIECE]) :]


def write(result: Result, folder: str | Path) -> list[str]:
    """All of a result at once; the paths, sorted.  Raises as TapFiles does."""
    with TapFiles(folder) as files:
        files.take(result)
        return files.finish()


def file_name(node: str, device: str) -> str:
    """Names come from dumps too: none leads out of the folder."""
    return f"{node}-{device}.pcap".replace("/", "_").replace("\0", "_")
