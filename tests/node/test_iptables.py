"""iptables-save: parse and render are inverses, and errors say where."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import DataplaneError, ParseError
from dataplane.node import iptables
from dataplane.node.iptables import Interface, Match, Option, Protocol, Target
from tests.node import strategies

FIXTURES = Path(__file__).parent / "fixtures"
SAVES = sorted([*FIXTURES.glob("*.iptables-save"), *FIXTURES.glob("*.ip6tables-save")])
ORACLE = Path(__file__).parents[2].parent / "shared" / "oracle" / "kube-proxy"


@given(strategies.rulesets(4) | strategies.rulesets(6), st.booleans())
def test_parse_inverts_render(ruleset, counters):
    assert iptables.parse(iptables.render(ruleset, counters), "x") == ruleset


@given(strategies.rulesets())
def test_counters_come_back(ruleset):
    text = iptables.render(ruleset, counters=True)
    assert iptables.render(iptables.parse(text, "x"), counters=True) == text


def without_comments(text):
    return [line for line in text.splitlines() if not line.startswith("#")]


def assert_comes_back(path):
    text = path.read_text()
    ruleset = iptables.parse(text, str(path))
    assert without_comments(iptables.render(ruleset)) == without_comments(text)
    assert iptables.parse(iptables.render(ruleset), "x") == ruleset


@pytest.mark.parametrize("path", SAVES, ids=lambda path: path.name)
def test_saves_come_back_letter_for_letter(path):
    assert_comes_back(path)


def test_all_recorded_saves_come_back_letter_for_letter():
    if not ORACLE.is_dir():
        pytest.skip("the recorded outputs of kube-proxy are not beside this repository")
    saves = sorted(ORACLE.glob("*/*tables-save.txt"))
    assert len(saves) > 100
    for path in saves:
        assert_comes_back(path)


HEAD = "*filter\n:INPUT ACCEPT [1:2]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:U - [0:0]\n"


def rules_of(line, chain="FORWARD", family=0):
    ruleset = iptables.parse(f"{HEAD}{line}\nCOMMIT\n", "save", family)
    return ruleset.tables["filter"].chains[chain].rules


def test_a_rule_in_full():
    (rule,) = rules_of(
        "[7:420] -A FORWARD ! -s 10.0.0.0/8 -d 10.96.0.1/32 -i cni+ ! -o eth0 -p tcp -m comment"
        ' --comment "a \\"b\\"" -m tcp ! --dport 80 -g U'
    )
    assert str(rule.src.network) == "10.0.0.0/8" and rule.src.negated
    assert str(rule.dst.network) == "10.96.0.1/32"
    assert rule.in_interface == Interface("cni+")
    assert rule.out_interface == Interface("eth0", negated=True)
    assert rule.protocol == Protocol(6)
    assert rule.matches == (
        Match("comment", (Option("--comment", ('a "b"',)),)),
        Match("tcp", (Option("--dport", ("80",), negated=True),)),
    )
    assert rule.target == Target("U", goto=True)
    assert (rule.packets, rule.bytes) == (7, 420)
    assert str(rule.source) == "save:6"


# What is written, and how it is printed again.
SAME = [
    ("-A FORWARD", "-A FORWARD"),
    ("-A FORWARD -s ! 10.0.0.1 -j DROP", "-A FORWARD ! -s 10.0.0.1/32 -j DROP"),
    ("-A FORWARD -m mark --mark ! 0x1", "-A FORWARD -m mark ! --mark 0x1"),
    (
        "-A FORWARD -m set --match-set ! weave-;rG$!#[ src",
        "-A FORWARD -m set ! --match-set weave-;rG$!#[ src",
    ),
    ("-A FORWARD -p ! tcp -i ! eth0", "-A FORWARD ! -i eth0 ! -p tcp"),
    ("-A FORWARD -p tcp --dport 80", "-A FORWARD -p tcp -m tcp --dport 80"),
    (
        '-A FORWARD -p tcp -m comment --comment "-j !" --dport 80',
        '-A FORWARD -p tcp -m comment --comment "-j !" -m tcp --dport 80',
    ),
    ("-A FORWARD -p 6 -j ACCEPT", "-A FORWARD -p tcp -j ACCEPT"),
    ("-A FORWARD -p all -s 0.0.0.0/0", "-A FORWARD"),
    (
        "-A FORWARD -m nfacct --nfacct-name x -j DROP",
        "-A FORWARD -m nfacct --nfacct-name  x -j DROP",
    ),
    (
        "-A FORWARD -m foo --bar a b ! --baz -j QUX --quux",
        "-A FORWARD -m foo --bar a b ! --baz -j QUX --quux",
    ),
    ("-A FORWARD -s 10/8", "-A FORWARD -s 10.0.0.0/8"),
    ("-A FORWARD -i fifteen-letters", "-A FORWARD -i fifteen-letters"),
    (
        f"-A FORWARD -p tcp -m multiport --dports {','.join('1' * 15)}",
        f"-A FORWARD -p tcp -m multiport --dports {','.join('1' * 15)}",
    ),
    ("-A FORWARD -p tcp --source-p 5", "-A FORWARD -p tcp -m tcp --sport 5"),
    ("-A FORWARD --proto tcp --dest 10.0.0.1", "-A FORWARD -d 10.0.0.1/32 -p tcp"),
    ("-A FORWARD -j MARK --or 1", "-A FORWARD -j MARK --set-xmark 0x1/0x1"),
    (
        "-A FORWARD -m policy --dir in --pol ipsec --proto esp",
        "-A FORWARD -m policy --dir in --pol ipsec --proto esp",
    ),
    ("-I FORWARD -j DROP", "-A FORWARD -j DROP"),
    ("-A FORWARD -c 5 6 -j DROP", "-A FORWARD -j DROP"),
    ("-A FORWARD\t-j  DROP \r", "-A FORWARD -j DROP"),
]


@pytest.mark.parametrize(("written", "printed"), SAME)
def test_normal_form_of_a_line(written, printed):
    (rule,) = rules_of(written)
    assert iptables.render_rule("FORWARD", rule) == printed
    assert rules_of(printed) == (rule,)


COUNTED = [
    ("-A FORWARD -j DROP", (0, 0)),
    ("-A FORWARD -c 5 6 -j DROP", (5, 6)),
    ("[7:8] -A FORWARD -j DROP", (7, 8)),
]


@pytest.mark.parametrize(("line", "counters"), COUNTED)
def test_counters(line, counters):
    (rule,) = rules_of(line)
    assert (rule.packets, rule.bytes) == counters


def test_counters_of_chains():
    chains = iptables.parse(f"{HEAD}:NEW -\n", "save").tables["filter"].chains
    assert (chains["INPUT"].packets, chains["INPUT"].bytes) == (1, 2)
    assert (chains["NEW"].packets, chains["NEW"].bytes) == (0, 0)
    assert str(chains["NEW"].source) == "save:6"


def test_comma_lists_make_one_rule_per_pair():
    found = rules_of("-A FORWARD -s 10.0.0.1,10.0.0.2 -d 10.1.0.0/16,10.2.0.0/16 -j DROP")
    pairs = [(str(rule.src.network), str(rule.dst.network)) for rule in found]
    assert pairs == [
        ("10.0.0.1/32", "10.1.0.0/16"),
        ("10.0.0.1/32", "10.2.0.0/16"),
        ("10.0.0.2/32", "10.1.0.0/16"),
        ("10.0.0.2/32", "10.2.0.0/16"),
    ]


def test_insert_comes_before():
    found = rules_of("-A FORWARD -j DROP\n-I FORWARD -j ACCEPT\n-I FORWARD 2 -j RETURN")
    assert [rule.target.name for rule in found] == ["ACCEPT", "RETURN", "DROP"]


def test_commands_of_a_restore():
    text = f"{HEAD}-N NEW\n-A NEW -j DROP\n-F NEW\n-X NEW\n-P INPUT DROP\n-N B\nCOMMIT\n"
    table = iptables.parse(text, "save").tables["filter"]
    assert list(table.chains) == ["INPUT", "FORWARD", "OUTPUT", "U", "B"]
    assert table.chains["INPUT"].policy == "DROP"


def test_a_rule_of_the_other_family_is_passed_over():
    assert rules_of("-A FORWARD -6 -j DROP", family=4) == ()
    assert len(rules_of("-A FORWARD -4 -j DROP", family=4)) == 1


@pytest.mark.parametrize(
    ("header", "flavour"),
    [
        ("# Generated by iptables-save v1.8.9 (nf_tables) on Sun Nov 22 09:03:14 2026\n", "nft"),
        ("# Generated by iptables-save v1.8.4 (legacy) on Sun Nov 22 09:03:14 2026\n", "legacy"),
        ("# Generated by xtables-save v1.8.2 on Sun Nov 22 09:03:14 2026\n", "nft"),
        ("# Generated by iptables-save v1.4.21 on Sun Nov 22 09:03:14 2026\n", "legacy"),
        ("", "legacy"),  # INPUT's policy has counted, as only legacy's does
    ],
)
def test_flavour(header, flavour):
    assert iptables.parse(f"{header}{HEAD}COMMIT\n", "x").flavour == flavour


def test_the_header_says_the_family():
    text = "# Generated by ip6tables-save v1.8.9 (nf_tables) on Sun\n" + HEAD
    assert "icmp6-port" in iptables.render(iptables.parse(text + "-A INPUT -j REJECT\n", "x"))
    with pytest.raises(ParseError, match=r"x:7: bad value '10\.0\.0\.1' for -s: IPv6 was expected"):
        iptables.parse(text + "-A INPUT -s 10.0.0.1\n", "x")


def test_warnings():
    told = []
    warning = "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them"
    iptables.parse(f"{HEAD}{warning}\n", "save", warn=told.append)
    assert told == [
        f"save:6: {warning[2:]}",
        "save:1: table filter has no COMMIT; the save may be cut off",
    ]


REFUSED = [
    ("-A FORWARD -s 10.0.0.0/40", "bad value '10.0.0.0/40' for -s: a number from 0 to 32 was"),
    ("-A FORWARD -s 10.0.0.0/255.0.255", "an IP address with an optional /prefix was expected"),
    ("-A FORWARD -d host.example", "bad value 'host.example' for -d: an IP address"),
    ("-A FORWARD -d fe80::1%eth0", "an IP address with an optional /prefix was expected"),
    ("-A FORWARD ! -s 10.0.0.1,10.0.0.2", "-s cannot be negated with several addresses"),
    ("-A FORWARD -s 10.0.0.1 -s 10.0.0.2", "-s stands twice"),
    ("-A FORWARD -s", "-s has no value"),
    ("-A FORWARD -p tcp --dport 65536", "bad value '65536' for --dport: a port from 0 to 65535"),
    ("-A FORWARD -p tcp --dport 90:80", "the smaller first"),
    ("-A FORWARD -p tcp --dport", "--dport has no value"),
    ("-A FORWARD -p tcp -m tcp --tcp-flags SYN,FOO SYN", "a list of FIN, SYN, RST"),
    ("-A FORWARD -p tcp -m tcp --tcp-flags SYN", "--tcp-flags takes 2 values"),
    ("-A FORWARD -p nosuch", "a protocol name or a number up to 255 was expected"),
    ("-A FORWARD ! -p all", "'! -p all' would never match"),
    ("-A FORWARD -i sixteen-letters.", "an interface name of 1 to 15 bytes was expected"),
    (f"-A FORWARD -p tcp -m multiport --dports {','.join('1' * 16)}", "at most 15 ports"),
    ("-A FORWARD -p tcp -m multiport --dports 1:2,1:2,1:2,1:2,1:2,1:2,1:2,1:2", "at most 15 ports"),
    ("-A FORWARD -p tcp -m multiport --dports 2:1", "the smaller first"),
    ("-A FORWARD -p tcp -j TCPMSS --set-mss 65536", "a number from 0 to 65535 was expected"),
    ("-P FORWARD RETURN", "bad policy 'RETURN'; ACCEPT or DROP expected"),
    ("-P FORWARD", "bad policy ''; ACCEPT or DROP expected"),
    ("-X FORWARD x", "unexpected 'x'"),
    ("-A FORWARD -i a-name-that-is-too-long", "an interface name of 1 to 15 bytes was expected"),
    ("-A FORWARD --dport 80", "unknown option '--dport'"),
    ("-A FORWARD 10.0.0.1", "unexpected '10.0.0.1'; an option was expected"),
    ("-A FORWARD -s 10.0.0.1 !", "an option was expected after '!'"),
    ("-A FORWARD ! -j DROP", "-j cannot be negated"),
    ("-A FORWARD -j ACCEPT -j DROP", "-j or -g stands twice"),
    ("-A FORWARD -m", "a name was expected after -m"),
    ("-A FORWARD -m conntrack --ctstate NEW,OLD", "a list of INVALID, NEW"),
    ("-A FORWARD -m mark --mark 0x1ffffffff", "a number from 0 to 4294967295 was expected"),
    ("-A FORWARD -m statistic --mode random --probability 1.5", "a probability from 0 to 1"),
    ("-A FORWARD -j REJECT --reject-with nothing", "one of icmp-net-unreachable, "),
    ("-A FORWARD -j DNAT --to-destination  --random", "--to-destination has no value"),
    ("-A FORWARD -j DNAT --to-destination 10.0.0.1:99999", "a port from 0 to 65535 was expected"),
    ('-A FORWARD -m comment --comment "open', 'a closing " is missing'),
    ("-A NOWHERE -j DROP", "chain NOWHERE is not declared"),
    ("-A FORWARD -j DNAT --to-destination [fd00::1]80", "[ADDRESS]:PORT was expected"),
    ("-A FORWARD -j DNAT --to-destination 10.0.0.1/24", "an address without a mask was expected"),
    ("-A FORWARD -m limit --limit 3/week", "a rate such as 3/minute was expected"),
    ("-A FORWARD -m limit --limit 0/s", "a rate such as 3/minute was expected"),
    ("-A FORWARD -m limit --limit 10001/s", "a rate of at most 10000/second was expected"),
    ("-A FORWARD -c 1 -j DROP", "two numbers, packets and bytes, were expected after -c"),
    ("-D FORWARD -j DROP", "of commands, -A -I -N -P -F -X are read"),
    ("-I FORWARD 3 -j DROP", "FORWARD has 0 rules; cannot insert as 3"),
    ("-A", "a chain was expected after -A"),
    ("[1:x] -A FORWARD", "'[packets:bytes]' was expected"),
    (":FORWARD ACCEPT [0:0]", "chain FORWARD stands twice, first at save:3"),
    (":NEW MAYBE [0:0]", "bad policy 'MAYBE'"),
    (":NEW - [0:0] x", "':CHAIN POLICY [packets:bytes]' was expected"),
    (":NEW", "':CHAIN POLICY [packets:bytes]' was expected"),
    ("iptables is fun", "'*TABLE', ':CHAIN POLICY', '-A CHAIN …'"),
    ("-A FORWARD -j DNAT --to-destination --random", "--to-destination has no value (an iptables-"),
]


@pytest.mark.parametrize(("line", "message"), REFUSED)
def test_refused(line, message):
    with pytest.raises(ParseError) as caught:
        rules_of(line)
    assert str(caught.value).startswith("save:6: ")
    assert message in str(caught.value)


def test_a_save_filtered_by_grep_is_refused():
    with pytest.raises(ParseError, match=r"^save:1: no table: a line '\*TABLE' was expected"):
        iptables.parse("-A INPUT -j DROP\n", "save")


FRAGMENTS = (
    "*filter\n", ":INPUT ACCEPT [0:0]\n", ":A - [0:0]\n", "COMMIT\n", "\n", " ", "# x\n", "[1:2] ",
    "-A INPUT ", "-A ", "-I INPUT 1 ", "-N ", "-P ", "! ", "-s ", "10.0.0.1/24 ", "fd00::1 ", "-p ",
    "tcp ", "-m ", "tcp ", "conntrack ", "--dport ", "80:", "--ctstate ", "NEW,", "-j ", "DNAT ",
    "--to-destination ", "[::1]:80 ", '"', "\\", "--syn ", "-f ", "-c ", "1 ", "REJECT ", "0x",
    "--limit ", "1/s ", "limit ", "CONNMARK ", "--save-mark ", "--mask ", "²", "\x00", "\udc80",
)  # fmt: skip


fragments = st.lists(st.sampled_from(FRAGMENTS)).map("".join)


@given(fragments | fragments.map((HEAD + "-A FORWARD ").__add__) | st.text())
def test_parse_raises_nothing_but_errors_with_a_place(text):
    try:
        ruleset = iptables.parse(text, "save")
    except DataplaneError as error:
        assert str(error).startswith("save:")
    else:
        assert iptables.parse(iptables.render(ruleset), "save") == ruleset


def test_rules_are_compared_without_counters_and_source():
    (first,) = rules_of("-A FORWARD -s 10.0.0.1 -j DROP")
    (second,) = rules_of("\n\n[5:6] -A FORWARD -s 10.0.0.1/32 -j DROP")
    assert first == second
    assert first.source.line == 6 and second.source.line == 8
