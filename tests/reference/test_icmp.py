"""ICMP errors, resets and ARP replies: when, from whom, and byte by byte."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from _fastpath.reason import Reason, Verdict
from _fastpath.trace import Generated
from dataplane.node import iptables
from dataplane.node.state import InterfaceAddress, Neighbour, Route
from dataplane.reference.engine import Engine
from dataplane.reference.packet import Packet
from tests import frames as fr
from tests.reference.one_node import (
    CLIENT,
    INSIDE,
    OUTSIDE,
    SERVER,
    engine,
    nat,
    node,
    send,
    states,
    table,
)
from tests.two_nodes import mac

SYN = fr.tcp(CLIENT, 1000, SERVER, 80)
REJECT = table("filter", "FORWARD -j REJECT", "INPUT -j REJECT")
RESET = table("filter", "FORWARD -p tcp -j REJECT --reject-with tcp-reset")


def answers(record):
    return [Packet(tap.frame) for tap in record.taps if tap.generated]


def generated(record):
    return [step.number for step in record.steps if step.kind == 15]


def test_a_rejected_packet_is_quoted_as_it_is_now():
    record = send(engine(REJECT), 6, SYN, ttl=9)
    (error,) = answers(record)
    assert (record.verdict, record.reason) == (Verdict.REJECTED, Reason.NETFILTER_REJECT)
    assert (error.src, error.dst, error.ttl, error.protocol) == (INSIDE, CLIENT, 64, 1)
    assert (error.dport, error.word(14 + 4 + 2) & 0x4000) == (0x0303, 0)
    assert not error.is_checksum_wrong()
    quoted = error.payload[8:]
    assert quoted[8] == 8  # TTL after the decrement
    assert quoted[20:] == SYN
    assert generated(record) == [Generated.GENERATED_ICMP_UNREACHABLE]
    assert (error.ether_src, error.ether_dst) == (mac(INSIDE), mac(CLIENT))


@pytest.mark.parametrize(("tos", "expected"), [(0, 0xC0), (0x1D, 0xDC), (0xB8, 0xD8), (3, 0xC2)])
def test_tos_of_errors(tos, expected):
    """Measured on Linux 6.18: the TOS bits of what is quoted, with precedence 6."""
    assert answers(send(engine(REJECT), 6, SYN, tos=tos))[0].tos == expected


def test_at_most_576_bytes_are_sent():
    long = fr.udp(CLIENT, 1, SERVER, 2, bytes(1000))
    (error,) = answers(send(engine(REJECT), 17, long))
    assert error.ip_length == 576
    (short,) = answers(send(engine(REJECT), 17, long[:520][:4] + b"\x02\x08\0\0" + bytes(512)))
    assert short.ip_length == 20 + 8 + 20 + 520


@pytest.mark.parametrize(
    ("protocol", "body", "fields"),
    [
        (1, fr.icmp_error(3, 3, bytes(28)), {}),  # never about an error
        (1, b"\x63\x00" + fr.echo(1)[2:], {}),  # an unknown type counts as one
        (6, SYN, {"fragment": 5}),  # first fragments only
        (6, SYN[:16] + b"\x12\x34" + SYN[18:], {}),  # damaged
        (89, bytes(15) + b"\1", {}),  # damaged as far as Linux can tell
    ],
)
def test_what_is_not_answered(protocol, body, fields):
    record = send(engine(REJECT), protocol, body, **fields)
    assert answers(record) == []
    assert record.verdict == Verdict.DROPPED


def test_zeros_sum_up():
    """nf_ip_checksum sums the IP header as well, whose sum is 0xFFFF (measured on 6.18)."""
    assert len(answers(send(engine(REJECT), 89, bytes(16)))) == 1


@pytest.mark.parametrize("protocol", [47, 50, 132, 17])
def test_what_is_answered_without_a_look_at_the_checksum(protocol):
    body = b"\0\1\0\2\0\x10\0\0" + bytes(8)  # UDP: none
    assert len(answers(send(engine(REJECT), protocol, body))) == 1


@pytest.mark.parametrize(
    ("reject", "expected"),
    [
        ("icmp-net-unreachable", 0),
        ("icmp-host-unreachable", 1),
        ("icmp-proto-unreachable", 2),
        ("icmp-port-unreachable", 3),
        ("icmp-net-prohibited", 9),
        ("icmp-host-prohibited", 10),
        ("icmp-admin-prohibited", 13),
    ],
)
def test_reject_with(reject, expected):
    rejecting = engine(table("filter", f"FORWARD -j REJECT --reject-with {reject}"))
    assert answers(send(rejecting, 6, SYN))[0].dport == 3 << 8 | expected


def test_an_error_from_the_address_that_was_asked():
    record = send(engine(REJECT), 6, fr.tcp(CLIENT, 1, OUTSIDE, 80), dst=OUTSIDE)
    assert answers(record)[0].src == OUTSIDE


@pytest.mark.parametrize(
    ("flags", "payload", "seq", "ack", "answer"),
    [
        (fr.SYN, b"", 0, 1001, fr.RST | fr.ACK),
        (fr.SYN, b"abc", 0, 1004, fr.RST | fr.ACK),
        (fr.ACK, b"abc", 77, 0, fr.RST),
        (fr.FIN | fr.ACK, b"", 77, 0, fr.RST),
    ],
)
def test_resets(flags, payload, seq, ack, answer):
    """RFC 793, page 36.  Measured on Linux 6.18: identification 0, DF, checksum left to the
    device."""
    body = fr.tcp(CLIENT, 1000, SERVER, 80, flags, ack=77, payload=payload)
    record = send(engine(RESET), 6, body)
    (reset,) = answers(record)
    assert (reset.src, reset.sport, reset.dst, reset.dport) == (SERVER, 80, CLIENT, 1000)
    assert reset.payload[4:14] == seq.to_bytes(4) + ack.to_bytes(4) + bytes([0x50, answer])
    assert (reset.word(18), reset.dont_fragment, reset.is_partial) == (0, True, True)
    assert generated(record) == [Generated.GENERATED_TCP_RESET]


@pytest.mark.parametrize(
    ("flags", "change"), [(fr.RST, lambda body: body), (fr.SYN, lambda body: body[:-1] + b"\x07")]
)
def test_no_reset_for_a_reset_or_damage(flags, change):
    body = change(fr.tcp(CLIENT, 1, SERVER, 2, flags, payload=b"a"))
    record = send(engine(RESET), 6, body)
    assert (record.verdict, answers(record)) == (Verdict.DROPPED, [])


def test_answers_belong_to_the_connection():
    """nf_ct_attach: filter OUTPUT sees them RELATED, and no nat rule sees them."""
    rules = nat("OUTPUT") + table(
        "filter", "FORWARD -j REJECT", "OUTPUT -m conntrack --ctstate RELATED"
    )
    record = send(engine(rules), 17, fr.udp(CLIENT, 1, SERVER, 2))
    met = [(step.table, step.chain, step.number) for step in record.steps if step.kind == 0]
    assert ("filter", "OUTPUT", 1) in met
    assert not any(step[:2] == ("nat", "OUTPUT") for step in met)
    assert states(record) == [2]


def test_an_answer_about_an_untracked_packet_is_looked_at():
    rules = (
        nat() + table("raw", "PREROUTING -j CT --notrack") + table("filter", "FORWARD -j REJECT")
    )
    assert states(send(engine(rules), 17, fr.udp(CLIENT, 1, SERVER, 2))) == [5]


def route(kind):
    return Route(ip_network("10.8.0.0/16"), type=kind)


@pytest.mark.parametrize(
    ("routes", "reason", "expected"),
    [
        ((), Reason.NO_ROUTE, 0x0300),
        ((route("unreachable"),), Reason.ROUTE_UNREACHABLE, 0x0301),
        ((route("prohibit"),), Reason.ROUTE_PROHIBIT, 0x030D),
        ((route("blackhole"),), Reason.ROUTE_BLACKHOLE, None),
    ],
)
def test_routes_that_refuse(routes, reason, expected):
    record = send(engine(routes=routes), 17, fr.udp(CLIENT, 1, "10.8.0.1", 2), dst="10.8.0.1")
    assert record.reason == reason
    assert [error.dport for error in answers(record)] == ([expected] if expected else [])
    assert record.verdict == (Verdict.REJECTED if expected else Verdict.DROPPED)


def test_nothing_is_said_where_nothing_is_forwarded():
    off = {"net.ipv4.ip_forward": "0"}
    record = send(engine(sysctls=off), 17, fr.udp(CLIENT, 1, "10.8.0.1", 2), dst="10.8.0.1")
    assert (record.reason, answers(record)) == (Reason.FORWARDING_DISABLED, [])


def test_time_exceeded():
    record = send(engine(), 6, SYN, ttl=1)
    assert record.reason == Reason.TTL_EXPIRED
    assert answers(record)[0].dport == 11 << 8
    assert generated(record) == [Generated.GENERATED_ICMP_TIME_EXCEEDED]


def test_fragmentation_needed():
    long = fr.udp(CLIENT, 1, SERVER, 2, bytes(1450))
    record = send(engine(), 17, long, fragment=0x4000)
    (error,) = answers(record)
    assert record.reason == Reason.FRAGMENTATION_NEEDED
    assert error.payload[:2] + error.payload[4:8] == b"\x03\x04" + (1400).to_bytes(4)
    assert generated(record) == [Generated.GENERATED_ICMP_TOO_BIG]
    allowed = send(engine(), 17, long)
    assert (allowed.verdict, answers(allowed)) == (Verdict.FORWARDED, [])  # it is cut


@pytest.mark.parametrize(("size", "passes"), [(1390, False), (1500, True)])
def test_segments_longer_than_any_frame_pass(size, passes):
    """1500 bytes of payload did not fit the device they came by: they will be cut apart."""
    record = send(
        engine(), 6, fr.tcp(CLIENT, 1, SERVER, 2, 16, payload=bytes(size)), fragment=0x4000
    )
    assert (record.verdict == Verdict.FORWARDED) is passes


def arp(target, op=1, dst="ff:ff:ff:ff:ff:ff"):
    body = b"\0\1\x08\0\x06\x04" + op.to_bytes(2) + bytes.fromhex(mac(CLIENT).replace(":", ""))
    body += CLIENT.packed + bytes(6) + target.packed
    return fr.ether(mac(CLIENT), dst, b"\x08\x06", body)


@pytest.mark.parametrize(
    ("target", "op", "dst", "answered"),
    [
        (INSIDE, 1, "ff:ff:ff:ff:ff:ff", True),
        (OUTSIDE, 1, "ff:ff:ff:ff:ff:ff", True),  # any address of the node
        (INSIDE, 1, mac(INSIDE), True),
        (INSIDE, 1, mac(SERVER), False),  # for another host
        (SERVER, 1, "ff:ff:ff:ff:ff:ff", False),
        (INSIDE, 2, mac(INSIDE), False),
    ],
)
def test_arp(target, op, dst, answered):
    frame = arp(target, op, dst)
    record = engine().run(0, frame, len(frame), ("n", "a"))
    assert (record.verdict, record.reason) == (Verdict.CONSUMED, Reason.ARP_HANDLED)
    replies = [tap.frame for tap in record.taps if tap.generated]
    assert bool(replies) is answered
    if answered:
        assert replies[0][:12].hex(":") == f"{mac(CLIENT)}:{mac(INSIDE)}"
        assert replies[0][20:22] == b"\0\2"
        assert replies[0][28:32] == target.packed
        assert replies[0][38:42] == CLIENT.packed
        assert generated(record) == [Generated.GENERATED_ARP_REPLY]


def test_a_node_without_a_way_back_says_nothing():
    lonely = replace(
        node(REJECT), addresses=(), routes=(Route(ip_network("10.0.1.0/24"), dev="b"),)
    )
    record = send(Engine({"n": lonely}), 6, SYN)
    assert (record.verdict, answers(record)) == (Verdict.DROPPED, [])


CLIENT6, SERVER6, INSIDE6 = (
    ip_address(f"fd00:{net}::{host}") for net, host in ((1, 2), (2, 2), (1, 1))
)


def send6(rules, protocol, body, hop_limit=64, routes=None):
    """The same node with IPv6 addresses."""
    reject = iptables.parse(rules, "rules", 6)
    own = (InterfaceAddress("a", INSIDE6, 64), InterfaceAddress("b", ip_address("fd00:2::1"), 64))
    near = (Neighbour(CLIENT6, "a", mac(CLIENT)), Neighbour(SERVER6, "b", mac(SERVER)))
    state = node(addresses=own, neighbours=near, sysctls={"net.ipv6.conf.all.forwarding": "1"})
    if routes is not None:
        state = replace(state, routes=routes, addresses=own[:1])
    frame = fr.ether(
        mac(CLIENT), mac(INSIDE), b"\x86\xdd", fr.ipv6(CLIENT6, SERVER6, protocol, body, hop_limit)
    )
    return Engine({"n": replace(state, ip6tables=reject)}).run(0, frame, len(frame), ("n", "a"))


SYN6 = fr.tcp(CLIENT6, 1000, SERVER6, 80)


@pytest.mark.parametrize(
    ("rule", "kind", "code"),
    [
        ("icmp6-no-route", 1, 0),
        ("icmp6-adm-prohibited", 1, 1),
        ("icmp6-addr-unreachable", 1, 3),
        ("icmp6-port-unreachable", 1, 4),
        ("icmp6-policy-fail", 1, 5),
        ("icmp6-reject-route", 1, 6),
    ],
)
def test_ipv6_errors(rule, kind, code):
    record = send6(table("filter", f"FORWARD -j REJECT --reject-with {rule}"), 6, SYN6)
    (error,) = answers(record)
    assert (error.src, error.dst, error.dport) == (INSIDE6, CLIENT6, kind << 8 | code)
    assert not error.is_checksum_wrong()
    assert error.payload[8 + 40 :] == SYN6
    assert error.payload[8 + 7] == 63


def test_ipv6_resets_are_summed():
    """nf_reject_ipv6.c finishes what nf_reject_ipv4.c leaves to the device."""
    record = send6(table("filter", "FORWARD -p tcp -j REJECT --reject-with tcp-reset"), 6, SYN6)
    (reset,) = answers(record)
    assert (reset.src, reset.dst, reset.tcp_flags) == (SERVER6, CLIENT6, fr.RST | fr.ACK)
    assert (reset.is_partial, reset.is_checksum_wrong()) == (False, False)


@pytest.mark.parametrize(
    ("how", "expected", "reason"),
    [
        ({"hop_limit": 1}, 0x0300, Reason.TTL_EXPIRED),
        ({"routes": ()}, 0x0100, Reason.NO_ROUTE),
        (
            {"routes": (Route(ip_network("fd00:2::/64"), type="unreachable"),)},
            0x0100,
            Reason.ROUTE_UNREACHABLE,
        ),
        (
            {"routes": (Route(ip_network("fd00:2::/64"), type="prohibit"),)},
            0x0101,
            Reason.ROUTE_PROHIBIT,
        ),
    ],
)
def test_ipv6_ends(how, expected, reason):
    record = send6("", 6, SYN6, **how)
    assert (record.reason, [error.dport for error in answers(record)]) == (reason, [expected])


def test_ipv6_packets_too_big():
    record = send6("", 17, fr.udp(CLIENT6, 1, SERVER6, 2, bytes(1400)))
    (error,) = answers(record)
    assert error.payload[:2] + error.payload[4:8] == b"\x02\x00" + (1400).to_bytes(4)
    assert error.ip_length == 1280
