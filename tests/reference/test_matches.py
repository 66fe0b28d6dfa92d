"""One match at a time: a rule that has it counts the packet, or does not."""

from ipaddress import ip_address, ip_network

import pytest

from _fastpath.reason import Reason
from dataplane.node.state import Route
from dataplane.reference.choice import ChoiceKind, Fields, choice_key, identity, rule_identity
from tests import frames as fr
from tests.reference.one_node import CLIENT, SERVER, engine, nat, rules_met, send, table

OPTIONS = bytes([1, 2, 4, 5, 180, 1, 1, 0])  # NOP, MSS, NOP, NOP, END


def segment(flags=fr.SYN, sport=1000, dport=80, options=b""):
    body = fr.tcp(CLIENT, sport, SERVER, dport, flags, payload=options)
    size = bytes([(20 + len(options)) // 4 << 4])
    return body[:12] + size + body[13:]


def matched(words, protocol=6, body=None, **fields):
    filtered = engine(table("filter", f"FORWARD {words}"), **fields.pop("node", {}))
    record = send(filtered, protocol, segment() if body is None else body, **fields)
    return "filter FORWARD 1" in rules_met(record)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-s 10.0.0.0/24", True),
        ("! -s 10.0.0.0/24", False),
        ("-d 10.0.1.2", True),
        ("-d 10.0.1.3", False),
        ("-i a", True),
        ("-i b", False),
        ("-i a+", True),
        ("! -i a+", False),
        ("-o b -i a", True),
        ("! -o b", False),
        ("-p tcp", True),
        ("! -p tcp", False),
        ("-p udp", False),
        ("-p 0", True),
        ("! -f", True),
        ("-f", False),
        ("-p tcp -m tcp --dport 80", True),
        ("-p tcp -m tcp ! --dport 80", False),
        ("-p tcp -m tcp --sport 900:1000 --dport 79:80", True),
        ("-p tcp -m tcp --sport :999", False),
        ("-p tcp -m tcp --tcp-flags SYN,ACK SYN", True),
        ("-p tcp -m tcp ! --tcp-flags SYN,ACK SYN", False),
        ("-p tcp -m tcp --tcp-flags ALL NONE", False),
        ("-p tcp -m tcp --syn", True),
        ("-p tcp -m tcp --tcp-option 2", False),
        ("-p tcp -m tcp ! --tcp-option 2", True),
        ("-p tcp -m multiport --dports 22,70:90", True),
        ("-p tcp -m multiport ! --dports 22,70:90", False),
        ("-p tcp -m multiport --ports 1000", True),
        ("-p tcp -m multiport --sports 80", False),
        ("-m mark --mark 0x0/0xff", True),
        ("-m mark ! --mark 0x0/0xff", False),
        ("-m mark --mark 0x1", False),
        ('-m comment --comment "-j DROP"', True),
        ("-m nfacct --nfacct-name x", True),
        ("-m owner --uid-owner 0", False),
        ("-m owner ! --uid-owner 0", True),
        ("-m addrtype --dst-type UNICAST", True),
        ("-m addrtype --dst-type LOCAL,BROADCAST", False),
        ("-m addrtype ! --src-type LOCAL --dst-type UNICAST", True),
        ("-m statistic --mode random --probability 0", False),
        ("-m statistic --mode random --probability 1", True),
        ("-m statistic --mode random ! --probability 1", False),
        ("-m conntrack --ctstate NEW", True),
        ("-m conntrack ! --ctstate INVALID,ESTABLISHED", True),
        ("-m conntrack --ctstate DNAT", False),
        ("-m conntrack --ctstate NEW --ctstatus CONFIRMED", False),
        ("-m conntrack --ctstate NEW ! --ctstatus CONFIRMED", True),
        ("-m conntrack ! --ctstatus NONE", True),
        ("-m state --state NEW", True),
    ],
)
def test_of_a_syn(words, expected):
    assert matched(words) is expected


@pytest.mark.parametrize(("option", "expected"), [(2, True), (1, True), (3, False), (5, False)])
def test_tcp_options(option, expected):
    body = segment(options=OPTIONS)
    assert matched(f"-p tcp -m tcp --tcp-option {option}", body=body) is expected


