"""The CNI bridge plugin, as flannel's CNI configuration calls it.

One bridge, cni0, holds the node's first pod address; each pod has a veth whose host end is a
port of it, with hairpin on (`isDefaultGateway: true, hairpinMode: true`).  ARP and learning
are replaced by the entries that they would lead to, so that no packet waits for them.
"""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface

from dataplane.cluster.objects import Pod
from dataplane.control import mac_addresses
from dataplane.control.draft import Draft
from dataplane.node.state import FdbEntry, Link, Neighbour

BRIDGE = "cni0"


def write(draft: Draft, subnet: IPv4Network, mtu: int, pods: list[Pod]) -> None:
    """Adds cni0 and the veths of the pods, which are in the order given."""
    own = subnet.network_address + 1
    mac = mac_addresses.of_address(own)
    draft.links.append(Link(draft.next_ifindex, BRIDGE, mac, mtu, kind="bridge"))
    draft.add_address(BRIDGE, IPv4Interface((own, subnet.prefixlen)))
    for network in draft.node.pod_cidrs:
        if network.version == 6:
            draft.add_address(BRIDGE, IPv6Interface((network[1], network.prefixlen)))
    for pod in pods:
        _attach(draft, pod, mtu)


def pod_mac(pod: Pod) -> str:
    """Derived from the pod's IPv4 address; from its name if it has none."""
    for address in pod.ips:
        if isinstance(address, IPv4Address):
            return mac_addresses.of_address(address)
    return "0a" + mac_addresses.of_host_veth(pod.metadata.namespace, pod.metadata.name)[2:]


def _attach(draft: Draft, pod: Pod, mtu: int) -> None:
    key = (pod.metadata.namespace, pod.metadata.name)
    name, mac = mac_addresses.host_veth_name(*key), pod_mac(pod)
    draft.links.append(
        Link(
            draft.next_ifindex,
            name,
            mac_addresses.of_host_veth(*key),
            mtu,
            kind="veth",
            master=BRIDGE,
            hairpin=True,
            source=pod.metadata.source,
        )
    )
    draft.fdb.append(FdbEntry(mac, name, BRIDGE, state="static", source=pod.metadata.source))
    for address in pod.ips:
        draft.neighbours.append(Neighbour(address, BRIDGE, mac, source=pod.metadata.source))
