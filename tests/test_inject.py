"""Where recorded frames enter, rule by rule.  Each case is replayed by both engines, which
must agree on every step before anything is looked at."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from _fastpath.reason import Reason, Verdict
from dataplane.errors import UsageError
from dataplane.node.state import InterfaceAddress, Link, Neighbour
from dataplane.replay.replay import Options, replay

from . import frames as fr
from .captures import frames_of
from .clusters import PODS6, with_ipv6
from .two_nodes import (
    CLIENT,
    EMPTY,
    NODE_A,
    NODE_B,
    OUTSIDE,
    RULES,
    WEB,
    WEB1,
    WEB2,
    mac,
    two_nodes,
)

GATEWAY, GATEWAY_B = mac("10.244.1.1"), mac("10.244.2.1")
STRANGER, NO_MAC, BROADCAST = "02:00:00:00:00:99", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"
UNKNOWN = ip_address("203.0.113.9")
PORT_OF = {
    CLIENT: ("node-a", "veth-client"),
    WEB1: ("node-a", "veth-web-1"),
    WEB2: ("node-b", "veth-web-2"),
}
WIRE_A, WIRE_B = ("node-a", "eth0"), ("node-b", "eth0")
NOWHERE = ("", None)
COOKED, COOKED2, RAW = 113, 276, 101


def ip(src, dst, protocol, body, **fields):
    return fr.ipv4(src, dst, protocol, body, **{"fragment": 0x4000, **fields})


def tcp(src, dst, sport=40000, dport=8080, flags=fr.SYN, **fields):
    return ip(src, dst, 6, fr.tcp(src, sport, dst, dport, flags), **fields)


def udp(src, dst, sport=40000, dport=53, **fields):
    return ip(src, dst, 17, fr.udp(src, sport, dst, dport, b"hello"), **fields)


def ping(src, dst, reply=False, **fields):
    return ip(src, dst, 1, fr.echo(7, reply=reply), **fields)


def ether(packet, src=STRANGER, dst=STRANGER):
    """`src`, `dst`: what was recorded where nobody here has such an address."""
    ethertype = fr.ETHERTYPES[packet[0] >> 4]
    return fr.ether(src, dst, ethertype, packet)


def arp(sender, target, sender_mac, operation=1, dst=BROADCAST, src=None):
    body = bytes([0, 1, 8, 0, 6, 4, 0, operation]) + bytes.fromhex(sender_mac.replace(":", ""))
    body += ip_address(sender).packed + bytes(6) + ip_address(target).packed
    return fr.ether(src or sender_mac, dst, b"\x08\x06", body)


def cooked(packet, ethertype=b"\x08\x00"):
    """LINUX_SLL: tcpdump -i any."""
    return b"\0\0\0\1\0\6" + b"\2\0\0\0\0\1" + b"\0\0" + ethertype + packet


def records(*frames, nodes=None, linktype=1, **options):
    chosen = Options(taps="all", events=True, **options)
    return list(replay(nodes or two_nodes(), frames_of(*frames, linktype=linktype), chosen,
                       engine="both"))  # fmt: skip


def last(*frames, **options):
    return records(*frames, **options)[-1]


def fate(record):
    return Verdict(record.verdict).name, Reason(record.reason).name


def entered(record):
    """(destination MAC, source MAC) of the frame where it entered."""
    frame = record.taps[0].frame
    return frame[0:6].hex(":"), frame[6:12].hex(":")


def as_sent(record):
    """Who sends to whom, with which TTL, where the packet entered."""
    frame = record.taps[0].frame
    src, dst = ip_address(frame[26:30]), ip_address(frame[30:34])
    sport, dport = int.from_bytes(frame[34:36]), int.from_bytes(frame[36:38])
    return str(src), sport, str(dst), dport, frame[22]


# Where the initiator's frames enter.


@pytest.mark.parametrize(
    ("src", "dst", "to", "entry"),
    [
        (CLIENT, WEB2, GATEWAY, ("node-a", "veth-client")),
        (WEB2, CLIENT, STRANGER, ("node-b", "veth-web-2")),
        (NODE_A, WEB2, STRANGER, ("node-a", None)),
        (ip_address("10.244.1.1"), CLIENT, STRANGER, ("node-a", None)),
        (ip_address("10.244.2.0"), CLIENT, STRANGER, ("node-b", None)),
        (OUTSIDE, NODE_A, mac(NODE_A), WIRE_A),
        (OUTSIDE, WEB2, mac(NODE_A), WIRE_A),  # to whom it was sent, not who has the address
        (UNKNOWN, NODE_A, mac(NODE_B), WIRE_B),
        (OUTSIDE, NODE_B, STRANGER, WIRE_B),  # who has the address
        (OUTSIDE, WEB2, STRANGER, WIRE_B),  # the node where the pod lives
        (UNKNOWN, WEB1, NO_MAC, WIRE_A),
        (OUTSIDE, WEB, STRANGER, NOWHERE),  # a Service's address lives nowhere
        (UNKNOWN, OUTSIDE, STRANGER, NOWHERE),
        (ip_address("169.254.1.1"), NODE_B, mac(NODE_B), WIRE_B),
        (ip_address("127.0.0.1"), NODE_A, STRANGER, WIRE_A),
    ],
)
def test_an_initiator_enters_where_its_address_lives(src, dst, to, entry):
    record = last(ether(tcp(src, dst), dst=to))
    assert record.entry == entry
    if entry == NOWHERE:
        assert fate(record) == ("SKIPPED", "NO_ENTRY")
        assert (record.steps, record.place, record.flow) == ((), NOWHERE, 0)


def test_a_link_local_address_is_nobodys_even_where_a_node_has_it():
    """NodeLocal DNSCache gives every node 169.254.20.10."""
    local = ip_address("169.254.20.10")
    nodes = {
        name: replace(
            state, addresses=(*state.addresses, InterfaceAddress("lo", local, 32, "host"))
        )
        for name, state in two_nodes().items()
    }
    assert last(ether(udp(local, WEB1)), nodes=nodes).entry == WIRE_A


def test_a_pod_that_is_also_a_neighbour_on_a_wire_enters_at_its_port():
    nodes = two_nodes()
    heard = Neighbour(WEB2, "eth0", "0a:58:0a:f4:02:99")
    nodes["node-a"] = replace(nodes["node-a"], neighbours=(*nodes["node-a"].neighbours, heard))
    assert last(ether(tcp(WEB2, CLIENT)), nodes=nodes).entry == PORT_OF[WEB2]


@pytest.mark.parametrize("address", ["", NO_MAC])
def test_a_device_without_a_mac_address_is_not_where_frames_without_one_go(address):
    nodes = two_nodes()
    tunnel = Link(9, "tun0", address, 1400, link_type="none")
    nodes["node-a"] = replace(
        nodes["node-a"],
        links=(*nodes["node-a"].links, tunnel),
        addresses=(
            *nodes["node-a"].addresses,
            InterfaceAddress("tun0", ip_address("10.9.0.1"), 24),
        ),
    )
    record = last(tcp(OUTSIDE, NODE_B), nodes=nodes, linktype=RAW)
    assert record.entry == WIRE_B


# Who began.


def syn_ack(src, dst, sport, dport):
    return ether(tcp(src, dst, sport, dport, fr.SYN | fr.ACK))


def test_who_gets_a_syn_ack_is_the_initiator():
    first, second = records(
        syn_ack(WEB2, CLIENT, 8080, 40000), ether(tcp(CLIENT, WEB2, 40000, 8080))
    )
    assert (fate(first), first.is_reply, first.flow) == (("SKIPPED", "UNANSWERED"), True, 0)
    assert (second.entry, second.is_reply, second.flow) == (PORT_OF[CLIENT], False, 0)


def test_a_syn_ack_to_the_outside_came_by_the_wire_it_was_sent_from():
    first, second = records(
        ether(tcp(NODE_B, OUTSIDE, 30080, 40000, fr.SYN | fr.ACK), src=mac(NODE_A)),
        ether(tcp(OUTSIDE, NODE_B, 40000, 30080)),
    )
    assert fate(first) == ("SKIPPED", "UNANSWERED")
    assert second.entry == WIRE_A


def test_who_gets_an_echo_reply_is_the_initiator():
    first, second = records(ether(ping(WEB2, CLIENT, reply=True)), ether(ping(CLIENT, WEB2)))
    assert (fate(first), first.is_reply) == (("SKIPPED", "UNANSWERED"), True)
    assert (second.entry, second.flow) == (PORT_OF[CLIENT], 0)


def test_who_sends_the_first_datagram_is_the_initiator():
    first, second = records(
        ether(udp(WEB2, CLIENT, 53, 40000)), ether(udp(CLIENT, WEB2, 40000, 53))
    )
    assert (first.entry, first.is_reply) == (PORT_OF[WEB2], False)
    assert (second.entry, second.is_reply) == (PORT_OF[CLIENT], True)


def test_a_client_is_the_initiator_whatever_is_seen_first():
    first, second = records(
        ether(udp(WEB2, CLIENT, 53, 40000)),
        ether(udp(CLIENT, WEB2, 40000, 53)),
        clients=[CLIENT],
    )
    assert (fate(first), first.is_reply) == (("SKIPPED", "UNANSWERED"), True)
    assert (second.entry, second.is_reply) == (PORT_OF[CLIENT], False)


def test_the_first_segment_seen_of_a_connection_is_its_initiators():
    assert last(ether(tcp(WEB2, CLIENT, 8080, 40000, fr.ACK))).entry == PORT_OF[WEB2]


def test_the_other_side_may_open_a_connection_between_the_same_ports():
    frames = [
        ether(tcp(CLIENT, WEB2, 40000, 8080)),
        ether(tcp(WEB2, CLIENT, 8080, 40000)),
        syn_ack(CLIENT, WEB2, 40000, 8080),
    ]
    first, second, third = records(*frames)
    assert [r.flow for r in (first, second, third)] == [0, 0, 0]
    assert (second.is_reply, second.entry) == (False, PORT_OF[WEB2])
    assert (third.is_reply, third.entry) == (True, PORT_OF[CLIENT])


def test_a_client_stays_the_initiator_when_the_other_side_sends_a_syn():
    frames = [ether(tcp(CLIENT, WEB2, 40000, 8080)), ether(tcp(WEB2, CLIENT, 8080, 40000))]
    assert [r.is_reply for r in records(*frames, clients=[CLIENT])] == [False, True]


def test_a_turned_flow_forgets_that_it_was_answered():
    """The first SYN was refused; the other side's is dropped, and nobody is told."""
    drop = "-A FORWARD -s 10.96.10.99/32 -j DROP\n-A FORWARD -j KUBE-FORWARD"
    nodes = two_nodes(RULES.replace("-A FORWARD -j KUBE-FORWARD", drop))
    frames = [
        ether(tcp(CLIENT, EMPTY, 40000, 80)),
        ether(tcp(EMPTY, CLIENT, 80, 40000)),
        syn_ack(CLIENT, EMPTY, 40000, 80),
    ]
    fates = [fate(record) for record in records(*frames, nodes=nodes)]
    assert fates == [
        ("REJECTED", "NETFILTER_REJECT"),
        ("DROPPED", "NETFILTER_DROP"),
        ("SKIPPED", "UNANSWERED"),
    ]


