from ipaddress import ip_network
from pathlib import Path

from hypothesis import given

from dataplane.node import rules
from dataplane.node.state import RoutingRule
from tests.node import strategies

RECORDED = Path(__file__).parent / "fixtures" / "node-a" / "rules.json"


@given(strategies.routing_rules(4))
def test_parse_inverts_render(found):
    assert rules.parse(rules.render(found), "x") == found


@given(strategies.routing_rules(6))
def test_parse_inverts_render_for_ipv6(found):
    assert rules.parse(rules.render(found), "x", family=6) == found


def test_what_ip_prints():
    assert rules.parse(RECORDED.read_text(), "x") == (
        RoutingRule(0, "local"),
        RoutingRule(15, action="nop"),
        RoutingRule(48, action="blackhole", dst=ip_network("10.4.0.0/16")),
        RoutingRule(49, "200", negated=True, src=ip_network("10.3.0.1/32"), fwmark=5),
        RoutingRule(
            50,
            "100",
            src=ip_network("10.1.0.0/16"),
            dst=ip_network("10.2.0.1/32"),
            fwmark=0x4000,
            fwmask=0x4000,
            iif="eth0",
            oif="cni0",
        ),
        RoutingRule(77, action="prohibit"),
        RoutingRule(32766, "main"),
        RoutingRule(32767, "default"),
    )


def test_a_type_of_service_by_its_name():
    (rule,) = rules.parse('[{"priority": 1, "tos": "CS1", "table": "main"}]', "x")
    assert rule.tos == 0x20


def test_a_source_of_any_length():
    text = '[{"src": "0.0.0.0", "srclen": 8}, {"src": "::", "srclen": 0}]'
    first, second = rules.parse(text, "x")
    assert first.src == ip_network("0.0.0.0/8")
    assert second.src is None
