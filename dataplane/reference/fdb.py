"""A bridge's forwarding database: what is listed, and what frames have taught it."""

from typing import NamedTuple

from dataplane.reference.node import Node
from dataplane.reference.topology import Device, Topology

LINK_LOCAL = "01:80:c2:00:00:0"  # IEEE 802.1D: never forwarded


class Found(NamedTuple):
    """Where a bridge finds a MAC address: itself, or one of its ports."""

    is_local: bool
    port: str = ""


def lookup(topology: Topology, node: Node, bridge: Device, mac: str) -> Found | None:
    """None: nowhere; the frame is flooded."""
    if is_local(topology, bridge, mac):
        return Found(is_local=True)
    port = static_port(node, bridge, mac) or node.learned.get((bridge.name, mac))
    return Found(is_local=False, port=port) if port else None


def is_local(topology: Topology, bridge: Device, mac: str) -> bool:
    return mac in topology.local_macs(bridge)


def static_port(node: Node, bridge: Device, mac: str) -> str | None:
    for entry in node.state.fdb:
        if entry.mac == mac and entry.master == bridge.name and entry.dev != bridge.name:
            return entry.dev
    return None


def learn(topology: Topology, node: Node, bridge: Device, port: Device, mac: str) -> None:
    """br_fdb_update.  The bridge's own address as a source is only warned about."""
    if static_port(node, bridge, mac) is None and not is_local(topology, bridge, mac):
        node.learned[bridge.name, mac] = port.name
