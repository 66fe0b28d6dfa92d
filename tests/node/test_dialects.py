"""What real dumps hold besides what iptables-save prints."""

from dataclasses import replace

import pytest

from _fastpath.reason import Reason, Verdict
from dataplane.errors import ParseError
from dataplane.node import iptables, sysctl
from dataplane.reference.engine import Engine as ReferenceEngine
from dataplane.replay.fast import FastEngine
from tests import frames as fr
from tests.reference.one_node import CLIENT, SERVER, node, send

HEAD = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"


def lines(ruleset):
    return [
        iptables.render_rule(chain.name, rule)
        for table in ruleset.tables.values()
        for chain in table.chains.values()
        for rule in chain.rules
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("root@node-a:~# iptables-save", "root@node-a:~# exit"),
        ("[root@node-a ~]# iptables-save -t filter", "[root@node-a ~]#"),
        ("$ sudo iptables-save", "$ "),
        ("bash-5.1$ iptables-save", "logout"),
        ("iptables-save", ""),
        ("# iptables-save", "#"),
    ],
)
def test_prompts_around_a_dump(before, after):
    text = f"{before}\r\n{HEAD}-A INPUT -j DROP\r\nCOMMIT\r\n{after}\r\n"
    assert lines(iptables.parse(text, "save")) == ["-A INPUT -j DROP"]


def test_the_last_of_two_saves_counts():
    told = []
    first = HEAD + "-A INPUT -j DROP\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"
    ruleset = iptables.parse(
        first + HEAD + "-A INPUT -j ACCEPT\nCOMMIT\n", "save", warn=told.append
    )
    assert lines(ruleset) == ["-A INPUT -j ACCEPT"]
    assert list(ruleset.tables) == ["filter", "nat"]
    assert told == ["save:10: table filter stands twice; this one replaces the first, at save:1"]


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("-s 10.0.0.0/255.255.255.0", "-s 10.0.0.0/24"),
        ("-s 10.1.2.3/255.0.255.0", "-s 10.0.2.0/255.0.255.0"),
        ("! -d 10.1.2.3/0.0.0.255", "! -d 0.0.0.3/0.0.0.255"),
        ("-s ! 10.0.0.1", "! -s 10.0.0.1/32"),
        ("-p 6 --dport ! ssh", "-p tcp -m tcp ! --dport 22"),
        ("-p 94", "-p ipip"),
        ("-p 2", "-p igmp"),
        ("-m set ! --match-set a;|$!#[ dst,src", "-m set ! --match-set a;|$!#[ dst,src"),
        ("-m mark --mark 1 " * 3, "-m mark --mark 0x1 " * 2 + "-m mark --mark 0x1"),
        ('-m comment --comment "it\\\'s \\"-A INPUT\\" ! -j DROP"',
         '-m comment --comment "it\\\'s \\"-A INPUT\\" ! -j DROP"'),
    ],
)  # fmt: skip
def test_spellings(written, printed):
    found = iptables.parse(f"{HEAD}-A INPUT {written}\n", "save")
    assert lines(found) == [f"-A INPUT {printed}"]
    assert iptables.parse(iptables.render(found), "save").tables == found.tables


def test_ipv6_masks():
    text = HEAD + "-A INPUT -s fd00::1:2/ffff::ffff:0\n"
    assert lines(iptables.parse(text, "save", 6)) == ["-A INPUT -s fd00::1:0/ffff::ffff:0"]


UNREADABLE = "-m foo --bar 1 -s host.example -j DROP"


def test_lenient_keeps_what_it_cannot_read():
    told = []
    text = f"{HEAD}[3:4] -A FORWARD {UNREADABLE}\n-A FORWARD -j ACCEPT\nCOMMIT\n"
    with pytest.raises(ParseError, match=r"^save:5: bad value 'host\.example' for -s"):
        iptables.parse(text, "save")
    found = iptables.parse(text, "save", warn=told.append, lenient=True)
    assert lines(found) == [f"-A FORWARD {UNREADABLE}", "-A FORWARD -j ACCEPT"]
    assert found.tables["filter"].chains["FORWARD"].rules[0].packets == 3
    assert len(told) == 1 and told[0].startswith("save:5: ")
    assert told[0].endswith("what this rule does is not known")


@pytest.mark.parametrize("engine", [FastEngine, ReferenceEngine])
def test_what_was_not_read_decides_nothing(engine):
    text = f"{HEAD}-A FORWARD {UNREADABLE}\nCOMMIT\n"
    rules = iptables.parse(text, "save", lenient=True)
    made = engine({"n": replace(node(), iptables=rules)})
    record = send(made, 17, fr.udp(CLIENT, 1, SERVER, 2))
    assert (record.verdict, record.reason) == (Verdict.UNKNOWN, Reason.MATCH_UNMODELLED)


@pytest.mark.parametrize("line", ["nonsense", "-A NOWHERE -j DROP", "-D INPUT 1"])
def test_lenient_refuses_what_is_no_rule_of_a_chain(line):
    with pytest.raises(ParseError, match=r"^save:5: "):
        iptables.parse(f"{HEAD}{line}\n", "save", lenient=True)


def test_sysctl_of_a_terminal():
    text = (
        "root@node-a:~# sysctl -a\r\n"
        "sysctl: permission denied on key 'net.ipv4.tcp_fastopen_key'\r\n"
        "error: permission denied on key 'net.ipv4.route.flush'\n"
        "net.ipv4.conf.eth0/5.rp_filter = 1\n"
        "net/ipv4/conf/eth0.6/rp_filter = 2\n"
        "net.ipv4.ip_local_port_range = 32768\t60999\n"
    )
    assert sysctl.parse(text, "x") == {
        "net.ipv4.conf.eth0/5.rp_filter": "1",
        "net.ipv4.conf.eth0/6.rp_filter": "2",
        "net.ipv4.ip_local_port_range": "32768 60999",
    }
