import io

import dpkt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath import capture as kernel
from _fastpath.capture import FrameFlag, Status
from dataplane.reference import capture as reference
from dataplane.replay.capture import CURSOR, FRAME, INTERFACE, scan

from . import capture_files as write
from .capture_files import files, hostile_files, orders, written

HEAD = write.section() + write.interface()
LONG_RESOLUTION = write.block("<", 1, b"\0" * 8 + b"\x09\0\x08\0" + b"\0" * 8)
CUT_OPTION = write.block("<", 1, b"\0" * 8 + b"\x01\0\x04\0")
OVERLONG = write.block("<", 6, b"\0" * 12 + b"\5\0\0\0\5\0\0\0four")


def assert_equals_reference(data, batch):
    expected, status, offset = reference.scan(data)
    found = scan(data, batch)
    assert found.frames.tolist() == [tuple(frame) for frame in expected]
    assert (found.status.name, found.offset) == (status, offset)


@given(files, st.integers(1, 4))
def test_scan_equals_reference(data, batch):
    assert_equals_reference(data, batch)


@given(hostile_files, st.integers(1, 4))
def test_scan_equals_reference_on_hostile_files(data, batch):
    assert_equals_reference(data, batch)


@given(hostile_files)
def test_hostile_files_yield_frames_within_them(data):
    frames = scan(data).frames
    ends = frames["offset"] + frames["captured"]
    assert np.all(ends <= len(data)) and np.all(frames["captured"] <= frames["length"])
    assert np.all(frames["captured"] <= kernel.MAX_FRAME)


def declared(frame, unit_ns):
    return frame.seconds * 10**9 + frame.fraction * unit_ns, frame.data, frame.length


def read_back(data, found):
    return [
        (time, data[offset : offset + captured], length)
        for time, offset, captured, length, *_ in found.frames.tolist()
    ]


@given(st.lists(written(), max_size=5), orders, st.sampled_from([write.MICRO, write.MODIFIED]))
def test_scan_inverts_writing_microseconds(frames, order, magic):
    data = write.pcap(frames, order, magic, linktype=113)
    found = scan(data)
    assert read_back(data, found) == [declared(frame, 1000) for frame in frames]
    assert found.status == Status.DONE and set(found.frames["linktype"].tolist()) <= {113}


@given(st.lists(written(10**9), max_size=5), orders)
def test_scan_inverts_writing_nanoseconds(frames, order):
    data = write.pcap(frames, order, write.NANO)
    assert read_back(data, scan(data)) == [declared(frame, 1) for frame in frames]


# Resolution, ticks, offset in seconds: the time they mean in nanoseconds.
TIMES = [
    (None, 1_500_000, None, 1_500_000_000),
    (9, 1_500_000, None, 1_500_000),
    (3, 1500, 10, 11_500_000_000),
    (0, 7, -3, 4_000_000_000),
    (12, 1_500_999, None, 1500),
    (28, 10**19, None, 1),
    (29, 2**64 - 1, 5, 5_000_000_000),
    (0x80 | 1, 3, None, 1_500_000_000),
    (0x80 | 32, 2**31, None, 500_000_000),
    (0x80 | 127, 2**64 - 1, None, 0),
    (0x80, 2, None, 2_000_000_000),
    (6, 5, -1, 0),  # before 1970
    (0, 2**64 - 1, None, 2**64 - 1),  # after 2554
    (0, 0, 2**63 - 1, 2**64 - 1),
    (0, 0, -(2**63), 0),
]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("resolution, ticks, offset, expected", TIMES)
def test_time_of_a_pcapng_packet(order, resolution, ticks, offset, expected):
    described = write.interface(order, resolution=resolution, time_offset_s=offset)
    data = write.section(order) + described + write.enhanced(order, 0, ticks, b"x", 1)
    frame = scan(data).frames[0]
    is_clamped = expected == 2**64 - 1 or (offset is not None and offset < 0 and expected == 0)
    assert frame["time_ns"] == expected
    assert bool(frame["flags"] & FrameFlag.FRAME_CLAMPED) == is_clamped


