"""Where a packet goes: rules, tables, sources, the reverse path."""

import json
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from _fastpath.reason import Reason
from _fastpath.trace import StepKind
from dataplane.node.state import InterfaceAddress, Link, Neighbour, NextHop, Route, RoutingRule
from dataplane.reference.engine import Engine
from dataplane.reference.fib_rules import Flow, lookup
from dataplane.reference.node import Node
from dataplane.reference.source_address import select_address, select_address6, source_address
from dataplane.replay import choose
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
    table,
)
from tests.two_nodes import mac

UDP = fr.udp(CLIENT, 1, SERVER, 2)


def route(prefix, dev="b", **more):
    return Route(ip_network(prefix), dev=dev, **more)


def found(dst, routes=(), rules=(), oif=None):
    asked = Flow(ip_address(dst), oif=oif)
    answer = lookup(Node(replace(node(), routes=routes, rules=rules)), asked)
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


OTHER = "10.8.0.1"
ASKED = Flow(
    ip_address(OTHER), CLIENT, mark=0x11, iif="a", protocol=6, sport=1000, dport=80, tos=0x11
)


@pytest.mark.parametrize(
    ("rule", "hits"),
    [
        ({"src": ip_network("10.0.0.0/24")}, True),
        ({"src": ip_network("10.0.1.0/24")}, False),
        ({"dst": ip_network("10.8.0.0/16")}, True),
        ({"dst": ip_network("10.9.0.0/16")}, False),
        ({"fwmark": 0x11}, True),
        ({"fwmark": 1}, False),
        ({"fwmark": 1, "fwmask": 0xF}, True),
        ({"fwmark": 0, "fwmask": 0}, True),
        ({"iif": "a"}, True),
        ({"iif": "b"}, False),
        ({"iif": "lo"}, False),
        ({"iif": "gone"}, False),
        ({"oif": "a"}, False),
        ({"tos": 0x10}, True),  # ECN is nobody's type of service
        ({"tos": 8}, False),
        ({"ipproto": 6}, True),
        ({"ipproto": 17}, False),
        ({"sport": (1000, 1000), "dport": (1, 80)}, True),
        ({"sport": (1001, 65534)}, False),
        ({"dport": (0, 10)}, True),
        ({"uidrange": (0, 0)}, True),
        ({"uidrange": (1, 9)}, False),
        ({"tun_id": 7}, False),
        ({"l3mdev": True}, False),
    ],
)
@pytest.mark.parametrize("is_negated", [False, True])
def test_what_rules_ask(rule, hits, is_negated):
    """What the first rule does not answer finds no route at all."""
    asked = RoutingRule(5, "100", negated=is_negated, **rule)
    here = Node(replace(node(), routes=TABLES, rules=(asked,)))
    assert (lookup(here, ASKED) is not None) == (hits != is_negated)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (RoutingRule(5, action="nop"), "hundred"),
        (RoutingRule(5, action="goto", goto=30), "three"),
        (RoutingRule(5, action="goto", goto=31), "hundred"),  # nobody is there
        (RoutingRule(5, action="unreachable"), None),
        (RoutingRule(5, action="prohibit"), "prohibit"),
        (RoutingRule(5, action="blackhole"), "blackhole"),
        (RoutingRule(5, "100", suppress_prefixlength=15), "hundred"),
        (RoutingRule(5, "300", suppress_prefixlength=16), "hundred"),
        (RoutingRule(5, "300", suppress_ifgroup="9"), "a routing rule that is not modelled"),
    ],
)
def test_what_rules_answer(rule, expected):
    routes = (*TABLES, route("10.8.0.0/16", "three", table="300"))
    here = Node(replace(node(), routes=routes, rules=(*RULES, rule)))
    answer = lookup(here, ASKED)
    said = answer and (answer.dev or answer.type)
    assert said == expected


def test_nobody_knows_by_whose_process():
    here = Node(replace(node(), routes=TABLES, rules=(RoutingRule(5, "100", uidrange=(0, 9)),)))
    answer = lookup(here, ASKED._replace(iif="", is_process=True))
    assert answer is not None and answer.type == "a routing rule that is not modelled"


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
    assert select_address6(here, "cali", ip_address("fd00::1")) is None


OWN6 = (
    ("a", "fd00::1", 64), ("a", "fd00:9::1", 64), ("a", "fe80::1", 64), ("b", "2001:db8::1", 64),
    ("b", "fd01::1", 64), ("b", "fe80::2", 64), ("lo", "::1", 128),
)  # fmt: skip


