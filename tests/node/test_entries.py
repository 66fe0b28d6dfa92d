"""JSON of `ip -j` and `bridge -j`: what is not right is named by line, entry and key."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import DataplaneError, ParseError
from dataplane.node import addresses, fdb, links, neighbours, routes, rules
from dataplane.node.entries import read_entries, render_entries

DIALECTS = [addresses, fdb, links, neighbours, routes, rules]


@pytest.mark.parametrize("text", ["", " \n", "[]", "[ ]\n", "[{}]", "[{},\n{}]"])
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.__name__)
def test_nothing(dialect, text):
    assert dialect.parse(text, "x") == ()


def test_entries_know_their_line():
    found = read_entries('[ {"a": 1},\n\n {"b":\n2}, {"c": 3}\n]\n', "x")
    assert [(entry.label, entry.source.line) for entry in found] == [
        ("entry 0", 1),
        ("entry 1", 3),
        ("entry 2", 4),
    ]


@given(st.lists(st.dictionaries(st.sampled_from("ab"), st.integers(), min_size=1)))
def test_read_inverts_render(values):
    assert [entry.values for entry in read_entries(render_entries(values), "x")] == values


BROKEN = [
    ("{}", "x:1: a JSON array, as `ip -j` prints, was expected"),
    ("1: lo: <LOOPBACK,UP>", "x:1: a JSON array"),
    ('[\n{"a" 1}]', "x:2: bad JSON: Expecting ':' delimiter"),
    ('[{"a": 1}\n', "x:2: ',' or ']' was expected"),
    ('[{"a": 1} {"a": 1}]', "x:1: ',' or ']' was expected"),
    ('[{"a": 1},]', "x:1: bad JSON"),
    ("[1]", "x:1: entry 0: an object was expected"),
    ("[]\n[]", "x:2: nothing was expected after the JSON array"),
    ("[" * 100_000, "x:1: bad JSON: too deep"),
    ("[" + "9" * 5000 + "]", "x:1: bad JSON: too deep, or a number too long"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN, ids=[text[:20] for text, _ in BROKEN])
def test_broken_json(text, message):
    with pytest.raises(ParseError) as caught:
        read_entries(text, "x")
    assert str(caught.value).startswith(message)


REFUSED = [
    (links, '{"ifname": "lo", "mtu": 1}', "entry 0: no ifindex"),
    (links, '{"ifindex": 1, "mtu": 1}', "entry 0: no ifname"),
    (links, '{"ifindex": "1", "ifname": "lo"}', "bad ifindex '1'; a number from 0 to"),
    (links, '{"ifindex": true, "ifname": "lo"}', "bad ifindex True"),
    (links, '{"ifindex": -1, "ifname": "lo"}', "bad ifindex -1"),
    (links, '{"ifindex": 1, "ifname": "lo", "mtu": 1, "flags": "UP"}', "a list of strings"),
    (links, '{"ifindex": 1, "ifname": "lo", "mtu": 1, "address": "x"}', "a MAC address"),
    (links, '{"ifindex": 1, "ifname": "lo", "mtu": 1, "linkinfo": []}', "an object was expected"),
    (
        links,
        '{"ifindex": 1, "ifname": "v", "mtu": 1, "linkinfo": {"info_kind": "vxlan",'
        ' "info_data": {"id": 1, "ttl": 0, "local": "10.0.0"}}}',
        "entry 0, linkinfo, info_data: bad local '10.0.0'; an IP address was expected",
    ),
    (
        links,
        '{"ifindex": 1, "ifname": "v", "mtu": 1, "linkinfo": {"info_kind": "vxlan",'
        ' "info_data": {"id": 16777216, "ttl": 0}}}',
        "bad id 16777216; a number from 0 to 16777215 was expected",
    ),
    (
        links,
        '{"ifindex": 1, "ifname": "v", "mtu": 1,'
        ' "linkinfo": {"info_slave_data": {"hairpin": "on"}}}',
        "bad hairpin 'on'; true or false was expected",
    ),
    (addresses, '{"ifname": "lo", "addr_info": [{"prefixlen": 8}]}', "addr_info 0: no local"),
    (
        addresses,
        '{"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "prefixlen": 33}]}',
        "bad prefixlen 33; a number from 0 to 32",
    ),
    (addresses, '{"ifname": "lo", "addr_info": [1]}', "a list of objects"),
    (
        addresses,
        '{"ifname": "lo", "addr_info":'
        ' [{"local": "127.0.0.1", "prefixlen": 8, "broadcast": "::1"}]}',
        "an IPv4 address was expected",
    ),
    (routes, '{"dst": "10.0.0.1/8"}', "bad dst '10.0.0.1/8'; an IP prefix was expected"),
    (routes, '{"dev": "eth0"}', "no dst"),
    (routes, '{"dst": "default", "gateway": "x"}', "bad gateway 'x'"),
    (routes, '{"dst": "10.0.0.0/8", "from": "10.0.0.0/8"}', "from is not modelled"),
    (routes, '{"dst": "10.0.0.0/8", "metric": -1}', "bad metric -1"),
    (routes, '{"dst": "10.0.0.0/8", "nexthops": [{"weight": "1"}]}', "nexthops 0: bad weight"),
    (rules, '{"priority": 1, "src": "x"}', "bad src 'x'; an IP prefix was expected"),
    (rules, '{"priority": 1, "src": "10.0.0.0", "srclen": 64}', "bad src '10.0.0.0'"),
    (rules, '{"priority": 1, "fwmark": "0xz"}', "bad fwmark '0xz'; a number was expected"),
    (rules, '{"priority": 1, "ipproto": "frob"}', "bad ipproto 'frob'; a protocol was expected"),
    (rules, '{"priority": 1, "dscp": 5}', "dscp is not modelled"),
    (neighbours, '{"dst": "10.0.0.1"}', "no dev"),
    (neighbours, '{"dst": "10.0.0.1", "dev": "eth0", "lladdr": "1.2.3.4"}', "a MAC address"),
    (fdb, '{"mac": "0a:58", "ifname": "eth0"}', "a MAC address was expected"),
    (fdb, '{"mac": "0a:58:0a:f4:01:02", "ifname": "v", "vni": 5}', "vni is not modelled"),
]


@pytest.mark.parametrize(("dialect", "entry", "message"), REFUSED)
def test_wrong_values(dialect, entry, message):
    with pytest.raises(ParseError) as caught:
        dialect.parse(f"[\n{entry}]", "x.json")
    assert str(caught.value).startswith("x.json:2: entry 0")
    assert message in str(caught.value)


RECORDED = Path(__file__).parent / "fixtures" / "node-a"


def assert_within(part, whole):
    """Every key and value of `part` is in `whole` too, which may have more keys."""
    if isinstance(part, dict):
        assert isinstance(whole, dict)
        for key, value in part.items():
            assert key in whole, key
            assert_within(value, whole[key])
    elif isinstance(part, list):
        assert isinstance(whole, list) and len(part) == len(whole)
        for one, other in zip(part, whole, strict=True):
            assert_within(one, other)
    else:
        assert part == whole


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.__name__)
def test_render_writes_what_the_tool_wrote_but_for_what_is_not_modelled(dialect):
    text = (RECORDED / f"{dialect.__name__.rpartition('.')[2]}.json").read_text()
    rendered = json.loads(dialect.render(dialect.parse(text, "x")))
    recorded = [entry for entry in json.loads(text) if entry.get("addr_info") != []]
    assert len(rendered) > 3
    assert_within(rendered, recorded)


KEYS = (
    "ifindex", "ifname", "mtu", "flags", "address", "linkinfo", "info_kind", "info_data",
    "addr_info", "local", "prefixlen", "dst", "gateway", "via", "host", "nexthops", "dev",
    "priority", "src", "srclen", "fwmark", "table", "state", "mac", "ttl", "id", "link_type",
    "metrics", "not",
)  # fmt: skip
VALUES = st.sampled_from(
    (1, 0, -1, 2**70, 1.5, True, None, "", "lo", "10.0.0.1", "::1", "default", "vxlan", "ether",
     "0a:58:0a:f4:01:02", "0x1", "all", "\ud800")
)  # fmt: skip
JSON = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=8,
)
ENTRIES = st.lists(st.dictionaries(st.sampled_from(KEYS), JSON)).map(render_entries)


@given(st.sampled_from(DIALECTS), ENTRIES | st.text())
def test_parse_raises_nothing_but_errors_with_a_place(dialect, text):
    try:
        found = dialect.parse(text, "x.json")
    except DataplaneError as error:
        assert str(error).startswith("x.json:")
    else:
        assert dialect.parse(dialect.render(found), "x.json") == found
