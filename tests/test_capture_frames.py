import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath.capture import FrameFlag
from _fastpath.capture_frames import (
    MAX_GROWTH,
    Buffers,
    format_records,
    format_taps,
    measure_taps,
    to_ethernet,
)
from dataplane.image.dtypes import TAP
from dataplane.reference import capture as reference
from dataplane.replay.capture import FRAME, INTERFACE

from .capture_files import payloads

IPV4, IPV6 = b"\x45" + b"\0" * 19, b"\x60" + b"\0" * 39
ZERO = b"\0" * 12


def frames_of(*rows):
    """Rows are (offset, captured, length, link type)."""
    return np.array([(0, *row[:3], 0, row[3], 0) for row in rows], FRAME)


def ethernet_of(frames, sources, data):
    written = np.empty_like(frames)
    out = np.empty(int(frames["captured"].sum()) + MAX_GROWTH * len(frames), np.uint8)
    to_ethernet(frames, np.array(sources, np.uint32), Buffers(data), out, written)
    return written, out.tobytes()


raw_frames = st.tuples(
    st.sampled_from([1, 12, 14, 101, 113, 228, 229, 276, 239]),
    payloads | st.sampled_from([IPV4, IPV6, b"\0" * 14 + b"\0\x04BPDU", b"\0\x01" + b"\0" * 30]),
    st.sampled_from([0, 7, 1600, 2**32 - 100]),
)


@given(st.lists(raw_frames, min_size=1, max_size=5))
def test_ethernet_form_equals_reference(cases):
    rows = [(0, len(data), len(data) + cut, linktype) for linktype, data, cut in cases]
    data = [data for _, data, _ in cases]
    written, out = ethernet_of(frames_of(*rows), range(len(cases)), data)
    for frame, (_, _, length, linktype), raw in zip(written, rows, data, strict=True):
        expected = reference.to_ethernet(linktype, raw, length)
        assert bool(frame["flags"] & FrameFlag.FRAME_FORMLESS) == (expected is None)
        if expected:
            here = int(frame["offset"])
            assert out[here : here + int(frame["captured"])] == expected[0]
            assert frame["length"] == expected[1] and frame["linktype"] == 1


# Link type and frame as recorded; the Ethernet frame it becomes, None if too short.
FORMS = [
    (1, b"\1" * 14, b"\1" * 14),
    (1, b"\1" * 13, None),
    (113, b"\0\4\0\1\0\6" + b"\2" * 8 + b"\x08\x06ARP", ZERO + b"\x08\x06ARP"),
    (113, b"\0" * 14 + b"\0\4BPDU", ZERO + b"\0\4BPDU"),  # 802.2: the length of "BPDU"
    (113, b"\0" * 14 + b"\x08\0", ZERO + b"\x08\0"),
    (113, b"\0" * 15, None),
    (276, b"\x86\xdd" + b"\7" * 18 + IPV6, ZERO + b"\x86\xdd" + IPV6),
    (276, b"\x86\xdd" + b"\7" * 17, None),
    (101, IPV4, ZERO + b"\x08\0" + IPV4),
    (12, IPV6, ZERO + b"\x86\xdd" + IPV6),
    (14, b"\x50", None),
    (101, b"", None),
    (228, b"\x45", ZERO + b"\x08\0\x45"),
    (229, b"\x60", ZERO + b"\x86\xdd\x60"),
    (228, b"", None),
]


@pytest.mark.parametrize("linktype, raw, expected", FORMS)
def test_ethernet_form(linktype, raw, expected):
    written, out = ethernet_of(frames_of((0, len(raw), len(raw), linktype)), [0], [raw])
    assert out[: int(written["captured"][0])] == (expected or b"")
    assert expected is None or written["length"][0] == len(expected)
    assert reference.to_ethernet(linktype, raw, len(raw)) == (
        (expected, len(expected)) if expected else None
    )


def test_ethernet_form_keeps_what_it_does_not_change():
    frames = frames_of((2, 14, 99, 1))
    frames["time_ns"], frames["interface"], frames["flags"] = 5, 6, FrameFlag.FRAME_CUT
    written, _ = ethernet_of(frames, [0], [b"ab" + b"\1" * 14])
    assert written.tolist() == [(5, 0, 14, 99, 6, 1, FrameFlag.FRAME_CUT)]


