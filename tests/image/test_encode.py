"""Names, addresses and MACs as numbers, and back."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.image import encode
from dataplane.reference.choice import identity

macs = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
names = st.text("abz.-0", min_size=1, max_size=15)


@given(macs)
def test_mac_text_inverts_mac(text):
    assert encode.mac_text(encode.mac(text)) == text


def test_no_mac_is_zero():
    assert encode.mac(None) == encode.mac("") == 0


@given(st.ip_addresses())
def test_address_text_inverts_pair(address):
    hi, lo = encode.pair(address)
    assert encode.address_text(hi << 64 | lo, address.version) == str(address)


@pytest.mark.parametrize(
    ("network", "address", "mask"),
    [
        ("10.0.0.0/8", (0, 0x0A000000), (0, 0xFF000000)),
        ("0.0.0.0/0", (0, 0), (0, 0)),
        ("10.0.0.1/32", (0, 0x0A000001), (0, 0xFFFFFFFF)),
        ("fd00::/8", (0xFD << 56, 0), (0xFF << 56, 0)),
        ("::1/128", (0, 1), (encode.MASK64, encode.MASK64)),
        ("fd00::/96", (0xFD << 56, 0), (encode.MASK64, 0xFFFFFFFF << 32)),
    ],
)
def test_network_pair(network, address, mask):
    assert encode.network_pair(ip_network(network)) == (address, mask)


def matches(pattern, name):
    """As netfilter compares: name ^ pattern under the mask."""
    (first, second), (mask_first, mask_second) = encode.name_mask(pattern)
    words = encode.name_words(name)
    return not ((words[0] ^ first) & mask_first | (words[1] ^ second) & mask_second)


@given(names, names)
def test_a_name_matches_itself_alone(pattern, name):
    assert matches(pattern, name) == (pattern == name)


@given(names, st.text("abz.-0", max_size=15))
def test_a_plus_leaves_the_rest_open(name, start):
    assert matches(f"{start}+", name) == name.startswith(start)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [("eth0", "eth01", False), ("eth0", "eth", False), ("+", "lo", True),
     ("a234567890123456", "a23456789012345", False), ("a2345678+", "a23456789", True),
     ("abcdefgh", "abcdefgh", True), ("abcdefgh+", "abcdefg", False)],
)  # fmt: skip
def test_names_of_eight_bytes_and_more(pattern, name, expected):
    assert matches(pattern, name) == expected


@given(st.text(max_size=20))
def test_identity_is_the_specification_s(text):
    assert encode.identity(text) == identity(text)


def test_addresses_of_both_families_are_apart():
    """A pair says no family: kernels keep it beside."""
    assert encode.pair(ip_address("0.0.0.1")) == encode.pair(ip_address("::1"))