def test_a_turned_flow_forgets_where_it_arrived():
    drop = "-A FORWARD -s 10.244.2.2/32 -j DROP\n-A FORWARD -j KUBE-FORWARD"
    nodes = two_nodes(RULES.replace("-A FORWARD -j KUBE-FORWARD", drop))
    frames = [
        ether(tcp(CLIENT, WEB2, 40000, 8080)),
        ether(tcp(WEB2, CLIENT, 8080, 40000)),
        syn_ack(CLIENT, WEB2, 40000, 8080),
    ]
    assert [fate(record) for record in records(*frames, nodes=nodes)] == [
        ("DELIVERED", "HOST"),
        ("DROPPED", "NETFILTER_DROP"),
        ("SKIPPED", "UNANSWERED"),
    ]


# Link-layer addresses.


@pytest.mark.parametrize(
    ("packet", "recorded", "expected"),
    [
        (tcp(CLIENT, WEB2), STRANGER, (GATEWAY, mac(CLIENT))),
        (tcp(CLIENT, WEB), STRANGER, (GATEWAY, mac(CLIENT))),
        (tcp(CLIENT, WEB1), STRANGER, (mac(WEB1), mac(CLIENT))),  # a neighbour on the bridge
        (tcp(CLIENT, ip_address("10.244.1.1")), STRANGER, (GATEWAY, mac(CLIENT))),
        (tcp(CLIENT, ip_address("10.244.1.77")), STRANGER, (GATEWAY, mac(CLIENT))),
        (tcp(CLIENT, UNKNOWN), STRANGER, (GATEWAY, mac(CLIENT))),
        # Known here: as recorded.
        (tcp(CLIENT, WEB2), GATEWAY, (GATEWAY, STRANGER)),
        (tcp(CLIENT, WEB2), mac(WEB1), (mac(WEB1), STRANGER)),
        (udp(CLIENT, ip_address("255.255.255.255")), BROADCAST, (BROADCAST, STRANGER)),
        (tcp(OUTSIDE, WEB2), mac(NODE_A), (mac(NODE_A), STRANGER)),
        # On a wire the sender is whoever it was.
        (tcp(OUTSIDE, WEB2), STRANGER, (mac(NODE_B), STRANGER)),
    ],
)
def test_mac_addresses_that_mean_nothing_where_the_frame_enters(packet, recorded, expected):
    assert entered(last(ether(packet, dst=recorded))) == expected


