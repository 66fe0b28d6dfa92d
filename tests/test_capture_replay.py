"""Opening and merging captures: dataplane.replay.capture, capture_file and linktypes."""

import bz2
import gzip
import heapq
import io
import lzma
import os
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import CaptureError
from dataplane.replay.capture import merge, open_captures, read

from . import capture_files as write
from .capture_files import hostile_files

ONE = write.pcap([write.frame(b"\1" * 14, 1, 5)])


def put(directory, data, name="x.pcap"):
    (directory / name).write_bytes(data)
    return str(directory / name)


def error_of(path):
    with pytest.raises(CaptureError) as error:
        read(path)
    return str(error.value).replace(f"{Path(path).parent}/", "")


READABLE = (
    "ETHERNET (1), RAW (12), RAW (14), RAW (101), LINUX_SLL (113), IPV4 (228), IPV6 (229), "
    "LINUX_SLL2 (276)"
)
REFUSED = [
    (b"snoop\0\0\0" + b"\0" * 20, "a Solaris snoop file, but only pcap and pcapng are read"),
    (b"GMBU" + b"\0" * 20, "a Microsoft Network Monitor 2 file, but only pcap and pcapng are read"),
    (b"kind: Service\n", "neither pcap nor pcapng"),
    (b"\0", "neither pcap nor pcapng"),
    (
        write.pcap([], version=(1, 9)),
        "corrupt at byte 0: a version that is not known (pcap 2.x and pcapng 1.0 are)",
    ),
    (
        ONE + b"\0" * 8 + b"\xff" * 8,
        "corrupt at byte 54: a frame longer than its block or than 262144 bytes",
    ),
    (
        write.section() + write.simple("<", b"x", 1),
        "corrupt at byte 28: a packet of an interface that was not described",
    ),
    (
        write.pcap([write.frame(b"x")], linktype=127),
        f"packet 1 has link type IEEE802_11_RADIOTAP (127), but only these are read: {READABLE}",
    ),
    (
        write.section() + write.interface() + write.interface(linktype=4711)
        + write.enhanced("<", 0, 0, b"x", 1) + write.enhanced("<", 1, 0, b"x", 1),
        f"packet 2 has link type number 4711, but only these are read: {READABLE}",
    ),
    (b"\x1f\x8b nonsense", "not gzip data: Unknown compression method"),
    (b"\xfd7zXZ\0 nonsense", "not xz data: Corrupt input data"),
]  # fmt: skip


@pytest.mark.parametrize("data, message", REFUSED)
def test_refusals(tmp_path, data, message):
    assert error_of(put(tmp_path, data)) == f"x.pcap: {message}"


@pytest.mark.parametrize(
    "magic, name", [(b"\x28\xb5\x2f\xfd", "zstd"), (b"\x04\x22\x4d\x18", "lz4")]
)
def test_compressions_without_their_module_are_named(tmp_path, monkeypatch, magic, name):
    for module in ("compression.zstd", "zstandard", "lz4.frame"):
        monkeypatch.setitem(sys.modules, module, None)
    message = error_of(put(tmp_path, magic + b"\0" * 20))
    assert message.startswith(f"x.pcap: compressed with {name}, and module ")


def test_missing_file_and_directory(tmp_path):
    assert error_of(str(tmp_path / "no.pcap")) == "no.pcap: No such file or directory"
    assert error_of(str(tmp_path / ".")).endswith("Is a directory")


ODDITIES = [
    (b"", "the file is empty"),
    (ONE[:-2], "the file ends within the record at byte 24; 12 bytes of packet 1 are kept"),
    (ONE + b"\0\0", "the file ends within the record at byte 54"),
    (ONE[:20], "the file ends within the record at byte 0"),
    (
        write.pcap([write.Written(1, 10**6, b"\1" * 14, 14)] * 2),
        "packet 1 has a fraction of one second or more; carried into the seconds (and 1 more)",
    ),
    (
        write.pcap([write.frame(b"\1" * 14, time) for time in (3, 5, 4, 6, 2, 7)]),
        "packet 3 is earlier than the packet before it (and 1 more)",
    ),
    (
        write.pcap([write.Written(0, 0, b"\1" * 14, 5)]),
        "packet 1 is said to be shorter than what was captured of it",
    ),
    (
        write.section() + write.interface() + write.simple("<", b"\1" * 14, 14),
        "packet 1 has no time; the time of the packet before is used",
    ),
]