@pytest.mark.parametrize(
    ("device", "dst", "expected"),
    [
        ("a", "fd00::7", "fd00::1"),
        ("a", "fd00:9::7", "fd00:9::1"),  # the longest prefix
        ("a", "fd05::7", "fd00::1"),  # the first of equals
        ("a", "2001:db8::7", "fd00::1"),  # rather the device's own than a better label
        ("b", "fd00::7", "fd01::1"),  # the label of unique local addresses
        ("b", "2001:db8:9::7", "2001:db8::1"),
        ("b", "2002::7", "2001:db8::1"),
        ("a", "fe80::7", "fe80::1"),  # link-local to link-local
        ("b", "fe80::7", "fe80::2"),
        ("b", "ff02::1", "fe80::2"),
        ("a", "fd01::1", "fd01::1"),  # itself
        ("c", "fd00::7", "fd00::1"),  # the device has none
    ],
)
def test_source_of_ipv6(device, dst, expected):
    """RFC 6724, section 5."""
    addresses = tuple(InterfaceAddress(dev, ip_address(own), length) for dev, own, length in OWN6)
    links = tuple(Link(index, name, "", 1500) for index, name in enumerate(("lo", "a", "b", "c")))
    here = Node(node(links=links, addresses=addresses))
    assert str(select_address6(here, device, ip_address(dst))) == expected


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
        ("10.0.0.2", "224.0.0.5", {}, Reason.GROUP_NOT_JOINED),
        ("10.0.0.2", "224.0.0.1", {}, Reason.LOCAL_PROCESS),
        ("0.0.0.0", "224.0.0.1", {}, Reason.LOCAL_PROCESS),
        ("10.0.1.9", "224.0.0.1", {}, Reason.LOCAL_PROCESS),
        ("10.0.1.9", "224.0.0.1", {"all.rp_filter": "1"}, Reason.REVERSE_PATH),
        ("127.0.0.1", "224.0.0.1", {}, Reason.MARTIAN_SOURCE),
        ("224.0.0.5", "224.0.0.1", {}, Reason.MARTIAN_SOURCE),
        ("10.0.1.1", "224.0.0.1", {}, Reason.MARTIAN_SOURCE),  # the node's own
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


LEGS = (NextHop("b", SERVER, weight=3), NextHop("a", CLIENT))


def leg_of(port, dst="10.8.0.1", choices=None, **sysctls):
    paths = Route(ip_network("10.8.0.0/16"), nexthops=LEGS)
    settings = {f"net.ipv4.{name}": value for name, value in sysctls.items()}
    found = engine(routes=(paths,), sysctls=settings, choices=choices)
    return send(found, 17, fr.udp(CLIENT, port, dst, 2), dst=dst).place[1]


def test_a_flow_keeps_its_leg():
    assert len({leg_of(port) for port in range(40)}) == 1  # layer 3 alone
    by_host = [leg_of(1, f"10.8.0.{host}") for host in range(200)]
    assert 120 < by_host.count("b") < 180


def test_layer_4_tells_ports_apart():
    by_port = [leg_of(port, fib_multipath_hash_policy="1") for port in range(200)]
    assert 120 < by_port.count("b") < 180


def test_fields_that_are_hashed():
    """Ports without addresses."""
    fields = {"fib_multipath_hash_policy": "3", "fib_multipath_hash_fields": "48"}
    assert {leg_of(7, f"10.8.0.{host}", **fields) for host in range(40)} == {leg_of(7, **fields)}
    assert len({leg_of(port, **fields) for port in range(40)}) == 2


def test_a_leg_that_was_fed_in():
    for number, device in enumerate("ba"):
        line = {"choice": "multipath", "node": "n", "flow": f"udp {CLIENT}:1 > 10.8.0.1:2"}
        text = json.dumps({**line, "value": [number]})
        assert leg_of(1, choices=choose.parse(text, "x", {"n": node()})) == device


def test_a_gateway_of_the_other_family():
    gateway = ip_address("fd00::9")
    found = engine(
        routes=(route("10.8.0.0/16", gateway=gateway),),
        neighbours=(*node().neighbours, Neighbour(gateway, "b", mac("1.2.3.4"))),
    )
    record = send(found, 17, fr.udp(CLIENT, 1, "10.8.0.1", 2), dst="10.8.0.1")
    assert record.taps[-1].frame[:6].hex(":") == mac("1.2.3.4")


def test_what_is_forwarded_is_a_devices_own_setting():
    off = engine(sysctls={"net.ipv4.conf.a.forwarding": "0"})
    assert send(off, 17, UDP).reason == Reason.FORWARDING_DISABLED
    only_a = {"net.ipv4.ip_forward": "0", "net.ipv4.conf.a.forwarding": "1"}
    assert send(engine(sysctls=only_a), 17, UDP).reason == Reason.LEFT_BY_DEVICE


MARKS = table("mangle", "PREROUTING -p udp --dport 2 -j MARK --set-mark 7", policy="ACCEPT")


def test_a_mark_set_in_prerouting_chooses_the_table():
    rules = (RoutingRule(5, "100", fwmark=7), RoutingRule(10, "main"), RoutingRule(0, "local"))
    other = (route("0.0.0.0/0", "a", table="100", gateway=CLIENT),)
    found = Engine({"n": replace(node(MARKS), rules=rules, routes=other)})
    assert send(found, 17, UDP).place == ("n", "a")
    assert send(found, 17, fr.udp(CLIENT, 1, SERVER, 3)).place == ("n", "b")


@pytest.mark.parametrize(
    ("rule", "ports"),
    [
        ("OUTPUT -p udp --dport 2 -j MARK --set-mark 7", ["b", "a"]),
        ("OUTPUT -p udp --dport 3 -j MARK --set-mark 7", ["b"]),
    ],
)
def test_a_mark_set_in_output_makes_it_route_again(rule, ports):
    """ip_route_me_harder"""
    rules = (RoutingRule(5, "100", fwmark=7), RoutingRule(10, "main"), RoutingRule(0, "local"))
    other = (route("10.0.1.0/24", "a", table="100"),)
    found = Engine({"n": replace(node(table("mangle", rule)), rules=rules, routes=other)})
    record = send(found, 17, fr.udp(INSIDE, 1, SERVER, 2), INSIDE, device="")
    routes = [step.name.split()[2] for step in record.steps if step.kind == StepKind.STEP_ROUTE]
    assert routes == ports


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
