"""Records made by hand, for the two-node cluster."""

from dataclasses import replace
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from _fastpath.reason import Reason, Verdict
from dataplane.cluster.load import load
from dataplane.cluster.objects import Cluster
from dataplane.control.program import program
from dataplane.node.state import NodeState
from dataplane.reference.engine import Record
from dataplane.reference.steps import Event, EventKind, Step, StepKind

MANIFEST = "pcaps/two-nodes/cluster.yaml"
ROOT = Path(__file__).resolve().parents[2]
CLIENT, WEB_3 = "vethce2a28d0", "vetha11124ff"
TCP = 6
WEB = "KUBE-SVC-CDGGSHYLG3RE2FKL"
WEB_3_ENDPOINT = "KUBE-SEP-VQGOCFX4X6FWJPNR"
TO_NODE_B = "10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink"


def made(**changed: object) -> Record:
    """A record with the defaults of a delivered SYN."""
    return replace(
        Record(
            verdict=Verdict.DELIVERED,
            reason=Reason.HOST,
            place=("node-b", WEB_3),
            entry=("node-a", CLIENT),
            steps=[],
            events=[],
            taps=[],
            family=4,
            proto=TCP,
            src=ip_address("10.244.1.2"),
            dst=ip_address("10.96.10.10"),
            sport=40000,
            dport=80,
            tcp_flags=2,
            length=74,
            end_src=ip_address("10.244.1.2"),
            end_dst=ip_address("10.244.2.3"),
            end_sport=40000,
            end_dport=8080,
            end_ttl=62,
        ),
        **changed,
    )


@cache
def two_nodes() -> tuple[dict[str, NodeState], Cluster]:
    cluster = load([str(ROOT / MANIFEST)])
    return program(cluster), cluster


def rule(node: str, table: str, chain: str, number: int) -> Step:
    return Step(StepKind.STEP_RULE, node, 4, table, chain, number)


def at(kind: int, node: str, name: str = "", number: int = 0) -> Step:
    return Step(kind, node, name=name, number=number)


def forwarded(node: str, *, nat: bool) -> list[Step]:
    """What node-a's FORWARD and POSTROUTING say to a new connection of a pod."""
    steps = [
        rule(node, "mangle", "FORWARD", 0),
        rule(node, "filter", "FORWARD", 1),
        rule(node, "filter", "FORWARD", 2),
        rule(node, "filter", "FORWARD", 5),
        rule(node, "filter", "FLANNEL-FWD", 1),
        rule(node, "mangle", "POSTROUTING", 0),
    ]
    if nat:
        steps += [rule(node, "nat", "POSTROUTING", 1), rule(node, "nat", "KUBE-POSTROUTING", 1)]
        steps += [rule(node, "nat", "POSTROUTING", 2), rule(node, "nat", "FLANNEL-POSTRTG", 2)]
    return steps


def to_service() -> Record:
    """The client's SYN to the web Service, as far as into the tunnel, and out of it to web-3."""
    a, b = "node-a", "node-b"
    steps = [
        at(StepKind.STEP_DEVICE_IN, a, CLIENT),
        at(StepKind.STEP_CONNTRACK, a, number=2),
        rule(a, "mangle", "PREROUTING", 0),
        rule(a, "nat", "PREROUTING", 1),
        rule(a, "nat", "KUBE-SERVICES", 2),
        rule(a, "nat", WEB, 4),
        rule(a, "nat", WEB_3_ENDPOINT, 2),
        at(StepKind.STEP_NAT, a, number=1),
        at(StepKind.STEP_BRIDGE_LOCAL, a, "cni0"),
        at(StepKind.STEP_ROUTE, a, TO_NODE_B),
        *forwarded(a, nat=True),
        at(StepKind.STEP_NEIGHBOUR, a, "10.244.2.0 dev flannel.1 lladdr 8e:4b:0c:7d:3e:0b"),
        at(StepKind.STEP_DEVICE_OUT, a, "flannel.1"),
        at(StepKind.STEP_FDB, a, "8e:4b:0c:7d:3e:0b dev flannel.1 dst 192.168.50.12"),
        at(StepKind.STEP_ENCAPSULATE, a, "flannel.1"),
        at(StepKind.STEP_LOCAL_OUT, a),
        at(StepKind.STEP_CONNTRACK, a, number=2),
        at(StepKind.STEP_DEVICE_OUT, a, "eth0"),
        at(StepKind.STEP_DEVICE_IN, b, "eth0"),
        at(StepKind.STEP_LOCAL_IN, b),
        at(StepKind.STEP_DECAPSULATE, b, "flannel.1"),
        at(StepKind.STEP_DEVICE_IN, b, "flannel.1"),
        at(StepKind.STEP_CONNTRACK, b, number=2),
        at(StepKind.STEP_ROUTE, b, "10.244.2.0/24 dev cni0"),
        at(StepKind.STEP_DEVICE_OUT, b, "cni0"),
        at(StepKind.STEP_BRIDGE_PORT, b, WEB_3),
        at(StepKind.STEP_DEVICE_OUT, b, WEB_3),
    ]
    return made(steps=steps, events=_to_service_events(steps))


def _to_service_events(steps: list[Step]) -> list[Event]:
    drawn = steps.index(rule("node-a", "nat", WEB, 4))
    nat = steps.index(at(StepKind.STEP_NAT, "node-a", number=1)) + 1
    neighbour = steps.index(at(StepKind.STEP_DEVICE_OUT, "node-a", "flannel.1"))
    tunnel = steps.index(at(StepKind.STEP_ENCAPSULATE, "node-a", "flannel.1")) + 1
    return [
        Event(EventKind.EVENT_DRAW, drawn, round(0.75 * 2**31), round(2**31 / 3)),
        Event(EventKind.EVENT_DRAW, drawn, round(0.625 * 2**31), 2**30),
        Event(EventKind.EVENT_DST, nat, number("10.96.10.10"), number("10.244.2.3")),
        Event(EventKind.EVENT_DPORT, nat, 80, 8080),
        Event(EventKind.EVENT_TTL, nat + 2, 64, 63),
        Event(EventKind.EVENT_ETHER_DST, neighbour, 0x0A580AF40101, 0x8E4B0C7D3E0B),
        Event(EventKind.EVENT_OUTER_SPORT, tunnel, 0, 53841),
        Event(EventKind.EVENT_IP_ID, tunnel, 0, 38612),
    ]


def number(address: str) -> int:
    return int(ip_address(address))
