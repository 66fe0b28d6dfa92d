"""Routes that follow from addresses."""

from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from dataplane.node import routes as routes_json
from dataplane.node.local_routes import all_routes, local_routes
from dataplane.node.route_text import route_text
from dataplane.node.state import InterfaceAddress, Link, NodeState, Route


def texts(*addresses, routes=(), links=()):
    state = NodeState("n", addresses=addresses, routes=routes, links=links)
    return [route_text(route) for route in all_routes(state)]


def address(text, dev="eth0", **more):
    local, _, length = text.partition("/")
    return InterfaceAddress(dev, ip_address(local), int(length), **more)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            address("10.0.0.1/24"),
            [
                "local 10.0.0.1 dev eth0 table local",
                "broadcast 10.0.0.255 dev eth0 table local",
                "10.0.0.0/24 dev eth0",
            ],
        ),
        (
            address("10.0.0.1/24", broadcast=IPv4Address("10.0.0.127")),
            [
                "local 10.0.0.1 dev eth0 table local",
                "broadcast 10.0.0.127 dev eth0 table local",
                "broadcast 10.0.0.255 dev eth0 table local",
                "10.0.0.0/24 dev eth0",
            ],
        ),
        (address("10.0.0.1/32"), ["local 10.0.0.1 dev eth0 table local"]),
        (address("10.0.0.1/31"), ["local 10.0.0.1 dev eth0 table local", "10.0.0.0/31 dev eth0"]),
        (address("10.0.0.1/24", secondary=True), ["local 10.0.0.1 dev eth0 table local"]),
        (
            address("127.0.0.1/8", "lo", scope="host"),
            [
                "local 127.0.0.1 dev lo table local",
                "broadcast 127.255.255.255 dev lo table local",
                "local 127.0.0.0/8 dev lo table local",
            ],
        ),
        (
            address("fd00::1/64"),
            ["local fd00::1 dev eth0 table local", "fd00::/64 dev eth0 metric 256"],
        ),
        (
            address("10.0.0.1/24", flags=("noprefixroute",)),
            ["local 10.0.0.1 dev eth0 table local", "broadcast 10.0.0.255 dev eth0 table local"],
        ),
        (address("fd00::1/64", flags=("noprefixroute",)), ["local fd00::1 dev eth0 table local"]),
        (address("::1/128", "lo"), ["local ::1 dev lo table local"]),
    ],
)
def test_routes_of_an_address(given, expected):
    assert texts(given) == expected


def test_listed_routes_come_first_and_once():
    listed = Route(ip_network("10.0.0.1/32"), "local", "eth0", table="local", protocol="boot")
    assert texts(address("10.0.0.1/32"), routes=(listed,)) == [
        "local 10.0.0.1 dev eth0 table local"
    ]


def test_a_listed_prefix_is_left_alone():
    """An agent may have replaced the connected route, or asked for none."""
    listed = Route(ip_network("10.0.0.0/24"), dev="eth1", metric=7)
    found = texts(address("10.0.0.1/24"), routes=(listed,))
    assert "10.0.0.0/24 dev eth0" not in found
    assert found[0] == "10.0.0.0/24 dev eth1 metric 7"


def test_what_leads_out_by_a_device_that_is_down_is_gone():
    """Asked of Linux 6.18: the node's own address stays its own."""
    down = Link(2, "eth0", "", 1500, flags=("BROADCAST",))
    listed = Route(ip_network("10.9.0.0/16"), dev="eth0", gateway=ip_address("10.0.0.9"))
    found = texts(address("10.0.0.1/24"), routes=(listed,), links=(down,))
    assert found == ["local 10.0.0.1 dev eth0 table local"]


@pytest.mark.kernel
def test_as_linux():
    """The routes that a real kernel makes of the same addresses."""
    from tests.kernel.netns import Namespace

    namespace = Namespace("local-routes")
    try:
        for command in (
            "ip link set lo up",
            "ip link add eth0 type veth peer name peer",
            "ip link set eth0 addrgenmode none up",
            "ip link set peer addrgenmode none up",
            "ip addr add 192.168.50.11/24 brd + dev eth0",
            "ip addr add 10.0.0.1/31 dev eth0",
            "ip addr add 10.0.1.1/32 dev eth0",
            "ip addr add 10.0.2.1/24 dev eth0",
        ):
            namespace.run(*command.split())
        printed = namespace.run("ip", "-j", "-4", "route", "show", "table", "all")
    finally:
        namespace.close()
    found = local_routes(
        NodeState(
            "n",
            links=(Link(1, "lo", "", 65536, link_type="loopback"),),
            addresses=(
                address("127.0.0.1/8", "lo", scope="host"),
                address("192.168.50.11/24", broadcast=IPv4Address("192.168.50.255")),
                address("10.0.0.1/31"),
                address("10.0.1.1/32"),
                address("10.0.2.1/24"),
            ),
        )
    )
    assert sorted(map(str, map(plain, found))) == sorted(
        str(plain(route)) for route in routes_json.parse(printed, "routes.json")
    )


def plain(route):
    return route_text(route), route.prefsrc, route.scope, route.protocol
