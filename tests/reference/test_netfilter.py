"""The walk through a table: which rules a packet meets, in order, and what they count."""

import pytest

from _fastpath.reason import Reason, Verdict
from tests import frames as fr
from tests.reference.one_node import CLIENT, SERVER, engine, nat, rules_met, send, table

SYN = fr.tcp(CLIENT, 1000, SERVER, 80)


def met(rules, body=SYN, protocol=6, chains="A B C", policy="ACCEPT", **fields):
    record = send(
        engine(table("filter", *rules, chains=chains, policy=policy)), protocol, body, **fields
    )
    return [rule.removeprefix("filter ") for rule in rules_met(record)], record


@pytest.mark.parametrize(
    ("rules", "expected", "verdict"),
    [
        ([], ["FORWARD 0"], Verdict.FORWARDED),
        (["FORWARD -j ACCEPT"], ["FORWARD 1"], Verdict.FORWARDED),
        (["FORWARD -j DROP"], ["FORWARD 1"], Verdict.DROPPED),
        (["FORWARD"], ["FORWARD 1", "FORWARD 0"], Verdict.FORWARDED),
        (["FORWARD -j RETURN", "FORWARD -j DROP"], ["FORWARD 1", "FORWARD 0"], Verdict.FORWARDED),
        # A user chain's end leaves nothing, and goes back behind the jump.
        (
            ["FORWARD -j A", "FORWARD -j ACCEPT", "A -p udp"],
            ["FORWARD 1", "FORWARD 2"],
            Verdict.FORWARDED,
        ),
        (
            ["FORWARD -j A", "A -j RETURN", "A -j DROP"],
            ["FORWARD 1", "A 1", "FORWARD 0"],
            Verdict.FORWARDED,
        ),
        # After a goto, RETURN and the end go to the caller of the chain that was left.
        (
            ["FORWARD -j A", "FORWARD -j ACCEPT", "A -g B", "A -j DROP", "B -j RETURN"],
            ["FORWARD 1", "A 1", "B 1", "FORWARD 2"],
            Verdict.FORWARDED,
        ),
        (
            ["FORWARD -j A", "A -g B", "B -j C", "B", "C -j RETURN"],
            ["FORWARD 1", "A 1", "B 1", "C 1", "B 2", "FORWARD 0"],
            Verdict.FORWARDED,
        ),
        (
            ["FORWARD -g A", "FORWARD -j DROP", "A"],
            ["FORWARD 1", "A 1", "FORWARD 0"],
            Verdict.FORWARDED,
        ),
        (
            ["FORWARD -j LOG", "FORWARD -j NFLOG"],
            ["FORWARD 1", "FORWARD 2", "FORWARD 0"],
            Verdict.FORWARDED,
        ),
    ],
)
def test_walk(rules, expected, verdict):
    steps, record = met(rules)
    assert (steps, record.verdict) == (expected, verdict)


def test_policy_drop():
    steps, record = met([], policy="DROP")
    assert (steps, record.verdict, record.reason) == (
        ["FORWARD 0"],
        Verdict.DROPPED,
        Reason.NETFILTER_DROP,
    )


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (["FORWARD -m cpu --cpu 0 -j DROP"], Reason.MATCH_UNMODELLED),
        (
            ["FORWARD -p udp -m cpu --cpu 0", "FORWARD -p tcp -j SYNPROXY"],
            Reason.TARGET_UNMODELLED,
        ),
        (["FORWARD -m cpu --cpu 1 -j MARK --set-mark 1"], Reason.MATCH_UNMODELLED),
        (["FORWARD -j CT --helper ftp"], Reason.TARGET_UNMODELLED),
    ],
)
def test_what_is_not_modelled_ends_the_walk_where_it_decides(rules, reason):
    steps, record = met(rules)
    assert (record.verdict, record.reason) == (Verdict.UNKNOWN, reason)
    assert steps[-1] == f"FORWARD {len(rules)}"


def test_an_unmodelled_match_that_decides_nothing_is_passed_over():
    steps, record = met(["FORWARD -p udp -m cpu --cpu 0 -j DROP", "FORWARD -j ACCEPT"])
    assert (steps, record.verdict) == (["FORWARD 2"], Verdict.FORWARDED)


def test_counters_hold_the_length_at_the_hook():
    filtered = engine(table("filter", "FORWARD -p tcp", "FORWARD -p udp"))
    send(filtered, 6, fr.tcp(CLIENT, 1000, SERVER, 80, payload=b"12345"))
    send(filtered, 6, SYN)
    assert filtered.counters("n") == {
        (4, "filter", "FORWARD", 1): (2, 85),
        (4, "filter", "FORWARD", 0): (2, 85),
    }


def test_tables_run_by_priority():
    rules = nat("PREROUTING", "POSTROUTING") + table("raw", "PREROUTING")
    rules += table("filter", "FORWARD")
    rules += "*mangle\n:PREROUTING ACCEPT\n:FORWARD ACCEPT\n:POSTROUTING ACCEPT\n"
    rules += "-A PREROUTING\n-A FORWARD\n-A POSTROUTING\nCOMMIT\n"
    record = send(engine(rules), 6, SYN)
    assert [step for step in rules_met(record) if step.endswith("1")] == [
        "raw PREROUTING 1",
        "mangle PREROUTING 1",
        "nat PREROUTING 1",
        "mangle FORWARD 1",
        "filter FORWARD 1",
        "mangle POSTROUTING 1",
        "nat POSTROUTING 1",
    ]


def test_forward_sees_the_ttl_that_the_next_node_will():
    assert met([], ttl=1)[1].reason == Reason.TTL_EXPIRED
    steps, record = met(["FORWARD"], ttl=2)
    assert (steps, record.end_ttl) == (["FORWARD 1", "FORWARD 0"], 1)


def test_nat_chains_see_what_opens_a_connection():
    tracked = engine(nat("PREROUTING", "POSTROUTING"))
    first, second = send(tracked, 6, SYN), send(tracked, 6, SYN)
    assert len(rules_met(first)) == 4
    assert rules_met(second) == []


def test_malformed_headers_are_dropped_by_the_match_that_reads_them():
    steps, record = met(["FORWARD -p tcp -m tcp --dport 80", "FORWARD"], body=SYN[:12])
    assert (steps, record.reason) == ([], Reason.NETFILTER_DROP)


@pytest.mark.parametrize(
    ("protocol", "offset", "expected", "reason"),
    [
        (6, 1, [], Reason.NETFILTER_DROP),  # RFC 1858
        (6, 2, ["FORWARD 2", "FORWARD 3", "FORWARD 0"], Reason.LEFT_BY_DEVICE),
        (17, 1, ["FORWARD 2", "FORWARD 3", "FORWARD 0"], Reason.LEFT_BY_DEVICE),
    ],
)
def test_later_fragments_have_no_ports(protocol, offset, expected, reason):
    """Measured with iptables-legacy on Linux 6.18."""
    name = {6: "tcp", 17: "udp"}[protocol]
    rules = [f"FORWARD -p {name} -m {name} --dport 80", f"FORWARD -p {name}", "FORWARD -f"]
    steps, record = met(rules, body=SYN, protocol=protocol, fragment=offset)
    assert (steps, record.reason) == (expected, reason)


def test_fragments_meet_conntrack():
    record = send(engine(nat()), 6, SYN, fragment=0x2000)
    assert (record.verdict, record.reason) == (Verdict.CONSUMED, Reason.FRAGMENT_HELD)
