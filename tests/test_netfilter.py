"""The walk of a table: kernels and specification meet the same rules, in the same order."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.reason import Reason, Verdict
from dataplane.reference.engine import Engine as ReferenceEngine
from dataplane.replay.after import counters
from dataplane.replay.fast import FastEngine

from . import frames as fr
from . import rule_pool
from .reference.one_node import CLIENT, SERVER, nat, node, rules_met, send, table

CHAINS = ["A", "B", "C", "D"]
MATCHES = [
    spec.format(a="a", b="b")
    for spec in (
        *rule_pool.BOTH_FAMILIES, *rule_pool.IPV4, *rule_pool.CONNTRACK, *rule_pool.PLACE,
        *rule_pool.CHANCE, *rule_pool.MEMORY, "-m owner --uid-owner 0",
    )
]  # fmt: skip
TARGETS = rule_pool.TARGETS
UNMODELLED = [
    "-m cpu --cpu 1",
    "-m physdev --physdev-in a",
]

SPIS = st.sampled_from([5, 7])
OPTIONS = st.sampled_from(
    [b"\x02\x04\x05\xb4", b"\x01\x02\x04\x03\xe8", b"\x01\x01\x01\x02", b"\x03\x00\x02\x04\x05\xb4"]
)
CHUNKS = st.sampled_from(
    [b"\1\0\0\4", b"\0\3\0\5x\0\0\0", b"\0\2\0\4", b"\3\0\0\4", b"\3\0\0\0", b"\0\1"]
)
TOS = [0, 0, 0x10, 0x28, 2, 3, 0xFF]


@st.composite
def rules(draw, chain, later, matches):
    """One rule; it jumps only to later chains, so that there are no loops."""
    jumps = [f"-{kind} {name}" for name in later for kind in "jg"]
    target = draw(st.sampled_from(TARGETS + 2 * jumps))
    return " ".join(filter(None, [chain, draw(st.sampled_from(matches)), target]))


@st.composite
def tables(draw, matches=MATCHES):
    """A filter table whose FORWARD chain reaches four others, or some of them."""
    names = ["FORWARD", *CHAINS]
    lines = []
    for i, name in enumerate(names):
        lines += draw(st.lists(rules(name, names[i + 1 :], matches), max_size=5))
    policy = draw(st.sampled_from(["ACCEPT", "DROP"]))
    return table("filter", *lines, policy=policy, chains=" ".join(CHAINS))


@st.composite
def packets(draw):
    """(protocol, transport header, header fields): what the matches ask for, now and then."""
    fields = {"ttl": draw(st.sampled_from([64, 64, 3])), "tos": draw(st.sampled_from(TOS))}
    sport, dport = draw(st.sampled_from([1000, 80])), draw(st.sampled_from([80, 85, 443]))
    kind = draw(st.sampled_from([fr.SYN, fr.SYN | fr.ACK, fr.ACK, fr.ACK | 0x80, fr.SYN | 0xC0]))
    protocol, body = draw(st.sampled_from([
        (6, fr.tcp(CLIENT, sport, SERVER, dport, kind)),
        (17, fr.udp(CLIENT, sport, SERVER, dport, draw(st.sampled_from([b"", b"aAaa"])))),
        (1, fr.echo(1)),
        (6, fr.tcp(CLIENT, sport, SERVER, dport, kind)[:10]),  # not a whole header
        (47, bytes(8)),
        (6, fr.tcp(CLIENT, sport, SERVER, dport, kind, options=draw(OPTIONS))),
        (50, bytes(3) + bytes([draw(SPIS)]) + bytes(draw(st.sampled_from([0, 8])))),
        (51, bytes(7) + bytes([draw(SPIS)]) + bytes(4)),
        (132, fr.sctp(sport, dport, *draw(st.lists(CHUNKS, max_size=3)))),
    ]))  # fmt: skip
    return protocol, body, fields


def check_walks_equal(rules, traffic, fragment=0):
    nodes = {"n": node(rules)}
    fast, slow = FastEngine(nodes), ReferenceEngine(nodes)
    for number, (protocol, body, *fields) in enumerate(traffic):
        mine, its = (
            send(engine, protocol, body, time=number, id=number, fragment=fragment, **dict(*fields))
            for engine in (fast, slow)
        )
        assert list(mine.steps) == list(its.steps)
        assert (mine.verdict, mine.reason) == (its.verdict, its.reason)
    counted = counters(fast.image, fast.state)
    for rule, found in slow.counters("n").items():
        assert counted["n", *rule] == found


@settings(max_examples=200)
@given(tables(), st.lists(packets(), min_size=1, max_size=4))
def test_walk_equals_reference(rules, traffic):
    check_walks_equal(rules, traffic)


@given(tables([*MATCHES, *UNMODELLED]), st.lists(packets(), min_size=1, max_size=2))
def test_walk_past_what_is_not_modelled_equals_reference(rules, traffic):
    check_walks_equal(rules, traffic)


STATELESS = [match for match in MATCHES if "conntrack" not in match]


@given(tables(STATELESS), packets(), st.sampled_from([0x2000, 1, 2, 0x1001, 0x3FFF]))
def test_walk_of_a_fragment_equals_reference(rules, packet, fragment):
    """Offset 1 would overwrite the TCP header's flags: dropped where ports are asked for."""
    check_walks_equal(rules, [packet], fragment)


