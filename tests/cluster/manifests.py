"""Manifests that several tests start from."""

from pathlib import Path
from typing import Any

import yaml

TWO_NODES = Path(__file__).parents[2] / "pcaps/two-nodes/cluster.yaml"

# Every field that is read, once; what is wrong with a value shows here.
EVERY_FIELD = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}, annotations: {note: any text}}
---
apiVersion: v1
kind: Node
metadata: {name: node-a, labels: {topology.kubernetes.io/zone: z1}}
spec:
  podCIDR: 10.244.1.0/24
  podCIDRs: [10.244.1.0/24, "fd00:1::/64"]
status:
  addresses:
  - {type: InternalIP, address: 192.168.50.11}
  - {type: ExternalIP, address: 203.0.113.11}
  nodeInfo: {kernelVersion: 6.12.0}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-1
  namespace: shop
  labels: {app: web}
  deletionTimestamp: "2024-01-01T00:00:00Z"
  ownerReferences:
  - {kind: ReplicaSet, name: web, controller: true}
spec:
  nodeName: node-a
  hostNetwork: false
  initContainers:
  - {name: proxy, restartPolicy: Always, ports: [{containerPort: 15001}]}
  containers:
  - name: web
    ports:
    - {name: http, containerPort: 8080, protocol: TCP}
status:
  phase: Running
  podIP: 10.244.1.3
  podIPs: [{ip: 10.244.1.3}, {ip: "fd00:1::3"}]
  conditions: [{type: Ready, status: "True"}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  clusterIP: 10.96.10.10
  clusterIPs: [10.96.10.10, "fd00:96::10"]
  ipFamilies: [IPv4, IPv6]
  selector: {app: web}
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 600}}
  internalTrafficPolicy: Cluster
  externalTrafficPolicy: Local
  publishNotReadyAddresses: true
  externalIPs: [198.51.100.50]
  loadBalancerSourceRanges: [203.0.113.0/24]
  trafficDistribution: PreferClose
  ports:
  - {name: http, port: 80, protocol: TCP, targetPort: http, nodePort: 30080, appProtocol: http}
  - {name: dns, port: 53, protocol: UDP, targetPort: 5353, nodePort: 30053}
status:
  loadBalancer: {ingress: [{ip: 203.0.113.200, ipMode: VIP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-1, namespace: shop, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
ports:
- {name: http, port: 8080, protocol: TCP}
endpoints:
- addresses: [10.244.1.9]
  conditions: {ready: false, serving: true, terminating: true}
  nodeName: node-a
  zone: z1
  targetRef: {kind: Pod, name: api-1, namespace: shop}
  hints: {forZones: [{name: z1}], forNodes: [{name: node-a}]}
---
apiVersion: v1
kind: Service
metadata: {name: legacy, namespace: shop}
spec: {clusterIP: 10.96.10.11, ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: legacy, namespace: shop}
subsets:
- addresses: [{ip: 10.244.1.20, nodeName: node-a, targetRef: {kind: Pod, name: old}}]
  notReadyAddresses: [{ip: 10.244.1.21}]
  ports: [{port: 8080, protocol: TCP}]
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clusterCIDR: 10.244.0.0/16
mode: iptables
nodePortAddresses: [192.168.50.0/24]
iptables: {masqueradeAll: false, masqueradeBit: 14}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-flannel-cfg, namespace: kube-flannel}
data:
  net-conf.json: '{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan", "VNI": 1}}'
"""


def every_field() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(EVERY_FIELD))


def pod(name: str, namespace: str = "default", **parts: Any) -> dict[str, Any]:
    """A Pod manifest: parts are metadata's labels, spec and status."""
    metadata = {"name": name, "namespace": namespace, "labels": parts.get("labels", {})}
    metadata |= parts.get("metadata", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": parts.get("spec", {}),
        "status": parts.get("status"),
    }


def node(name: str, **spec: Any) -> dict[str, Any]:
    addresses = [{"type": "InternalIP", "address": ip} for ip in spec.pop("ips", ())]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": spec.pop("labels", {})},
        "spec": spec,
        "status": {"addresses": addresses},
    }


def service(name: str, namespace: str = "default", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": "10.96.0.50", "ports": [{"port": 80}]} | spec,
    }


def stream(*objects: dict[str, Any]) -> str:
    """As YAML in which every scalar says its type, so that nothing is read differently."""
    return yaml.safe_dump_all(objects, default_style='"', sort_keys=False)
