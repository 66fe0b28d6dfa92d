"""From pod to pod: on one node, and through the tunnel to the next (encapsulated, decapsulated)."""

import pytest

from _fastpath.reason import Verdict
from benchmarks.report import report
from benchmarks.traffic import SECOND, Walker, answer, ended, segment, traffic
from tests import frames as fr
from tests.two_nodes import CLIENT, WEB1, WEB2, two_nodes

PACKETS, PORTS = 20_000, range(1024, 1124)
ENTRY = ("node-a", "veth-client")
GATEWAYS = {"node-a": "10.244.1.1", "node-b": "10.244.2.1"}
SERVERS = {
    "same node": (WEB1, "node-a", "veth-web-1"),
    "other node": (WEB2, "node-b", "veth-web-2"),
}
SIZES = {"60B": 6, "1400B": 1346}


def opened(server, node, device):
    """Two nodes, and connections between a client and a server."""
    walker, syn_ack = Walker(two_nodes(), connections=1 << 15), fr.SYN | fr.ACK
    there, back = GATEWAYS["node-a"], GATEWAYS[node]
    walker.run(ENTRY, traffic([segment(CLIENT, server, port, there) for port in PORTS]))
    answers = [answer(CLIENT, server, port, back, syn_ack) for port in PORTS]
    walker.run((node, device), traffic(answers))
    return walker


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("where", SERVERS)
def test_pod_to_pod(benchmark, where, size):
    server, node, device = SERVERS[where]
    walker, fields = opened(server, node, device), {"flags": fr.ACK, "payload": b"\0" * SIZES[size]}
    frames = [segment(CLIENT, server, port, GATEWAYS["node-a"], **fields) for port in PORTS]
    found = traffic(frames).repeated(PACKETS // len(PORTS)).shuffled().later(SECOND)
    records = benchmark(walker.run, ENTRY, found)
    report(benchmark, PACKETS, ended(records, Verdict.DELIVERED), walker.steps)
