"""Whole ways through two nodes: the steps, the frames, and what is left behind."""

import pytest

from _fastpath.reason import Reason, Verdict
from _fastpath.trace import EventKind, StepKind
from dataplane.errors import UsageError
from dataplane.node.local_routes import all_routes
from dataplane.node.route_text import route_text
from dataplane.reference.choice import ChoiceKind, Fields, choice_key, identity, rule_identity
from dataplane.reference.engine import Engine
from dataplane.reference.packet import Packet
from dataplane.reference.steps import Event, Step
from tests import frames as fr
from tests.two_nodes import (
    CLIENT,
    EMPTY,
    NODE_A,
    OUTSIDE,
    WEB,
    WEB1,
    WEB2,
    mac,
    two_nodes,
)

IPV4 = b"\x08\x00"
PORTS = {
    CLIENT: ("node-a", "veth-client", mac("10.244.1.1")),
    WEB1: ("node-a", "veth-web-1", mac("10.244.1.1")),
    WEB2: ("node-b", "veth-web-2", mac("10.244.2.1")),
    OUTSIDE: ("node-a", "eth0", mac(NODE_A)),
}
RULE, CONNTRACK, NAT = StepKind.STEP_RULE, StepKind.STEP_CONNTRACK, StepKind.STEP_NAT


def chosen(node, src, sport, dst, dport, endpoint):
    """Choices that send this flow to web-1 or web-2."""
    rule = rule_identity(4, "nat", "KUBE-SVC-WEB", 2)
    flow = Fields(4, 6, src, sport, dst, dport)
    key = choice_key(0, ChoiceKind.STATISTIC, identity(node), flow, rule)
    return {key: [int(endpoint == WEB1)]}


def send(engine, protocol, body, src, dst, to=None, time=0):
    node, device, gateway = PORTS[src]
    frame = fr.ether(mac(src), to or gateway, IPV4, fr.ipv4(src, dst, protocol, body))
    return engine.run(time, frame, len(frame), (node, device))


def syn(engine, src, sport, dst, dport):
    return send(engine, 6, fr.tcp(src, sport, dst, dport, partial=True), src, dst)


def synack(engine, src, sport, dst, dport, to=None):
    body = fr.tcp(src, sport, dst, dport, fr.SYN | fr.ACK, seq=1, ack=1001, partial=True)
    return send(engine, 6, body, src, dst, to)


def met(record):
    return [f"{s.node} {s.table} {s.chain} {s.number}" for s in record.steps if s.kind == RULE]


def taps(record):
    return [f"{t.node} {t.device} {'out' if t.outgoing else 'in'}" for t in record.taps]


def flow(frame):
    packet = Packet(frame)
    return f"{packet.src}:{packet.sport} > {packet.dst}:{packet.dport} ttl {packet.ttl}"


def test_cluster_ip_to_the_same_node():
    engine = Engine(two_nodes(), choices=chosen("node-a", CLIENT, 40000, WEB, 80, WEB1))
    there = syn(engine, CLIENT, 40000, WEB, 80)
    assert (there.verdict, there.place) == (Verdict.DELIVERED, ("node-a", "veth-web-1"))
    assert met(there) == [
        "node-a nat PREROUTING 1",
        "node-a nat KUBE-SERVICES 1",
        "node-a nat KUBE-SVC-WEB 2",
        "node-a nat KUBE-SEP-1 2",
        "node-a filter FORWARD 1",
        "node-a filter FORWARD 2",
        "node-a filter FORWARD 0",
        "node-a nat POSTROUTING 1",
        "node-a nat KUBE-POSTROUTING 1",
        "node-a nat POSTROUTING 0",
    ]
    assert taps(there) == ["node-a veth-client in", "node-a veth-web-1 out"]
    assert flow(there.taps[-1].frame) == "10.244.1.2:40000 > 10.244.1.3:8080 ttl 64"
    back = synack(engine, WEB1, 8080, CLIENT, 40000, to=mac(CLIENT))
    assert met(back) == ["node-a filter FORWARD 1", "node-a filter KUBE-FORWARD 3"]
    assert flow(back.taps[-1].frame) == "10.96.10.10:80 > 10.244.1.2:40000 ttl 64"
    assert back.taps[-1].frame[:12].hex(":") == f"{mac(CLIENT)}:{mac(WEB1)}"


