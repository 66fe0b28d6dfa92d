from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.reference.checksum import (
    checksum,
    crc32c,
    fold,
    ones_sum,
    pseudo_header,
    replaced,
    replaced_sum,
)


def test_sum_of_rfc_1071():
    """Section 3: the words 0001 f203 f4f5 f6f7 sum to ddf2."""
    assert ones_sum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2


def test_odd_last_byte_is_padded_with_zero():
    assert ones_sum(b"\x01\x02\x03") == ones_sum(b"\x01\x02\x03\x00") == 0x0402


def test_example_of_rfc_1624():
    """Section 4: HC = DD2F, m = 5555, m' = 3285.  Equation 2 would give FFFF."""
    assert replaced(0xDD2F, b"\x55\x55", b"\x32\x85") == 0x0000


@pytest.mark.parametrize(
    ("total", "folded"), [(0, 0), (0xFFFF, 0xFFFF), (0x10000, 1), (0x1FFFE, 0xFFFF)]
)
def test_fold(total, folded):
    assert fold(total) == folded


WORDS = st.lists(st.sampled_from([0x0000, 0xFFFF, 0x0001, 0xFFFE, 0x1234]), min_size=2, max_size=6)


@given(WORDS, st.sampled_from([0x0000, 0xFFFF, 0x0001, 0x8000]))
def test_incremental_equals_full(words, word):
    before = b"".join(word.to_bytes(2) for word in words)
    after = word.to_bytes(2) + before[2:]
    total = checksum(before)
    updated = replaced(total, before[:2], after[:2])
    # The two spellings of zero are one value; an all-zero sum can only be computed anew.
    assert updated % 0xFFFF == checksum(after) % 0xFFFF
    if any(after):
        assert updated == checksum(after)


@given(WORDS, st.integers(0, 0xFFFF), st.integers(1, 0xFFFE))
def test_a_wrong_checksum_stays_wrong_by_the_same_amount(words, word, error):
    before = b"".join(word.to_bytes(2) for word in words)
    old, new = before[:2], word.to_bytes(2)
    right = checksum(before)
    wrong = (right + error) % 0xFFFF
    drift = replaced(wrong, old, new) - replaced(right, old, new)
    assert drift % 0xFFFF == error % 0xFFFF


@given(WORDS, st.integers(0, 0xFFFF))
def test_a_plain_sum_is_the_complement_of_a_checksum(words, word):
    before = b"".join(word.to_bytes(2) for word in words)
    old, new = before[:2], word.to_bytes(2)
    assert (
        replaced_sum(ones_sum(before), old, new) % 0xFFFF
        == (~replaced(checksum(before), old, new) & 0xFFFF) % 0xFFFF
    )


def test_pseudo_headers():
    four = pseudo_header(ip_address("10.0.0.1"), ip_address("10.0.0.2"), 6, 20)
    assert four == bytes.fromhex("0a0000010a00000200060014")
    six = pseudo_header(ip_address("fd00::1"), ip_address("fd00::2"), 58, 8)
    assert six[-8:] == bytes.fromhex("000000080000003a")
    assert len(six) == 40


def test_crc32c():
    """RFC 3720, appendix B.4, and the usual check value."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
