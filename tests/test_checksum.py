"""The Internet checksum, whole and incremental, against its definition and RFC 1624."""

from hypothesis import assume, given
from hypothesis import strategies as st

from _fastpath.checksum import checksum, replace
from dataplane.reference import checksum as reference

from .strategies import words


@given(st.binary(max_size=2000))
def test_checksum_equals_reference(data):
    assert checksum(data) == reference.checksum(data)


@given(st.binary(max_size=64).filter(any))
def test_data_with_its_checksum_sums_to_zero(data):
    padded = data + b"\0" * (len(data) % 2)
    assert checksum(padded + checksum(data).to_bytes(2)) == 0


@given(st.binary(min_size=2, max_size=64), words, st.data())
def test_replace_equals_recomputation(data, new, more):
    at = 2 * more.draw(st.integers(0, len(data) // 2 - 1))
    changed = data[:at] + new.to_bytes(2) + data[at + 2 :]
    assume(any(changed))  # all zeros has two checksums; no IP header is all zeros
    old = int.from_bytes(data[at : at + 2])
    assert replace(checksum(data), old, new) == checksum(changed)


@given(words, words, words)
def test_replace_equals_reference(check, old, new):
    """Also for checksums that are wrong."""
    expected = reference.replaced(check, old.to_bytes(2), new.to_bytes(2))
    assert replace(check, old, new) == expected


def test_rfc1624_section_4_example():
    """The example by which RFC 1624 shows RFC 1141 wrong."""
    assert replace(0xDD2F, 0x5555, 0x3285) == 0x0000


def test_rfc1071_section_3_example():
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert checksum(data) == ~0xDDF2 & 0xFFFF


def test_checksum_of_nothing_and_of_an_odd_byte():
    assert checksum(b"") == 0xFFFF
    assert checksum(b"\x12") == ~0x1200 & 0xFFFF