def test_cluster_ip_to_the_other_node():
    engine = Engine(two_nodes(), choices=chosen("node-a", CLIENT, 40000, WEB, 80, WEB2))
    there = syn(engine, CLIENT, 40000, WEB, 80)
    assert (there.verdict, there.place) == (Verdict.DELIVERED, ("node-b", "veth-web-2"))
    assert taps(there) == [
        "node-a veth-client in",
        "node-a cni0 in",
        "node-a flannel.1 out",
        "node-a eth0 out",
        "node-b eth0 in",
        "node-b flannel.1 in",
        "node-b cni0 out",
        "node-b veth-web-2 out",
    ]
    frames = [tap.frame for tap in there.taps]
    assert flow(frames[1]) == "10.244.1.2:40000 > 10.244.2.2:8080 ttl 64"
    assert flow(frames[2]) == "10.244.1.2:40000 > 10.244.2.2:8080 ttl 63"
    assert frames[3][50:] == frames[2] == frames[5]
    assert flow(frames[7]) == "10.244.1.2:40000 > 10.244.2.2:8080 ttl 62"
    assert all(Packet(frame).is_partial for frame in (*frames[:3], *frames[5:]))
    back = synack(engine, WEB2, 8080, CLIENT, 40000)
    assert back.place == ("node-a", "veth-client")
    assert flow(back.taps[-1].frame) == "10.96.10.10:80 > 10.244.1.2:40000 ttl 62"


def test_steps_bear_names():
    engine = Engine(two_nodes(), choices=chosen("node-a", CLIENT, 40000, WEB, 80, WEB2))
    steps = syn(engine, CLIENT, 40000, WEB, 80).steps
    for expected in (
        Step(StepKind.STEP_DEVICE_IN, "node-a", name="veth-client"),
        Step(CONNTRACK, "node-a", number=2),
        Step(NAT, "node-a", number=1),
        Step(StepKind.STEP_BRIDGE_LOCAL, "node-a", name="cni0"),
        Step(
            StepKind.STEP_ROUTE,
            "node-a",
            4,
            "main",
            name="10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",
        ),
        Step(
            StepKind.STEP_NEIGHBOUR,
            "node-a",
            4,
            name="10.244.2.0 dev flannel.1 lladdr 0a:58:0a:f4:02:00",
        ),
        Step(StepKind.STEP_FDB, "node-a", name="0a:58:0a:f4:02:00 dev flannel.1 dst 192.168.50.12"),
        Step(StepKind.STEP_ENCAPSULATE, "node-a", name="flannel.1"),
        Step(StepKind.STEP_LOCAL_OUT, "node-a"),
        Step(
            StepKind.STEP_ROUTE,
            "node-b",
            4,
            "local",
            name="local 192.168.50.12 dev eth0 table local",
        ),
        Step(StepKind.STEP_LOCAL_IN, "node-b"),
        Step(StepKind.STEP_DECAPSULATE, "node-b", name="flannel.1"),
        Step(StepKind.STEP_BRIDGE_PORT, "node-b", name="veth-web-2"),
    ):
        assert expected in steps
    known = {route_text(route) for state in two_nodes().values() for route in all_routes(state)}
    assert {step.name for step in steps if step.kind == StepKind.STEP_ROUTE} <= known


def test_node_port_from_outside():
    engine = Engine(two_nodes(), choices=chosen("node-a", OUTSIDE, 50000, NODE_A, 30080, WEB2))
    there = syn(engine, OUTSIDE, 50000, NODE_A, 30080)
    assert there.place == ("node-b", "veth-web-2")
    source = Packet(there.taps[-1].frame)
    assert str(source.src) == "10.244.1.0"  # flannel.1's: where it left
    assert source.sport == there.end_sport != 50000
    assert "node-a nat KUBE-MARK-MASQ 1" in met(there)
    assert "node-a filter KUBE-FORWARD 2" in met(there)  # by its mark
    back = synack(engine, WEB2, 8080, source.src, source.sport)
    assert (back.verdict, back.reason) == (Verdict.FORWARDED, Reason.LEFT_BY_DEVICE)
    assert flow(back.taps[-1].frame) == "192.168.50.11:30080 > 192.168.50.100:50000 ttl 62"
    # The mark is taken off before the outer packet passes POSTROUTING.
    assert met(there).count("node-a nat KUBE-POSTROUTING 3") == 1


def test_hairpin():
    engine = Engine(two_nodes(), choices=chosen("node-a", WEB1, 40000, WEB, 80, WEB1))
    there = syn(engine, WEB1, 40000, WEB, 80)
    assert there.place == ("node-a", "veth-web-1")
    last = Packet(there.taps[-1].frame)
    assert (str(last.src), last.dst, last.dport, last.ttl) == ("10.244.1.1", WEB1, 8080, 64)
    assert (last.ether_src, last.ether_dst) == (mac(WEB1), mac(WEB1))
    back = synack(engine, WEB1, 8080, last.src, last.sport)
    assert flow(back.taps[-1].frame) == "10.96.10.10:80 > 10.244.1.3:40000 ttl 64"


def test_no_endpoints():
    """As recorded from Linux 6.18: the ICMP error's bytes and way."""
    engine = Engine(two_nodes())
    record = syn(engine, CLIENT, 40000, EMPTY, 80)
    assert (record.verdict, record.reason) == (Verdict.REJECTED, Reason.NETFILTER_REJECT)
    assert record.place == ("node-a", None)
    assert taps(record)[-2:] == ["node-a cni0 out", "node-a veth-client out"]
    error = Packet(record.taps[-1].frame)
    assert record.taps[-1].generated
    assert (str(error.src), error.dst, error.tos, error.ttl) == ("10.244.1.1", CLIENT, 0xC0, 64)
    assert error.payload[8 + 8] == 63
    assert engine.conntrack("node-a", 0) == []
    assert "node-a filter OUTPUT 1" not in met(record)  # RELATED, not NEW


