"""Where a packet goes: rules, tables, sources, the reverse path."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from _fastpath.reason import Reason, Verdict
from dataplane.node.state import InterfaceAddress, Link, NextHop, Route, RoutingRule
from dataplane.reference.engine import Engine
from dataplane.reference.forwarding import lookup, select_address, source_address
from dataplane.reference.node import Node
from tests import frames as fr
from tests.reference.one_node import (
    CLIENT,
    INSIDE,
    OUTSIDE,
    SERVER,
    engine,
    nat,
    node,
    send,
    states,
)
from tests.two_nodes import mac

UDP = fr.udp(CLIENT, 1, SERVER, 2)


def route(prefix, dev="b", **more):
    return Route(ip_network(prefix), dev=dev, **more)


def found(dst, routes=(), rules=(), oif=None):
    answer = lookup(Node(replace(node(), routes=routes, rules=rules)), ip_address(dst), oif)
    return (answer.dev, answer.type) if answer else None


RULES = (
    RoutingRule(30, "300"),
    RoutingRule(0, "local"),
    RoutingRule(10, "100"),
    RoutingRule(32766, "main"),
)
TABLES = (
    route("10.8.0.0/16", "hundred", table="100"),
    route("10.8.1.0/24", type="throw", dev=None, table="100"),
    route("10.8.0.0/16", "three", table="300"),
    route("10.9.0.0/16", "main"),
    route("10.9.1.0/24", type="unreachable", dev=None),
)


@pytest.mark.parametrize(
    ("dst", "expected"),
    [
        ("10.8.0.1", ("hundred", "unicast")),
        ("10.8.1.1", ("three", "unicast")),  # thrown back to the rules
        ("10.9.0.1", ("main", "unicast")),
        ("10.9.1.1", (None, "unreachable")),
        ("10.0.0.1", ("a", "local")),
        ("11.0.0.1", None),
    ],
)
def test_tables_are_asked_in_the_order_of_the_rules(dst, expected):
    assert found(dst, TABLES, RULES) == expected


@pytest.mark.parametrize(
    "rule",
    [
        RoutingRule(5, "100", src=ip_network("10.0.0.0/24")),
        RoutingRule(5, "100", fwmark=1),
        RoutingRule(5, "100", iif="a"),
        RoutingRule(5, "100", oif="a"),
        RoutingRule(5, "100", negated=True),
        RoutingRule(5, action="prohibit"),
    ],
)
def test_rules_that_ask_for_more_are_not_modelled(rule):
    """They end what reaches them, and nothing else."""
    odd = Engine({"n": replace(node(), rules=(*RULES, rule), routes=TABLES)})
    record = send(odd, 17, fr.udp(CLIENT, 1, "10.8.0.1", 2), dst="10.8.0.1")
    assert (record.verdict, record.reason) == (Verdict.UNKNOWN, Reason.ROUTE_UNMODELLED)
    assert record.steps[-1].name == "a routing rule that is not modelled"
    local = send(odd, 17, fr.udp(CLIENT, 1, INSIDE, 2), dst=INSIDE)
    assert local.reason == Reason.LOCAL_PROCESS


def test_default_rules():
    routes = (route("10.8.0.0/16", "x", table="local"), route("10.8.0.0/16", "y"))
    assert found("10.8.0.1", routes) == ("x", "unicast")
    assert found("fd00::1", (route("fd00::/64", "z"),)) == ("z", "unicast")


def test_output_device():
    routes = (route("10.8.0.0/24", "x"), route("10.8.0.0/16", "y"))
    assert found("10.8.0.1", routes, oif="y") == ("y", "unicast")


@pytest.mark.parametrize(
    ("changes", "dst", "expected"),
    [
        ({}, "10.0.1.2", "10.0.1.1"),
        ({"prefsrc": ip_address("10.0.0.1")}, "10.8.0.2", "10.0.0.1"),
        ({"gateway": ip_address("10.7.0.9")}, "10.8.0.2", "10.7.0.1"),
        ({"type": "local"}, "10.0.0.1", "10.0.0.1"),
    ],
)
def test_source_address(changes, dst, expected):
    addresses = (*node().addresses, InterfaceAddress("b", ip_address("10.7.0.1"), 24))
    here = Node(node(addresses=addresses))
    assert str(source_address(here, route("10.0.0.0/8", **changes), ip_address(dst))) == expected


def test_source_of_a_device_without_addresses():
    """The first one of the node, in the order of the devices' indices (measured)."""
    links = (Link(3, "b", "", 1500), Link(2, "a", "", 1500), Link(9, "cali", "", 1500))
    here = Node(node(links=links))
    assert select_address(here, "cali", SERVER) == INSIDE
    assert select_address(here, "cali", ip_address("fd00::1")) is None


