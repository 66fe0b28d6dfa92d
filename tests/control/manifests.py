"""Small clusters for tests, as text; `two_nodes` is the one that captures are made of."""

from pathlib import Path

from dataplane.cluster.load import load, loads
from dataplane.cluster.objects import Cluster

REPOSITORY = Path(__file__).parents[2]


def two_nodes() -> Cluster:
    return load([str(REPOSITORY / "pcaps/two-nodes/cluster.yaml")])


def cluster(*documents: str) -> Cluster:
    return loads("\n---\n".join(documents), "test.yaml")


def node(name: str, number: int, **annotations: str) -> str:
    """A node with address 192.168.50.NUMBER and podCIDR 10.244.NUMBER.0/24."""
    lines = "".join(f"\n    flannel.alpha.coreos.com/{k}: '{v}'" for k, v in annotations.items())
    return f"""
apiVersion: v1
kind: Node
metadata:
  name: {name}
  annotations:
    of: test{lines.replace("_", "-")}
spec: {{podCIDR: 10.244.{number}.0/24, podCIDRs: [10.244.{number}.0/24]}}
status: {{addresses: [{{type: InternalIP, address: 192.168.50.{number}}}]}}
"""


def pod(name: str, node: str, ip: str, phase: str = "Running", spec: str = "") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: default, labels: {{app: {name}}}}}
spec: {{nodeName: {node}, containers: [{{name: c, image: i}}]{spec}}}
status: {{phase: {phase}, podIP: {ip}, podIPs: [{{ip: {ip}}}]}}
"""


def service(name: str, ip: str = "10.96.0.5", spec: str = "", status: str = "") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec: {{clusterIP: "{ip}", clusterIPs: ["{ip}"], ports: [{{port: 80, protocol: TCP}}]{spec}}}
status: {{{status}}}
"""


def endpoint_slice(service: str, *addresses: str, kind: str = "IPv4") -> str:
    entries = ", ".join(f'{{addresses: ["{a}"], nodeName: a}}' for a in addresses)
    return f"""
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {service}-{kind.lower()}
  namespace: default
  labels: {{kubernetes.io/service-name: {service}}}
addressType: {kind}
ports: [{{name: "", port: 8080, protocol: TCP}}]
endpoints: [{entries}]
"""