def cooked2(packet, ethertype=b"\x08\x00"):
    return ethertype + bytes(18) + packet


@pytest.mark.parametrize(
    ("linktype", "wrap"), [(COOKED, cooked), (COOKED2, cooked2), (RAW, bytes), (228, bytes)]
)
def test_captures_without_mac_addresses(linktype, wrap):
    record = last(wrap(tcp(CLIENT, WEB2)), linktype=linktype)
    assert fate(record) == ("DELIVERED", "HOST")
    assert entered(record) == (GATEWAY, mac(CLIENT))


def point_to_point(address, port, node="node-a"):
    """A pod without a bridge: its veth, and its neighbour entry."""
    nodes = two_nodes()
    state = nodes[node]
    nodes[node] = replace(
        state,
        links=(*state.links, Link(20, port, "0e:00:00:00:00:20", 1450, "veth")),
        neighbours=(*state.neighbours, Neighbour(address, port, mac(address))),
    )
    return nodes


def test_a_host_without_a_bridge_sends_to_its_device():
    lonely = ip_address("10.244.1.9")
    nodes = point_to_point(lonely, "veth-lonely")
    record = last(ether(tcp(lonely, CLIENT)), nodes=nodes)
    assert record.entry == ("node-a", "veth-lonely")
    assert entered(record) == ("0e:00:00:00:00:20", mac(lonely))