@pytest.mark.parametrize(
    ("src", "dst", "settings", "reason"),
    [
        ("10.0.0.2", "10.0.1.2", {}, None),
        ("224.0.0.1", "10.0.1.2", {}, Reason.MARTIAN_SOURCE),
        ("255.255.255.255", "10.0.1.2", {}, Reason.MARTIAN_SOURCE),
        ("0.0.0.0", "10.0.1.2", {}, Reason.MARTIAN_SOURCE),
        ("240.0.0.1", "10.0.1.2", {}, None),
        ("127.0.0.1", "10.0.1.2", {}, Reason.MARTIAN_SOURCE),
        ("10.0.0.2", "0.0.0.1", {}, Reason.MARTIAN_DESTINATION),
        ("10.0.0.2", "127.0.0.1", {}, Reason.MARTIAN_DESTINATION),
        ("10.0.0.2", "127.0.0.1", {"all.route_localnet": "1"}, Reason.LOCAL_PROCESS),
        ("10.0.0.2", "127.0.0.1", {"a.route_localnet": "1"}, Reason.LOCAL_PROCESS),
        ("10.0.1.1", "10.0.1.2", {}, Reason.MARTIAN_SOURCE),  # the node's own
        ("10.0.1.1", "10.0.1.2", {"a.accept_local": "1"}, None),
        ("0.0.0.0", "255.255.255.255", {}, Reason.LOCAL_PROCESS),
        ("10.0.0.2", "10.0.0.255", {}, Reason.LOCAL_PROCESS),
        ("10.0.0.2", "224.0.0.5", {}, Reason.GROUP_ADDRESS),
        ("10.0.1.9", "10.0.1.2", {}, None),  # by the wrong device
        ("10.0.1.9", "10.0.1.2", {"all.rp_filter": "1"}, Reason.REVERSE_PATH),
        ("10.0.1.9", "10.0.1.2", {"a.rp_filter": "1"}, Reason.REVERSE_PATH),
        ("10.0.1.9", "10.0.1.2", {"default.rp_filter": "1"}, Reason.REVERSE_PATH),
        ("10.0.1.9", "10.0.1.2", {"default.rp_filter": "1", "a.rp_filter": "0"}, None),
        ("10.0.1.9", "10.0.1.2", {"all.rp_filter": "2", "a.rp_filter": "1"}, None),  # loose
        ("10.8.0.9", "10.0.1.2", {"all.rp_filter": "2"}, Reason.REVERSE_PATH),
        ("10.0.1.255", "10.0.1.2", {}, None),
        ("10.0.1.255", "10.0.1.2", {"all.rp_filter": "2"}, Reason.MARTIAN_SOURCE),
    ],
)
def test_addresses_that_may_not_arrive(src, dst, settings, reason):
    sysctls = {f"net.ipv4.conf.{name}": value for name, value in settings.items()}
    record = send(engine(sysctls=sysctls), 17, fr.udp(src, 1, dst, 2), src, dst, device="a")
    assert record.reason == (Reason.LEFT_BY_DEVICE if reason is None else reason)


def test_a_node_that_does_not_forward():
    off = {"net.ipv4.ip_forward": "0"}
    assert send(engine(sysctls=off), 17, UDP).reason == Reason.FORWARDING_DISABLED
    local = send(engine(sysctls=off), 17, fr.udp(CLIENT, 1, INSIDE, 2), dst=INSIDE)
    assert local.reason == Reason.LOCAL_PROCESS
    # Nobody looks at the source of what is not forwarded.
    odd = send(engine(sysctls=off), 17, fr.udp(OUTSIDE, 1, SERVER, 2), OUTSIDE, device="a")
    assert odd.reason == Reason.FORWARDING_DISABLED


def test_multipath_is_not_modelled():
    hops = (NextHop("b", SERVER), NextHop("a", CLIENT))
    paths = Route(ip_network("10.8.0.0/16"), nexthops=hops)
    record = send(engine(routes=(paths,)), 17, fr.udp(CLIENT, 1, "10.8.0.1", 2), dst="10.8.0.1")
    assert record.reason == Reason.ROUTE_UNMODELLED


def test_what_a_node_sends():
    sent = send(engine(), 17, fr.udp(INSIDE, 1, SERVER, 2), INSIDE, device="")
    assert (sent.reason, sent.place) == (Reason.LEFT_BY_DEVICE, ("n", "b"))
    lost = send(engine(), 17, fr.udp(INSIDE, 1, "10.8.0.1", 2), INSIDE, "10.8.0.1", device="")
    assert lost.reason == Reason.NO_ROUTE


def test_the_loopback_keeps_route_and_connection():
    record = send(engine(nat()), 17, fr.udp(INSIDE, 1, OUTSIDE, 2), INSIDE, OUTSIDE, device="")
    assert (record.reason, record.place) == (Reason.LOCAL_PROCESS, ("n", None))
    assert states(record) == [2]
    assert [(tap.device, tap.outgoing) for tap in record.taps] == [("lo", False)]


@pytest.mark.parametrize(
    ("dst", "expected"),
    [
        ("10.0.1.2", mac(SERVER)),
        ("224.1.2.3", "01:00:5e:01:02:03"),
        ("10.0.1.255", "ff:ff:ff:ff:ff:ff"),
    ],
)
def test_ethernet_addresses(dst, expected):
    routes = (route("224.0.0.0/4"), route("10.0.1.0/24"))
    record = send(engine(routes=routes), 17, fr.udp(OUTSIDE, 1, dst, 2), OUTSIDE, dst, device="")
    assert record.taps[-1].frame[:12].hex(":") == f"{expected}:{mac(OUTSIDE)}"
