"""Fragments, put together and cut again: kernels equal the specification."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.reason import Reason, Verdict
from dataplane.node import iptables
from dataplane.node.state import InterfaceAddress, Neighbour
from dataplane.reference.engine import Engine
from dataplane.replay.fast import FastEngine
from tests import frames as fr
from tests.clusters import PODS6, clusters
from tests.fragments import SECURITY, TRACEROUTE, fragment4, fragment6, hostile, parts, pieces
from tests.reference.one_node import CLIENT, INSIDE, OUTSIDE, SERVER, nat, node
from tests.test_engines_equal import (
    ENTRIES6,
    PODS,
    SECOND,
    addresses,
    addresses6,
    compare,
    entries,
    rule_texts,
)
from tests.two_nodes import mac

HELD, FORWARDED = Reason.FRAGMENT_HELD, Reason.LEFT_BY_DEVICE


class Both:
    """One node in both engines, which must agree."""

    def __init__(self, rules: str = "", **changes: object):
        state = node(rules, **changes)
        self.engines = FastEngine({"n": state}), Engine({"n": state})

    def send(self, packet: bytes, time: int = 1, device: str = "a"):
        gateway = INSIDE if device == "a" else OUTSIDE
        family = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
        frame = fr.ether(mac(CLIENT), mac(gateway), family, packet)
        fast, slow = (each.run(time, frame, len(frame), ("n", device)) for each in self.engines)
        compare(fast, slow)
        return slow


def udp(size: int) -> bytes:
    return fr.udp(CLIENT, 1000, SERVER, 53, bytes(range(256)) * (size // 256 + 1))[:size]


def sent(record, device: str = "b") -> list[bytes]:
    return [tap.frame[14:] for tap in record.taps if tap.outgoing and tap.device == device]


def shapes(record) -> list[tuple[int, int, bool]]:
    """(offset, bytes of payload, more) of each IPv4 packet that left by b."""
    found = []
    for packet in sent(record):
        word = int.from_bytes(packet[6:8])
        found.append((word % 0x2000 * 8, len(packet) - packet[0] % 16 * 4, bool(word & 0x2000)))
    return found


def in_pieces(both: Both, body: bytes, cuts, *, order=None, **fields: object):
    """The records of a datagram in fragments."""
    parts_of = pieces(len(body), cuts)
    return [
        both.send(fragment4(CLIENT, SERVER, 17, body[a:b], a, b < len(body), **fields))  # type: ignore
        for a, b in (parts_of[i] for i in order or range(len(parts_of)))
    ]


def test_fragments_wait_and_leave_as_they_came():
    records = in_pieces(Both(nat()), udp(2008), [800, 1600])
    assert [record.reason for record in records] == [HELD, HELD, FORWARDED]
    assert shapes(records[-1]) == [(0, 800, True), (800, 800, True), (1600, 408, False)]


@pytest.mark.parametrize("order", [[2, 1, 0], [1, 2, 0], [0, 2, 1]])
def test_in_any_order(order):
    records = in_pieces(Both(nat()), udp(1000), [400, 408], order=order)
    assert records[-1].verdict == Verdict.FORWARDED
    assert shapes(records[-1]) == [(0, 400, True), (400, 8, True), (408, 592, False)]


def test_rules_see_the_whole_packet():
    rules = nat() + "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -f -j DROP\nCOMMIT\n"
    both = Both(rules)
    in_pieces(both, udp(1000), [400])
    assert both.engines[1].counters("n")[4, "filter", "FORWARD", 0] == (1, 1020)


def test_without_conntrack_rules_see_fragments():
    rules = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -f -j DROP\nCOMMIT\n"
    records = in_pieces(Both(rules), udp(1000), [400])
    assert [record.verdict for record in records] == [Verdict.FORWARDED, Verdict.DROPPED]


def test_a_long_packet_without_df_is_cut():
    record = Both().send(fr.ipv4(CLIENT, SERVER, 17, udp(2000)))
    assert shapes(record) == [(0, 1376, True), (1376, 624, False)]


def test_a_fragment_is_cut_once_more():
    record = Both().send(fragment4(CLIENT, SERVER, 17, udp(2000), 800, True))
    assert shapes(record) == [(800, 1376, True), (2176, 624, True)]


def test_a_long_packet_with_df_is_refused():
    record = Both().send(fr.ipv4(CLIENT, SERVER, 17, udp(2000), fragment=0x4000))
    assert (record.verdict, record.reason) == (Verdict.REJECTED, Reason.FRAGMENTATION_NEEDED)


def test_fragments_longer_than_the_next_mtu_are_cut_again():
    records = in_pieces(Both(nat()), udp(2400), [1480])
    assert shapes(records[-1]) == [(0, 1376, True), (1376, 1024, False)]


def test_long_fragments_with_df_are_refused():
    records = in_pieces(Both(nat()), udp(2400), [1480], df=True)
    assert records[-1].reason == Reason.FRAGMENTATION_NEEDED


def test_options_that_are_not_copied_stay_with_the_first_fragment():
    options = TRACEROUTE + SECURITY
    record = Both().send(fr.ipv4(CLIENT, SERVER, 17, udp(2000), options))
    first, second = (packet[20:40] for packet in sent(record))
    assert (first, second) == (options, b"\x01" * 8 + SECURITY)


def test_an_overlap_ends_them_all():
    both, body = Both(nat()), udp(1000)
    both.send(fragment4(CLIENT, SERVER, 17, body[:400], 0, True))
    overlap = both.send(fragment4(CLIENT, SERVER, 17, body[392:800], 392, True))
    assert (overlap.verdict, overlap.reason) == (Verdict.DROPPED, Reason.FRAGMENT_INVALID)
    last = both.send(fragment4(CLIENT, SERVER, 17, body[400:], 400, False))
    assert last.reason == HELD  # of a new packet, as it seems


def test_time_ends_them_all():
    both, body = Both(nat()), udp(1000)
    both.send(fragment4(CLIENT, SERVER, 17, body[:400], 0, True), 0)
    late = both.send(fragment4(CLIENT, SERVER, 17, body[400:], 400, False), 30 * SECOND)
    assert late.reason == HELD


def test_no_packet_is_longer_than_a_packet_can_be():
    both = Both(nat())
    both.send(fragment4(CLIENT, SERVER, 17, bytes(40000), 0, True))
    record = both.send(fragment4(CLIENT, SERVER, 17, bytes(30000), 40000, False))
    assert record.reason == Reason.FRAGMENT_INVALID


@pytest.mark.parametrize(
    ("fields", "reason"),
    [([0, 1], Reason.FRAGMENT_INVALID), ([2, 3], FORWARDED), ([1, 2], FORWARDED)],
)
def test_congestion(fields, reason):
    both, body = Both(nat()), udp(1000)
    both.send(fragment4(CLIENT, SERVER, 17, body[:400], 0, True, tos=fields[0]))
    record = both.send(fragment4(CLIENT, SERVER, 17, body[400:], 400, False, tos=fields[1]))
    assert record.reason == reason
    marks = {packet[1] & 3 for packet in sent(record)}
    assert marks == ({3} if fields == [2, 3] else {1} if fields == [1, 2] else set())


def test_for_a_process_they_are_put_together_without_conntrack():
    both, body = Both(), udp(1000)
    first = both.send(fragment4(CLIENT, INSIDE, 17, body[:400], 0, True))
    last = both.send(fragment4(CLIENT, INSIDE, 17, body[400:], 400, False))
    assert [first.reason, last.reason] == [HELD, Reason.LOCAL_PROCESS]
    assert (last.end_sport, last.end_dport) == (1000, 53)


def test_more_than_may_wait():
    both = Both(nat())
    for number in range(256):
        both.send(fragment4(CLIENT, SERVER, 17, bytes(8), 0, True, id=number))
    record = both.send(fragment4(CLIENT, SERVER, 17, bytes(8), 0, True, id=256))
    assert (record.verdict, record.reason) == (Verdict.UNKNOWN, Reason.FRAGMENT_UNMODELLED)


def test_identifications_that_come_round():
    both, body = Both(nat()), udp(1000)
    both.send(fragment4(CLIENT, SERVER, 17, body[:400], 0, True, id=1))
    for number in range(65):
        both.send(fragment4(CLIENT, SERVER, 17, bytes(8), 0, True, id=2 + number))
    late = both.send(fragment4(CLIENT, SERVER, 17, body[400:], 400, False, id=1))
    assert late.reason == HELD


# Against the specification.


@st.composite
def trains(draw):
    """[(frame, length, entry)]: what comes of one or two packets in fragments."""
    is_ipv6 = draw(st.booleans())
    src, dst = (draw(addresses6 if is_ipv6 else addresses) for _ in "sd")
    body = fr.udp(src, 40000, dst, draw(st.sampled_from([80, 53])), bytes(range(150)))
    protocol = 17
    if draw(st.booleans()):
        body, protocol = fr.tcp(src, 40000, dst, 80, payload=bytes(range(150))), 6
    found = draw(parts(body))
    for wrong in draw(st.lists(hostile(body), max_size=2)):
        found.insert(draw(st.integers(0, len(found))), wrong)
    tos, options = (
        draw(st.sampled_from([[0], [0], [2, 3], [0, 1]])),
        draw(st.sampled_from([b"", b"", TRACEROUTE, SECURITY])),
    )
    before = draw(st.sampled_from([b"", b"", b"\0\0\1\4\0\0\0\0"]))
    df, number = draw(st.booleans()), draw(st.integers(1, 2))
    frames = []
    for part, offset, more in found:
        one_tos = draw(st.sampled_from(tos))
        if is_ipv6:
            packet = fragment6(src, dst, protocol, part, offset, more, number=number,
                               before=before, tos=one_tos)  # fmt: skip
            places, kind = ENTRIES6, b"\x86\xdd"
        else:
            packet = fragment4(src, dst, protocol, part, offset, more, df=df and offset < 100,
                               options=options, id=number, tos=one_tos)  # fmt: skip
            places, kind = PODS, b"\x08\x00"
        frame, entry = draw(entries(src, places, kind, packet))
        frames.append((frame, entry))
    if draw(st.integers(0, 3)):  # mostly all by one way
        frames = [(frame[:14] + other[14:], entry) for (other, _), (frame, entry) in zip(
            frames, [frames[0]] * len(frames), strict=True)]  # fmt: skip
    return [(frame, len(frame) + draw(st.sampled_from([0] * 9 + [4])), at) for frame, at in frames]


@settings(max_examples=200)
@given(clusters(rule_texts()), st.lists(trains(), max_size=3), st.data())
def test_fragments_equal_the_specification(nodes, sequence, data):
    if data.draw(st.booleans()):
        nodes = {name: replace(state, iptables=iptables.parse("", name)) for name, state in
                 nodes.items()}  # fmt: skip
    fast, slow = FastEngine(nodes), Engine(nodes)
    now = 10**18
    for train in sequence:
        for frame, length, entry in train:
            now += data.draw(st.sampled_from([0, 0, 0, 0, 0, 40])) * SECOND
            compare(fast.run(now, frame, length, entry), slow.run(now, frame, length, entry))


# IPv6.

CLIENT6, SERVER6 = "fd00:a::2", "fd00:b::2"
V6 = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m conntrack --ctstate NEW\nCOMMIT\n"


def six(rules: str = "", mtu: int = 1400) -> Both:
    from ipaddress import ip_address

    state = node()
    links = tuple(replace(link, mtu=mtu) if link.name == "b" else link for link in state.links)
    own = [InterfaceAddress("a", ip_address("fd00:a::1"), 64),
           InterfaceAddress("b", ip_address("fd00:b::1"), 64)]  # fmt: skip
    neighbours = (Neighbour(ip_address(CLIENT6), "a", mac(CLIENT)),
                  Neighbour(ip_address(SERVER6), "b", mac(SERVER)))  # fmt: skip
    return Both(links=links, addresses=(*state.addresses, *own), neighbours=neighbours,
                sysctls={"net.ipv6.conf.all.forwarding": "1"},
                ip6tables=iptables.parse(rules, "rules"))  # fmt: skip


def test_ipv6_fragments_leave_as_they_came():
    both, body = six(V6), fr.udp(CLIENT6, 1, SERVER6, 2, bytes(2000))
    records = [
        both.send(fragment6(CLIENT6, SERVER6, 17, body[a:b], a, b < len(body)))
        for a, b in pieces(len(body), [1000, 1600])
    ]
    assert [record.reason for record in records] == [HELD, HELD, FORWARDED]
    assert [len(packet) for packet in sent(records[-1])] == [1048, 648, 456]


def test_an_atomic_fragment_loses_its_header():
    body = fr.udp(CLIENT6, 1, SERVER6, 2, bytes(100))
    record = six(V6).send(fragment6(CLIENT6, SERVER6, 17, body, 0, False))
    assert [(packet[6], len(packet)) for packet in sent(record)] == [(17, 148)]


def test_pods6_are_there():
    assert PODS6