# Responders.


@pytest.mark.parametrize(
    ("recorded", "sent"), [(1, 64), (64, 64), (65, 128), (128, 128), (129, 255), (255, 255)]
)
def test_a_reply_has_the_ttl_that_its_sender_gave(recorded, sent):
    reply = ether(tcp(WEB2, CLIENT, 8080, 40000, fr.SYN | fr.ACK, ttl=recorded))
    assert as_sent(last(ether(tcp(CLIENT, WEB2)), reply))[4] == sent


def service(seed):
    """A connection to the Service, and its answer."""
    frames = [
        ether(tcp(CLIENT, WEB, 40000, 80), mac(CLIENT), GATEWAY),
        ether(tcp(WEB, CLIENT, 80, 40000, fr.SYN | fr.ACK, ttl=62), GATEWAY, mac(CLIENT)),
    ]
    return records(*frames, seed=seed)


def seed_of(endpoint):
    return next(seed for seed in range(64) if service(seed)[0].end_dst == endpoint)


def test_a_reply_enters_at_the_endpoint_as_it_would_have_sent_it():
    request, reply = service(seed_of(WEB2))
    assert request.place == reply.entry == PORT_OF[WEB2]
    assert as_sent(reply) == ("10.244.2.2", 8080, "10.244.1.2", 40000, 64)
    assert entered(reply) == (GATEWAY_B, mac(WEB2))
    assert (reply.end_src, reply.end_sport) == (WEB, 80)
    assert (fate(reply), reply.place) == (("DELIVERED", "HOST"), PORT_OF[CLIENT])
    assert (reply.src, reply.sport, reply.is_reply) == (WEB, 80, True)  # as recorded


