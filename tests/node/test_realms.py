"""Realms as iproute2 6.1 prints them, and as numbers."""

import pytest

from dataplane.errors import ParseError
from dataplane.node import realms, routes
from dataplane.node.state import NodeState, RoutingRule

PRINTED = """[
{"dst":"192.0.2.0/24","gateway":"10.0.1.2","dev":"eth1","flags":[],"flow":{"to":"5"}},
{"dst":"192.0.3.0/24","gateway":"10.0.1.2","dev":"eth1","flags":[],"flow":{"from":"7","to":"9"}},
{"dst":"192.0.4.0/24","flags":[],"nexthops":[
 {"gateway":"10.0.1.2","flow":{"to":"8"},"dev":"eth1","weight":1,"flags":[]},
 {"gateway":"10.0.0.2","flow":{"from":"3","to":"cosmos"},"dev":"eth0","weight":1,"flags":[]}]},
{"type":"unreachable","dst":"192.0.5.0/24","flags":[],"flow":{"to":"3"}}
]"""


def test_what_ip_prints():
    found = routes.parse(PRINTED, "x")
    assert [route.realms for route in found] == ["5", "7/9", "", "3"]
    assert [hop.realms for hop in found[2].nexthops] == ["8", "3/cosmos"]
    assert routes.parse(routes.render(found), "x") == found


def test_what_ip_does_not_print():
    with pytest.raises(ParseError, match="x:1: entry 0: bad flow"):
        routes.parse('[{"dst": "default", "dev": "a", "flow": 5}]', "x")


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 0), ("5", 5), ("0x10", 16), ("7/9", 0x70009), ("cosmos", 0), ("3/cosmos", 0x30000)],
)
def test_numbers(text, number):
    assert realms.number(text) == number


@pytest.mark.parametrize("text", ["here", "5/here", "65536", "-1"])
def test_names_and_what_is_too_large_are_not_known(text):
    assert not realms.is_known(text)


def test_what_classes_packets():
    state = NodeState(
        "n",
        routes=routes.parse(PRINTED, "x"),
        rules=(RoutingRule(5, "main", flow_from="4", flow_to="here"), RoutingRule(6, "main")),
    )
    assert list(realms.classes(state)) == ["5", "7/9", "8", "3/cosmos", "3", "4/here"]
    assert not realms.are_known(state)
