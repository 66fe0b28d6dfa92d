from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.reference.choice import Fields
from dataplane.replay.flow_text import parse_flow

V4 = ip_address("10.1.1.1"), ip_address("10.2.2.2")
V6 = ip_address("fd00::1"), ip_address("fd00::2")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("tcp 10.1.1.1:1 > 10.2.2.2:2", Fields(4, 6, V4[0], 1, V4[1], 2)),
        (" udp  [fd00::1]:1  >  [fd00::2]:65535 ", Fields(6, 17, V6[0], 1, V6[1], 65535)),
        ("6 10.1.1.1:1 > 10.2.2.2:2", Fields(4, 6, V4[0], 1, V4[1], 2)),
        ("icmp 10.1.1.1 > 10.2.2.2", Fields(4, 1, V4[0], 0, V4[1], 0)),
        ("icmp 10.1.1.1 > 10.2.2.2 id 77 type 8 code 1", Fields(4, 1, V4[0], 77, V4[1], 0x801)),
        ("icmpv6 fd00::1 > fd00::2 id 7 type 128 code 0", Fields(6, 58, V6[0], 7, V6[1], 0x8000)),
        ("gre 10.1.1.1 > 10.2.2.2", Fields(4, 47, V4[0], 0, V4[1], 0)),
    ],
)
def test_flows(text: str, fields: Fields) -> None:
    assert parse_flow(text) == fields


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "was expected"),
        ("tcp 10.1.1.1:1 10.2.2.2:2", "was expected"),
        ("tcp 10.1.1.1:1 > 10.2.2.2:65536", "ADDRESS:PORT was expected"),
        ("tcp 10.1.1:1 > 10.2.2.2:2", "'10.1.1' is not an IP address"),
        ("tcp 10.1.1.1:1 > [fd00::2]:2", "addresses of two families"),
        ("tcp [fe80::1%eth0]:1 > [fd00::2]:2", "an address without a scope was expected"),
        ("xyz 10.1.1.1 > 10.2.2.2", "protocol 'xyz' is not known"),
        ("256 10.1.1.1 > 10.2.2.2", "protocol '256' is not known"),
        ("icmp 10.1.1.1 > 10.2.2.2 id 1", "was expected"),
        ("icmp 10.1.1.1 > 10.2.2.2 id 65536 type 8 code 0", "id up to 65535"),
        ("gre 10.1.1.1 > 10.2.2.2 id 1 type 8 code 0", "was expected"),
    ],
)
def test_what_is_not_a_flow(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_flow(text)


WORDS = ["tcp", "icmp", "10.1.1.1", ":1", " ", ">", "[", "]", "fd00::1", "id 1", "٣"]


@given(st.lists(st.sampled_from(WORDS)).map("".join) | st.text())
def test_hostile_text_raises_nothing_but_value_error(text: str) -> None:
    with suppress(ValueError):
        parse_flow(text)
