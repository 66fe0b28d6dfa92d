"""Lines read by their shape: what is read is what all words say, and the rest is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import NOWHERE, ParseError
from dataplane.node.iptables import render_rule
from dataplane.node.iptables_shape import Shapes
from dataplane.node.iptables_spec import parse_rule
from dataplane.node.iptables_words import split
from tests.node import strategies
from tests.node.test_iptables_normal import SECTIONS

COUNTERS = (3, 5)
WORDS = (
    "-A", "C", "!", "-s", "-d", "-i", "-o", "-p", "-m", "-j", "-g", "-f", "10.0.0.0/8", "10.0.0.1",
    "0.0.0.0/0", "::1", "10.1", "010.0.0.1", "10.0.0.0/255.0.255.0", "10.0.0.1,10.0.0.2", "eth0",
    "+", "tcp", "udp", "17", "all", "mark", "comment", "--comment", '"a b"', '"-m mark"', '"', "x",
    "--dport", "80", "--dp", "http", "--mark", "0x1", "--syn", "--tcp-flags", "SYN,ACK", "SYN",
    "DROP", "DNAT", "--to-destination", "U", "nothing", "--source", "multiport", "--dports", "",
    "LOG", "--log-prefix", "\t", "policy", "--proto", "\\\\",
)  # fmt: skip


def by_words(line, family, flavour):
    """What the words of the line say, one by one; None where they are wrong."""
    try:
        _, chain, *words = split(line)
        return chain, parse_rule(words, NOWHERE, family, COUNTERS, flavour)
    except (ParseError, ValueError):
        return None


def assert_same(line, family, flavour):
    found = Shapes(family, flavour).line(line, COUNTERS, NOWHERE)
    if found is None:
        return False
    said = by_words(line, family, flavour)
    assert said == (found.chain, [found.rule])
    assert (found.rule.packets, found.rule.bytes) == COUNTERS
    assert said[1][0].packets == 3
    return True


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.sampled_from((0, 4, 6)),
       st.sampled_from(("", "legacy", "nft")))  # fmt: skip
def test_a_shape_equals_the_words(words, family, flavour):
    assert_same(" ".join(["-A", "C", *words]), family, flavour)


@given(strategies.rulesets(), st.data())
def test_a_shape_equals_the_words_of_what_was_printed(ruleset, data):
    lines = [
        render_rule(name, rule)
        for table in ruleset.tables.values()
        for name, chain in table.chains.items()
        for rule in chain.rules
    ]
    for line in lines[:5]:
        assert_same(line, 0, "")
        parts = line.split(" ")
        at = data.draw(st.integers(0, len(parts) - 1))
        there = data.draw(st.sampled_from((*parts, *WORDS)))
        assert_same(" ".join([*parts[:at], there, *parts[at + 1 :]]), 0, "")


@pytest.mark.parametrize(("tool", "table"), SECTIONS)
def test_most_of_what_iptables_prints_has_the_shape(tool, table):
    family = 6 if tool == "ip6tables" else 4
    lines = [line for _, printed in SECTIONS[tool, table] for line in printed]
    read = sum(assert_same(line, family, "legacy") for line in lines)
    assert read > 0.8 * len(lines)


@pytest.mark.parametrize(
    "line",
    [
        "-A C -s 10.0.0.0/8 ! -d 10.1.0.0/16 -i eth+ ! -o eth0 -p tcp -m tcp --dport 80 -j DROP",
        '-A C -m comment --comment "a b" -g U',
        "-A C",
        "-A C -j NOBODY-KNOWS",
        "-A C -m mark ! --mark 0x1",
    ],
)
def test_shapes_that_are_read(line):
    assert assert_same(line, 4, "nft")


@pytest.mark.parametrize(
    "line",
    [
        "-A C  -j DROP",
        "-A C -d 10.0.0.1 -s 10.0.0.2",
        "-A C -s 10.0.0.1,10.0.0.2 -j DROP",
        "-A C -p tcp --dport 80",
        "-A C -m tcp --dp 80",
        "-A C -j DROP -j DROP",
        "-A C -m comment --comment -m -m mark --mark 1",
        "-A C -m nothing --known",
        "-A C -s 10.0.0.0/40",
        "-A C -p tcp ! -f",
        '-A C -m comment --comment "a -m mark" -g U',
        '-A C -m comment --comment "a',
        "-I C -j DROP",
    ],
)
def test_shapes_that_are_left_to_the_words(line):
    assert Shapes(4, "nft").line(line, COUNTERS, NOWHERE) is None