def test_a_reply_to_a_neighbour_on_the_same_bridge_needs_no_gateway():
    _, reply = service(seed_of(WEB1))
    assert reply.entry == PORT_OF[WEB1]
    assert entered(reply) == (mac(CLIENT), mac(WEB1))
    assert (fate(reply), reply.place) == (("DELIVERED", "HOST"), PORT_OF[CLIENT])


def test_a_reply_to_the_bridges_own_address_goes_to_the_bridge():
    """A pod that reaches itself through a Service is masqueraded."""
    frames = [
        ether(tcp(WEB1, WEB, 40000, 80), mac(WEB1), GATEWAY),
        ether(tcp(WEB, WEB1, 80, 40000, fr.SYN | fr.ACK), GATEWAY, mac(WEB1)),
    ]
    runs = (records(*frames, seed=seed) for seed in range(64))
    request, reply = next(run for run in runs if run[0].end_dst == WEB1)
    assert (reply.entry, as_sent(reply)[2]) == (PORT_OF[WEB1], "10.244.1.1")
    assert entered(reply) == (GATEWAY, mac(WEB1))
    assert as_sent(reply)[3] == request.end_sport != 40000
    assert (reply.end_src, reply.end_dst, reply.place) == (WEB, WEB1, PORT_OF[WEB1])


def test_a_reply_from_outside_enters_by_the_wire_with_the_macs_turned_round():
    request, reply = records(
        ether(tcp(CLIENT, OUTSIDE, 40000, 80)),
        ether(tcp(OUTSIDE, CLIENT, 80, 40000, fr.SYN | fr.ACK)),
    )
    assert (fate(request), request.place) == (("FORWARDED", "LEFT_BY_DEVICE"), WIRE_A)
    assert reply.entry == WIRE_A
    assert entered(reply) == (mac(NODE_A), mac(OUTSIDE))
    assert (fate(reply), reply.place) == (("DELIVERED", "HOST"), PORT_OF[CLIENT])


def test_a_reply_of_a_process_of_a_node_is_sent_by_the_node():
    request, reply = records(
        ether(udp(CLIENT, NODE_B, 40000, 53)), ether(udp(NODE_B, CLIENT, 53, 40000))
    )
    assert (fate(request), request.place) == (("DELIVERED", "LOCAL_PROCESS"), ("node-b", None))
    assert reply.entry == ("node-b", None)
    assert fate(reply) == ("DELIVERED", "HOST")


def test_an_echo_reply_bears_the_identifier_that_arrived():
    reply = last(ether(ping(CLIENT, WEB2)), ether(ping(WEB2, CLIENT, reply=True)))
    assert (reply.entry, reply.sport) == (PORT_OF[WEB2], 7)
    assert fate(reply) == ("DELIVERED", "HOST")


def test_a_reply_of_a_flow_that_never_arrived_is_left_out():
    frames = [
        ether(tcp(CLIENT, ip_address("10.244.2.77"))),
        ether(tcp(ip_address("10.244.2.77"), CLIENT, 8080, 40000, fr.SYN | fr.ACK)),
    ]
    record = last(*frames)
    assert (fate(record), record.is_reply, record.entry) == (
        ("SKIPPED", "UNANSWERED"), True, NOWHERE)  # fmt: skip


def test_a_reply_that_the_nodes_make_themselves_is_left_out():
    refusal = fr.icmp_error(3, 3, tcp(CLIENT, EMPTY, 40000, 80)[:48])
    frames = [
        ether(tcp(CLIENT, EMPTY, 40000, 80)),
        ether(tcp(EMPTY, CLIENT, 80, 40000, fr.RST | fr.ACK)),
        ether(ip(ip_address("10.244.1.1"), CLIENT, 1, refusal)),
    ]
    fates = [fate(record) for record in records(*frames)]
    assert fates == [("REJECTED", "NETFILTER_REJECT")] + [("SKIPPED", "ANSWERED_BY_NODE")] * 2


def test_one_way_leaves_replies_out():
    frames = [ether(tcp(CLIENT, WEB2)), syn_ack(WEB2, CLIENT, 8080, 40000)]
    assert [fate(r) for r in records(*frames, one_way=True)] == [
        ("DELIVERED", "HOST"),
        ("SKIPPED", "ONE_WAY"),
    ]


