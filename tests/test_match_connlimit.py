"""-m connlimit: kernels and specification count the same connections, and what they count."""

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.image import state
from dataplane.reference.engine import Engine as ReferenceEngine
from dataplane.replay.after import counters
from dataplane.replay.fast import FastEngine

from . import frames as fr
from .reference.one_node import LEGACY, MS, SECOND, SERVER, node, rules_met, send, table

SOURCES = [ip_address(f"10.0.0.{last}") for last in (2, 3, 130)]
TICK = 4 * MS

MATCH = st.builds(
    "-m connlimit {}--connlimit-{} {} --connlimit-mask {} --connlimit-{}".format,
    st.sampled_from(["", "", "! "]), st.sampled_from(["upto", "above"]), st.integers(0, 3),
    st.sampled_from([32, 32, 24, 0]), st.sampled_from(["saddr", "saddr", "daddr"]),
)  # fmt: skip
UNSURE = "-m cpu --cpu 1"
RULES = st.lists(
    st.builds("{} {} {} {}".format, st.sampled_from(["FORWARD"] * 4 + ["INPUT"]),
              st.sampled_from(["", "", "-p tcp", "-s 10.0.0.2", UNSURE]), MATCH,
              st.sampled_from([""] * 4 + ["-j DROP"])),
    min_size=1, max_size=4,
)  # fmt: skip
RAW = st.lists(st.builds("PREROUTING {}".format, MATCH), max_size=2)
ZONES = st.lists(
    st.sampled_from(["PREROUTING -s 10.0.0.2 -j CT --zone 7", "PREROUTING -j CT --zone-orig 5",
                     "PREROUTING -s 10.0.0.3 -j CT --zone-reply 3",
                     "PREROUTING -p udp -j CT --notrack"]),
    max_size=1,
)  # fmt: skip
FLAGS = [fr.SYN, fr.SYN, fr.SYN | fr.ACK, fr.ACK, fr.FIN | fr.ACK, fr.RST, fr.RST | fr.ACK]


@st.composite
def packets(draw):
    """(ns since the one before, source, destination, protocol, body)"""
    client, port = draw(st.sampled_from(SOURCES)), draw(st.sampled_from([1, 2, 3]))
    is_reply = draw(st.integers(0, 2)) == 0
    src, dst, sport, dport = client, SERVER, port, 80
    if is_reply:
        src, dst, sport, dport = SERVER, client, 80, port
    after = draw(st.sampled_from([0, 0, MS, TICK, 10 * TICK, 3 * SECOND, 20 * SECOND]))
    kind = draw(st.sampled_from(["tcp"] * 4 + ["udp", "udp", "icmp", "gre", "short", "ports"]))
    bodies = {
        "tcp": (6, fr.tcp(src, sport, dst, dport, draw(st.sampled_from(FLAGS)))),
        "udp": (17, fr.udp(src, sport, dst, dport)),
        "icmp": (1, fr.echo(port, reply=is_reply)),
        "gre": (47, bytes(8)),
        "short": (17, b"\0\1\0"),
        "ports": (6, fr.tcp(src, sport, dst, dport)[: draw(st.integers(3, 19))]),
    }
    return after, src, dst, *bodies[kind]


def check(text, traffic):
    nodes = {"n": node(text)}
    fast, slow = FastEngine(nodes), ReferenceEngine(nodes)
    now = SECOND
    for after, src, dst, protocol, body in traffic:
        now += after
        mine, its = (
            send(engine, protocol, body, src=src, dst=dst, time=now) for engine in (fast, slow)
        )
        assert rules_met(mine) == rules_met(its)
        assert (mine.verdict, mine.reason) == (its.verdict, its.reason)
    counted = counters(fast.image, fast.state)
    for rule, found in slow.counters("n").items():
        assert counted["n", *rule] == found


@settings(max_examples=200)
@given(RULES, RAW, ZONES, st.lists(packets(), min_size=2, max_size=14))
def test_kernels_equal_the_specification(rules, raw, zones, traffic):
    check(LEGACY + table("raw", *zones, *raw) + table("filter", *rules), traffic)


def test_lists_that_grow_in_one_tick_are_looked_through_after_64():
    """nf_conncount.c, CONNCOUNT_GC_MAX_COLLECT: those that never became connections go."""
    rules = table("raw", "PREROUTING -m connlimit --connlimit-above 70 --connlimit-mask 0")
    traffic = [
        (0 if port % 100 else TICK, SOURCES[0], SERVER, 17, fr.udp(SOURCES[0], port, SERVER, 80))
        for port in range(1, 301)
    ]
    check(LEGACY + rules + table("filter", "FORWARD -m conntrack --ctstate NEW -j DROP"), traffic)