def test_ping_across():
    engine = Engine(two_nodes())
    there = send(engine, 1, fr.echo(7, data=b"ping"), CLIENT, WEB2)
    assert (there.verdict, there.end_ttl) == (Verdict.DELIVERED, 62)
    back = send(engine, 1, fr.echo(7, reply=True, data=b"ping"), WEB2, CLIENT)
    assert (back.verdict, back.place) == (Verdict.DELIVERED, ("node-a", "veth-client"))
    assert [
        step.number for step in back.steps if step.kind == CONNTRACK and step.node == "node-a"
    ] == [2, 3]


def test_a_packet_to_the_node_itself():
    record = send(Engine(two_nodes()), 1, fr.echo(1), OUTSIDE, NODE_A)
    assert (record.verdict, record.reason, record.place) == (
        Verdict.DELIVERED,
        Reason.LOCAL_PROCESS,
        ("node-a", None),
    )


def test_the_way_to_nowhere():
    record = send(Engine(two_nodes()), 17, fr.udp(CLIENT, 1, "8.8.8.8", 2), CLIENT, "8.8.8.8")
    assert (record.verdict, record.reason) == (Verdict.UNKNOWN, Reason.NEIGHBOUR_UNKNOWN)


def test_events():
    engine = Engine(two_nodes(), choices=chosen("node-a", CLIENT, 40000, WEB, 80, WEB2))
    record = syn(engine, CLIENT, 40000, WEB, 80)
    draw = next(event for event in record.events if event.kind == EventKind.EVENT_DRAW)
    assert (draw.before, draw.after) == (0x7FFFFFFF, 1 << 30)
    nat = record.steps.index(Step(NAT, "node-a", number=1)) + 1
    assert Event(EventKind.EVENT_DST, nat, int(WEB), int(WEB2)) in record.events
    assert Event(EventKind.EVENT_DPORT, nat, 80, 8080) in record.events
    assert [e[2:] for e in record.events if e.kind == EventKind.EVENT_TTL] == [(64, 63), (63, 62)]
    told = {event.kind for event in record.events}
    assert {EventKind.EVENT_OUTER_SPORT, EventKind.EVENT_IP_ID, EventKind.EVENT_ETHER_DST} <= told


def test_counters_and_listing():
    engine = Engine(two_nodes())
    for sport in (1, 2):
        syn(engine, CLIENT, sport, EMPTY, 80)
    counters = engine.counters("node-a")
    assert counters[4, "filter", "KUBE-SERVICES", 1] == (2, 80)
    send(engine, 1, fr.echo(7), CLIENT, WEB2, time=10**9)
    (icmp, tunnel) = engine.conntrack("node-a", 6 * 10**9)
    assert (icmp.protocol, icmp.original.icmp_id, icmp.reply.icmp_type, icmp.timeout) == (
        1,
        7,
        0,
        25,
    )
    assert (tunnel.protocol, tunnel.original.dport, tunnel.unreplied) == (17, 8472, True)


def test_one_seed_gives_one_answer():
    def run(seed):
        return [syn(Engine(two_nodes(), seed=seed), CLIENT, 1, WEB, 80).taps for _ in range(2)]

    assert run(1)[0] == run(1)[1] == run(1)[0]
    assert len({str(run(seed)[0]) for seed in range(6)}) > 1


@pytest.mark.parametrize("entry", [("node-c", None), ("node-a", "eth7")])
def test_entries_that_are_not_there(entry):
    with pytest.raises(UsageError):
        Engine(two_nodes()).run(0, bytes(60), 60, entry)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (bytes(60), Reason.UNHANDLED_PROTOCOL),
        (bytes(12) + IPV4 + bytes(40), Reason.IP_HEADER_INVALID),
    ],
)
def test_what_a_process_cannot_send(frame, reason):
    record = Engine(two_nodes()).run(0, frame, len(frame), ("node-a", None))
    assert (record.reason, record.steps, record.place) == (reason, [], ("node-a", None))


def test_a_process_reaches_a_service():
    engine = Engine(two_nodes(), choices=chosen("node-a", NODE_A, 40000, WEB, 80, WEB2))
    frame = fr.ether(
        mac(NODE_A), mac(NODE_A), IPV4, fr.ipv4(NODE_A, WEB, 6, fr.tcp(NODE_A, 40000, WEB, 80))
    )
    record = engine.run(0, frame, len(frame), ("node-a", None))
    assert record.place == ("node-b", "veth-web-2")
    routes = [step.name for step in record.steps if step.kind == StepKind.STEP_ROUTE]
    assert routes[:2] == [
        "default via 192.168.50.1 dev eth0",
        "10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",
    ]
