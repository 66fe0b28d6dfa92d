"""Rows numbered by what they are: the kernel equals the specification, however often it grows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath.distinct import number_rows
from dataplane.reference import distinct as reference
from dataplane.replay import coded

rows = st.tuples(st.binary(min_size=16, max_size=16) | st.sampled_from([b"\0" * 16, b"\1" * 16]),
                 st.sampled_from([0, 4, 6]))  # fmt: skip


def arrays(drawn, width=16):
    data = np.frombuffer(b"".join(row for row, _ in drawn), np.uint8).reshape(-1, width)
    return data, np.array([tag for _, tag in drawn], np.uint8)


@given(st.lists(st.lists(rows, max_size=20), max_size=4))
def test_numbers_equal_the_specification(windows):
    table, seen = coded.Distinct(16), {}
    for drawn in windows:
        found = table.number(*arrays(drawn)).tolist()
        assert found == reference.number_rows(drawn, seen)
        assert table.count == len(seen)
    keys = [(bytes(key[:16]), int(key[16])) for key in table.keys_from(0)]
    assert keys == list(seen)


def test_numbers_stay_when_the_table_grows():
    table = coded.Distinct(8)
    values = np.random.default_rng(1519).integers(0, 5000, 20_000).astype(np.uint64)
    drawn = [(value.tobytes(), 0) for value in values]
    seen = {}
    for start in range(0, len(drawn), 3000):
        part = drawn[start : start + 3000]
        assert table.number(*arrays(part, 8)).tolist() == reference.number_rows(part, seen)


def test_rows_within_longer_ones():
    records = np.arange(400, dtype=np.uint8).reshape(10, 40)[::2, 8:24]
    found = coded.Distinct(16).number(records, np.zeros(5, np.uint8))
    assert found.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("width", "keys", "slots", "count"),
    [(7, 15, 8, 0), (8, 8, 8, 0), (8, 16, 6, 0), (8, 16, 4, 0), (8, 16, 8, 5)],
)
def test_arrays_that_do_not_fit(width, keys, slots, count):
    with pytest.raises(ValueError, match=r"do not fit together|power of two"):
        number_rows(np.zeros((3, width), np.uint8), np.zeros(3, np.uint8),
                    np.zeros((4, keys), np.uint8), np.zeros(slots, np.uint32), count,
                    np.zeros(3, np.uint32))  # fmt: skip
