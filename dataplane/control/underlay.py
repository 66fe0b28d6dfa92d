"""What a node has before any agent runs: loopback, eth0, and a way to the other nodes.

Manifests say a node's InternalIP and no more.  Assumed: one device, a /24 (IPv6: a /64) around
the InternalIP, all nodes with such an address on one segment, and a router at its first host.
"""

from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_network

from dataplane.cluster.objects import Node
from dataplane.control import mac_addresses
from dataplane.control.draft import Draft
from dataplane.errors import ObjectError
from dataplane.node.state import Link, Neighbour, Route

DEVICE = "eth0"
MTU = 1500
PREFIXLEN = {4: 24, 6: 64}  # assumed

SYSCTLS = {
    "net.bridge.bridge-nf-call-ip6tables": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.ip_default_ttl": "64",
    "net.ipv4.ip_forward": "1",
    "net.ipv4.ip_local_port_range": "32768 60999",
    "net.netfilter.nf_conntrack_tcp_be_liberal": "0",
}


def node_address(node: Node) -> IPv4Address:
    """The node's first IPv4 InternalIP; raises ObjectError if it has none."""
    for address in node.internal_ips:
        if isinstance(address, IPv4Address):
            return address
    raise ObjectError(
        f"Node {node.metadata.name}: no IPv4 address of type InternalIP in status.addresses",
        node.metadata.source,
    )


def segment(address: IPv4Address) -> IPv4Interface:
    return IPv4Interface((address, PREFIXLEN[4]))


def gateway(address: IPv4Address) -> IPv4Address:
    return segment(address).network.network_address + 1


def assumption(nodes: list[Node]) -> str:
    """What `write` takes for granted, for the user to object to."""
    networks = sorted({segment(node_address(node)).network for node in nodes})
    listed = ", ".join(f"{network} (router {network[1]})" for network in networks)
    return f"Nodes do not say how they are connected: assuming {listed} on {DEVICE}"


def write(draft: Draft, nodes: list[Node]) -> None:
    address = node_address(draft.node)
    draft.sysctls.update(SYSCTLS)
    _write_links(draft, address)
    _write_addresses(draft, address)
    _write_neighbours(draft, address, nodes)


def _write_links(draft: Draft, address: IPv4Address) -> None:
    flags = ("LOOPBACK", "UP", "LOWER_UP")
    draft.links.append(Link(1, "lo", "00:00:00:00:00:00", 65536, link_type="loopback", flags=flags))
    draft.links.append(Link(draft.next_ifindex, DEVICE, mac_addresses.of_address(address), MTU))


def _write_addresses(draft: Draft, address: IPv4Address) -> None:
    draft.add_address("lo", IPv4Interface("127.0.0.1/8"))
    draft.add_address("lo", IPv6Interface("::1/128"))
    draft.add_address(DEVICE, segment(address))
    for other in draft.node.internal_ips:
        if other.version == 6:
            draft.add_address(DEVICE, IPv6Interface((other, PREFIXLEN[6])))
    if gateway(address) != address:
        draft.routes.append(Route(ip_network("0.0.0.0/0"), dev=DEVICE, gateway=gateway(address)))


def _write_neighbours(draft: Draft, address: IPv4Address, nodes: list[Node]) -> None:
    here = segment(address).network
    on_segment = {node_address(node) for node in nodes} | {gateway(address)}
    for other in sorted(on_segment - {address}):
        if other in here:
            lladdr = mac_addresses.of_address(other)
            draft.neighbours.append(Neighbour(other, DEVICE, lladdr))
