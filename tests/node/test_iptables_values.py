"""Prefixes, ports and numbers, next to what C's library makes of them."""

import socket
from ipaddress import AddressValueError, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.node.iptables_values import (
    found_ipv4,
    found_network,
    integer,
    network_text,
    normal_ports,
    parse_network,
    parse_port,
    parse_protocol,
)
from dataplane.node.protocols import protocol_name

groups = st.lists(st.sampled_from((0, 1, 0xFFFF, 0x102)), min_size=8, max_size=8)


@given(groups)
def test_network_text_is_inet_ntop(parts):
    packed = b"".join(part.to_bytes(2, "big") for part in parts)
    expected = socket.inet_ntop(socket.AF_INET6, packed)
    assert network_text(IPv6Network(IPv6Address(packed))) == f"{expected}/128"


@given(groups, st.sampled_from((0, 16, 64, 128)))
def test_parse_network_inverts_network_text(parts, length):
    packed = b"".join(part.to_bytes(2, "big") for part in parts)
    network = IPv6Network((IPv6Address(packed), length), strict=False)
    assert parse_network(network_text(network)) == network


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.1", "10.0.0.1/32"),
        ("10.0.0.1/8", "10.0.0.0/8"),
        ("10.0.0.1/255.255.0.0", "10.0.0.0/16"),
        ("10/8", "10.0.0.0/8"),
        ("10", "10.0.0.0/32"),
        ("10.1", "10.1.0.0/32"),
        ("10.300", "10.0.1.44/32"),
        ("010.0.0.1", "8.0.0.1/32"),
        ("167772161", "10.0.0.1/32"),
        ("10.1/16", "10.1.0.0/16"),
        ("10.0.0.1/0", "0.0.0.0/0"),
        ("fd00::1/ffff:ffff::", "fd00::/32"),
        ("FD00::1", "fd00::1/128"),
    ],
)
def test_parse_network(text, network):
    assert parse_network(text) == ip_network(network)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "10.",
        "1.2.3.4.5",
        "08.0.0.1",
        "4294967296",
        "10.0.0.1/33",
        "10.0.0.1/0.0.0.255",
        "::1/129",
        "fe80::1%eth0",
        "/8",
    ],
)
def test_no_network(text):
    with pytest.raises(ValueError, match="was expected"):
        parse_network(text)


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("80", 80), ("0x50", 80), ("010", 8), ("65535", 65535)]
)
def test_integer(text, number):
    assert integer(text, 65535) == number
    assert parse_port(text) == number


@pytest.mark.parametrize("text", ["", "65536", "-1", "080", "0x", "1_0", "²", "9" * 5000])
def test_no_integer(text):
    with pytest.raises(ValueError, match="a number from 0 to 65535 was expected"):
        integer(text, 65535)
    with pytest.raises(ValueError, match="a port from 0 to 65535 was expected"):
        parse_port(text)


@pytest.mark.parametrize(
    ("text", "ports"),
    [("http", "80"), ("80:80", "80"), (":80", "0:80"), ("80:", "80:65535"), (":", "0:65535")],
)
def test_normal_ports(text, ports):
    assert normal_ports(text) == ports


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("icmp", socket.IPPROTO_ICMP),
        ("igmp", socket.IPPROTO_IGMP),
        ("tcp", socket.IPPROTO_TCP),
        ("udp", socket.IPPROTO_UDP),
        ("dccp", 33),  # RFC 4340
        ("gre", socket.IPPROTO_GRE),
        ("esp", socket.IPPROTO_ESP),
        ("ah", socket.IPPROTO_AH),
        ("ipv6-icmp", socket.IPPROTO_ICMPV6),
        ("sctp", socket.IPPROTO_SCTP),
        ("udplite", socket.IPPROTO_UDPLITE),
        ("255", 255),
    ],
)
def test_protocols(name, number):
    assert parse_protocol(name) == parse_protocol(str(number)) == number
    assert protocol_name(number) == name


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10/8", "0.0.0.0/8"),
        ("10.1/16", "10.0.0.0/16"),
        ("10.1", "10.0.0.1/32"),
        ("010.0.0.1", "8.0.0.1/32"),
        ("fd00::1/64", "fd00::/64"),
    ],
)
def test_found_network(text, network):
    assert found_network(text) == ip_network(network)
    with pytest.raises(ValueError, match="was expected"):
        found_network("256.1")


PARTS = st.lists(st.sampled_from(("0", "8", "010", "0x1f", "255", "256", "65536", "1e", "")))


@given(PARTS.map(".".join))
def test_found_ipv4_is_inet_aton(text):
    try:
        expected = int.from_bytes(socket.inet_aton(text))
    except OSError:
        with pytest.raises(AddressValueError):
            found_ipv4(text)
    else:
        assert found_ipv4(text) == expected
