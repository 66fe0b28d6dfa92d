"""Kubernetes objects, as far as the dataplane depends on them.

Names and meanings are those of the API types; every object knows where it was written.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from dataplane.errors import NOWHERE, Source

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Labels = dict[str, str]


@dataclass(frozen=True)
class Metadata:
    name: str
    namespace: str = ""  # "" for cluster-scoped kinds
    labels: Labels = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    source: Source = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class Namespace:
    metadata: Metadata


@dataclass(frozen=True)
class Node:
    metadata: Metadata
    pod_cidrs: tuple[Network, ...] = ()
    internal_ips: tuple[Address, ...] = ()  # status.addresses of type InternalIP, in order
    external_ips: tuple[Address, ...] = ()
    kernel_version: str = ""  # status.nodeInfo.kernelVersion


@dataclass(frozen=True)
class ContainerPort:
    port: int
    protocol: str = "TCP"
    name: str = ""


@dataclass(frozen=True)
class Pod:
    metadata: Metadata
    node: str = ""  # spec.nodeName; "" while unscheduled
    ips: tuple[Address, ...] = ()  # status.podIPs
    host_network: bool = False
    ports: tuple[ContainerPort, ...] = ()  # of all containers
    phase: str = "Running"
    ready: bool = True  # the Ready condition; True when the manifest has no status
    terminating: bool = False  # metadata.deletionTimestamp is set
    owner: str = ""  # kind/name of the controlling owner reference


@dataclass(frozen=True)
class ServicePort:
    port: int
    protocol: str = "TCP"  # TCP | UDP | SCTP
    name: str = ""
    target_port: int | str = 0  # a number, or the name of a container port; 0 = same as port
    node_port: int = 0  # 0 = none
    app_protocol: str = ""


@dataclass(frozen=True)
class Service:
    metadata: Metadata
    type: str = "ClusterIP"  # ClusterIP | NodePort | LoadBalancer | ExternalName
    cluster_ips: tuple[Address, ...] = ()
    headless: bool = False  # clusterIP: None
    ports: tuple[ServicePort, ...] = ()
    selector: Labels = field(default_factory=dict)
    external_ips: tuple[Address, ...] = ()
    session_affinity_seconds: int = 0  # 0 = None, else ClientIP with this timeout
    internal_traffic_policy: str = "Cluster"  # Cluster | Local
    external_traffic_policy: str = "Cluster"
    publish_not_ready_addresses: bool = False
    ip_families: tuple[str, ...] = ()  # IPv4, IPv6, in order of preference
    load_balancer_ips: tuple[Address, ...] = ()  # status.loadBalancer.ingress, ipMode VIP
    load_balancer_source_ranges: tuple[Network, ...] = ()
    traffic_distribution: str = ""  # PreferClose | PreferSameZone | PreferSameNode
    spec: dict[str, Any] = field(default_factory=dict, compare=False)  # the rest, as written
    status: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class EndpointPort:
    port: int  # 0 = not restricted; kube-proxy ignores such a port
    protocol: str = "TCP"
    name: str = ""


@dataclass(frozen=True)
class Endpoint:
    addresses: tuple[Address, ...]
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node: str = ""  # nodeName
    zone: str = ""
    target: str = ""  # "pod namespace/name" style reference: `ns/name` of targetRef Pod, or ""
    hints_zones: tuple[str, ...] = ()
    hints_nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EndpointSlice:
    metadata: Metadata
    service: str  # label kubernetes.io/service-name
    address_type: str = "IPv4"  # IPv4 | IPv6 | FQDN
    ports: tuple[EndpointPort, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True)
class Cluster:
    """Everything loaded, immutable.  Keys are names, or `(namespace, name)`."""

    nodes: dict[str, Node] = field(default_factory=dict)
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    pods: dict[tuple[str, str], Pod] = field(default_factory=dict)
    services: dict[tuple[str, str], Service] = field(default_factory=dict)
    endpoint_slices: dict[tuple[str, str], EndpointSlice] = field(default_factory=dict)
    kube_proxy: dict[str, Any] = field(default_factory=dict)  # KubeProxyConfiguration, if given
    flannel: dict[str, Any] = field(default_factory=dict)  # net-conf.json, if given
    ignored: dict[str, int] = field(default_factory=dict)  # kind -> count of unknown kinds
    notes: tuple[str, ...] = ()  # what was derived: missing slices, missing pod addresses
