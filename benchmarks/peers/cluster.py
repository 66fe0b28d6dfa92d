"""The cluster that all sides forward through: the recorded one, and Services of our own.

    client 10.244.1.2 on node-a  →  10.96.20.N:80, UDP and TCP  →  10.244.2.2:8000+N on node-b

Every Service has one endpoint, on the other node, so no side draws which one it is.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from dataplane.cluster.load import loads
from dataplane.control.program import program
from dataplane.node.state import Link, NodeState

MANIFESTS = Path(__file__).parents[2] / "pcaps" / "two-nodes" / "cluster.yaml"
SERVICES = 16
CLIENT, SERVER = "10.244.1.2", "10.244.2.2"
SERVICE_NET = "10.96.20.0"
PORT, FIRST_TARGET_PORT = 80, 8000
CLIENT_NODE, SERVER_NODE = "node-a", "node-b"
CONNTRACK_MAX, ENOUGH = "net.netfilter.nf_conntrack_max", str(1 << 22)

SERVICE = """\
---
apiVersion: v1
kind: Service
metadata: {{name: bench-{number}, namespace: default}}
spec:
  clusterIP: 10.96.20.{number}
  ports:
  - {{name: udp, port: 80, protocol: UDP, targetPort: {target}}}
  - {{name: tcp, port: 80, protocol: TCP, targetPort: {target}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: bench-{number}-1
  namespace: default
  labels: {{kubernetes.io/service-name: bench-{number}}}
addressType: IPv4
ports:
- {{name: udp, port: {target}, protocol: UDP}}
- {{name: tcp, port: {target}, protocol: TCP}}
endpoints:
- addresses: [10.244.2.2]
  conditions: {{ready: true}}
  nodeName: node-b
"""


def manifests() -> Iterator[str]:
    yield MANIFESTS.read_text()
    for number in range(SERVICES):
        yield SERVICE.format(number=number, target=FIRST_TARGET_PORT + number)


@cache
def nodes() -> dict[str, NodeState]:
    """As kube-proxy in iptables mode and flannel program them, with room for all flows."""
    programmed = program(loads("\n".join(manifests())))
    return {
        name: replace(state, sysctls={**state.sysctls, CONNTRACK_MAX: ENOUGH})
        for name, state in programmed.items()
    }


def link(node: str, device: str) -> Link:
    return next(found for found in nodes()[node].links if found.name == device)


def pod_port(node: str, address: str) -> tuple[str, str]:
    """(the node's end of a pod's veth, the pod's MAC address)"""
    state = nodes()[node]
    mac = next(entry.lladdr for entry in state.neighbours if str(entry.dst) == address)
    assert mac is not None
    return next(entry.dev for entry in state.fdb if entry.mac == mac), mac
