import json
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import ParseError, UsageError
from dataplane.reference.choice import (
    ChoiceKind,
    Fields,
    choice_key,
    identity,
    rule_identity,
)
from dataplane.replay import choose
from tests.trace.records import WEB, two_nodes

FLOW = "tcp 10.244.1.2:40000 > 10.96.10.10:80"
FIELDS = Fields(4, 6, ip_address("10.244.1.2"), 40000, ip_address("10.96.10.10"), 80)


def key(kind: int, extra: int = 0, fields: Fields = FIELDS, node: str = "node-a") -> int:
    return choice_key(0, kind, identity(node), fields, extra)


def web_rule(number: int) -> int:
    return key(ChoiceKind.STATISTIC, rule_identity(4, "nat", WEB, number))


def parse(*lines: dict[str, object]) -> choose.Choices:
    text = "".join(json.dumps({"node": "node-a", "flow": FLOW} | line) + "\n" for line in lines)
    return choose.parse(text, "choices", two_nodes()[0])


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("10.244.1.3:8080", {web_rule(2): [1]}),
        ("10.244.2.2:8080", {web_rule(2): [0], web_rule(3): [1]}),
        ("10.244.2.3:8080", {web_rule(2): [0], web_rule(3): [0]}),
        ("10.244.2.4:53", {}),  # the only endpoint: nothing is drawn
    ],
)
def test_an_endpoint_is_a_word_for_each_rule_that_draws(
    endpoint: str, expected: choose.Choices
) -> None:
    assert parse({"choice": "endpoint", "value": endpoint}) == expected


def test_a_statistic_rule_by_its_number() -> None:
    line = {"choice": "statistic", "rule": f"nat {WEB} 3", "value": True}
    assert parse(line) == {web_rule(3): [1]}


def test_ports_and_identifications() -> None:
    found = parse(
        {"choice": "nat-port", "value": [45321]},
        {"choice": "nat-port", "value": [9], "manip": "destination"},
        {"choice": "ip-id", "value": [1, 2]},
        {"choice": "ip-id", "value": [3]},
    )
    assert found == {
        key(ChoiceKind.NAT_PORT, 0): [45321],
        key(ChoiceKind.NAT_PORT, 1): [9],
        key(ChoiceKind.IP_ID): [1, 2, 3],
    }


def test_both_directions_of_a_flow_have_one_tunnel_port() -> None:
    back = "tcp 10.96.10.10:80 > 10.244.1.2:40000"
    found = parse(
        {"choice": "vxlan-port", "value": [1]},
        {"choice": "vxlan-port", "value": [2], "flow": back},
    )
    assert list(found.values()) == [[1, 2]]


def test_icmp_has_no_ports_in_a_tunnels_hash() -> None:
    icmp = "icmp 10.244.1.2 > 10.244.2.2"
    found = parse(
        {"choice": "vxlan-port", "value": [1], "flow": icmp},
        {"choice": "vxlan-port", "value": [2], "flow": f"{icmp} id 7 type 8 code 0"},
        {"choice": "ip-id", "value": [3], "flow": f"{icmp} id 7 type 8 code 0"},
    )
    ends = Fields(4, 1, ip_address("10.244.1.2"), 0, ip_address("10.244.2.2"), 0)
    assert found == {
        key(ChoiceKind.VXLAN_PORT, fields=ends): [1, 2],
        key(ChoiceKind.IP_ID, fields=ends._replace(sport=7, dport=0x800)): [3],
    }


BAD = [
    ("nonsense", "JSON is malformed"),
    ("[]", "Expected `object`, got `array`"),
    ("{}", "Object missing required field `choice`"),
    ('{"choice":"other"}', "Invalid value 'other' - at `$.choice`"),
    ('{"choice":"ip-id","flow":"x","node":"node-a"}', "Object missing required field `value`"),
    (
        '{"choice":"ip-id","flow":"x","node":"node-a","value":[65536]}',
        "Expected `int` <= 65535 - at `$.value[",
    ),
    (
        '{"choice":"ip-id","flow":"x","node":"node-a","value":[],"more":1}',
        "Object contains unknown field `more`",
    ),
]
FLOW_FORM = "`tcp ADDRESS:PORT > ADDRESS:PORT` or `icmp ADDRESS > ADDRESS id N type N code N`"
WRONG: list[tuple[dict[str, object], str]] = [
    ({"node": "node-z", "value": [1]}, "no node 'node-z'; there are node-a, node-b"),
    ({"flow": "x", "value": [1]}, f"flow 'x', but {FLOW_FORM} was expected"),
    ({"flow": "tcp 10.0.0.1 > 10.0.0.2:80"}, "'10.0.0.1', but ADDRESS:PORT was expected"),
    (
        {"choice": "endpoint", "value": "10.0.0.9:80"},
        "no rule of the nat table translates to 10.0.0.9:80",
    ),
    (
        {"choice": "endpoint", "value": "[::1]:8", "flow": "tcp [::1]:1 > [::2]:2"},
        "no rule of the nat table translates to [::1]:8",
    ),
    ({"choice": "vxlan-port", "value": []}, "value: at least one port was expected"),
    (
        {"choice": "nat-port", "value": [1], "manip": "both"},
        "manip 'both', but source or destination was expected",
    ),
    (
        {"choice": "statistic", "rule": "nat X", "value": True},
        "rule 'nat X', but TABLE CHAIN NUMBER was expected",
    ),
    (
        {"choice": "statistic", "rule": f"nat {WEB} 9", "value": True},
        f"node node-a has no rule 'nat {WEB} 9'",
    ),
    (
        {"choice": "statistic", "rule": f"nat {WEB} 4", "value": True},
        f"rule 'nat {WEB} 4' has no `statistic --mode random`",
    ),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_a_bad_line_is_named(line: str, message: str) -> None:
    with pytest.raises(ParseError) as error:
        choose.parse(f"\n{line}\n", "choices", two_nodes()[0])
    assert str(error.value).startswith(f"choices:2: {message}")


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_a_line_that_fits_nothing(line: dict[str, object], message: str) -> None:
    with pytest.raises(ParseError) as error:
        parse({"choice": "ip-id", "value": [1]} | line)
    assert str(error.value) == f"choices:1: {message}"


def test_files(tmp_path: Path) -> None:
    nodes = two_nodes()[0]
    path = tmp_path / "choices"
    path.write_bytes(b"\xff")
    with pytest.raises(ParseError, match="choices: not text in UTF-8"):
        choose.read(str(path), nodes)
    with pytest.raises(UsageError, match="absent: No such file"):
        choose.read(str(tmp_path / "absent"), nodes)
    path.write_text(json.dumps({"choice": "ip-id", "node": "node-a", "flow": FLOW, "value": [7]}))
    assert choose.read(str(path), nodes) == {key(ChoiceKind.IP_ID): [7]}


PIECES = ["{", "}", '"choice":', '"endpoint"', '"ip-id"', ",", '"node":"node-a"', "\\ud800", "\n"]


@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text())
def test_hostile_text_raises_nothing_but_parse_error(text: str) -> None:
    with suppress(ParseError):
        choose.parse(text, "choices", two_nodes()[0])
