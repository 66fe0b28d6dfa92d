"""A Service and its pods to EndpointSlices, as the endpoint slice controller makes them.

endpointslice/reconciler.go and utils.go, v1.33 (staging/src/k8s.io/endpointslice).
Only the names differ: the controller draws five random letters, these are numbered.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from dataplane.cluster.objects import (
    Address,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Metadata,
    Node,
    Pod,
    Service,
    ServicePort,
)

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
ZONE = "topology.kubernetes.io/zone"
MAX_ENDPOINTS = 100  # --max-endpoints-per-slice

Ports = tuple[EndpointPort, ...]


def slices_of_service(
    service: Service, pods: Iterable[Pod], nodes: Mapping[str, Node]
) -> list[EndpointSlice]:
    """Slices per address family, per set of port numbers, at most 100 endpoints each.

    pods    those that the selector matches, in any state
    """
    alive = sorted(
        (pod for pod in pods if pod.ips and pod.phase not in ("Succeeded", "Failed")),
        key=lambda pod: pod.metadata.name,
    )
    return [
        _slice(service, version, number, ports, endpoints)
        for version in _families(service, alive)
        for number, (ports, endpoints) in enumerate(_groups(service, version, alive, nodes), 1)
    ]


def find_port(pod: Pod, port: ServicePort) -> int | None:
    """The number that a Service port has on this pod; None if the pod has no port of that name.

    A name counts for its own protocol only (FindPort, pkg/api/v1/pod/util.go).
    """
    if isinstance(port.target_port, int):
        return port.target_port or port.port
    for candidate in pod.ports:
        if candidate.name == port.target_port and candidate.protocol == port.protocol:
            return candidate.port
    return None


def _families(service: Service, pods: list[Pod]) -> list[int]:
    if service.cluster_ips:
        return [address.version for address in service.cluster_ips]
    if service.ip_families:
        return [int(family[-1]) for family in service.ip_families]
    return [pods[0].ips[0].version] if pods else [4]


def _groups(
    service: Service, version: int, pods: list[Pod], nodes: Mapping[str, Node]
) -> Iterator[tuple[Ports, tuple[Endpoint, ...]]]:
    """(ports, endpoints): a slice has one list of ports, so pods that differ are kept apart."""
    groups: dict[Ports, list[Endpoint]] = defaultdict(list)
    for pod in pods:
        for address in [each for each in pod.ips if each.version == version][:1]:
            groups[_ports(service, pod)].append(_endpoint(service, pod, address, nodes))
    if not groups:
        yield (), ()  # the controller's placeholder: "looked, and found none"
    for ports, endpoints in groups.items():
        for start in range(0, len(endpoints), MAX_ENDPOINTS):
            yield ports, tuple(endpoints[start : start + MAX_ENDPOINTS])


def _ports(service: Service, pod: Pod) -> Ports:
    """A Service port that the pod does not have is left out, the pod itself is not."""
    return tuple(
        EndpointPort(number, port.protocol, port.name)
        for port in service.ports
        if (number := find_port(pod, port)) is not None
    )


def _endpoint(service: Service, pod: Pod, address: Address, nodes: Mapping[str, Node]) -> Endpoint:
    """podToEndpoint: a terminating pod is never ready, unless the Service says to publish it."""
    node = nodes.get(pod.node)
    usable = pod.ready and not pod.terminating
    return Endpoint(
        addresses=(address,),
        ready=service.publish_not_ready_addresses or usable,
        serving=pod.ready,
        terminating=pod.terminating,
        node=pod.node,
        zone=node.metadata.labels.get(ZONE, "") if node else "",
        target=f"{pod.metadata.namespace}/{pod.metadata.name}",
    )


def _slice(
    service: Service, version: int, number: int, ports: Ports, endpoints: tuple[Endpoint, ...]
) -> EndpointSlice:
    own = {
        SERVICE_NAME: service.metadata.name,
        MANAGED_BY: "endpointslice-controller.k8s.io",
    }
    return EndpointSlice(
        metadata=Metadata(
            name=f"{service.metadata.name}-ipv{version}-{number}",
            namespace=service.metadata.namespace,
            labels=service.metadata.labels | own,
            source=service.metadata.source,
        ),
        service=service.metadata.name,
        address_type=f"IPv{version}",
        ports=ports,
        endpoints=endpoints,
    )
