"""Service ports as a proxy sees them on one node: their addresses, policies and endpoints.

Every proxy (iptables, nftables, IPVS) starts from `proxied_ports`; what is decided here is
decided once.  Follows kube-proxy v1.36, `serviceport.go` and `servicechangetracker.go`.
"""

from dataclasses import dataclass
from functools import cached_property

from dataplane.cluster.objects import (
    Address,
    Cluster,
    EndpointSlice,
    Network,
    Node,
    Service,
    ServicePort,
)
from dataplane.control.endpoints import (
    ServiceEndpoint,
    UsableEndpoints,
    choose,
    gather,
)
from dataplane.errors import ObjectError

__all__ = ["ProxiedPort", "ServiceEndpoint", "UsableEndpoints", "proxied_ports"]

ZONE = "topology.kubernetes.io/zone"
PROXY_NAME = "service.kubernetes.io/service-proxy-name"  # another proxy serves this Service
HEADLESS = "service.kubernetes.io/headless"  # set by the EndpointSlice controller


@dataclass(frozen=True)
class ProxiedPort:
    """One port of one Service in one address family, seen from one node."""

    service: Service
    port: ServicePort
    cluster_ip: Address
    endpoints: UsableEndpoints
    external_ips: tuple[Address, ...] = ()
    load_balancer_ips: tuple[Address, ...] = ()  # status.loadBalancer, ipMode VIP only
    source_ranges: tuple[Network, ...] = ()  # spec.loadBalancerSourceRanges
    health_check_node_port: int = 0
    internal_local: bool = False  # internalTrafficPolicy: Local
    external_local: bool = False  # externalTrafficPolicy: Local
    all_endpoints: int = 0  # of any condition; what kube-proxy calls a large cluster counts them

    @cached_property
    def name(self) -> str:
        """`namespace/service:port`, as kube-proxy's comments and logs have it."""
        base = f"{self.service.metadata.namespace}/{self.service.metadata.name}"
        return f"{base}:{self.port.name}" if self.port.name else base

    @cached_property
    def protocol(self) -> str:
        return self.port.protocol.lower()

    @property
    def has_internal_endpoints(self) -> bool:
        usable = self.endpoints
        return usable.exist and (bool(usable.local) or not self.internal_local)

    @property
    def has_external_endpoints(self) -> bool:
        usable = self.endpoints
        return usable.exist and (bool(usable.local) or not self.external_local)

    @property
    def is_external(self) -> bool:
        """Reachable by something other than its cluster IP."""
        return bool(self.port.node_port or self.external_ips or self.load_balancer_ips)


def proxied_ports(cluster: Cluster, node: Node, family: int) -> list[ProxiedPort]:
    """All of them, sorted by namespace and name, ports in the Service's own order.

    family  4 or 6
    raises  ObjectError for a health check port that is none
    """
    slices = _slices_by_service(cluster)
    ports: list[ProxiedPort] = []
    for key in sorted(cluster.services):
        service = cluster.services[key]
        cluster_ip = next((ip for ip in service.cluster_ips if ip.version == family), None)
        if cluster_ip is not None and _is_proxied(service):
            for port in service.ports:
                ports.append(_proxied(service, port, cluster_ip, slices.get(key, []), node, family))
    return ports


def _is_proxied(service: Service) -> bool:
    labels = service.metadata.labels
    return not (
        service.headless
        or service.type == "ExternalName"
        or PROXY_NAME in labels
        or HEADLESS in labels
    )


def _slices_by_service(cluster: Cluster) -> dict[tuple[str, str], list[EndpointSlice]]:
    slices: dict[tuple[str, str], list[EndpointSlice]] = {}
    for key in sorted(cluster.endpoint_slices):
        slice_ = cluster.endpoint_slices[key]
        if HEADLESS not in slice_.metadata.labels:
            slices.setdefault((slice_.metadata.namespace, slice_.service), []).append(slice_)
    return slices


def _proxied(
    service: Service,
    port: ServicePort,
    cluster_ip: Address,
    slices: list[EndpointSlice],
    node: Node,
    family: int,
) -> ProxiedPort:
    external_ips = _of_family(service.external_ips, family)
    vips = _of_family(service.load_balancer_ips, family)
    internal_local = service.internal_traffic_policy == "Local"
    external_local = _external_local(service)
    is_external = bool(port.node_port or external_ips or vips)
    found = gather(slices, port.name, port.protocol, family, node.metadata.name)
    usable = choose(
        found,
        # Even with both policies Local, traffic of pods and of the node itself to an external
        # address takes the short cut to all endpoints.
        uses_cluster=not internal_local or is_external,
        uses_local=internal_local or (external_local and is_external),
        node=node.metadata.name,
        zone=node.metadata.labels.get(ZONE, ""),
    )
    return ProxiedPort(
        service,
        port,
        cluster_ip,
        usable,
        external_ips,
        vips,
        tuple(r for r in service.load_balancer_source_ranges if r.version == family),
        _health_check_node_port(service),
        internal_local,
        external_local,
        len(found),
    )


def _external_local(service: Service) -> bool:
    accessible = service.type in ("NodePort", "LoadBalancer") or bool(service.external_ips)
    return accessible and service.external_traffic_policy == "Local"


def _health_check_node_port(service: Service) -> int:
    if service.type != "LoadBalancer" or service.external_traffic_policy != "Local":
        return 0
    value = service.spec.get("healthCheckNodePort")
    if value is None:
        return 0
    if not isinstance(value, int) or not 0 <= value <= 65535:
        key = f"{service.metadata.namespace}/{service.metadata.name}"
        message = f"Service {key}: bad healthCheckNodePort {value!r}, expected 1 to 65535"
        raise ObjectError(message, service.metadata.source)
    return value


def _of_family(addresses: tuple[Address, ...], family: int) -> tuple[Address, ...]:
    return tuple(address for address in addresses if address.version == family)
