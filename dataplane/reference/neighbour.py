"""Who has an IP address on a link: the neighbour table, and what ARP would find."""

from typing import NamedTuple

from _fastpath.reason import Reason
from dataplane.node.state import Address
from dataplane.reference.headers import header_refusal
from dataplane.reference.node import Node
from dataplane.reference.packet import Packet
from dataplane.reference.steps import dropped, unknown
from dataplane.reference.topology import Device, Kind, Topology

NOBODY = "00:00:00:00:00:00"


class Resolved(NamedTuple):
    mac: str
    entry: str  # the neighbour entry that says so; "": ARP would have found it


def resolve(topology: Topology, node: Node, device: Device, next_hop: Address) -> Resolved:
    """The MAC address of a next hop.  Raises Ended where nobody answers, or nothing given
    says who has the address."""
    for entry in node.state.neighbours:
        if entry.dev == device.name and entry.dst == next_hop:
            if "FAILED" in entry.state:
                raise dropped(Reason.NEIGHBOUR_FAILED)
            if entry.lladdr:
                name = f"{entry.dst} dev {entry.dev} lladdr {entry.lladdr}"
                return Resolved(entry.lladdr, name)
    asked = _asked(topology, device, next_hop)
    if asked is None:
        raise unknown(Reason.NEIGHBOUR_UNKNOWN)
    return Resolved(asked, "")


def _asked(topology: Topology, device: Device, address: Address) -> str | None:
    """A device on the same wire, a host behind this device, or one that was heard there."""
    for mate in topology.wire_mates(device):
        if mate.link.is_up and topology.has_address(mate, address):
            return mate.link.mac
    for host in topology.hosts[device.node, device.name]:
        if address in host.addresses:
            return host.mac
    segment = topology.wires.get((device.node, device.name))
    return None if segment is None else topology.heard.get((segment, address))


def hear(topology: Topology, node: Node, device: Device, packet: Packet) -> None:
    """A frame enters the cluster by a wire: its sender would answer ARP for its address."""
    if device.kind != Kind.WIRE or not packet.has_headers or header_refusal(packet):
        return
    segment = topology.wires.get((device.node, device.name))
    is_near = any(
        address.dev == device.name and _holds(address.local, address.prefixlen, packet.src)
        for address in node.state.addresses
    )
    if segment is not None and is_near and packet.ether_src != NOBODY:
        topology.heard[segment, packet.src] = packet.ether_src


def _holds(local: Address, prefixlen: int, address: Address) -> bool:
    bits = local.max_prefixlen - prefixlen
    return local.version == address.version and int(local) >> bits == int(address) >> bits
