"""Targets in numbers: what is done is what was written, and what is not modelled is unknown."""

from ipaddress import ip_address

import pytest

from _fastpath.image import RangeFlag, TargetKind
from dataplane.image.encode import ZERO, pair
from dataplane.image.pools import Pools
from dataplane.image.target_rows import EMPTY
from dataplane.image.targets import target_row
from dataplane.node.iptables import parse

MAPPED, PORTS = RangeFlag.RANGE_MAP_IPS, RangeFlag.RANGE_PROTO_SPECIFIED
RANDOM, FULLY = RangeFlag.RANGE_PROTO_RANDOM, RangeFlag.RANGE_PROTO_RANDOM_FULLY
PERSISTENT = RangeFlag.RANGE_PERSISTENT


def row_of(spec, family=4):
    text = f"*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {spec}\nCOMMIT\n"
    (rule,) = parse(text, "rules", family).tables["nat"].chains["PREROUTING"].rules
    return target_row(rule.target, family, Pools())


def to(address="", low=0, high=0, flags=0):
    number = pair(ip_address(address)) if address else ZERO
    return (number, number, 0, 0, low, high, flags)


@pytest.mark.parametrize(
    ("spec", "kind", "row"),
    [
        ("-j ACCEPT", TargetKind.TARGET_ACCEPT, EMPTY),
        ("-j DROP", TargetKind.TARGET_DROP, EMPTY),
        ("-j RETURN", TargetKind.TARGET_RETURN, EMPTY),
        ("-j LOG --log-prefix x", TargetKind.TARGET_NONE, EMPTY),
        ("-j NFLOG", TargetKind.TARGET_NONE, EMPTY),
        ("-j TRACE", TargetKind.TARGET_NONE, EMPTY),
        ("-j CLASSIFY --set-class 1:1", TargetKind.TARGET_NONE, EMPTY),
        ("-j IDLETIMER --timeout 5 --label x", TargetKind.TARGET_NONE, EMPTY),
        ("-j CONNSECMARK --save", TargetKind.TARGET_NONE, EMPTY),
        ("-p udp -j TPROXY --on-port 0 --on-ip 0.0.0.0 --tproxy-mark 0x0/0x0",
         TargetKind.TARGET_TPROXY, EMPTY),
        ("-j CT --notrack", TargetKind.TARGET_NOTRACK, EMPTY),
        ("-j MARK --set-xmark 0x4000/0x4000", TargetKind.TARGET_MARK,
         (ZERO, ZERO, 0x4000, 0x4000, 0, 0, 0)),
        ("-j MARK --set-mark 1", TargetKind.TARGET_MARK, (ZERO, ZERO, 1, 0xFFFFFFFF, 0, 0, 0)),
        # mark = (mark & ~b) ^ a: --or-mark leaves the other bits, --and-mark clears them.
        ("-j MARK --or-mark 6", TargetKind.TARGET_MARK, (ZERO, ZERO, 6, 6, 0, 0, 0)),
        ("-j MARK --and-mark 0xfffffff0", TargetKind.TARGET_MARK, (ZERO, ZERO, 0, 15, 0, 0, 0)),
        ("-j REJECT", TargetKind.TARGET_REJECT, (ZERO, ZERO, 0, 0x303, 0, 0, 0)),
        ("-j REJECT --reject-with icmp-admin-prohibited", TargetKind.TARGET_REJECT,
         (ZERO, ZERO, 0, 0x30D, 0, 0, 0)),
        ("-p tcp -j REJECT --reject-with tcp-reset", TargetKind.TARGET_REJECT,
         (ZERO, ZERO, 1, 0, 0, 0, 0)),
        ("-p tcp -j DNAT --to-destination 10.0.0.1:80", TargetKind.TARGET_DNAT,
         to("10.0.0.1", 80, 80, MAPPED | PORTS)),
        ("-p tcp -j DNAT --to-destination :80-90 --random", TargetKind.TARGET_DNAT,
         to("", 80, 90, PORTS | RANDOM)),
        ("-p tcp -j DNAT --to-destination :80-90/1080", TargetKind.TARGET_DNAT,
         (ZERO, ZERO, 1080, 0, 80, 90, PORTS | RangeFlag.RANGE_PROTO_OFFSET)),
        ("-j SNAT --to-source 10.0.0.1 --persistent", TargetKind.TARGET_SNAT,
         to("10.0.0.1", flags=MAPPED | PERSISTENT)),
        ("-j MASQUERADE --random-fully", TargetKind.TARGET_MASQUERADE, to(flags=FULLY)),
        ("-p udp -j MASQUERADE --to-ports 1024-65535", TargetKind.TARGET_MASQUERADE,
         to("", 1024, 65535, PORTS)),
        ("-p tcp -j REDIRECT --to-ports 8080", TargetKind.TARGET_REDIRECT,
         to("", 8080, 8080, PORTS)),
    ],
)  # fmt: skip
def test_rows(spec, kind, row):
    assert row_of(spec) == (kind, row)


@pytest.mark.parametrize(
    ("spec", "row"),
    [
        ("-j REJECT", (ZERO, ZERO, 0, 0x104, 0, 0, 0)),
        ("-p tcp -j DNAT --to-destination [fd00::1]:80", to("fd00::1", 80, 80, MAPPED | PORTS)),
        ("-j SNAT --to-source fd00::1", to("fd00::1", flags=MAPPED)),
    ],
)
def test_rows_of_ipv6(spec, row):
    assert row_of(spec, 6)[1] == row


@pytest.mark.parametrize(
    "spec",
    [
        "-j CT --helper ftp",
        "-j SET --add-set x src",
    ],
)
def test_what_is_not_modelled_is_unknown(spec):
    assert row_of(spec) == (TargetKind.TARGET_UNKNOWN, EMPTY)
