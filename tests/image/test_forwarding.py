"""Routing tables: in which order they are asked, and what a route's row says."""

from ipaddress import ip_address, ip_network

import pytest

from _fastpath.image import RouteKind, RuleAction
from _fastpath.lpm import lookup
from dataplane.errors import TableError
from dataplane.image.encode import pair
from dataplane.image.image import assemble
from dataplane.node.state import Link, NextHop, NodeState, Route, RoutingRule

LINKS = (
    Link(1, "lo", "", 65536, link_type="loopback"),
    Link(2, "a", "02:00:00:00:00:01", 1500),
    Link(3, "b", "02:00:00:00:00:02", 1500),
)


def route(dst, dev="a", **parts):
    return Route(ip_network(dst), dev=dev, **parts)


def image_of(*routes, rules=()):
    return assemble({"n": NodeState("n", links=LINKS, routes=routes, rules=rules)})


def asked(image, address, family=4):
    """Rows of the routes found for an address, in the order in which tables are asked."""
    address = ip_address(address)
    node, index = image.arrays["nodes"][0], 0 if family == 4 else 1
    start, count = int(node["fib_start"][index]), int(node["fib_count"][index])
    roots = image.arrays["fib_rules"]["table"][start : start + count].tolist()
    roots = [root for root in dict.fromkeys(roots) if root >= 0]
    found = [lookup(image.arrays["lpm"], pair(address), family, root) for root in roots]
    return [value for value in found if value >= 0]


def device_of(image, row):
    return image.names.devices[int(image.arrays["routes"]["device"][row])][1]


def test_of_equal_prefixes_the_lowest_metric_is_found():
    image = image_of(route("10.0.0.0/8", "a", metric=20), route("10.0.0.0/8", "b", metric=10))
    (row,) = asked(image, "10.1.1.1")
    assert device_of(image, row) == "b"


def test_a_route_is_found_by_its_name():
    image = image_of(route("10.0.0.0/8", gateway=ip_address("10.0.0.1")))
    (row,) = asked(image, "10.1.1.1")
    assert image.names.routes[row].text == "10.0.0.0/8 via 10.0.0.1 dev a"
    assert image.names.routes[row].table == "main"


BOTH = (route("10.0.0.1/32", "lo", type="local", table="local"), route("10.0.0.1/32"))


def test_without_rules_local_and_main_are_one_table():
    image = image_of(*BOTH, route("10.0.0.0/8", "lo", type="local", table="local"))
    (row,) = asked(image, "10.0.0.1")
    assert image.names.routes[row].table == "local"
    longer = image_of(*BOTH[1:], route("10.0.0.0/8", "lo", type="local", table="local"))
    (row,) = asked(longer, "10.0.0.1")
    assert longer.names.routes[row].table == "main"


def test_with_a_rule_local_comes_before_main():
    rules = (RoutingRule(0, "local"), RoutingRule(9, "main"), RoutingRule(32766, "main"))
    image = image_of(*BOTH[1:], route("10.0.0.0/8", "lo", type="local", table="local"), rules=rules)
    assert [image.names.routes[row].table for row in asked(image, "10.0.0.1")] == ["local", "main"]


def test_rules_are_asked_by_priority():
    rules = (
        RoutingRule(300, "main"), RoutingRule(100, "7"), RoutingRule(200, "empty"),
        RoutingRule(50, "6", family=6),
    )  # fmt: skip
    image = image_of(route("0.0.0.0/0"), route("0.0.0.0/0", "b", table="7"), rules=rules)
    assert [image.names.routes[row].table for row in asked(image, "8.8.8.8")] == ["7", "main"]


def row_of(rule):
    return image_of(route("10.0.0.0/8"), rules=(rule,)).arrays["fib_rules"][0]


def test_a_rule_asks_for_devices_by_index():
    assert row_of(RoutingRule(10, "main", iif="b", oif="gone"))[["iif", "oif"]].tolist() == (2, -2)
    assert row_of(RoutingRule(10, "main"))[["iif", "oif"]].tolist() == (-1, -1)


@pytest.mark.parametrize(
    ("rule", "action"),
    [
        (RoutingRule(10, "main"), RuleAction.RULE_LOOKUP),
        (RoutingRule(10, action="nop"), RuleAction.RULE_NOP),
        (RoutingRule(10, action="goto", goto=20), RuleAction.RULE_GOTO),
        (RoutingRule(10, action="prohibit"), RuleAction.RULE_ANSWER),
        (RoutingRule(10, action="frobnicate"), RuleAction.RULE_ANSWER),
    ],
)
def test_actions(rule, action):
    assert row_of(rule)["action"] == action


def test_a_rule_that_goes_back_is_refused():
    with pytest.raises(TableError, match="rule 20 goes back to 10"):
        image_of(rules=(RoutingRule(20, action="goto", goto=10),))


def test_legs_share_the_hashes_by_weight():
    legs = (NextHop("a", weight=1), NextHop("b", weight=3))
    image = image_of(route("10.0.0.0/8", None, nexthops=legs))
    (row,) = asked(image, "10.0.0.1")
    first, count = image.arrays["routes"][["leg_start", "leg_count"]][row].tolist()
    bounds = image.arrays["routes"]["upper_bound"][first : first + count].tolist()
    assert bounds == [(1 << 29) - 1, (1 << 31) - 1]
    assert [image.names.routes[leg].text for leg in range(first, first + count)] == [
        "10.0.0.0/8 dev a", "10.0.0.0/8 dev b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (route("10.0.0.0/8"), RouteKind.ROUTE_UNICAST),
        (route("10.0.0.0/8", "lo", type="local"), RouteKind.ROUTE_LOCAL),
        (route("10.0.0.0/8", None, type="blackhole"), RouteKind.ROUTE_BLACKHOLE),
        (route("10.0.0.0/8", None, type="prohibit"), RouteKind.ROUTE_PROHIBIT),
        (route("10.0.0.0/8", None, type="unreachable"), RouteKind.ROUTE_UNREACHABLE),
        (route("10.0.0.0/8", None, type="nat"), RouteKind.ROUTE_UNKNOWN),
        (route("10.0.0.0/8", None), RouteKind.ROUTE_UNKNOWN),  # no device
        (route("10.0.0.0/8", gateway=ip_address("fe80::1")), RouteKind.ROUTE_UNICAST),
        (route("10.0.0.0/8", None, nexthops=(NextHop("a"), NextHop("b"))), RouteKind.ROUTE_UNICAST),
    ],
)
def test_kinds(found, kind):
    image = image_of(found)
    (row,) = asked(image, "10.0.0.1")
    assert image.arrays["routes"]["kind"][row] == kind


def test_families_do_not_meet():
    image = image_of(route("::/0"), route("0.0.0.0/0", "b"))
    (four,), (six,) = asked(image, "1.2.3.4"), asked(image, "fd00::1", 6)
    assert (device_of(image, four), device_of(image, six)) == ("b", "a")
