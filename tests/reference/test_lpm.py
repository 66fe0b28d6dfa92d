from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.node.state import Route
from dataplane.reference.lpm import holds, longest

PREFIXES = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/9", "10.0.0.0/31", "10.0.0.1/32", "fd00::/8"]
ADDRESSES = ["10.0.0.0", "10.0.0.1", "10.128.0.1", "11.0.0.1", "fd00::1", "::1"]


def route(prefix, metric=0, dev="eth0"):
    return Route(dst=ip_network(prefix), metric=metric, dev=dev)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1", "10.0.0.1/32"),
        ("10.0.0.0", "10.0.0.0/31"),
        ("10.128.0.1", "10.0.0.0/8"),
        ("11.0.0.1", "0.0.0.0/0"),
        ("fd00::1", "fd00::/8"),
        ("::1", None),
    ],
)
def test_longest(address, expected):
    found = longest([route(prefix) for prefix in PREFIXES], ip_address(address))
    assert (str(found.dst) if found else None) == expected


def test_lowest_metric_then_the_first():
    routes = [
        route("10.0.0.0/8", 20, "a"),
        route("10.0.0.0/8", 10, "b"),
        route("10.0.0.0/8", 10, "c"),
    ]
    assert longest(routes, ip_address("10.1.2.3")).dev == "b"


@given(st.lists(st.sampled_from(PREFIXES)), st.sampled_from(ADDRESSES).map(ip_address))
def test_nothing_longer_holds_the_address(prefixes, address):
    found = longest([route(prefix) for prefix in prefixes], address)
    holding = [ip_network(prefix) for prefix in prefixes if holds(ip_network(prefix), address)]
    assert (found is not None) == bool(holding)
    assert all(network.prefixlen <= found.dst.prefixlen for network in holding)
