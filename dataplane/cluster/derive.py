"""What controllers add to the declared objects: namespaces, pod addresses, EndpointSlices.

Manifests are written before a cluster has seen them, so what kubelets and controllers fill
in is often missing.  It is filled in here the way they would, and every addition is noted.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count

from dataplane.cluster.endpoints import slices_of_service
from dataplane.cluster.objects import (
    Address,
    Cluster,
    EndpointSlice,
    Metadata,
    Namespace,
    Network,
    Pod,
    Service,
)
from dataplane.cluster.select import PodsByLabel

Key = tuple[str, str]


def complete(cluster: Cluster, mirrored: Sequence[EndpointSlice]) -> Cluster:
    """The cluster with what is missing filled in, and a note for each kind of addition.

    mirrored    slices made of legacy Endpoints, for Services that have no slice
    """
    cluster = _with_namespaces(cluster)
    cluster = _with_pod_addresses(cluster)
    cluster = _with_slices(cluster, mirrored)
    for what, names in _oddities(cluster).items():
        cluster = replace(cluster, notes=_note(cluster, what, names))
    return cluster


def _note(cluster: Cluster, what: str, names: Iterable[str]) -> tuple[str, ...]:
    """One line, however many were touched: `what: first, second, third and 7 more`."""
    listed = list(names)
    if not listed:
        return cluster.notes
    shown = ", ".join(listed[:5])
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return (*cluster.notes, f"{what}: {shown}{more}")


def _oddities(cluster: Cluster) -> dict[str, Iterable[str]]:
    """What no API server refuses, and still cannot work as it was perhaps meant."""
    return {
        "Services without a clusterIP": _lost(cluster),
        "pods on nodes that are not declared": _strayed(cluster),
        "addresses that several pods have": _shared(cluster),
    }


def _lost(cluster: Cluster) -> Iterator[str]:
    """Services that nobody can reach, because no API server has given them an address yet."""
    for service in cluster.services.values():
        is_virtual = service.type != "ExternalName" and not service.headless
        if is_virtual and not service.cluster_ips:
            yield _name(service)


def _strayed(cluster: Cluster) -> Iterator[str]:
    for pod in cluster.pods.values():
        if pod.ips and pod.node and pod.node not in cluster.nodes and _is_alive(pod):
            yield f"{_name(pod)} ({pod.node})"


def _shared(cluster: Cluster) -> Iterator[str]:
    first: dict[Address, Pod] = {}
    for pod in cluster.pods.values():
        if not pod.host_network and _is_alive(pod):
            for ip in pod.ips:
                other = first.setdefault(ip, pod)
                if other is not pod:
                    yield f"{ip} ({_name(other)}, {_name(pod)})"


def _with_namespaces(cluster: Cluster) -> Cluster:
    """A dump of one namespace does not hold the Namespace itself."""
    used = {namespace for namespace, _ in (*cluster.pods, *cluster.services)}
    assumed = sorted(used - cluster.namespaces.keys())
    added = {
        name: Namespace(Metadata(name, labels={"kubernetes.io/metadata.name": name}))
        for name in assumed
    }
    return replace(cluster, namespaces=dict(sorted((cluster.namespaces | added).items())))


def _with_pod_addresses(cluster: Cluster) -> Cluster:
    allocator = _Allocator(cluster)
    addressed: dict[Key, Pod] = {}
    without: list[str] = []
    for key, pod in cluster.pods.items():
        if pod.ips or pod.phase in ("Succeeded", "Failed"):
            continue
        ips = allocator.addresses_of(pod)
        if ips:
            addressed[key] = replace(pod, ips=ips)
        else:
            without.append(f"{_name(pod)} ({allocator.reason(pod)})")
    given = (f"{_name(pod)} {pod.ips[0]}" for pod in addressed.values())
    notes = _note(cluster, "pods without status.podIPs were given addresses", given)
    cluster = replace(cluster, notes=notes)
    notes = _note(cluster, "pods without an address", without)
    return replace(cluster, pods=cluster.pods | addressed, notes=notes)


class _Allocator:
    """Gives out addresses as host-local IPAM would: the lowest free one of the podCIDR."""

    def __init__(self, cluster: Cluster):
        self.nodes = cluster.nodes
        self.targets = _addresses_by_target(cluster)
        self.used = {ip for pod in cluster.pods.values() if _is_alive(pod) for ip in pod.ips}
        for each in cluster.endpoint_slices.values():
            self.used.update(ip for endpoint in each.endpoints for ip in endpoint.addresses)
        self.free: dict[Network, Iterator[Address]] = {}

    def addresses_of(self, pod: Pod) -> tuple[Address, ...]:
        node = self.nodes.get(pod.node)
        if pod.host_network:
            return _first_of_each_family(node.internal_ips) if node else ()
        known = self.targets.get(_name(pod))
        if known:
            return tuple(known)
        found = [self.lowest_free(cidr) for cidr in node.pod_cidrs] if node else []
        return tuple(ip for ip in found if ip is not None)

    def lowest_free(self, cidr: Network) -> Address | None:
        if cidr not in self.free:
            self.free[cidr] = _assignable(cidr)
        for ip in self.free[cidr]:
            if ip not in self.used:
                self.used.add(ip)
                return ip
        return None

    def reason(self, pod: Pod) -> str:
        if not pod.node:
            return "not scheduled: no spec.nodeName"
        if pod.node not in self.nodes:
            return f"no Node {pod.node}"
        if pod.host_network:
            return f"Node {pod.node} has no InternalIP"
        full = self.nodes[pod.node].pod_cidrs
        return f"podCIDR of {pod.node} is full" if full else f"Node {pod.node} has no podCIDR"


def _assignable(cidr: Network) -> Iterator[Address]:
    """Neither the network's own address, nor the gateway's (.1), nor the broadcast one."""
    last = cidr.num_addresses - (1 if cidr.version == 4 else 0)
    return (cidr[offset] for offset in range(2, last))


def _addresses_by_target(cluster: Cluster) -> dict[str, list[Address]]:
    """What EndpointSlices say about the addresses of pods."""
    found: dict[str, list[Address]] = defaultdict(list)
    for each in cluster.endpoint_slices.values():
        for endpoint in each.endpoints:
            for ip in endpoint.addresses[:1] if endpoint.target else ():
                if all(known.version != ip.version for known in found[endpoint.target]):
                    found[endpoint.target].append(ip)
    return found


def _first_of_each_family(addresses: Sequence[Address]) -> tuple[Address, ...]:
    found: dict[int, Address] = {}
    for each in addresses:
        found.setdefault(each.version, each)
    return tuple(found.values())


def _is_alive(pod: Pod) -> bool:
    """A finished pod's address is free again, though its status still shows it."""
    return pod.phase not in ("Succeeded", "Failed")


