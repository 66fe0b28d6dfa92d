"""What the nodes' own listings say about what is behind each device.

wire        leads out of the node: a physical device, or one treated as such
port        leads to one host (a pod), or is a port of a bridge
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, ip_network

from dataplane.node.state import Address, Link, Network, NodeState, Route


class Kind(Enum):
    WIRE = "wire"
    PORT = "port"
    BRIDGE = "bridge"
    VXLAN = "vxlan"
    LOOPBACK = "loopback"
    DUMMY = "dummy"


@dataclass
class Host:
    """Something with a MAC address behind a device: a pod, a machine on the wire."""

    mac: str
    addresses: list[Address] = field(default_factory=list)


@dataclass(frozen=True)
class Device:
    """One link, and what it is."""

    node: str
    link: Link
    kind: Kind

    @property
    def name(self) -> str:
        return self.link.name


class Topology:
    """Devices of all nodes, the wires that join them, and the hosts behind them."""

    def __init__(self, nodes: Mapping[str, NodeState]):
        self.devices = {
            (node, link.name): Device(node, link, device_kind(state, link))
            for node, state in nodes.items()
            for link in with_loopback(state.links)
        }
        self.wires = _wires(nodes, self.devices)
        self.hosts = {
            place: list(_hosts(nodes[place[0]], device, self._macs()))
            for place, device in self.devices.items()
        }
        self.heard: dict[tuple[int, Address], str] = {}  # (wire, address): MAC of a sender
        self._addresses = {
            (node, address.dev, address.local)
            for node, state in nodes.items()
            for address in state.addresses
        }

    def _macs(self) -> set[str]:
        return {device.link.mac for device in self.devices.values()}

    def device(self, node: str, name: str) -> Device:
        return self.devices[node, name]

    def ports(self, bridge: Device) -> list[Device]:
        """In the order of the listing."""
        return [
            device
            for device in self.devices.values()
            if device.node == bridge.node and device.link.master == bridge.name
        ]

    def local_macs(self, bridge: Device) -> set[str]:
        return {bridge.link.mac} | {port.link.mac for port in self.ports(bridge)}

    def wire_mates(self, device: Device) -> Iterator[Device]:
        """Devices on the same wire."""
        segment = self.wires.get((device.node, device.name))
        for place, other in self.devices.items():
            if other is not device and segment is not None and self.wires.get(place) == segment:
                yield other

    def has_address(self, device: Device, address: Address) -> bool:
        return (device.node, device.name, address) in self._addresses


def with_loopback(links: tuple[Link, ...]) -> tuple[Link, ...]:
    """Every network namespace has one, listed or not."""
    if any(link.link_type == "loopback" for link in links):
        return links
    return (*links, Link(1, "lo", "", 65536, link_type="loopback"))


def device_kind(state: NodeState, link: Link) -> Kind:
    if link.link_type == "loopback":
        return Kind.LOOPBACK
    if link.kind in ("bridge", "vxlan", "dummy"):
        return Kind(link.kind)
    if link.master is not None:
        return Kind.PORT
    return Kind.WIRE if _leads_out(state, link.name) else Kind.PORT


def _leads_out(state: NodeState, name: str) -> bool:
    """It has neighbours of its own subnet, or a gateway: not a CNI's point-to-point veth."""
    has_subnet = any(
        address.dev == name and address.local.version == 4 and address.prefixlen < 32
        for address in state.addresses
    )
    return has_subnet or any(
        dev == name and gateway is not None
        for route in state.routes
        for dev, gateway in _legs(route)
    )


def _legs(route: Route) -> list[tuple[str | None, Address | None]]:
    return [(route.dev, route.gateway), *((leg.dev, leg.gateway) for leg in route.nexthops)]


def _wires(
    nodes: Mapping[str, NodeState], devices: Mapping[tuple[str, str], Device]
) -> dict[tuple[str, str], int]:
    """The number of each wire device's segment: devices that share a subnet share a wire."""
    subnets = {
        place: _subnets(nodes[place[0]], device.name)
        for place, device in devices.items()
        if device.kind == Kind.WIRE
    }
    segments: dict[tuple[str, str], int] = {}
    for number, place in enumerate(subnets):
        joined = {segments[other] for other in segments if subnets[other] & subnets[place]}
        segments[place] = number
        for other, segment in segments.items():
            if segment in joined:
                segments[other] = number
    return segments


def _subnets(state: NodeState, name: str) -> set[Network]:
    return {
        ip_network(f"{address.local}/{address.prefixlen}", strict=False)
        for address in state.addresses
        if address.dev == name
        and address.prefixlen < address.local.max_prefixlen
        and not (address.local.version == 6 and address.local.is_link_local)
    }


def _hosts(state: NodeState, device: Device, cluster_macs: set[str]) -> Iterator[Host]:
    """Hosts behind one device."""
    if device.link.master is not None:
        yield from _hosts_of_port(state, device)
    elif device.kind in (Kind.PORT, Kind.WIRE):
        for mac, addresses in _neighbours(state, device.name).items():
            if device.kind == Kind.PORT or mac not in cluster_macs:
                yield Host(mac, addresses)


def _hosts_of_port(state: NodeState, port: Device) -> Iterator[Host]:
    bridge = port.link.master
    local = {link.mac for link in state.links if bridge in (link.name, link.master)}
    known = _neighbours(state, bridge or "")
    macs = [entry.mac for entry in state.fdb if entry.dev == port.name and entry.master == bridge]
    for mac in dict.fromkeys(macs):
        if mac not in local and not is_group(mac):
            yield Host(mac, known.get(mac, []))


def _neighbours(state: NodeState, dev: str) -> dict[str, list[Address]]:
    found: dict[str, list[Address]] = {}
    for neighbour in state.neighbours:
        if neighbour.dev == dev and neighbour.lladdr and "FAILED" not in neighbour.state:
            if not is_group(neighbour.lladdr):
                found.setdefault(neighbour.lladdr, []).append(neighbour.dst)
    return found


def is_group(mac: str) -> bool:
    """Broadcast or multicast."""
    return bool(int(mac[:2], 16) & 1)


def group_mac(address: Address) -> str:
    """RFC 1112, section 6.4; RFC 2464, section 7."""
    last = address.packed
    if isinstance(address, IPv4Address):
        return bytes([0x01, 0x00, 0x5E, last[1] & 0x7F, last[2], last[3]]).hex(":")
    return (b"\x33\x33" + last[12:]).hex(":")