@pytest.mark.parametrize(
    ("words", "body", "expected"),
    [
        ("--icmp-type 8", fr.echo(1), True),
        ("--icmp-type 8/0", fr.echo(1), True),
        ("--icmp-type 8/1", fr.echo(1), False),
        ("! --icmp-type 8", fr.echo(1), False),
        ("--icmp-type 0", fr.echo(1), False),
        ("--icmp-type any", fr.icmp_error(3, 3, bytes(28)), True),
        ("--icmp-type 3/3", fr.icmp_error(3, 3, bytes(28)), True),
        ("--icmp-type 3", fr.icmp_error(3, 3, bytes(28)), True),
    ],
)
def test_icmp(words, body, expected):
    assert matched(f"-p icmp -m icmp {words}", 1, body) is expected


def dccp(kind, words, rest=b""):
    """RFC 4340 5.1, with long sequence numbers; `words`: of its header, right or not."""
    head = (1000).to_bytes(2) + (80).to_bytes(2) + bytes([words, 0, 0, 0, kind << 1 | 1])
    return head + bytes(7) + rest


@pytest.mark.parametrize(
    ("words", "body", "expected"),
    [
        ("--dport 80 --dccp-types REQUEST", dccp(0, 5, bytes(4)), True),
        ("--dport 80 --dccp-types RESPONSE,DATA", dccp(0, 5, bytes(4)), False),
        ("! --dccp-types RESPONSE,DATA", dccp(0, 5, bytes(4)), True),
        ("--dccp-types INVALID", dccp(10, 4), True),
        ("--dccp-types INVALID", dccp(11, 4), False),
        ("! --dport 80 --dccp-types DATA", dccp(2, 4), False),
        ("--dccp-option 33", dccp(2, 6, b"\0\0\0\0\x20\1\x21\2"), True),
        ("--dccp-option 33", dccp(2, 6, b"\0\0\x20\3\0\x21\2\0"), True),
        ("--dccp-option 1", dccp(0, 6, bytes(4) + b"\0\1\0\0"), True),
        ("--dccp-option 5", dccp(0, 5, bytes(4)), False),
        ("! --dccp-option 5", dccp(0, 5, bytes(4)), True),
    ],
)
def test_dccp(words, body, expected):
    assert matched(f"-p dccp -m dccp {words}", 33, body) is expected


@pytest.mark.parametrize(
    ("words", "header_words", "reason"),
    [
        ("--dccp-option 5", 9, Reason.NETFILTER_DROP),  # options that are not there
        ("--dccp-option 5", 4, Reason.NETFILTER_DROP),  # shorter than a request is
        ("! --dccp-option 5", 9, Reason.NETFILTER_REJECT),  # dropped, but not before the target
    ],
)
def test_what_dccp_headers_drop(words, header_words, reason):
    filtered = engine(table("filter", f"FORWARD -p dccp -m dccp {words} -j REJECT"))
    assert send(filtered, 33, dccp(0, header_words, bytes(4))).reason == reason


@pytest.mark.parametrize("words", ["-p udp -m udp --dport 80", "-p sctp -m sctp --dport 80"])
def test_other_ports(words):
    udp = fr.udp(CLIENT, 1, SERVER, 80)
    sctp = (1).to_bytes(2) + (80).to_bytes(2) + bytes(8)
    assert matched(words, 17, udp) is ("udp" in words)
    assert matched(words, 132, sctp) is ("sctp" in words)


@pytest.mark.parametrize(
    ("every", "packet", "expected"),
    [
        (3, 0, [True, False, False, True, False, False]),
        (3, 2, [False, False, True] * 2),
        (1, 0, [True] * 6),
    ],
)
def test_every_nth(every, packet, expected):
    words = f"-p tcp -m statistic --mode nth --every {every} --packet {packet}"
    counting = engine(table("filter", f"FORWARD {words}"))
    found = []
    for _ in expected:
        send(counting, 17, fr.udp(CLIENT, 1, SERVER, 2))  # does not reach the match
        found.append("filter FORWARD 1" in rules_met(send(counting, 6, segment())))
    assert found == expected


