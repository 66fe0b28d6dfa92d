"""A cluster that nobody runs, of any size: what a benchmark needs one for.

    node-1        10.244.1.0/24   client .2
    the last one  10.244.N.0/24   server-1 .10, server-2 .11, server-3 .12
    Services      web-0 10.96.1.0:80, web-1 10.96.1.1:80, …: each on its own port of every server

flannel with VXLAN and kube-proxy in iptables mode carry it.
"""

import json
from collections.abc import Iterator
from ipaddress import IPv4Address

from dataplane.cluster.load import loads
from dataplane.cluster.objects import Cluster

PORT = 80
FIRST_TARGET_PORT = 1024
SERVICES_MAX = 60_000  # a server has no more ports
NODES_MAX = 200
ENDPOINTS = 3
CLIENT = IPv4Address("10.244.1.2")
FIRST_SERVICE = IPv4Address("10.96.1.0")
Manifest = dict[str, object]

NETWORK = json.dumps({"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}})
PROXY = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


def cluster(services: int, nodes: int = 2) -> Cluster:
    """Raises ValueError for more than NODES_MAX nodes or SERVICES_MAX Services."""
    return loads(manifests(services, nodes), "synthetic")


def manifests(services: int, nodes: int = 2) -> str:
    """A JSON object per document.  Raises ValueError as `cluster` does."""
    if not 0 < nodes <= NODES_MAX or not 0 <= services <= SERVICES_MAX:
        raise ValueError(f"{services} Services on {nodes} nodes")
    return "\n---\n".join(map(json.dumps, _objects(services, nodes)))


def _objects(services: int, nodes: int) -> Iterator[Manifest]:
    yield _config("kube-flannel", "kube-flannel-cfg", {"net-conf.json": NETWORK})
    proxy = f"{PROXY}clusterCIDR: 10.244.0.0/16\nmode: iptables\n"
    yield _config("kube-system", "kube-proxy", {"config.conf": proxy})
    yield from (_node(number) for number in range(1, nodes + 1))
    yield _pod("client", str(CLIENT), 1)
    addresses = [f"10.244.{nodes}.{10 + which}" for which in range(ENDPOINTS)]
    for which, address in enumerate(addresses, 1):
        yield _pod(f"server-{which}", address, nodes)
    for number in range(services):
        yield _service(number)
        yield _slice(number, addresses, f"node-{nodes}")


def _config(namespace: str, name: str, data: dict[str, str]) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _node(number: int) -> Manifest:
    cidr, address = f"10.244.{number}.0/24", f"192.168.50.{number + 10}"
    backend = {"VNI": 1, "VtepMAC": f"8e:4b:0c:00:00:{number:02x}"}
    annotations = {
        "flannel.alpha.coreos.com/backend-data": json.dumps(backend),
        "flannel.alpha.coreos.com/backend-type": "vxlan",
        "flannel.alpha.coreos.com/kube-subnet-manager": "true",
        "flannel.alpha.coreos.com/public-ip": address,
    }
    return {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": f"node-{number}", "annotations": annotations},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    }  # fmt: skip


def _pod(name: str, address: str, node: int) -> Manifest:
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"nodeName": f"node-{node}", "containers": [{"name": "main", "image": "main"}]},
        "status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }  # fmt: skip


def _service(number: int) -> Manifest:
    address = str(FIRST_SERVICE + number)
    port = {
        "name": "http", "port": PORT, "protocol": "TCP", "targetPort": FIRST_TARGET_PORT + number,
    }  # fmt: skip
    return {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": f"web-{number}", "namespace": "default"},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [port]},
    }  # fmt: skip


def _slice(number: int, addresses: list[str], node: str) -> Manifest:
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": f"web-{number}-1", "namespace": "default",
            "labels": {"kubernetes.io/service-name": f"web-{number}"},
        },
        "ports": [{"name": "http", "port": FIRST_TARGET_PORT + number, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": True}, "nodeName": node}
            for address in addresses
        ],
    }  # fmt: skip