def test_sections_and_interfaces_of_both_byte_orders():
    data = b"".join([
        write.section("<"), write.interface("<", 1), write.interface("<", 113, resolution=9),
        write.enhanced("<", 1, 5, b"one", 3), write.block("<", 5, b"statistics!!"),
        write.section(">", (1, 2)), write.interface(">", 276, snaplen=2),
        write.obsolete(">", 0, 7, b"two", 9), write.simple(">", b"th", 5),
    ])  # fmt: skip
    found = scan(data)
    assert read_back(data, found) == [(5, b"one", 3), (7000, b"two", 9), (7000, b"th", 5)]
    assert found.frames["interface"].tolist() == [1, 2, 2]
    assert found.frames["linktype"].tolist() == [113, 276, 276]
    assert found.frames["flags"].tolist() == [0, 0, FrameFlag.FRAME_TIMELESS]
    assert found.interfaces["linktype"].tolist() == [1, 113, 276]


ODD = [
    # pcap, first frame's (time_ns, captured, length, linktype, flags)
    (write.pcap([write.Written(1, 2_000_001, b"x", 1)]), (3_000_001_000, 1, 1, 1, 2)),
    (write.pcap([write.Written(1, 10**9, b"x", 1)], magic=write.NANO), (2 * 10**9, 1, 1, 1, 2)),
    (write.pcap([write.Written(0, 0, b"xyz", 1)]), (0, 3, 3, 1, 16)),
    (write.pcap([write.frame(b"xyz", 0)], linktype=0x24000001), (0, 3, 3, 1, 0)),
    (write.pcap([write.frame(b"xyz", 0)], snaplen=0), (0, 3, 3, 1, 0)),
    (write.pcap([write.frame(b"xyz", 0)])[:-1], (0, 2, 3, 1, 1)),
    (write.pcap([write.frame(b"xyz", 0)], version=(2, 7)), (0, 3, 3, 1, 0)),
    (write.pcap([write.Written(0, 0, b"", 3)], version=(2, 2)) + b"xyz", (0, 3, 3, 1, 16)),
    (write.pcap([write.Written(0, 0, b"xyz", 2)], version=(2, 3)), (0, 2, 3, 1, 0)),
]


@pytest.mark.parametrize("data, expected", ODD)
def test_odd_pcap(data, expected):
    frame = scan(data).frames[0]
    names = ("time_ns", "captured", "length", "linktype", "flags")
    assert tuple(int(frame[name]) for name in names) == expected


CORRUPT = [
    (b"", "NOT_CAPTURE", 0),
    (b"abc", "NOT_CAPTURE", 0),
    (b"GET / HTTP/1.1\r\n\r\n", "NOT_CAPTURE", 0),
    (write.pcap([])[:23], "TRUNCATED", 0),
    (write.pcap([], version=(1, 2)), "BAD_VERSION", 0),
    (write.pcap([write.frame(b"")])[:-1], "TRUNCATED", 24),
    (write.pcap([write.frame(b"x"), write.frame(b"\0" * 262145)]), "BAD_FRAME", 41),
    (write.section()[:11], "TRUNCATED", 0),
    (write.section()[:20], "TRUNCATED", 0),
    (write.section(version=(2, 0)), "BAD_VERSION", 0),
    (write.section() + write.section()[:8] + b"order magic", "BAD_SECTION", 28),
    (write.section() + write.enhanced("<", 0, 0, b"x", 1), "NO_INTERFACE", 28),
    (write.section() + write.simple("<", b"x", 1), "NO_INTERFACE", 28),
    (HEAD + write.section() + write.simple("<", b"x", 1), "NO_INTERFACE", 76),
    (HEAD + write.enhanced("<", 1, 0, b"x", 1), "NO_INTERFACE", 48),
    (HEAD + write.simple("<", b"x", 9), "BAD_FRAME", 48),
    (HEAD + OVERLONG, "BAD_FRAME", 48),
    (HEAD + write.enhanced("<", 0, 0, b"x", 1)[:27], "TRUNCATED", 48),
    (HEAD + write.enhanced("<", 0, 0, b"x", 1)[:28], "TRUNCATED", 48),
    (HEAD + write.block("<", 6, b"\0" * 12), "BAD_BLOCK", 48),
    (HEAD + write.block("<", 3, b""), "BAD_BLOCK", 48),
    (HEAD + write.block("<", 1, b"\0" * 4), "BAD_BLOCK", 48),
    (HEAD + write.block("<", 5, b"odd"), "BAD_BLOCK", 48),
    (HEAD + write.block("<", 5, b"")[:-4] + b"\x10\0\0\0", "BAD_BLOCK", 48),
    (HEAD + write.block("<", 5, b"\0" * 2**24), "BAD_BLOCK", 48),
    (HEAD + write.block("<", 5, b"more")[:-1], "TRUNCATED", 48),
    (write.section() + LONG_RESOLUTION, "BAD_OPTION", 28),
    (write.section() + CUT_OPTION, "BAD_OPTION", 28),
]