def test_random_is_a_function_of_the_flow_and_the_rule():
    words = "-m statistic --mode random --probability 0.5"
    rules = table("filter", f"FORWARD {words}", f"FORWARD {words}")
    drawn = set()
    for sport in range(60):
        records = [send(engine(rules, seed=1), 6, segment(sport=sport)) for _ in range(2)]
        assert rules_met(records[0]) == rules_met(records[1])
        drawn.add(tuple(rules_met(records[0])))
    assert len(drawn) == 4  # the two rules draw for themselves


@pytest.mark.parametrize("fed", [0, 1])
def test_random_may_be_fed(fed):
    flow = Fields(4, 6, CLIENT, 1000, SERVER, 80)
    rule = rule_identity(4, "filter", "FORWARD", 1)
    key = choice_key(0, ChoiceKind.STATISTIC, identity("n"), flow, rule)
    words = "-m statistic --mode random ! --probability 0.5"
    chosen = engine(table("filter", f"FORWARD {words}"), choices={key: [fed]})
    assert ("filter FORWARD 1" in rules_met(send(chosen, 6, segment()))) is bool(fed)


def test_random_hangs_on_the_connection_as_it_began():
    """After translation the flow's fields are others, but it is the same flow."""
    words = "FORWARD -m statistic --mode random --probability 0.5"
    flow = Fields(4, 6, CLIENT, 1000, ip_address("10.9.9.9"), 80)
    key = choice_key(
        0, ChoiceKind.STATISTIC, identity("n"), flow, rule_identity(4, "filter", "FORWARD", 1)
    )
    rules = nat("PREROUTING -d 10.9.9.9 -j DNAT --to-destination 10.0.1.2") + table("filter", words)
    for fed in (0, 1):
        record = send(
            engine(rules, choices={key: [fed]}),
            6,
            fr.tcp(CLIENT, 1000, "10.9.9.9", 80),
            dst="10.9.9.9",
        )
        assert ("filter FORWARD 1" in rules_met(record)) is bool(fed)


@pytest.mark.parametrize(
    ("dst", "kind"),
    [
        ("10.0.0.1", "LOCAL"),
        ("10.0.1.255", "BROADCAST"),
        ("224.0.0.1", "MULTICAST"),
        ("10.0.1.9", "UNICAST"),
        ("127.0.0.1", "LOCAL"),
        ("10.7.0.1", "UNICAST"),  # a refusal has no type
        ("10.6.0.1", "ANYCAST"),
    ],
)
def test_address_types(dst, kind):
    routes = (
        Route(ip_network("10.7.0.0/16"), type="blackhole", table="local"),
        Route(ip_network("10.6.0.0/16"), type="anycast", dev="a", table="local"),
    )
    kinds = ["LOCAL", "BROADCAST", "MULTICAST", "UNICAST", "BLACKHOLE", "ANYCAST"]
    rules = table("raw", *(f"PREROUTING -m addrtype --dst-type {each}" for each in kinds))
    record = send(engine(rules, routes=routes), 6, segment(), dst=dst)
    found = [int(rule.split()[-1]) for rule in rules_met(record) if rule.startswith("raw")]
    assert [kinds[number - 1] for number in found if number] == [kind]


@pytest.mark.parametrize(("limit", "expected"), [("--limit-iface-in", True), ("", True)])
def test_address_type_of_a_device(limit, expected):
    words = f"PREROUTING -m addrtype --dst-type LOCAL {limit}"
    record = send(engine(table("raw", words)), 6, segment(), dst="10.0.0.1")
    assert ("raw PREROUTING 1" in rules_met(record)) is expected
    elsewhere = send(engine(table("raw", words)), 6, segment(), dst="10.0.1.1")
    assert ("raw PREROUTING 1" in rules_met(elsewhere)) is (not limit)


def test_owner_of_what_the_node_sends_is_not_known():
    owned = engine(table("filter", "OUTPUT -m owner --uid-owner 0 -j DROP"))
    record = send(owned, 17, fr.udp("10.0.0.1", 1, CLIENT, 2), "10.0.0.1", CLIENT, device="")
    assert record.reason == 200
