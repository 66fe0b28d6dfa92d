from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.node import routes
from dataplane.node.state import NextHop, Route
from tests.node import strategies

FIXTURES = Path(__file__).parent / "fixtures" / "node-a"


@given(
    st.sampled_from((4, 6)).flatmap(
        lambda family: st.tuples(st.just(family), strategies.routes(family))
    )
)
def test_parse_inverts_render(drawn):
    family, found = drawn
    assert routes.parse(routes.render(found), "x", family) == found


RECORDED = [
    Route(ip_network("0.0.0.0/0"), dev="eth0", gateway=ip_address("192.168.50.1")),
    Route(ip_network("0.0.0.0/0"), dev="cni0", table="101", scope="link"),
    Route(
        ip_network("10.244.2.0/24"),
        dev="flannel.1",
        gateway=ip_address("10.244.2.0"),
        onlink=True,
    ),
    Route(
        ip_network("10.9.0.0/16"),
        nexthops=(
            NextHop("eth0", ip_address("192.168.50.2"), weight=2),
            NextHop("cni0"),
            NextHop("flannel.1", ip_address("10.1.1.1"), onlink=True),
        ),
    ),
    Route(ip_network("10.10.0.0/16"), type="blackhole", metric=7),
    Route(ip_network("10.12.0.0/16"), type="prohibit", table="100"),
    Route(ip_network("10.14.0.0/16"), dev="eth0", gateway=ip_address("fe80::1")),
    Route(
        ip_network("10.15.0.0/16"),
        dev="eth0",
        protocol="static",
        scope="link",
        prefsrc=ip_address("192.168.50.13"),
        metric=5,
        mtu=1300,
    ),
    Route(
        ip_network("192.168.50.13/32"),
        type="local",
        dev="eth0",
        table="local",
        protocol="kernel",
        scope="host",
        prefsrc=ip_address("192.168.50.11"),
    ),
    Route(ip_network("::/0"), dev="eth0", gateway=ip_address("fd00::9"), metric=100),
    Route(ip_network("::/0"), dev="cni0", table="101", metric=1024),
    Route(
        ip_network("fd01::/64"),
        metric=1024,
        nexthops=(
            NextHop("eth0", ip_address("fd00::5")),
            NextHop("eth0", ip_address("fd00::6"), weight=3),
        ),
    ),
]


@pytest.mark.parametrize("route", RECORDED, ids=lambda route: f"{route.dst} {route.table}")
def test_what_ip_prints(route):
    found = routes.parse((FIXTURES / "routes.json").read_text(), "x")
    assert route in found  # of both families: `show table all` lists both
    if route.dst.version == 6:
        assert route in routes.parse((FIXTURES / "routes6.json").read_text(), "x", family=6)


def test_a_default_route_is_of_the_family_it_shows():
    text = '[{"dst": "default", "dev": "eth0", "via": {"family": "inet6", "host": "fe80::1"}}]'
    assert routes.parse(text, "x", family=6)[0].dst.version == 4
    assert routes.parse('[{"dst": "default", "dev": "eth0"}]', "x", family=6)[0].dst.version == 6
    assert routes.parse('[{"dst": "default", "dev": "eth0"}]', "x", family=4)[0].dst.version == 4


def test_dead_routes_and_next_hops_are_not_found_by_a_lookup():
    text = """[{"dst": "10.0.0.0/8", "dev": "a", "flags": ["dead", "linkdown"]},
        {"dst": "10.0.0.0/8", "nexthops": [{"dev": "a", "flags": ["dead"]}, {"dev": "b"}]},
        {"dst": "10.0.0.0/8", "dev": "c", "flags": ["linkdown"]}]"""
    first, second = routes.parse(text, "x")
    assert first.nexthops == (NextHop("b"),)
    assert second.dev == "c"


def test_the_mtu_of_a_route():
    text = '[{"dst": "10.0.0.0/8", "metrics": [{"hoplimit": 9, "mtu": 1300}]}]'
    assert routes.parse(text, "x")[0].mtu == 1300
