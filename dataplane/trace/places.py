"""What is behind an address and behind a device: the objects of the cluster, if one is given."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from dataplane.cluster.index import Index
from dataplane.cluster.objects import Cluster, Service, ServicePort
from dataplane.errors import NOWHERE, Source
from dataplane.node.state import Address, NodeState


class Named(NamedTuple):
    """An object as a person names it, and where it was declared."""

    name: str  # pod/default/client, svc/default/web:http, node/node-a
    source: Source = NOWHERE
    service: str = ""  # the Service port behind it: svc/default/web:http

    def __str__(self) -> str:
        return f"{self.name}  {self.source}" if self.source is not NOWHERE else self.name


class Places:
    """Who is where.  Without a cluster only the nodes' own addresses have names."""

    def __init__(self, nodes: Mapping[str, NodeState], cluster: Cluster | None = None):
        self._nodes = nodes
        self._cluster = cluster or Cluster()
        self._index = Index(self._cluster)
        self._node_addresses = {
            address.local: name
            for name, node in nodes.items()
            for address in node.addresses
            if not address.local.is_loopback
        }
        self.address = lru_cache(1 << 16)(self._address)
        self.device = lru_cache(1 << 16)(self._device)

    def _address(self, address: Address, protocol: str = "", port: int = 0) -> Named | None:
        """The object that has an address; with `protocol` (TCP, …) and port, the Service port."""
        found = self._index.service_port(address, protocol, port)
        if found:
            return service_named(*found)
        owner = self._index.owner(address)
        if owner is None:
            name = self._node_addresses.get(address)
            return self._node(name, protocol, port) if name else None
        kind, name = owner
        if kind == "node":
            return self._node(name, protocol, port)
        return self.pod(name) if kind == "pod" else self.service(name)

    def has_ports(self, address: Address) -> bool:
        """What its name is hangs on the port: of a Service, or of a node."""
        owner = self._index.owner(address)
        if owner is None:
            return address in self._node_addresses
        return owner[0] == "node" or self._index.has_services(address)

    def _device(self, node: str, name: str) -> Named | None:
        """The one host behind a device: its pod, or its address.  None: several, or nobody."""
        found = _hosts(self._nodes[node], name) if node in self._nodes else []
        named = [self.address(address) or Named(str(address)) for address in found]
        distinct = list(dict.fromkeys(named))
        return distinct[0] if len(distinct) == 1 else None

    def pod(self, name: str) -> Named:
        """`name` is namespace/name."""
        pod = self._cluster.pods.get(_key(name))
        return Named(f"pod/{name}", pod.metadata.source if pod else NOWHERE)

    def service(self, name: str, port: str = "") -> Named:
        """`name` is namespace/name."""
        service = self._cluster.services.get(_key(name))
        text = f"svc/{name}:{port}" if port else f"svc/{name}"
        return Named(text, service.metadata.source if service else NOWHERE)

    def _node(self, name: str, protocol: str, port: int) -> Named:
        node = self._cluster.nodes.get(name)
        source = node.metadata.source if node else NOWHERE
        found = self._index.node_port(protocol, port)
        if found:
            service = service_named(*found).name
            return Named(f"node/{name}:{port} ({service})", source, service)
        return Named(f"node/{name}", source)


def service_named(service: Service, port: ServicePort) -> Named:
    metadata = service.metadata
    name = f"svc/{metadata.namespace}/{metadata.name}:{port.name or port.port}"
    return Named(name, metadata.source, name)


def _key(name: str) -> tuple[str, str]:
    namespace, _, rest = name.partition("/")
    return namespace, rest


def _hosts(node: NodeState, device: str) -> list[Address]:
    """The addresses that neighbours and forwarding entries tell to be behind a device."""
    bridge = next((link.master for link in node.links if link.name == device), None)
    if bridge is None:
        if any(link.name == device and link.kind in ("bridge", "vxlan") for link in node.links):
            return []
        return [neighbour.dst for neighbour in node.neighbours if neighbour.dev == device]
    own = {link.mac for link in node.links}
    macs = {entry.mac for entry in node.fdb if entry.dev == device and entry.master == bridge}
    return [
        neighbour.dst
        for neighbour in node.neighbours
        if neighbour.dev == bridge and neighbour.lladdr in macs - own
    ]
