"""The words that `ip` and `bridge` are given."""

from ipaddress import ip_address, ip_network

import pytest

from dataplane.node.state import FdbEntry, Link, NextHop, NodeState, Route, Vxlan
from tests.kernel import devices

TUNNEL = Vxlan(1, local=ip_address("192.0.2.1"), link="eth0", learning=False, udp_csum=False)


@pytest.mark.parametrize(
    ("vxlan", "words"),
    [
        (
            TUNNEL,
            "type vxlan id 1 dstport 8472 dev eth0 local 192.0.2.1 "
            "ttl auto tos 0 df unset nolearning noudpcsum",
        ),
        (
            Vxlan(9, port=4789, port_low=5000, port_high=6000, ttl=7, df="set"),
            "type vxlan id 9 dstport 4789 srcport 5000 6000 ttl 7 tos 0 df set learning udpcsum",
        ),
    ],
)
def test_vxlan(vxlan: Vxlan, words: str) -> None:
    assert devices.vxlan_words(vxlan) == words


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (
            Route(
                ip_network("10.244.2.0/24"),
                dev="flannel.1",
                gateway=ip_address("10.244.2.0"),
                onlink=True,
            ),
            "route replace unicast 10.244.2.0/24 table main via 10.244.2.0 dev flannel.1 "
            "proto boot scope global onlink",
        ),
        (
            Route(ip_network("10.0.0.0/8"), type="blackhole", table="7", metric=3),
            "route replace blackhole 10.0.0.0/8 table 7 proto boot scope global metric 3",
        ),
        (
            Route(
                ip_network("0.0.0.0/0"),
                nexthops=(NextHop("a", ip_address("192.0.2.1"), 1), NextHop("b", None, 2)),
            ),
            "route replace unicast 0.0.0.0/0 table main proto boot "
            "nexthop weight 1 via 192.0.2.1 dev a nexthop weight 2 dev b",
        ),
    ],
)
def test_route(route: Route, words: str) -> None:
    assert devices.route_line(route) == words


def test_a_port_leads_to_a_pod_and_a_free_veth_to_the_wire() -> None:
    port = Link(2, "veth1", "", 1500, "veth", master="cni0")
    uplink = Link(3, "eth0", "", 1500)
    loopback = Link(1, "lo", "", 65536)
    bridge = Link(4, "cni0", "", 1500, "bridge")
    found = [(devices.is_port(x), devices.is_uplink(x)) for x in (port, uplink, loopback, bridge)]
    assert found == [(True, False), (False, True), (False, False), (False, False)]


def test_only_entries_that_the_kernel_does_not_make_itself_are_added() -> None:
    state = NodeState(
        "node",
        links=(Link(2, "veth1", "02:00:00:00:00:01", 1500, "veth", master="cni0"),),
        fdb=(
            FdbEntry("02:00:00:00:00:01", "veth1", "cni0", state="permanent"),
            FdbEntry("33:33:00:00:00:01", "veth1", state="permanent", flags=("self",)),
            FdbEntry("02:00:00:00:00:02", "veth1", "cni0"),
            FdbEntry("02:00:00:00:00:03", "tunnel", dst=ip_address("192.0.2.2")),
        ),
    )
    assert list(devices.fdb_lines(state)) == [
        "fdb replace 02:00:00:00:00:02 dev veth1 master dynamic",
        "fdb append 02:00:00:00:00:03 dev tunnel dst 192.0.2.2 self permanent",
    ]
