"""Where an address lives, and which MAC addresses its frames have there."""

from ipaddress import IPv4Network, IPv6Network, ip_network

from dataplane.node.state import Address
from dataplane.reference import fdb
from dataplane.reference.engine import Engine, Place
from dataplane.reference.flows import Ends
from dataplane.reference.forwarding import address_type
from dataplane.reference.topology import Device, Host, Kind, Topology, is_group

NO_MAC = "00:00:00:00:00:00"
# Every machine has these, or may have them, for itself: they do not say where a packet is from.
NOT_UNIQUE = (
    ip_network("127.0.0.0/8"),
    ip_network("169.254.0.0/16"),  # RFC 3927
    ip_network("::1/128"),
    ip_network("fe80::/10"),  # RFC 4291, section 2.5.6
)


def entry(engine: Engine, ends: Ends, mac: str) -> Place | None:
    """Where a packet enters: at the device before its host, at its node, or by a wire.

    mac  to which the outside sent it, as recorded
    """
    found = host_behind(engine.topology, ends.src)
    if found is not None:
        return found[0].node, found[0].name
    node = node_of(engine, ends.src)
    if node is not None:
        return node, None
    wire = _wire(engine, ends.dst, mac)
    return (wire.node, wire.name) if wire is not None else None


def host_behind(
    topology: Topology, address: Address, device: Device | None = None
) -> tuple[Device, Host] | None:
    """The host with an address behind a port (behind `device`, if that is given)."""
    for place, hosts in topology.hosts.items():
        port = topology.devices[place]
        if port.kind == Kind.WIRE or (device is not None and port != device):
            continue
        for host in sorted(hosts, key=lambda host: host.mac):
            if address in host.addresses:
                return port, host
    return None


def node_of(engine: Engine, address: Address) -> str | None:
    """The node to which an address is local."""
    if any(_holds(network, address) for network in NOT_UNIQUE):
        return None
    return next(
        (name for name, node in engine.nodes.items() if address_type(node, address) == "local"),
        None,
    )


def _holds(network: IPv4Network | IPv6Network, address: Address) -> bool:
    return network.version == address.version and address in network


def _wire(engine: Engine, dst: Address, mac: str) -> Device | None:
    """The wire device by which the outside reaches a destination: the one to which it sent
    the frame; else the one with the address; else the first of the node where the host lives."""
    devices = engine.topology.devices.values()
    wires = [device for device in devices if device.kind == Kind.WIRE]
    named = [wire for wire in wires if mac != NO_MAC and wire.link.mac == mac]
    owning = [wire for wire in wires if engine.topology.has_address(wire, dst)]
    found = host_behind(engine.topology, dst)
    near = [wire for wire in wires if found is not None and wire.node == found[0].node]
    return next(iter((*named, *owning, *near)), None)


def knows(engine: Engine, device: Device, mac: str) -> bool:
    """A frame for this MAC address means something where it enters."""
    if is_group(mac) or mac == device.link.mac:
        return True
    bridge = bridge_of(engine.topology, device)
    if bridge is None:
        return False
    node = engine.nodes[device.node]
    is_local = fdb.is_local(engine.topology, bridge, mac)
    return is_local or fdb.static_port(node, bridge, mac) is not None


def next_hop_mac(engine: Engine, port: Device, src: Address, dst: Address) -> str:
    """To whom the host `src` sends what is for `dst`: its neighbour on the same bridge, else
    its gateway, which is the bridge, or its own device where there is no bridge."""
    bridge = bridge_of(engine.topology, port)
    if bridge is None:
        return port.link.mac
    if dst in _subnet(engine, bridge, src):
        for other in engine.topology.ports(bridge):
            found = host_behind(engine.topology, dst, other)
            if found is not None:
                return found[1].mac
    return bridge.link.mac


def _subnet(engine: Engine, bridge: Device, src: Address) -> IPv4Network | IPv6Network:
    """That of the bridge's address, if the host is in it; else the host is alone."""
    for address in engine.nodes[bridge.node].state.addresses:
        subnet = ip_network(f"{address.local}/{address.prefixlen}", strict=False)
        if address.dev == bridge.name and _holds(subnet, src):
            return subnet
    return ip_network(src)


def bridge_of(topology: Topology, port: Device) -> Device | None:
    master = topology.devices.get((port.node, port.link.master or ""))
    return master if master is not None and master.kind == Kind.BRIDGE else None