@pytest.mark.parametrize("data, status, offset", CORRUPT)
def test_corrupt_files_end_where_they_are_corrupt(data, status, offset):
    assert reference.scan(data)[1:] == (status, offset)
    assert_equals_reference(data, batch=2)


@given(st.lists(written(), max_size=5), orders, st.booleans())
def test_scan_equals_dpkt_on_pcap(frames, order, is_nano):
    data = write.pcap(frames, order, write.NANO if is_nano else write.MICRO)
    expected = [(round(float(ts), 3), packet) for ts, packet in dpkt.pcap.Reader(io.BytesIO(data))]
    assert [(round(t / 1e9, 3), b) for t, b, _ in read_back(data, scan(data))] == expected


@given(st.lists(written(10**9), max_size=5), orders)
def test_scan_equals_dpkt_on_pcapng(frames, order):
    data = write.section(order) + write.interface(order, snaplen=65535, resolution=9)
    for frame in frames:
        ticks = frame.seconds * 10**9 + frame.fraction
        data += write.enhanced(order, 0, ticks, frame.data, frame.length)
    expected = [(round(ts, 3), packet) for ts, packet in dpkt.pcapng.Reader(io.BytesIO(data))]
    assert [(round(t / 1e9, 3), b) for t, b, _ in read_back(data, scan(data))] == expected


def test_flags_are_those_of_the_reference():
    assert {flag.name: flag.value for flag in reference.Flag}.items() <= {
        flag.name.removeprefix("FRAME_"): flag.value for flag in FrameFlag
    }.items()


def test_scan_goes_on_with_more_room_for_interfaces():
    data = write.section() + write.interface() * 9 + write.enhanced("<", 8, 0, b"x", 1)
    cursor, frames = np.zeros(1, CURSOR), np.zeros(1, FRAME)
    small, large = np.zeros(4, INTERFACE), np.zeros(16, INTERFACE)
    assert kernel.scan(data, frames, small, cursor) == (0, Status.MORE_INTERFACES)
    large[:4] = small
    assert kernel.scan(data, frames, large, cursor) == (1, Status.MORE)
    assert kernel.scan(data, frames, large, cursor) == (0, Status.DONE)


@pytest.mark.parametrize(
    "field, value",
    [("offset", 99), ("interfaces", 2), ("section", 1), ("format", 3), ("format", 1)],
)
def test_scan_refuses_a_cursor_it_did_not_leave(field, value):
    cursor = np.zeros(1, CURSOR)
    cursor[field] = value
    with pytest.raises(ValueError, match="cursor"):
        kernel.scan(write.pcap([]), np.zeros(1, FRAME), np.zeros(1, INTERFACE), cursor)


def test_scan_refuses_array_of_another_layout():
    with pytest.raises(ValueError, match="Buffer dtype mismatch"):
        kernel.scan(b"", np.zeros(1, INTERFACE), np.zeros(1, INTERFACE), np.zeros(1, CURSOR))
