"""Lines from columns: the kernel equals the specification, and never writes past its room."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath.lines import Lines
from dataplane.reference import lines as reference

numbers = st.integers(0, 2**64 - 1) | st.sampled_from([0, 9, 10, 99, 100, 12345, 10**19])
texts = st.lists(st.binary(max_size=12), min_size=1, max_size=4)


@st.composite
def pieces(draw, rows):
    kind = draw(st.sampled_from(["literal", "text", "number", "time"]))
    if kind == "literal":
        return reference.Literal(draw(st.binary(max_size=12)))
    if kind == "text":
        words = draw(texts)
        codes = st.lists(st.integers(0, len(words) - 1), min_size=rows, max_size=rows)
        return reference.Text(draw(codes), words)
    values = draw(st.lists(numbers, min_size=rows, max_size=rows))
    if kind == "time":
        return reference.Time(values)
    return reference.Number(values, draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))


cases = st.integers(0, 5).flatmap(
    lambda rows: st.tuples(st.lists(pieces(rows), min_size=1, max_size=8), st.just(rows))
)


def add(lines, piece):
    match piece:
        case reference.Literal(text):
            lines.literal(text)
        case reference.Text(codes, words):
            starts = np.cumsum([0, *map(len, words)]).astype(np.uint64)
            lines.text(np.array(codes, np.uint32), starts, np.frombuffer(b"".join(words), np.uint8))
        case reference.Number(values, shown):
            lines.number(np.array(values, np.uint64), np.array(shown, np.uint8))
        case reference.Time(values):
            lines.time(np.array(values, np.uint64))


@given(cases, st.integers(1, 300))
def test_lines_equal_the_specification(case, room):
    drawn, rows = case
    lines = Lines(rows)
    for piece in drawn:
        add(lines, piece)
    expected, row, found = reference.lines(drawn, rows), 0, b""
    while row < rows:
        out = np.full(room + 8, 0xEE, np.uint8)
        done, size = lines.write(row, out[:room])
        assert (out[room:] == 0xEE).all()
        assert b"".join(expected[row:done]) == out[:size].tobytes()
        if done == row:
            assert len(expected[row]) + 30 > room
            room *= 2
        found, row = found + out[:size].tobytes(), done
    assert found == b"".join(expected)


@given(st.integers(0, 2**64 - 1))
def test_times_are_those_of_the_calendar(time_ns):
    lines = Lines(1)
    lines.time(np.array([time_ns], np.uint64))
    out = np.zeros(30, np.uint8)
    lines.write(0, out)
    second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_ns // 10**9))
    assert out.tobytes().decode() == f"{second}.{time_ns % 10**9:09}Z"


def test_what_does_not_fit_is_refused():
    lines = Lines(2)
    one, two = np.zeros(1, np.uint64), np.zeros(2, np.uint64)
    with pytest.raises(ValueError, match="1 rows, but 2 lines"):
        lines.number(one)
    with pytest.raises(ValueError, match="2 values, 1 of them"):
        lines.number(two, np.zeros(1, np.uint8))
    codes = np.array([0, 1], np.uint32)
    with pytest.raises(ValueError, match="a code of no text"):
        lines.text(codes, two, np.zeros(0, np.uint8))
    for starts in ([0, 2, 1], [0, 1, 4]):
        with pytest.raises(ValueError, match="do not lie end to end"):
            lines.text(codes, np.array(starts, np.uint64), np.zeros(3, np.uint8))
    full = Lines(0)
    for _ in range(64):
        full.literal(b"x")
    with pytest.raises(ValueError, match="more than 64 pieces"):
        full.literal(b"x")