def test_what_a_tunnel_carries_does_not_answer_for_it():
    """The outer packet of node-a arrives as the inner one, at a pod."""
    inner = fr.ether(mac("10.244.1.0"), mac("10.244.2.0"), b"\x08\x00", udp(CLIENT, WEB2))
    carried = b"\x08\0\0\0\0\0\1\0" + inner
    outer = ip(NODE_A, NODE_B, 17, fr.udp(NODE_A, 8472, NODE_B, 8472, carried))
    back = ip(NODE_B, NODE_A, 17, fr.udp(NODE_B, 8472, NODE_A, 8472, carried))
    first, second = records(ether(outer), ether(back))
    assert (fate(first), first.place) == (("DELIVERED", "HOST"), PORT_OF[WEB2])
    assert fate(second) == ("SKIPPED", "UNANSWERED")


def test_fragments_without_ports_are_answered_by_addresses_alone():
    def later(src, dst):
        return ether(ip(src, dst, 1, b"\0" * 16, fragment=4))

    rules = "*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"  # nothing that would put them together
    first, second = records(later(CLIENT, WEB2), later(WEB2, CLIENT), nodes=two_nodes(rules))
    assert (first.is_reply, second.is_reply) == (False, True)
    assert (second.entry, fate(second)) == (PORT_OF[WEB2], ("DELIVERED", "HOST"))


