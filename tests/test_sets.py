"""Sets: kernels and specification answer, count, add and delete alike."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.reason import Reason, Verdict
from dataplane.errors import TableError
from dataplane.node import ipset, iptables
from dataplane.reference.engine import Engine as ReferenceEngine
from dataplane.replay.after import counters
from dataplane.replay.after_sets import ipsets as ipsets_after
from dataplane.replay.fast import FastEngine

from . import frames as fr
from . import match_packets as mp
from .node.strategies_ipset import ipsets
from .reference.one_node import CLIENT, INSIDE, SECOND, SERVER, node, rules_met, send, table
from .two_nodes import mac

SOURCES = (CLIENT, ip_address("10.0.0.77"))
SIDES = ("src", "dst", "src,dst", "dst,src", "src,src", "dst,dst", "src,dst,dst", "dst,src,src")
COUNTED = ("", "", "", "! --update-counters", "! --update-subcounters", "--return-nomatch",
           "--packets-eq 2", "! --packets-eq 2", "--packets-gt 1", "--bytes-lt 100",
           "--return-nomatch --packets-lt 3 --bytes-gt 10")  # fmt: skip


@st.composite
def set_rules(draw, names, has_unknown=False):
    name, sides = draw(st.sampled_from(names)), draw(st.sampled_from(SIDES))
    kind = draw(st.sampled_from(("match", "match", "match", "add", "del", "map")))
    unknown = "-m realm --realm 5 " if has_unknown and draw(st.booleans()) else ""
    if kind == "match":
        words = draw(st.sampled_from(("", "! "))), draw(st.sampled_from(COUNTED))
        target = draw(st.sampled_from(("", "", " -j ACCEPT"))) if has_unknown else ""
        return f"FORWARD {unknown}-m set {words[0]}--match-set {name} {sides} {words[1]}{target}"
    extra = ""
    if kind == "add":
        extra = draw(st.sampled_from(("", " --exist", " --timeout 5", " --exist --timeout 0")))
    if kind == "map":
        return f"FORWARD -j SET --map-set {name} {sides} --map-mark"
    return f"FORWARD -j SET --{kind}-set {name} {sides}{extra}"


@st.composite
def packets(draw):
    src, dst = draw(st.sampled_from(SOURCES)), SERVER
    sport, dport = draw(st.sampled_from([1000, 80])), draw(st.sampled_from([80, 443]))
    protocol, body = draw(st.sampled_from([
        (6, fr.tcp(src, sport, dst, dport)), (17, fr.udp(src, sport, dst, dport)),
        (1, fr.echo(1)), (47, bytes(8)), (136, bytes(4) + bytes(4)),
        (6, fr.tcp(src, sport, dst, dport)[:10]),
    ]))  # fmt: skip
    return protocol, body, src, draw(st.sampled_from((0, 0, 0, 0x2000, 1)))


@st.composite
def scenarios(draw):
    sets = draw(ipsets().filter(len))
    names = [found.name for found in sets]
    lines = draw(st.lists(set_rules(names, draw(st.booleans())), min_size=1, max_size=5))
    traffic = draw(st.lists(packets(), min_size=1, max_size=5))
    return sets, table("filter", *lines), traffic


def without_comments(sets):
    return [
        replace(s, entries=tuple(sorted((replace(e, comment=None, skbprio=None, skbqueue=None)
                                         for e in s.entries), key=repr)))
        for s in sets
    ]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(scenarios(), st.sampled_from((0, 1, 4, 301)))
def test_sets_equal_reference(scenario, pause):
    sets, rules, traffic = scenario
    nodes = {"n": node(rules, ipsets=sets)}
    fast, slow = FastEngine(nodes), ReferenceEngine(nodes)
    now = 5 * SECOND
    for number, (protocol, body, src, fragment) in enumerate(traffic):
        mine, its = (
            send(engine, protocol, body, src, time=now, id=number, fragment=fragment)
            for engine in (fast, slow)
        )
        assert list(mine.steps) == list(its.steps)
        assert (mine.verdict, mine.reason) == (its.verdict, its.reason)
        found = ipsets_after(fast.image, fast.state, "n", now)
        assert without_comments(found) == without_comments(slow.ipsets("n", now))
        now += pause * SECOND
    counted = counters(fast.image, fast.state)
    for rule, sizes in slow.counters("n").items():
        assert counted["n", *rule] == sizes


IPV6_PORTS = "create a hash:ip,port family inet6\nadd a fd00::2,gre:0\nadd a fd00::2,tcp:80\n"


@given(st.sampled_from(mp.PACKETS6), st.sampled_from(["src,dst", "dst,src", "src,src"]))
def test_ports_of_ipv6_equal_reference(packet, sides):
    """Whatever stands behind the extension headers, or does not."""
    rules = [
        f"-A PREROUTING -j SET --add-set b {sides}",
        f"-A PREROUTING -m set --match-set a {sides}",
    ]
    text = "*raw\n:PREROUTING ACCEPT\n" + "\n".join(rules) + "\nCOMMIT\n"
    sets = ipset.parse(IPV6_PORTS + "create b hash:ip,port family inet6\n", "x")
    nodes = {"n": node(ip6tables=iptables.parse(text, "rules", 6), ipsets=sets)}
    fast, slow = FastEngine(nodes), ReferenceEngine(nodes)
    ip = fr.ipv6("fd00::2", "fd00:1::2", *packet)
    frame = fr.ether(mac(CLIENT), mac(INSIDE), b"\x86\xdd", ip)
    mine, its = (engine.run(0, frame, len(frame), ("n", "a")) for engine in (fast, slow))
    assert rules_met(mine) == rules_met(its)
    assert without_comments(ipsets_after(fast.image, fast.state, "n", 0)) == without_comments(
        slow.ipsets("n", 0)
    )


def met(create, rule, *, times=1, protocol=17, body=None, pause=0):
    """The sets' text, and which of the packets met the rule."""
    nodes = {"n": node(table("filter", f"FORWARD {rule} -j DROP"), ipsets=ipset.parse(create, "x"))}
    body = body or fr.udp(CLIENT, 1000, SERVER, 80)
    answers = []
    for engine in (FastEngine(nodes), ReferenceEngine(nodes)):
        records = [
            send(engine, protocol, body, time=i * pause * SECOND, id=i) for i in range(times)
        ]
        answers.append(["filter FORWARD 1" in rules_met(record) for record in records])
    assert answers[0] == answers[1]
    return answers[0]


