"""Multicast groups: what `ip -j maddr` lists, and what a kernel joins itself."""

from ipaddress import ip_address

import pytest
from hypothesis import given

from dataplane.errors import ParseError
from dataplane.node import groups
from dataplane.node.groups import joined
from dataplane.node.state import GroupMembership, InterfaceAddress, Link, NodeState
from tests.node import strategies

LISTED = """[{"ifindex":1,"ifname":"lo","maddr":[{"family":"inet6","address":"ff02::1"}]},
{"ifindex":2,"ifname":"eth0","maddr":[{"link":"33:33:00:00:00:01"},
{"link":"33:33:00:00:00:02","users":2},{"family":"inet","address":"224.0.0.1"},
{"family":"inet6","address":"ff02::1:ff00:1","users":2}]}]"""


@given(strategies.groups)
def test_parse_inverts_render(found):
    assert groups.parse(groups.render(found), "x") == found


def test_what_ip_prints():
    assert groups.parse(LISTED, "x") == (
        GroupMembership("lo", ip_address("ff02::1")),
        GroupMembership("eth0", ip_address("224.0.0.1")),
        GroupMembership("eth0", ip_address("ff02::1:ff00:1")),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"maddr":[{"family":"inet","address":"224.0.0.1"}]}]', "no ifname"),
        ('[{"ifname":"a","maddr":[{"family":"inet"}]}]', "no address"),
        ('[{"ifname":"a","maddr":7}]', "bad maddr 7"),
    ],
)
def test_what_cannot_be_read(text, message):
    with pytest.raises(ParseError, match=message):
        groups.parse(text, "x")


def link(**changes):
    return Link(**{"index": 2, "name": "a", "mac": "", "mtu": 1500, **changes})


DOWN = ("BROADCAST", "MULTICAST")
EVERYWHERE = {"ff01::1", "ff02::1"}
ROUTERS = {"ff01::2", "ff02::2", "ff05::2"}


@pytest.mark.parametrize(
    ("changes", "sysctls", "expected"),
    [
        ({}, {}, {"224.0.0.1", "ff02::1:ff00:1234", *EVERYWHERE}),
        ({"flags": DOWN}, {}, {"ff02::1:ff00:1234", *EVERYWHERE}),
        ({"flags": ("UP", "NOARP")}, {}, {"224.0.0.1", *EVERYWHERE}),
        (
            {},
            {"net.ipv6.conf.all.forwarding": "1"},
            {"224.0.0.1", "ff02::1:ff00:1234", "ff02::1:ff00:0", *EVERYWHERE, *ROUTERS},
        ),
        (
            {},
            {"net.ipv6.conf.all.forwarding": "1", "net.ipv6.conf.a.forwarding": "0"},
            {"224.0.0.1", "ff02::1:ff00:1234", *EVERYWHERE},
        ),
    ],
)
def test_groups_that_a_kernel_joins(changes, sysctls, expected):
    addresses = (
        InterfaceAddress("a", ip_address("fd00::1234"), 64),
        InterfaceAddress("b", ip_address("fd00::99"), 64),
    )
    state = NodeState("n", links=(link(**changes),), addresses=addresses, sysctls=sysctls)
    assert joined(state) == {("a", ip_address(group)) for group in expected}


def test_what_is_listed_counts_alone():
    state = NodeState("n", links=(link(),), groups=groups.parse(LISTED, "x"))
    assert ("eth0", ip_address("224.0.0.1")) in joined(state)
    assert ("a", ip_address("224.0.0.1")) not in joined(state)
