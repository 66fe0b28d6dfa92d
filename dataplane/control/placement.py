"""Which pods have a network on which node; refuses what cannot be."""

from collections.abc import Callable, Sequence

from dataplane.cluster.objects import Cluster, Pod
from dataplane.control.flannel_lease import Lease
from dataplane.errors import ObjectError

FINISHED = ("Succeeded", "Failed")  # phases in which a pod's network is gone


def check_leases(leases: Sequence[Lease]) -> None:
    """raises  ObjectError for nodes that share addresses"""
    for index, lease in enumerate(leases):
        for other in leases[:index]:
            if lease.subnet.overlaps(other.subnet):
                raise _clash(lease, other, f"podCIDR {lease.subnet}")
            if lease.public_ip == other.public_ip:
                raise _clash(lease, other, f"address {lease.public_ip}")
            if lease.vtep_mac == other.vtep_mac:
                raise _clash(lease, other, f"VtepMAC {lease.vtep_mac}")


def _clash(lease: Lease, other: Lease, what: str) -> ObjectError:
    metadata = lease.node.metadata
    message = f"Node {metadata.name}: {what} is also that of Node {other.node.metadata.name}"
    return ObjectError(message, metadata.source)


def pods_by_node(cluster: Cluster, warn: Callable[[str], None]) -> dict[str, list[Pod]]:
    """Pods that the CNI has given a network, by node, sorted by namespace and name.

    raises  ObjectError for a pod on a node that is not there, or two pods with one address
    """
    pods: dict[str, list[Pod]] = {name: [] for name in cluster.nodes}
    for key in sorted(cluster.pods):
        pod = cluster.pods[key]
        if not pod.node or pod.phase in FINISHED:
            continue
        if pod.node not in pods:
            raise ObjectError(f"{_name(pod)}: no Node {pod.node!r}", pod.metadata.source)
        if pod.ips and not pod.host_network:
            pods[pod.node].append(pod)
    _check_addresses(cluster, pods, warn)
    return pods


def _check_addresses(
    cluster: Cluster, pods: dict[str, list[Pod]], warn: Callable[[str], None]
) -> None:
    owners: dict[object, Pod] = {}
    for node, here in pods.items():
        for pod in here:
            for address in pod.ips:
                owner = owners.setdefault(address, pod)
                if owner is not pod:
                    message = f"{_name(pod)}: {address} is also the address of {_name(owner)}"
                    raise ObjectError(message, pod.metadata.source)
                if not any(address in network for network in cluster.nodes[node].pod_cidrs):
                    warn(
                        f"{pod.metadata.source}: {_name(pod)}: {address} is not in the podCIDR "
                        f"of Node {node}: other nodes do not find it there"
                    )


def _name(pod: Pod) -> str:
    return f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
