"""flanneld with its VXLAN backend (v0.26): overlay device, routes, and two chains of rules.

Each remote node costs three entries (pkg/backend/vxlan): a route to its subnet by its VTEP,
the VTEP's MAC as a permanent neighbour, and the node's address for that MAC in the FDB.  So
the overlay needs neither multicast nor learning.
"""

from ipaddress import IPv4Interface, IPv4Network, ip_network

from dataplane.control import underlay
from dataplane.control.draft import Draft
from dataplane.control.flannel_config import FlannelConfig
from dataplane.control.flannel_lease import Lease
from dataplane.control.rules import comment, jump, mark, masquerade, prefix
from dataplane.node.iptables import Rule
from dataplane.node.state import FdbEntry, Link, Neighbour, Route, Vxlan

KUBE_PROXY_MARK = 1 << 14  # trafficmngr.KubeProxyMark, whatever bit kube-proxy is told to use
POSTROUTING = "FLANNEL-POSTRTG"
FORWARD = "FLANNEL-FWD"
MULTICAST = ip_network("224.0.0.0/4")


def write(draft: Draft, own: Lease, leases: list[Lease], config: FlannelConfig) -> None:
    """Adds the overlay device, and what leads to each other node."""
    vxlan = Vxlan(
        config.vni,
        config.port,
        own.public_ip,
        underlay.DEVICE,
        learning=False,
        udp_csum=False,  # flannel's netlink library always sends IFLA_VXLAN_UDP_CSUM=0
    )
    link = Link(
        draft.next_ifindex, config.device, own.vtep_mac, config.mtu, kind="vxlan", vxlan=vxlan
    )
    draft.links.append(link)
    draft.add_address(config.device, IPv4Interface((own.subnet.network_address, 32)))
    for lease in sorted(leases, key=lambda lease: lease.subnet):
        if lease is not own:
            _write_remote(draft, config.device, lease)


def _write_remote(draft: Draft, device: str, lease: Lease) -> None:
    vtep, mac, source = lease.subnet.network_address, lease.vtep_mac, lease.node.metadata.source
    draft.routes.append(Route(lease.subnet, dev=device, gateway=vtep, onlink=True, source=source))
    draft.neighbours.append(Neighbour(vtep, device, mac, source=source))
    draft.fdb.append(
        FdbEntry(
            mac, device, dst=lease.public_ip, state="permanent", flags=("self",), source=source
        )
    )


def write_rules(draft: Draft, subnet: IPv4Network, pods: IPv4Network) -> None:
    """Appends to what is there: kube-proxy's jumps, which it prepends, stand before.

    subnet  the node's own part of the overlay
    pods    the range of the whole overlay
    """
    _write_masquerade(draft, subnet, pods)
    forward = (comment("flanneld forward"),)
    draft.iptables.append("filter", "FORWARD", Rule(matches=forward, target=jump(FORWARD)))
    draft.iptables.append(
        "filter",
        FORWARD,
        Rule(src=prefix(pods), matches=forward, target=jump("ACCEPT")),
        Rule(dst=prefix(pods), matches=forward, target=jump("ACCEPT")),
    )


def _write_masquerade(draft: Draft, subnet: IPv4Network, pods: IPv4Network) -> None:
    masq = (comment("flanneld masq"),)
    leave, snat = jump("RETURN"), masquerade()
    outside, unicast = prefix(pods, negated=True), prefix(MULTICAST, negated=True)
    draft.iptables.append("nat", "POSTROUTING", Rule(matches=masq, target=jump(POSTROUTING)))
    draft.iptables.append(
        "nat",
        POSTROUTING,
        # kube-proxy masquerades it; to do so twice met a kernel bug once.
        Rule(matches=(mark(KUBE_PROXY_MARK), *masq), target=leave),
        Rule(src=prefix(subnet), dst=prefix(pods), matches=masq, target=leave),
        Rule(src=prefix(pods), dst=prefix(subnet), matches=masq, target=leave),
        # From outside straight to a pod of this node.
        Rule(src=outside, dst=prefix(subnet), matches=masq, target=leave),
        Rule(src=prefix(pods), dst=unicast, matches=masq, target=snat),
        Rule(src=outside, dst=prefix(pods), matches=masq, target=snat),
    )
