"""Captures window by window hold the same frames, in the same order, as captures in one piece."""

import bz2
import gzip
import io
import lzma
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataplane.errors import CaptureError
from dataplane.replay import capture_stream
from dataplane.replay.capture import open_captures
from dataplane.replay.capture_stream import Windows
from tests import capture_files as write
from tests.capture_files import files, hostile_files

Told = tuple[list[tuple[object, ...]], list[str], str]


def in_windows(paths: list[str], window: int) -> Told:
    """Frames by file and number, what was said, and the error."""
    windows, found, error = Windows(paths, window), [], ""
    try:
        for frames in windows:
            found += told(frames)
    except CaptureError as wrong:
        error = str(wrong)
    return found, sorted(windows.warnings), error


def told(frames: capture_stream.Frames) -> list[tuple[object, ...]]:
    return [
        (str(frames.where(at)), frames.raw(at), *frames.records[at].tolist()[:1],
         *frames.records[at].tolist()[3:])
        for at in range(len(frames))
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_stream, "LEAST_WINDOW", 1)


def put(directory: Path, data: bytes, name: str) -> str:
    (directory / name).write_bytes(data)
    return str(directory / name)


# A frame of a link type that is not read, and a record that is corrupt behind it.
TWICE_WRONG = write.pcap([write.frame(b"\0" * 20)], linktype=0) + b"\xff" * 16


@example(data=TWICE_WRONG, window=1)
@given(data=files | hostile_files, window=st.sampled_from([1, 24, 40, 100, 1 << 16]))
def test_windows_equal_the_whole(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, window: int
) -> None:
    path = put(tmp_path_factory.mktemp("window"), data, "x.pcap")
    found, warnings, error = in_windows([path], window)
    assert (found, warnings, error) == in_windows([path], 1 << 20)
    try:
        whole = open_captures([path])
    except CaptureError as wrong:
        assert error == str(wrong)
        return
    assert (found, warnings, error) == (told(whole), sorted(whole.warnings), "")


times = st.lists(st.integers(0, 4), max_size=12)


@given(drawn=st.lists(times, min_size=2, max_size=3), window=st.sampled_from([1, 60, 200, 1 << 16]))
def test_windows_are_merged_as_the_whole(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[list[int]], window: int
) -> None:
    directory = tmp_path_factory.mktemp("merged")
    paths = [
        put(directory, write.pcap([write.frame(b"x" * 14, time) for time in file]), f"{at}.pcap")
        for at, file in enumerate(drawn)
    ]
    assert in_windows(paths, window)[0] == told(open_captures(paths))


MANY = write.pcap([write.frame(os.urandom(100), number) for number in range(2000)])


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, bz2.compress])
@pytest.mark.parametrize("window", [500, 1 << 20])
def test_compressed(tmp_path: Path, compress: type[bytes], window: int) -> None:
    path = put(tmp_path, compress(MANY), "x")
    windows = Windows([path], window)
    assert sum(len(frames) for frames in windows) == 2000 == windows.count
    assert windows.position == windows.size == Path(path).stat().st_size


def test_compressed_data_that_ends_early(tmp_path: Path) -> None:
    packed = gzip.compress(MANY)
    path = put(tmp_path, packed[: len(packed) // 2], "x")
    found, warnings, error = in_windows([path], 5000)
    whole = open_captures([path])
    assert (found, warnings, error) == (told(whole), sorted(whole.warnings), "")
    assert 0 < len(found) < 2000


def test_a_pipe_is_read_as_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    is_seen = threading.Event()

    def feed() -> None:
        with path.open("wb", buffering=0) as pipe:
            pipe.write(MANY[:24360])
            is_seen.wait(20)  # for the window that holds what was written
            pipe.write(MANY[24360:])

    feeder = threading.Thread(target=feed)
    feeder.start()
    counts = []
    for frames in Windows([str(path)]):
        counts.append(len(frames))
        is_seen.set()
    feeder.join()
    assert counts[0] == 209 and sum(counts) == 2000


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(MANY))))
    assert len(in_windows(["-"], 1000)[0]) == 2000
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CaptureError, match="standard input is closed"):
        Windows(["-"])


def test_what_comes_before_the_damage_is_told(tmp_path: Path) -> None:
    good = write.pcap([write.frame(b"\1" * 14, second) for second in range(3)])
    path = put(tmp_path, good + b"\0" * 8 + b"\xff" * 8, "x")
    for window in (1, 50, 1 << 20):
        found, _, error = in_windows([path], window)
        assert len(found) == 3
        assert error.endswith(
            "x: corrupt at byte 114: a frame longer than its block or than 262144 bytes"
        )


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        Windows([str(tmp_path / "no.pcap")])
    with pytest.raises(CaptureError, match="Is a directory"):
        Windows([str(tmp_path)])


def test_only_a_window_is_in_memory(tmp_path: Path) -> None:
    path = put(tmp_path, MANY * 1, "x")
    windows = Windows([path], 1 << 14)
    for frames in windows:
        assert len(np.asarray(frames.captures[0].data)) == 1 << 14
