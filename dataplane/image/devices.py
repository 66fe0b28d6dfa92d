"""Devices of all nodes: what kind each is, what it is called, which wire it is on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_network

from _fastpath.image import DeviceKind
from dataplane.errors import TableError
from dataplane.image import encode
from dataplane.image.source_address import address_flags
from dataplane.node.state import InterfaceAddress, Link, NodeState

KINDS = {
    "bridge": DeviceKind.DEVICE_BRIDGE,
    "vxlan": DeviceKind.DEVICE_VXLAN,
    "dummy": DeviceKind.DEVICE_DUMMY,
}
SCOPES = {"global": 0, "site": 200, "link": 253, "host": 254}


@dataclass
class Devices:
    """Every device of every node, in node order, then by ifindex, as the kernel walks them."""

    links: list[tuple[str, Link]] = field(default_factory=list)  # (node, link)
    index: dict[tuple[str, str], int] = field(default_factory=dict)
    kinds: list[int] = field(default_factory=list)
    addresses: list[InterfaceAddress] = field(default_factory=list)  # grouped by device
    address_start: list[int] = field(default_factory=list)  # one more than devices
    ports: dict[int, list[int]] = field(default_factory=dict)  # bridge -> its ports
    segments: list[int] = field(default_factory=list)
    start: dict[str, int] = field(default_factory=dict)  # node -> its first device

    def of(self, node: str, name: str | None) -> int:
        """Index of a device; -1 if the node has none of that name."""
        return self.index.get((node, name), -1) if name else -1


def assemble_devices(nodes: Mapping[str, NodeState]) -> Devices:
    """Raises TableError for names that stand twice, and ports of bridges that are not there."""
    devices = Devices()
    for name, state in nodes.items():
        devices.start[name] = len(devices.links)
        for link in sorted(state.links, key=lambda link: link.index):
            if (name, link.name) in devices.index:
                raise TableError(f"node {name}: two devices named {link.name!r}", link.source)
            devices.index[name, link.name] = len(devices.links)
            devices.links.append((name, link))
    for name, state in nodes.items():
        _add_addresses(devices, name, state)
        _add_ports(devices, name, state)
    devices.address_start.append(len(devices.addresses))
    _add_kinds(devices, nodes)
    devices.segments = _segments(devices)
    return devices


def _add_addresses(devices: Devices, name: str, state: NodeState) -> None:
    for address in state.addresses:
        if (name, address.dev) not in devices.index:
            raise TableError(
                f"node {name}: address {address.local} on {address.dev!r}, which is no device",
                address.source,
            )
    for link in sorted(state.links, key=lambda link: link.index):
        devices.address_start.append(len(devices.addresses))
        devices.addresses += [address for address in state.addresses if address.dev == link.name]


def _add_ports(devices: Devices, name: str, state: NodeState) -> None:
    for link in state.links:
        if link.master is None:
            continue
        master = devices.of(name, link.master)
        if master < 0:
            raise TableError(
                f"node {name}: {link.name} has master {link.master!r}, which is no device",
                link.source,
            )
        if devices.links[master][1].kind == "bridge":
            devices.ports.setdefault(master, []).append(devices.index[name, link.name])


def _add_kinds(devices: Devices, nodes: Mapping[str, NodeState]) -> None:
    gateways = {
        (name, route.dev)
        for name, state in nodes.items()
        for route in state.routes
        if route.gateway is not None
    }
    ports = {port for found in devices.ports.values() for port in found}
    for index, (name, link) in enumerate(devices.links):
        devices.kinds.append(
            int(_kind(devices, index, link, index in ports, (name, link.name) in gateways))
        )


def _kind(devices: Devices, index: int, link: Link, is_port: bool, has_gateway: bool) -> DeviceKind:
    if link.link_type == "loopback":
        return DeviceKind.DEVICE_LOOPBACK
    if link.kind in KINDS:
        return KINDS[link.kind]
    if is_port:
        return DeviceKind.DEVICE_PORT
    if has_gateway or any(_is_shared(address) for address in own_addresses(devices, index)):
        return DeviceKind.DEVICE_WIRE
    return DeviceKind.DEVICE_PORT


def own_addresses(devices: Devices, index: int) -> list[InterfaceAddress]:
    return devices.addresses[devices.address_start[index] : devices.address_start[index + 1]]


def _is_shared(address: InterfaceAddress) -> bool:
    """The address's subnet holds others, so the device leads to a shared wire."""
    return (
        address.prefixlen < address.local.max_prefixlen
        and not address.local.is_link_local
        and not address.local.is_loopback
    )


def _segments(devices: Devices) -> list[int]:
    """Wire number of each device; -1 = none.  Devices that share a subnet share a wire."""
    parent = list(range(len(devices.links)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[object, int] = {}
    for index, kind in enumerate(devices.kinds):
        if kind != DeviceKind.DEVICE_WIRE:
            continue
        for address in own_addresses(devices, index):
            if _is_shared(address):
                subnet = ip_network(f"{address.local}/{address.prefixlen}", strict=False)
                parent[root(index)] = root(first.setdefault(subnet, index))
    return [
        root(index) if kind == DeviceKind.DEVICE_WIRE else -1
        for index, kind in enumerate(devices.kinds)
    ]


def address_row(address: InterfaceAddress, state: NodeState) -> tuple[object, ...]:
    """ADDRESS"""
    network = ip_network(f"{address.local}/{address.prefixlen}", strict=False)
    return (
        encode.pair(address.local),
        encode.pair(int(network.netmask)),
        4 if isinstance(address.local, IPv4Address) else 6,
        SCOPES.get(address.scope, 0),
        int(address.secondary),
        address_flags(address, state),
        address.prefixlen,
    )
