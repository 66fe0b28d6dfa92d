"""A route in one line, as `ip route` begins it."""

import re
from ipaddress import ip_address, ip_network

import pytest

from dataplane.node.route_text import route_text
from dataplane.node.state import NextHop, Route

VIA = ip_address("10.0.0.1")
VIA6 = ip_address("fe80::1")


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("default via 10.0.0.1 dev eth0", Route(ip_network("0.0.0.0/0"), dev="eth0", gateway=VIA)),
        ("10.0.0.0/24 dev eth0", Route(ip_network("10.0.0.0/24"), dev="eth0", protocol="kernel")),
        ("10.0.0.9 dev eth0", Route(ip_network("10.0.0.9/32"), dev="eth0", scope="link")),
        (
            "local 10.244.1.1 dev cni0 table local",
            Route(ip_network("10.244.1.1/32"), "local", "cni0", table="local", prefsrc=VIA),
        ),
        (
            "10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",
            Route(
                ip_network("10.244.2.0/24"),
                dev="flannel.1",
                gateway=ip_address("10.244.2.0"),
                onlink=True,
            ),
        ),
        (
            "unreachable 10.0.0.0/8 metric 100",
            Route(ip_network("10.0.0.0/8"), "unreachable", metric=100),
        ),
        ("fd00::/64 dev eth0 metric 256", Route(ip_network("fd00::/64"), dev="eth0", metric=256)),
        (
            "10.0.0.0/8 via inet6 fe80::1 dev eth0 table 7",
            Route(ip_network("10.0.0.0/8"), dev="eth0", gateway=VIA6, table="7"),
        ),
        (
            "default nexthop via 10.0.0.1 dev a weight 1 nexthop dev b weight 2 onlink",
            Route(
                ip_network("0.0.0.0/0"), nexthops=(NextHop("a", VIA), NextHop("b", None, 2, True))
            ),
        ),
    ],
)
def test_text(text, route):
    assert route_text(route) == text


def test_words_of_the_tool_stand_in_its_order():
    """`ip route show table all`, iproute2 6.1: what is left out stands behind."""
    printed = "local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1"
    route = Route(ip_network("127.0.0.1/32"), "local", "lo", table="local", protocol="kernel")
    assert re.match(re.escape(route_text(route)), printed)
