"""Which endpoints a Service port has on a node.

Follows kube-proxy v1.36: `endpointslicecache.go` gathers, `topology.go` (CategorizeEndpoints)
chooses.  publishNotReadyAddresses needs no word here: the EndpointSlice controller writes it
into the slice's `ready` condition.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv6Address

from dataplane.cluster.objects import Address, Endpoint, EndpointPort, EndpointSlice
from dataplane.errors import NOWHERE, Source

ADDRESS_TYPE = {4: "IPv4", 6: "IPv6"}  # family -> EndpointSlice.addressType


@dataclass(frozen=True)
class ServiceEndpoint:
    """One `ip:port` behind a Service port, as seen from one node."""

    address: Address
    port: int
    is_local: bool = False  # on the node that asks
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node: str = ""
    pod: str = ""  # namespace/name; "" when the slice names no pod
    hints_nodes: tuple[str, ...] = ()
    hints_zones: tuple[str, ...] = ()
    source: Source = field(default=NOWHERE, compare=False)

    @property
    def is_serving_terminating(self) -> bool:
        return self.serving and self.terminating

    @cached_property
    def text(self) -> str:
        """`ip:port`, by which endpoints are told apart and sorted."""
        if isinstance(self.address, IPv6Address):
            return f"[{self.address}]:{self.port}"
        return f"{self.address}:{self.port}"


Endpoints = tuple[ServiceEndpoint, ...]


@dataclass(frozen=True)
class UsableEndpoints:
    """The endpoints of one Service port, by the traffic policy that leads to them."""

    cluster: Endpoints = ()  # policy Cluster; empty if no traffic of the port has it
    local: Endpoints = ()  # policy Local; empty if no traffic of the port has it
    reachable: Endpoints = ()  # the union of both
    exist: bool = False  # the port has usable endpoints somewhere, here or not


def gather(
    slices: Iterable[EndpointSlice], port_name: str, protocol: str, family: int, node: str
) -> Endpoints:
    """All endpoints of a Service port, ready or not, sorted by their text `ip:port`."""
    found: dict[str, ServiceEndpoint] = {}
    for slice_ in slices:
        if slice_.address_type != ADDRESS_TYPE[family]:
            continue
        for port in slice_.ports:
            # A port without a number means every port, which no proxy can translate to.
            if (port.name, port.protocol) == (port_name, protocol) and port.port:
                _add(found, slice_, port, node)
    return tuple(found[text] for text in sorted(found))


def _add(
    found: dict[str, ServiceEndpoint], slice_: EndpointSlice, port: EndpointPort, node: str
) -> None:
    # The same ip:port may stand in two slices while an endpoint moves between them; the one
    # that is local wins (endpointslicecache.go, addEndpoints).
    for endpoint in slice_.endpoints:
        candidate = _seen_from(node, endpoint, port.port, slice_.metadata.source)
        if candidate.text not in found or candidate.is_local:
            found[candidate.text] = candidate


def _seen_from(node: str, endpoint: Endpoint, port: int, source: Source) -> ServiceEndpoint:
    # All addresses of an endpoint are fungible by API contract; kube-proxy uses the first.
    return ServiceEndpoint(
        address=endpoint.addresses[0],
        port=port,
        is_local=bool(endpoint.node) and endpoint.node == node,
        ready=endpoint.ready,
        serving=endpoint.serving,
        terminating=endpoint.terminating,
        node=endpoint.node,
        pod=endpoint.target,
        hints_nodes=endpoint.hints_nodes,
        hints_zones=endpoint.hints_zones,
        source=source,
    )


def choose(
    endpoints: Endpoints, *, uses_cluster: bool, uses_local: bool, node: str, zone: str
) -> UsableEndpoints:
    """The usable ones: ready, or serving-but-terminating where, per policy, none is ready."""
    in_topology = _topology(endpoints, node, zone) if uses_cluster else _anywhere
    cluster: Endpoints = ()
    if uses_cluster:
        cluster = tuple(e for e in endpoints if e.ready and in_topology(e))
        cluster = cluster or tuple(e for e in endpoints if e.is_serving_terminating)
    if not uses_local:
        return UsableEndpoints(cluster, (), cluster, bool(cluster))
    here = [e for e in endpoints if e.is_local]
    local = tuple(e for e in here if e.ready)
    local = local or tuple(e for e in here if e.is_serving_terminating)
    exist = any(e.ready or e.is_serving_terminating for e in endpoints)
    return UsableEndpoints(cluster, local, _union(cluster, local), exist)


def _union(first: Endpoints, second: Endpoints) -> Endpoints:
    by_text = {endpoint.text: endpoint for endpoint in (*first, *second)}
    return tuple(by_text[text] for text in sorted(by_text))


def _anywhere(endpoint: ServiceEndpoint) -> bool:
    return True


def _topology(endpoints: Endpoints, node: str, zone: str) -> Callable[[ServiceEndpoint], bool]:
    """Hints count only if every ready endpoint has one and one of them is for us."""
    ready = [e for e in endpoints if e.ready]
    if all(e.hints_nodes for e in ready) and any(node in e.hints_nodes for e in ready):
        return lambda endpoint: node in endpoint.hints_nodes
    if all(e.hints_zones for e in ready) and any(zone in e.hints_zones for e in ready):
        return lambda endpoint: zone in endpoint.hints_zones
    return _anywhere
