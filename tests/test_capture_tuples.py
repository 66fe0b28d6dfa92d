"""5-tuples of a capture: the kernel equals the specification, and what records begin with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath.capture_tuples import five_tuples
from dataplane.image.encode import pair
from dataplane.reference.capture_tuples import five_tuple
from dataplane.replay.capture import FIVE_TUPLE, FRAME

from . import frames as fr
from .strategies import damaged_frames, frames


def found_in(cases):
    """(frame, length on the wire), read in one batch."""
    rows = np.zeros(len(cases), FRAME)
    offset = 0
    for row, (frame, length) in zip(rows, cases, strict=True):
        row["offset"], row["captured"], row["length"] = offset, len(frame), length
        offset += len(frame)
    found = np.full(len(cases), 1, np.uint8).repeat(FIVE_TUPLE.itemsize).view(FIVE_TUPLE)
    five_tuples(
        rows, np.frombuffer(b"".join(frame for frame, _ in cases) or b"\0", np.uint8), found
    )
    return found.tolist()


def expected(frame, length):
    fields, flags, is_fragment = five_tuple(frame, length)
    return (
        pair(fields.src), pair(fields.dst), fields.sport, fields.dport, fields.family,
        fields.protocol, flags, int(is_fragment),
    )  # fmt: skip


cut = st.tuples(frames() | damaged_frames(), st.sampled_from([0, 0, 0, 6, 1400]))


@given(st.lists(cut, min_size=1, max_size=30))
def test_five_tuples_equal_the_specification(drawn):
    cases = [(frame, len(frame) + more) for frame, more in drawn]
    assert found_in(cases) == [expected(*case) for case in cases]


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=3))
def test_any_bytes(drawn):
    cases = [(frame, len(frame)) for frame in drawn]
    assert found_in(cases) == [expected(*case) for case in cases]


A, B = "10.1.0.2", "10.2.0.3"
MAC = ("02:00:00:00:00:01", "02:00:00:00:00:02", b"\x08\x00")


def plain(proto, body, **fields):
    return fr.ether(*MAC, fr.ipv4(A, B, proto, body, **fields))


TCP = fr.tcp(A, 1000, B, 80, fr.SYN)


@pytest.mark.parametrize(
    ("frame", "ports", "family"),
    [
        (plain(6, TCP), (1000, 80), 4),
        (plain(6, TCP)[:53], (0, 0), 0),  # a byte of the transport header is missing
        (plain(17, b"\0\x35\xff\xff\0\x08\0\0" + bytes(20)), (53, 65535), 4),
        (plain(1, b"\x08\0\0\0\x12\x34\0\0" + bytes(20)), (0x1234, 0x0800), 4),
        (plain(47, bytes(40)), (0, 0), 4),
        (plain(6, TCP)[:24] + b"\0\0" + plain(6, TCP)[26:], (0, 0), 0),  # the checksum is wrong
        (fr.ether(*MAC[:2], b"\x08\x06", bytes(46)), (0, 0), 0),
        (b"", (0, 0), 0),
    ],
)
def test_cases(frame, ports, family):
    (found,) = found_in([(frame, len(frame))])
    assert (found[2:4], found[4]) == (ports, family)
    assert found == expected(frame, len(frame))


def test_what_does_not_lie_in_the_data():
    rows = np.zeros(2, FRAME)
    rows["captured"] = 60, 61
    with pytest.raises(ValueError, match="frame 1 does not lie"):
        five_tuples(rows, np.zeros(60, np.uint8), np.zeros(2, FIVE_TUPLE))
    rows["offset"] = 2**64 - 1
    with pytest.raises(ValueError, match="frame 0 does not lie"):
        five_tuples(rows, np.zeros(60, np.uint8), np.zeros(2, FIVE_TUPLE))
    with pytest.raises(ValueError, match="2 frames, and room for 1"):
        five_tuples(rows, np.zeros(60, np.uint8), np.zeros(1, FIVE_TUPLE))