@pytest.mark.parametrize(
    ("create", "match", "expected"),
    [
        ("create a hash:ip\nadd a 10.0.0.2", "a src", True),
        ("create a hash:ip\nadd a 10.0.0.2", "a dst", False),
        ("create a hash:ip\nadd a 10.0.0.2", "a src,dst", True),  # more sides than parts
        ("create a hash:ip family inet6\nadd a fd00::2", "a src", False),
        ("create a hash:ip netmask 24\nadd a 10.0.0.99", "a src", True),
        ("create a hash:net\nadd a 10.0.0.0/8\nadd a 10.0.0.0/24 nomatch", "a src", False),
        ("create a hash:net\nadd a 10.0.0.0/8\nadd a 10.0.0.0/24 nomatch",
         "a src --return-nomatch", True),
        ("create a hash:net\nadd a 10.0.0.0/8 nomatch\nadd a 10.0.0.2", "a src", True),
        ("create a hash:ip,port\nadd a 10.0.0.2,udp:80", "a src,dst", True),
        ("create a hash:ip,port\nadd a 10.0.0.2,tcp:80", "a src,dst", False),
        ("create a hash:ip,port\nadd a 10.0.0.2,udp:1000", "a src,src", True),
        ("create a hash:ip,port\nadd a 10.0.0.2,udp:80", "a src", False),  # too few sides
        ("create a hash:ip,port,net\nadd a 10.0.0.2,udp:80,10.0.1.0/24", "a src,dst,dst", True),
        ("create a hash:net,net\nadd a 10.0.0.0/24,10.0.1.0/24", "a src,dst", True),
        ("create a hash:net,iface\nadd a 0.0.0.0/0,a", "a src,src", True),
        ("create a hash:net,iface\nadd a 0.0.0.0/0,b", "a src,dst", True),
        ("create a hash:net,iface\nadd a 10.0.0.0/24,c\nadd a 0.0.0.0/0,a", "a src,src", False),
        ("create a bitmap:ip range 10.0.0.0/24\nadd a 10.0.0.2", "a src", True),
        ("create a bitmap:ip range 10.0.0.0/24\nadd a 10.0.0.2", "a dst", False),
        ("create a bitmap:port range 0-100\nadd a 80", "a dst", True),
        ("create a hash:ip,mark\nadd a 10.0.0.2,0x0", "a src,src", True),
        ("create b hash:ip\nadd b 10.0.0.2\ncreate a list:set\nadd a b", "a src", True),
        ("create a list:set", "a src", False),
    ],
)  # fmt: skip
def test_what_is_in_a_set(create, match, expected):
    assert met(create, f"-m set --match-set {match}") == [expected]
    if "--return" not in match:
        assert met(create, f"-m set ! --match-set {match}") == [not expected]


def test_timeouts_run_from_the_first_packet():
    create = "create a hash:ip timeout 0\nadd a 10.0.0.2 timeout 10"
    answers = met(create, "-m set --match-set a src", times=4, pause=5)
    assert answers == [True, True, True, False]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--packets-eq 2", [False, True, False]),
        ("! --packets-eq 2", [True, False, True]),
        ("--packets-gt 1", [False, True, True]),
        ("--packets-lt 2 ! --update-counters", [True, True, True]),
    ],
)
def test_counters_are_counted_before_they_are_compared(options, expected):
    create = "create a hash:ip counters\nadd a 10.0.0.2"
    assert met(create, f"-m set --match-set a src {options}", times=3) == expected


def test_an_exception_that_a_packet_adds_again_is_none():
    """mtype_add writes over what the element was given, by the most specific prefix of the set."""
    sets = "create a hash:net\nadd a 10.0.0.0/24 nomatch"
    nodes = {"n": node(table("raw", "PREROUTING -j SET --add-set a src --exist",
                             "PREROUTING -m set --match-set a src"),
                       ipsets=ipset.parse(sets, "x"))}  # fmt: skip
    for engine in (FastEngine(nodes), ReferenceEngine(nodes)):
        record = send(engine, 17, fr.udp(CLIENT, 1000, SERVER, 80))
        assert "raw PREROUTING 2" in rules_met(record)


def test_a_set_that_is_not_there():
    rules = table("filter", "FORWARD -m set --match-set a src -j DROP")
    record = send(FastEngine({"n": node(rules)}), 17, fr.udp(CLIENT, 1, SERVER, 2))
    assert (record.verdict, record.reason) == (Verdict.UNKNOWN, Reason.MATCH_UNMODELLED)
    with pytest.raises(TableError, match=r"^rules:\d+: no such set: 'a'"):
        FastEngine({"n": node(rules, ipsets=())})