@given(tables(), packets())
def test_walk_with_nat_equals_reference(rules, packet):
    check_walks_equal(nat("POSTROUTING -o b -j MASQUERADE") + rules, [packet, packet])


SYN = fr.tcp(CLIENT, 1000, SERVER, 80)


def walked(*lines, policy="ACCEPT"):
    """(reason, the filter rules met) of a SYN through the kernel."""
    engine = FastEngine({"n": node(table("filter", *lines, policy=policy, chains="A B"))})
    record = send(engine, 6, SYN)
    return record, [met.removeprefix("filter ") for met in rules_met(record)]


@pytest.mark.parametrize(
    ("lines", "met"),
    [
        ([], ["FORWARD 0"]),
        (["FORWARD -j ACCEPT"], ["FORWARD 1"]),
        (["FORWARD -p udp -j DROP"], ["FORWARD 0"]),
        (["FORWARD -p tcp"], ["FORWARD 1", "FORWARD 0"]),
        (["FORWARD -j A", "A -p udp"], ["FORWARD 1", "FORWARD 0"]),
        (["FORWARD -j A", "FORWARD -j ACCEPT", "A -j RETURN", "A -j DROP"],
         ["FORWARD 1", "A 1", "FORWARD 2"]),
        # After a goto, the chain's end leads to the caller of the chain with the goto.
        (["FORWARD -g A", "FORWARD -j DROP", "A -p udp"], ["FORWARD 1", "FORWARD 0"]),
        (["FORWARD -j A", "FORWARD -j ACCEPT", "A -g B", "A -j DROP", "B -p udp"],
         ["FORWARD 1", "A 1", "FORWARD 2"]),
        (["FORWARD -j RETURN", "FORWARD -j DROP"], ["FORWARD 1", "FORWARD 0"]),
        # Bits outside the mask are turned over: kube-proxy takes its mark off so.
        ([*["FORWARD -j MARK --set-xmark 0x4000/0x0"] * 2, "FORWARD -m mark --mark 0x0 -j DROP"],
         ["FORWARD 1", "FORWARD 2", "FORWARD 3"]),
    ],
)  # fmt: skip
def test_rules_met(lines, met):
    assert walked(*lines)[1] == met


@pytest.mark.parametrize(
    ("fragment", "met"),
    [(0x2000, ["FORWARD 1"]), (1, []), (2, ["FORWARD 0"]), (0x1001, ["FORWARD 0"])],
)
def test_ports_of_fragments(fragment, met):
    """xt_tcpudp.c: only the first fragment has ports, and offset 1 is an attack on them."""
    rules = table("filter", "FORWARD -p tcp -m tcp --dport 80 -j ACCEPT")
    record = send(FastEngine({"n": node(rules)}), 6, SYN, fragment=fragment)
    assert rules_met(record) == [f"filter {rule}" for rule in met]
    assert (record.reason == Reason.NETFILTER_DROP) == (not met)


def test_what_ends_a_walk():
    assert walked("FORWARD -j DROP")[0].reason == Reason.NETFILTER_DROP
    assert walked(policy="DROP")[0].reason == Reason.NETFILTER_DROP
    rejected, _ = walked("FORWARD -j REJECT --reject-with icmp-port-unreachable")
    assert (rejected.verdict, rejected.reason) == (Verdict.REJECTED, Reason.NETFILTER_REJECT)


@pytest.mark.parametrize("unmodelled", UNMODELLED)
def test_an_unmodelled_match_decides_only_where_it_is_reached(unmodelled):
    record, met = walked(f"FORWARD -p tcp {unmodelled} -j ACCEPT")
    assert (record.verdict, record.reason) == (Verdict.UNKNOWN, Reason.MATCH_UNMODELLED)
    assert met == ["FORWARD 1"]
    record, met = walked(f"FORWARD -p udp {unmodelled} -j DROP", "FORWARD -j ACCEPT")
    assert record.reason not in (Reason.MATCH_UNMODELLED, Reason.NETFILTER_DROP)
    assert met == ["FORWARD 2"]


def test_an_unmodelled_target_ends_the_walk():
    record, met = walked("FORWARD -p tcp -j TCPMSS --clamp-mss-to-pmtu")
    assert (record.verdict, record.reason) == (Verdict.UNKNOWN, Reason.TARGET_UNMODELLED)
    assert met == ["FORWARD 1"]


def test_the_deepest_nesting_is_walked():
    chains = [f"C{i}" for i in range(64)]
    lines = ["FORWARD -j C0", *(f"{a} -j {b}" for a, b in pairwise(chains))]
    lines.append("C63 -j ACCEPT")
    engine = FastEngine({"n": node(table("filter", *lines, chains=" ".join(chains)))})
    assert len(rules_met(send(engine, 6, SYN))) == 65


def test_a_walk_of_more_steps_than_a_trace_holds_is_given_up():
    """40 chains that each jump twice into the next: 2^40 ways through them."""
    chains = [f"C{i}" for i in range(40)]
    lines = ["FORWARD -j C0", *(f"{a} -j {b}" for a, b in pairwise(chains) for _ in range(2))]
    rules = table("filter", *lines, chains=" ".join(chains))
    check_walks_equal(rules, [(6, SYN)])
    record = send(FastEngine({"n": node(rules)}), 6, SYN)
    assert (record.verdict, record.reason) == (Verdict.UNKNOWN, Reason.TRACE_FULL)