def _name(item: Pod | Service) -> str:
    return f"{item.metadata.namespace}/{item.metadata.name}"


def _with_slices(cluster: Cluster, mirrored: Sequence[EndpointSlice]) -> Cluster:
    covered = {(each.metadata.namespace, each.service) for each in cluster.endpoint_slices.values()}
    legacy: dict[Key, list[EndpointSlice]] = defaultdict(list)
    for each in mirrored:
        legacy[each.metadata.namespace, each.service].append(each)
    pods = PodsByLabel(cluster.pods.values())
    added: list[EndpointSlice] = []
    sources: dict[str, list[str]] = {"selectors": [], "Endpoints": []}
    for key, service in cluster.services.items():
        if key in covered or service.type == "ExternalName":
            continue
        if key in legacy:
            added += legacy[key]
            sources["Endpoints"].append(_name(service))
        elif service.selector:
            chosen = pods.matching(key[0], service.selector)
            added += slices_of_service(service, chosen, cluster.nodes)
            sources["selectors"].append(_name(service))
    return _with_added_slices(cluster, added, sources)


def _with_added_slices(
    cluster: Cluster, added: list[EndpointSlice], sources: dict[str, list[str]]
) -> Cluster:
    slices = dict(cluster.endpoint_slices)
    for each in added:
        key = _free_name(slices, each.metadata.namespace, each.metadata.name)
        slices[key] = replace(each, metadata=replace(each.metadata, name=key[1]))
    for source, names in sources.items():
        what = f"EndpointSlices derived from {source} for {len(names)} Services"
        cluster = replace(cluster, notes=_note(cluster, what, names))
    return replace(cluster, endpoint_slices=dict(sorted(slices.items())))


def _free_name(taken: dict[Key, EndpointSlice], namespace: str, name: str) -> Key:
    key = (namespace, name)
    for number in count(2):
        if key not in taken:
            break
        key = (namespace, f"{name}-{number}")
    return key
