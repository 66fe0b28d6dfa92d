"""flannel's net-conf.json, and what stands in for it where it is not among the manifests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Any

from dataplane.cluster.objects import Cluster
from dataplane.control import underlay
from dataplane.control.flannel_lease import Lease
from dataplane.errors import UsageError

PORT = 8472  # Linux's default, older than IANA's 4789
ENCAP_OVERHEAD = 50  # Ethernet 14, IPv4 20, UDP 8, VXLAN 8
DEFAULT_PREFIXLEN = 16  # of the Network that flannel ships with, 10.244.0.0/16


@dataclass(frozen=True)
class FlannelConfig:
    network: IPv4Network  # the whole overlay's range
    vni: int = 1
    port: int = PORT
    mtu: int = underlay.MTU - ENCAP_OVERHEAD

    @property
    def device(self) -> str:
        return f"flannel.{self.vni}"


def config(cluster: Cluster, leases: list[Lease], warn: Callable[[str], None]) -> FlannelConfig:
    """raises  UsageError for a backend that is not modelled"""
    backend = cluster.flannel.get("Backend") or {}
    kind = backend.get("Type") or "vxlan"
    if kind != "vxlan":
        raise UsageError(f"flannel backend {kind!r} is not modelled yet; only 'vxlan' is")
    return FlannelConfig(
        network=_given_network(cluster) or _guess_network(leases, warn),
        vni=_number(backend, "VNI", _published_vni(leases), (1 << 24) - 1),
        port=_number(backend, "Port", PORT, 65535),
        mtu=_number(backend, "MTU", underlay.MTU, 65535) - ENCAP_OVERHEAD,
    )


def _given_network(cluster: Cluster) -> IPv4Network | None:
    cluster_cidrs = str(cluster.kube_proxy.get("clusterCIDR") or "").split(",")
    for text in (cluster.flannel.get("Network"), *cluster_cidrs):
        if text and isinstance(network := ip_network(text.strip(), strict=False), IPv4Network):
            return network
    return None


def _guess_network(leases: list[Lease], warn: Callable[[str], None]) -> IPv4Network:
    first = leases[0].subnet
    guess = first.supernet(new_prefix=min(DEFAULT_PREFIXLEN, first.prefixlen))
    while not all(lease.subnet.subnet_of(guess) for lease in leases):
        guess = guess.supernet()
    warn(f"no net-conf.json of flannel: assuming its Network is {guess}")
    return guess


def _published_vni(leases: list[Lease]) -> int:
    return next((lease.vni for lease in leases if lease.vni), 1)


def _number(backend: Mapping[str, Any], key: str, default: int, highest: int) -> int:
    value = backend.get(key) or default
    if not isinstance(value, int) or not 0 < value <= highest:
        raise UsageError(f"flannel: bad Backend.{key} {value!r}, expected 1 to {highest}")
    return value