def in_fragments(src, dst, sport, dport):
    body = fr.udp(src, sport, dst, dport, bytes(100))
    parts = [(0, 48), (48, 96), (96, len(body))]
    words = [(a // 8 | (0x2000 if b < len(body) else 0), body[a:b]) for a, b in parts]
    return [ether(ip(src, dst, 17, part, fragment=word)) for word, part in words]


@pytest.mark.parametrize("rules", [RULES, "*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"])
def test_fragments_belong_to_the_flow_of_the_first(rules):
    asked, answered = in_fragments(CLIENT, WEB2, 4000, 53), in_fragments(WEB2, CLIENT, 53, 4000)
    found = records(*asked, *answered, nodes=two_nodes(rules))
    assert [record.flow for record in found] == [0] * 6
    assert [record.is_reply for record in found] == [False] * 3 + [True] * 3
    assert {record.entry for record in found[:3]} == {PORT_OF[CLIENT]}
    assert {record.entry for record in found[3:]} == {PORT_OF[WEB2]}
    assert fate(found[2]) == fate(found[5]) == ("DELIVERED", "HOST")


# ICMP errors.


def unreachable(src, dst, quoted):
    return ether(ip(src, dst, 1, fr.icmp_error(3, 3, quoted)))


REQUEST, ANSWER, OTHER = udp(CLIENT, WEB2), udp(WEB2, CLIENT, 53, 40000), udp(WEB2, CLIENT, 53, 1)
SHORT = unreachable(CLIENT, WEB2, ANSWER[:23])  # not even both ports


@pytest.mark.parametrize(
    ("error", "expected", "flow", "is_reply"),
    [
        # The client says that it no longer listens.
        (unreachable(CLIENT, WEB2, ANSWER), ("DELIVERED", "HOST"), 0, False),
        (unreachable(WEB2, CLIENT, REQUEST), ("SKIPPED", "RECORDED_ERROR"), 0, True),
        (unreachable(NODE_A, CLIENT, REQUEST), ("SKIPPED", "RECORDED_ERROR"), 0, True),
        # Of no flow that was seen, or quoting too little to say.
        (unreachable(CLIENT, WEB2, OTHER), ("SKIPPED", "RECORDED_ERROR"), -1, False),
        (SHORT, ("SKIPPED", "RECORDED_ERROR"), -1, False),
        (SHORT + bytes(9), ("SKIPPED", "RECORDED_ERROR"), -1, False),
        (unreachable(CLIENT, WEB2, b""), ("SKIPPED", "RECORDED_ERROR"), -1, False),
        (unreachable(CLIENT, WEB2, b"\x60" + ANSWER[1:]), ("SKIPPED", "RECORDED_ERROR"), -1, False),
        (unreachable(CLIENT, WEB2, b"\x41" + ANSWER[1:]), ("SKIPPED", "RECORDED_ERROR"), -1, False),
    ],
)  # fmt: skip
def test_a_recorded_error_enters_only_if_the_initiator_sent_it(error, expected, flow, is_reply):
    record = last(ether(REQUEST), ether(ANSWER), error)
    assert (fate(record), record.flow, record.is_reply) == (expected, flow, is_reply)
    if expected[0] != "SKIPPED":
        assert record.entry == PORT_OF[CLIENT]
        assert entered(record) == (GATEWAY, mac(CLIENT))


def test_an_error_about_an_echo_reply_finds_the_flow_by_its_identifier():
    error = unreachable(CLIENT, WEB2, ping(WEB2, CLIENT, reply=True))
    record = last(ether(ping(CLIENT, WEB2)), ether(ping(WEB2, CLIENT, reply=True)), error)
    assert (record.flow, record.entry) == (0, PORT_OF[CLIENT])


def test_an_error_of_an_initiator_without_a_place():
    error = unreachable(UNKNOWN, WEB, udp(WEB, UNKNOWN, 53, 40000))
    record = last(ether(udp(UNKNOWN, WEB)), error)
    assert (fate(record), record.flow, record.is_reply) == (("SKIPPED", "NO_ENTRY"), 0, False)


@pytest.mark.parametrize("kind", [6, 9, 10, 30, 40, 253])
def test_icmp_that_is_neither_query_nor_error_is_a_flow_of_its_own(kind):
    message = fr.icmp_error(kind, 0, b"\0" * 8, rest=0x12340000)
    record = last(ether(ip(CLIENT, WEB2, 1, message)))
    assert (record.entry, record.flow) == (PORT_OF[CLIENT], 0)


def nodes6():
    forwarding = {"net.ipv6.conf.all.forwarding": "1"}
    return {
        name: with_ipv6(replace(state, sysctls=state.sysctls | forwarding))
        for name, state in two_nodes().items()
    }


CLIENT6, FAR6 = PODS6["node-a"]["veth-client"], PODS6["node-b"]["veth-web-2"]


def icmp6(src, dst, message):
    return ether(fr.ipv6(src, dst, 58, fr.summed(src, dst, 58, message, 2), 255))


def test_neighbour_discovery_is_no_error():
    solicitation = bytes([135, 0, 0, 0]) + bytes(4) + FAR6.packed
    record = last(icmp6(CLIENT6, ip_address("ff02::1:ff00:2"), solicitation), nodes=nodes6())
    assert record.entry == PORT_OF[CLIENT]


def test_ipv6_errors_and_echoes():
    echo = bytes([128, 0, 0, 0, 0, 7, 0, 1])
    answer = bytes([129, 0, 0, 0, 0, 7, 0, 1])
    request, reply, error = records(
        icmp6(CLIENT6, FAR6, echo),
        icmp6(FAR6, CLIENT6, answer),
        icmp6(CLIENT6, FAR6, bytes([1, 4]) + bytes(6) + fr.ipv6(FAR6, CLIENT6, 58, answer)),
        nodes=nodes6(),
    )
    assert (request.entry, reply.entry, reply.is_reply) == (PORT_OF[CLIENT], PORT_OF[WEB2], True)
    assert (error.flow, error.entry) == (0, PORT_OF[CLIENT])


# ARP.


@pytest.mark.parametrize(
    ("frame", "expected", "entry"),
    [
        (arp(CLIENT, "10.244.1.1", mac(CLIENT)), ("CONSUMED", "ARP_HANDLED"), PORT_OF[CLIENT]),
        (arp("10.244.1.1", CLIENT, GATEWAY), ("SKIPPED", "ANSWERED_BY_NODE"), NOWHERE),
        (arp(NODE_A, NODE_B, mac(NODE_A)), ("SKIPPED", "ANSWERED_BY_NODE"), NOWHERE),
        (arp(OUTSIDE, NODE_B, mac(OUTSIDE)), ("CONSUMED", "ARP_HANDLED"), WIRE_B),
        (arp(UNKNOWN, NODE_A, STRANGER, dst=mac(NODE_A)), ("CONSUMED", "ARP_HANDLED"), WIRE_A),
        (arp(UNKNOWN, OUTSIDE, STRANGER), ("SKIPPED", "NO_ENTRY"), NOWHERE),
        (arp("0.0.0.0", CLIENT, mac(CLIENT)), ("SKIPPED", "NO_ENTRY"), NOWHERE),  # a probe
        (arp(CLIENT, "10.244.1.1", mac(CLIENT))[:41], ("SKIPPED", "NO_ENTRY"), NOWHERE),
        (arp(CLIENT, "10.244.1.1", mac(CLIENT)).replace(b"\x06\x04", b"\x08\x04"),
         ("SKIPPED", "NO_ENTRY"), NOWHERE),
    ],
)  # fmt: skip
def test_arp_enters_where_its_sender_lives_unless_that_is_a_node(frame, expected, entry):
    record = last(frame)
    assert (fate(record), record.entry, record.flow) == (expected, entry, -1)


@pytest.mark.parametrize(
    ("operation", "to"), [(1, BROADCAST), (2, NO_MAC)], ids=["request", "reply"]
)
def test_arp_of_a_capture_without_mac_addresses(operation, to):
    message = arp(CLIENT, "10.244.1.1", mac(CLIENT), operation)[14:]
    record = last(cooked(message, b"\x08\x06"), linktype=COOKED)
    assert record.entry == PORT_OF[CLIENT]
    assert entered(record) == (to, mac(CLIENT))


# What is not injected, and what is injected as it stands.


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (fr.ether(mac(CLIENT), GATEWAY, b"\x88\xcc", b"lldp"), ("SKIPPED", "NOT_IP")),
        (fr.ether(mac(CLIENT), GATEWAY, b"\x81\x00", b"\0\7\x08\0" + tcp(CLIENT, WEB2)),
         ("SKIPPED", "NOT_IP")),
        (b"\0" * 13, ("DROPPED", "FRAME_TOO_SHORT")),
        (b"", ("DROPPED", "FRAME_TOO_SHORT")),
        (ether(tcp(CLIENT, WEB2))[:30], ("DROPPED", "IP_HEADER_INVALID")),
        (ether(b"\x44" + tcp(CLIENT, WEB2)[1:]), ("DROPPED", "IP_HEADER_INVALID")),
        (ether(tcp(CLIENT, WEB2)).replace(b"\x0a\xf4\x01\x02", b"\x0a\xf4\x01\x07"),
         ("DROPPED", "IP_CHECKSUM_WRONG")),
    ],
)  # fmt: skip
def test_what_is_not_injected(frame, expected):
    record = last(frame)
    assert fate(record) == expected
    assert (record.family, record.src, record.end_src, record.flow) == (0, None, None, -1)
    assert (record.entry, record.place, record.steps, record.taps) == (NOWHERE, NOWHERE, (), ())


