"""Matches in numbers: what is asked is what was written, and what is not modelled is unknown."""

import pytest

from _fastpath.image import AddressType, AddrtypeFlag, MatchKind
from dataplane.image.match_rows import UNKNOWN, row
from dataplane.image.matches import match_rows
from dataplane.image.pools import Pools
from dataplane.node.iptables import parse
from dataplane.reference.choice import rule_identity


def rule_of(spec):
    text = f"*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD {spec}\nCOMMIT\n"
    return parse(text, "rules").tables["filter"].chains["FORWARD"].rules[0]


def rows_of(spec):
    """(rows, ranges, counters)"""
    pools, rows = Pools(), []
    for match in rule_of(spec).matches:
        rows += match_rows(match, pools, 4)
    return rows, pools.ranges, pools.memories.credits


ANY = (0, 65535)
IDENTITY = divmod(rule_identity(0, "", "", 0), 1 << 32)[::-1]  # of no rule


@pytest.mark.parametrize(
    ("spec", "rows"),
    [
        ("-p tcp", []),
        ("-m comment --comment x", []),
        ("-p tcp -m tcp --dport 80", [row(MatchKind.MATCH_PORTS, *ANY, 80, 80)]),
        ("-p udp -m udp --sport 1:9", [row(MatchKind.MATCH_PORTS, 1, 9, *ANY)]),
        ("-p tcp -m tcp ! --sport :9", [row(MatchKind.MATCH_PORTS, 0, 9, *ANY, invert=1)]),
        ("-p tcp -m tcp ! --dport 9:", [row(MatchKind.MATCH_PORTS, *ANY, 9, 65535, invert=2)]),
        ("-p tcp -m tcp --syn",
         [row(MatchKind.MATCH_PORTS, *ANY, *ANY), row(MatchKind.MATCH_TCP_FLAGS, 0x17, 2)]),
        ("-p tcp -m tcp ! --tcp-option 5",
         [row(MatchKind.MATCH_PORTS, *ANY, *ANY), row(MatchKind.MATCH_TCP_OPTION, 5, invert=1)]),
        ("-p icmp -m icmp --icmp-type 3/1", [row(MatchKind.MATCH_ICMP, 3, 1, 1)]),
        ("-p icmp -m icmp --icmp-type echo-request", [row(MatchKind.MATCH_ICMP, 8, 0, 255)]),
        ("-p icmp -m icmp --icmp-type any", [row(MatchKind.MATCH_ICMP, 255, 0, 255)]),
        ("-m conntrack --ctstate NEW,UNTRACKED", [row(MatchKind.MATCH_CONNTRACK, 24, 0, 0, 1)]),
        ("-m conntrack ! --ctstate INVALID --ctstatus ASSURED",
         [row(MatchKind.MATCH_CONNTRACK, 1, 4, 0, 3, flags=1)]),
        ("-m state --state RELATED,ESTABLISHED", [row(MatchKind.MATCH_CONNTRACK, 6, 0, 0, 1)]),
        ("-m mark --mark 0x4000/0x4000", [row(MatchKind.MATCH_MARK, 0x4000, 0x4000)]),
        ("-m mark ! --mark 0x1", [row(MatchKind.MATCH_MARK, 1, 0xFFFFFFFF, invert=1)]),
        ("-m addrtype --dst-type LOCAL,ANYCAST",
         [row(MatchKind.MATCH_ADDRTYPE, 0, AddressType.TYPE_LOCAL | AddressType.TYPE_ANYCAST, 0)]),
        ("-m addrtype ! --src-type LOCAL --limit-iface-in",
         [row(MatchKind.MATCH_ADDRTYPE, AddressType.TYPE_LOCAL, 0,
              AddrtypeFlag.ADDRTYPE_INVERT_SOURCE | AddrtypeFlag.ADDRTYPE_LIMIT_IFACE_IN)]),
        ("-m statistic --mode random --probability 0.5",
         [row(MatchKind.MATCH_STATISTIC_RANDOM, 1 << 30, *IDENTITY)]),
        ("-m owner --uid-owner 0", [row(MatchKind.MATCH_NEVER)]),
        ("-m policy --dir in --pol none", []),
        ("-m realm ! --realm 0x50000/0xffff0000",
         [row(MatchKind.MATCH_REALM, 0x50000, 0xFFFF0000, invert=1)]),
        ("-m rpfilter --loose --validmark --invert",
         [row(MatchKind.MATCH_RPFILTER, invert=1, flags=3)]),
        ("-m policy --dir in --pol ipsec --proto esp", [row(MatchKind.MATCH_NO)]),
        ("-p dccp -m dccp --sport 5 ! --dccp-types REQUEST,SYNCACK --dccp-option 9",
         [row(MatchKind.MATCH_PORTS, 5, 5, *ANY), row(MatchKind.MATCH_DCCP_TYPES, 513, invert=1),
          row(MatchKind.MATCH_DCCP_OPTION, 9)]),
        ("-m physdev ! --physdev-is-in --physdev-is-bridged",
         [row(MatchKind.MATCH_PHYSDEV, d=8, flags=12)]),
    ],
)  # fmt: skip
def test_rows(spec, rows):
    assert rows_of(spec)[0] == rows


def test_multiport_rows_name_their_ranges():
    rows, ranges, _ = rows_of("-p tcp -m multiport --dports 80,90:99 -m multiport ! --ports 1")
    assert rows == [
        row(MatchKind.MATCH_MULTIPORT, 0, 2, 2),
        row(MatchKind.MATCH_MULTIPORT, 2, 1, 3, invert=1),
    ]
    assert ranges == [(80, 80), (90, 99), (1, 1)]


def test_every_nth_match_has_a_counter_of_its_own():
    third, other = "--every 3 --packet 1", "--every 2 --packet 0"
    nth = "-m statistic --mode nth"
    rows, _, counters = rows_of(f"{nth} {third} {nth} {other}")
    assert rows == [
        row(MatchKind.MATCH_STATISTIC_NTH, 3, 1, 0),
        row(MatchKind.MATCH_STATISTIC_NTH, 2, 0, 1),
    ]
    assert len(counters) == 2


@pytest.mark.parametrize(
    "spec",
    [
        "-m conntrack -range",  # an option that nobody knows, and its value
        "-m iprange -range",
        "-m cpu --cpu 1",
        "-m physdev",
        "-m cpu --cpu 0",
        "-m set --match-set x src",
    ],
)
def test_what_is_not_modelled_is_unknown(spec):
    assert UNKNOWN in rows_of(spec)[0]


def test_an_unknown_option_leaves_the_known_ones_to_be_asked_first():
    """The rule is decided by the state where the state does not match."""
    rows, _, _ = rows_of("-m conntrack --ctstate NEW -m cpu --cpu 0")
    assert [found[4] for found in rows] == [MatchKind.MATCH_CONNTRACK, MatchKind.MATCH_UNKNOWN]