def counts(*traffic, words="--connlimit-above 1", table_name="filter"):
    """Which packets the rule counts, by both engines; None: dropped by the match itself."""
    chain = "FORWARD" if table_name == "filter" else "PREROUTING"
    text = table(table_name, f"{chain} -s 10.0.0.0/24 -m connlimit {words}")
    if table_name == "raw":
        text += table("filter", "FORWARD -m conntrack --ctstate INVALID")
    nodes = {"n": node(LEGACY + text)}
    found = []
    for engine in (FastEngine(nodes), ReferenceEngine(nodes)):
        answers, now = [], SECOND
        for after, src, dst, protocol, body in traffic:
            now += after
            met = rules_met(send(engine, protocol, body, src=src, dst=dst, time=now))
            is_dropped = not any(step.startswith(f"{table_name} {chain}") for step in met)
            answers.append(None if is_dropped else f"{table_name} {chain} 1" in met)
        found.append(answers)
    assert found[0] == found[1]
    return found[0]


A, B = SOURCES[:2]


def udp(port, src=A, after=TICK):
    return after, src, SERVER, 17, fr.udp(src, port, SERVER, 80)


def tcp(flags, port=1, src=A, after=TICK, seq=1000, ack=0):
    return after, src, SERVER, 6, fr.tcp(src, port, SERVER, 80, flags, seq=seq, ack=ack)


def answer(flags, port=1, to=A, seq=5000, ack=1001):
    return TICK, SERVER, to, 6, fr.tcp(SERVER, 80, to, port, flags, seq=seq, ack=ack)


OPEN = [tcp(fr.SYN), answer(fr.SYN | fr.ACK), tcp(fr.ACK, seq=1001, ack=5001)]


@pytest.mark.parametrize(
    ("traffic", "words", "expected"),
    [
        ([udp(1), udp(2), udp(1), udp(3)], "--connlimit-above 1", [False, True, True, True]),
        ([udp(1), udp(2), udp(3)], "--connlimit-upto 2", [True, True, False]),
        ([udp(1), udp(2, B), udp(2)], "--connlimit-above 1", [False, False, True]),
        ([udp(1), udp(2, B)], "--connlimit-above 1 --connlimit-mask 24", [False, True]),
        ([udp(1), udp(2, B)], "--connlimit-above 1 --connlimit-daddr", [False, True]),
        # Gone after 30 seconds.
        ([udp(1), udp(2, after=40 * SECOND)], "--connlimit-above 1", [False, False]),
        # A reset one is over, for its last packet too.
        ([tcp(fr.SYN), tcp(fr.RST, seq=1001), udp(2)], "--connlimit-above 1",
         [False, False, False]),
        ([*OPEN, udp(2), tcp(fr.RST, seq=1001, ack=5001), udp(2)], "--connlimit-above 1",
         [False, False, False, True, False, False]),
        # Whoever is assured is not put on a list, and dropped if there is nobody on it.
        ([*OPEN, tcp(fr.ACK, seq=1001, ack=5001, after=TICK)], "--connlimit-above 0",
         [True, False, True, True]),
    ],
)  # fmt: skip
def test_what_is_counted(traffic, words, expected):
    assert counts(*traffic, words=words) == expected


def test_before_conntrack_only_connections_that_are_there_stay_on_the_list():
    """A datagram that has not been forwarded yet is no connection; then it is."""
    assert counts(udp(1), udp(2), udp(3), table_name="raw") == [False, True, True]


def test_packets_without_a_tuple_are_dropped():
    short = (TICK, A, SERVER, 17, b"\0\1\0")
    assert counts(short) == [None]


def test_ports_of_a_header_that_is_cut_short_are_a_tuple():
    cut = (TICK, A, SERVER, 6, fr.tcp(A, 7, SERVER, 80)[:4])
    assert counts(udp(1), cut, udp(1)) == [False, True, True]


def test_no_room_is_not_known(monkeypatch):
    monkeypatch.setattr(state, "COUNTED", 4)
    text = table("filter", "FORWARD -m connlimit --connlimit-above 9 -j DROP")
    engine = FastEngine({"n": node(LEGACY + text)})
    reasons = []
    for port in range(1, 7):
        _, src, dst, protocol, body = udp(port)
        record = send(engine, protocol, body, src=src, dst=dst, time=SECOND + port * TICK)
        reasons.append(record.reason)
    assert len(set(reasons[:3])) == 1
    assert len(set(reasons[3:])) == 1 and reasons[3] != reasons[0]