def test_raw_frames_enter_as_they_stand():
    frames = [
        ether(tcp(WEB2, CLIENT)),
        fr.ether(mac(CLIENT), GATEWAY, b"\x88\xcc", b"lldp"),
        b"",
        ether(tcp(CLIENT, WEB2), mac(CLIENT), GATEWAY),
        ether(tcp(CLIENT, WEB2)).replace(b"\x0a\xf4\x01\x02", b"\x0a\xf4\x01\x07"),
    ]
    found = records(*frames, raw=True, at=PORT_OF[CLIENT])
    assert {(record.entry, record.flow) for record in found} == {(PORT_OF[CLIENT], -1)}
    assert [record.taps[0].frame for record in found] == frames
    assert [fate(record) for record in found][2:] == [
        ("DROPPED", "FRAME_TOO_SHORT"),
        ("DELIVERED", "HOST"),
        ("DROPPED", "IP_CHECKSUM_WRONG"),
    ]


@pytest.mark.parametrize("engine", ["fast", "reference", "both"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"raw": True}, "frames enter as they stand at a device: --raw and --at go together"),
        ({"at": WIRE_A}, "frames enter as they stand at a device: --raw and --at go together"),
        ({"raw": True, "at": ("node-z", "eth0")}, "no node 'node-z'; there are node-a, node-b"),
        ({"taps": [("node-b", "eth7")]},
         "node node-b has no device 'eth7'; it has lo, eth0, flannel.1, cni0, veth-web-2"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(engine, options, message):
    with pytest.raises(UsageError) as error:
        replay(two_nodes(), frames_of(ether(REQUEST)), Options(**options), engine=engine)
    assert str(error.value) == message