@pytest.mark.parametrize(
    "row, source",
    [((0, 5, 5, 1), 0), ((2**64 - 1, 4, 4, 1), 0), ((5, 0, 0, 1), 0), ((0, 1, 1, 1), 1)],
)
def test_ethernet_form_refuses_frames_out_of_bounds(row, source):
    with pytest.raises(ValueError, match="frame 0 is out of bounds"):
        ethernet_of(frames_of(row), [source], [b"four"])


def test_ethernet_form_refuses_too_little_room():
    frames = frames_of((0, 4, 4, 228))
    with pytest.raises(ValueError, match="no room"):
        to_ethernet(
            frames, np.zeros(1, np.uint32), Buffers([b"four"]), np.empty(17, np.uint8), frames
        )


def test_ethernet_form_refuses_unequal_lengths():
    frames = frames_of((0, 4, 4, 228))
    with pytest.raises(ValueError, match="1 frames, 2 sources, room for 1"):
        to_ethernet(frames, np.zeros(2, np.uint32), Buffers([b""]), np.empty(99, np.uint8), frames)


def test_buffers_keep_their_objects_in_place():
    growing = bytearray(b"data")
    buffers = Buffers([growing, b"more"])
    assert buffers.count == 2
    with pytest.raises(BufferError):
        growing.extend(b"x")
    del buffers
    growing.extend(b"x")


def test_buffers_refuse_what_has_no_bytes():
    with pytest.raises(TypeError, match="bytes-like"):
        Buffers([b"data", 5])


@pytest.mark.parametrize(
    "row, room", [((0, 5, 5, 1), 99), ((0, 4, 4, 1), 19), ((2**64 - 1, 2, 2, 1), 99)]
)
def test_records_refuse_frames_out_of_bounds(row, room):
    with pytest.raises(ValueError, match="out of bounds"):
        format_records(frames_of(row), b"four", np.empty(room, np.uint8))


def test_records_refuse_frames_longer_than_the_snaplen():
    size = 262145
    with pytest.raises(ValueError, match="too long"):
        format_records(frames_of((0, size, size, 1)), bytes(size), np.empty(size + 16, np.uint8))


def test_records_refuse_array_of_another_layout():
    with pytest.raises(ValueError, match="Buffer dtype mismatch"):
        format_records(np.zeros(1, INTERFACE), b"", np.empty(99, np.uint8))


def taps_of(*rows):
    """Rows are (device, time, offset, size, length)."""
    found = np.zeros(len(rows), TAP)
    for row, values in zip(found, rows, strict=True):
        for name, value in zip(
            ("device", "time_ns", "offset", "size", "length"), values, strict=True
        ):
            row[name] = value
    return found


tap_rows = st.tuples(
    st.integers(0, 3), st.integers(0, 2**32 * 10**9 - 1), st.integers(0, 20), st.integers(0, 20),
    st.integers(0, 2000),
)  # fmt: skip


@given(st.lists(tap_rows, max_size=12))
def test_format_taps_gives_each_device_its_frames_in_order(rows):
    data = np.arange(40, dtype=np.uint8)
    taps, sizes = taps_of(*rows), np.zeros(4, np.uint64)
    assert measure_taps(taps, data, sizes) == max([row[1] for row in rows], default=0) // 10**9
    ends = np.cumsum(sizes)
    out = np.empty(int(ends[-1]), np.uint8)
    format_taps(taps, data, ends - sizes, out)
    for device in range(4):
        mine = [row for row in rows if row[0] == device]
        expected = b"".join(
            struct.pack("<IIII", *divmod(time, 10**9), size, length) + bytes(data[at : at + size])
            for _, time, at, size, length in mine
        )
        assert out[int(ends[device] - sizes[device]) : int(ends[device])].tobytes() == expected


@pytest.mark.parametrize(
    "row", [(-1, 0, 0, 1, 1), (4, 0, 0, 1, 1), (0, 0, 39, 2, 2), (0, 0, 2**64 - 1, 2, 2)]
)
def test_format_taps_refuses_what_is_out_of_bounds(row):
    with pytest.raises(ValueError, match="of no device, or out of bounds"):
        measure_taps(taps_of(row), np.zeros(40, np.uint8), np.zeros(4, np.uint64))


def test_format_taps_refuses_too_little_room():
    starts = np.zeros(4, np.uint64)
    with pytest.raises(ValueError, match="have no room"):
        format_taps(
            taps_of((0, 0, 0, 1, 1)), np.zeros(40, np.uint8), starts, np.zeros(99, np.uint8)
        )