@pytest.mark.parametrize("data, warning", ODDITIES)
def test_odd_captures_are_read_with_one_warning(tmp_path, data, warning):
    path = put(tmp_path, data)
    assert read(path).warnings == [f"{path}: {warning}"]


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress])
def test_compressed_captures_are_known_by_their_magic(tmp_path, compress):
    path = put(tmp_path, compress(ONE))
    assert bytes(read(path).data) == ONE


def test_gzip_members_follow_each_other(tmp_path):
    path = put(tmp_path, gzip.compress(ONE[:30]) + gzip.compress(ONE[30:]))
    assert bytes(read(path).data) == ONE


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_compressed_capture_that_ends_early_is_kept_as_far_as_it_goes(tmp_path, compress):
    whole = write.pcap([write.frame(os.urandom(100)) for _ in range(2000)])
    packed = compress(whole)
    capture = read(put(tmp_path, packed[: len(packed) // 2]))
    assert 0 < len(capture.frames) < 2000
    assert bytes(capture.data) == whole[: len(capture.data)]
    assert capture.warnings[0].endswith("data ends early")


def test_compressed_capture_of_which_nothing_is_left(tmp_path):
    path = put(tmp_path, gzip.compress(ONE)[:10])
    warnings = [f"{path}: the gzip data ends early", f"{path}: the file is empty"]
    assert read(path).warnings == warnings


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(ONE))))
    frames = open_captures(["-"])
    assert frames.raw(0) == b"\1" * 14 and str(frames.where(0)) == "-:1"


def test_closed_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CaptureError, match="standard input is closed"):
        read("-")


def test_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(ONE,))
    writer.start()
    assert read(str(path)).frames["time_ns"].tolist() == [1_000_005_000]
    writer.join()


times = st.lists(st.integers(0, 4), max_size=6)


@given(st.lists(times, max_size=3))
def test_merge_equals_heapq(tmp_path_factory, files):
    """heapq.merge takes the earliest of the frames that are next in their files."""
    directory = tmp_path_factory.mktemp("merged")
    listed = []
    for source, file in enumerate(files):
        put(directory, write.pcap([write.frame(b"x", time) for time in file]), f"{source}.pcap")
        listed.append([(time, source, number) for number, time in enumerate(file, start=1)])
    frames = merge([read(str(directory / f"{source}.pcap")) for source in range(len(files))])
    found = zip(frames.records["time_ns"] // 10**9, frames.source, frames.number, strict=True)
    assert list(found) == list(heapq.merge(*listed, key=lambda frame: frame[0]))


def test_frames_of_several_captures(tmp_path):
    raw_ip = write.pcap([write.frame(b"\x45" + b"\0" * 19, 2)], linktype=101)
    ethernet = write.pcap([write.frame(b"\1" * 14, 1), write.frame(b"\2" * 15, 3)])
    frames = open_captures([put(tmp_path, raw_ip, "a"), put(tmp_path, ethernet, "b")])
    assert len(frames) == 3 and frames.warnings == []
    assert [str(frames.where(i)).split("/")[-1] for i in range(3)] == ["b:1", "a:1", "b:2"]
    assert frames.raw(1) == b"\x45" + b"\0" * 19
    records, data = frames.ethernet(1)
    assert records["captured"].tolist() == [34, 15]
    assert data[:35].tobytes() == b"\0" * 12 + b"\x08\0\x45" + b"\0" * 19 + b"\2"


def test_no_captures():
    frames = open_captures([])
    assert len(frames) == 0 and [len(array) for array in frames.ethernet()] == [0, 0]


@given(hostile_files)
def test_hostile_files_give_frames_or_one_error(tmp_path_factory, data):
    path = put(tmp_path_factory.mktemp("hostile"), data)
    try:
        frames = open_captures([path])
    except CaptureError as error:
        assert str(error).startswith(f"{path}: ")
        return
    records, _ = frames.ethernet()
    assert len(records) == len(frames)
