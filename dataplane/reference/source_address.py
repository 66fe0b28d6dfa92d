"""Which of its addresses a node speaks with.

net/ipv4/devinet.c, net/ipv4/route.c, net/ipv6/addrconf.c, net/ipv6/addrlabel.c, v6.12.
"""

from ipaddress import IPv6Address, ip_network

from dataplane.node.state import Address, InterfaceAddress, Route
from dataplane.reference.fib_rules import Flow, lookup
from dataplane.reference.forwarding import KINDS, NONE4, kind_of
from dataplane.reference.node import Node
from dataplane.reference.packet import Packet

SCOPES = {"global": 0, "universe": 0, "site": 200, "link": 253, "host": 254}
LINK = SCOPES["link"]
LINK_LOCAL, SITE_LOCAL, GLOBAL = 2, 5, 14  # IPv6: RFC 4291, section 2.7
# RFC 6724, section 2.1, as the kernel begins with it; the longest prefix counts.
LABELS = [
    (ip_network(prefix), label)
    for prefix, label in (
        ("::1/128", 0), ("::/96", 3), ("::ffff:0:0/96", 4), ("2001::/32", 6), ("2001:10::/28", 7),
        ("3ffe::/16", 12), ("2002::/16", 2), ("fec0::/10", 11), ("fc00::/7", 5), ("::/0", 1),
    )
]  # fmt: skip


def source_address(node: Node, route: Route, dst: Address) -> Address | None:
    """For packets that the node itself sends by `route`."""
    if route.prefsrc is not None:
        return route.prefsrc
    if route.type == "local":
        return dst
    if isinstance(dst, IPv6Address):
        return select_address6(node, route.dev, dst)
    # fib_info_update_nhc_saddr: near the gateway, or just the first
    is_near = route.gateway is not None and route.gateway.version == 4
    return select_address(node, route.dev or "", route.gateway if is_near else NONE4)


# IPv4.


def select_address(
    node: Node, device: str, next_hop: Address | None, scope: int = 0
) -> Address | None:
    """inet_select_addr: the device's first primary address of at most that scope whose subnet
    holds the next hop, else its first, else the first of another device."""
    every = _addresses(node, scope)
    own = [address for address in every if address.dev == device]
    near = [address for address in own if next_hop is not None and _on_link(address, next_hop)]
    return next((address.local for address in (*near, *own, *every)), None)


def _addresses(node: Node, scope: int) -> list[InterfaceAddress]:
    """In the order of the devices' indices."""
    order = {link.name: link.index for link in node.state.links}
    found = [
        address
        for address in node.state.addresses
        if address.local.version == 4
        and not address.secondary
        and SCOPES.get(address.scope, 0) <= scope
    ]
    return sorted(found, key=lambda address: order.get(address.dev, 0))


def _on_link(address: InterfaceAddress, next_hop: Address) -> bool:
    bits = address.local.max_prefixlen - address.prefixlen
    return int(address.local) >> bits == int(next_hop) >> bits


def recorded_address(
    node: Node, device: str, packet: Packet, route: Route | None
) -> Address | None:
    """fib_compute_spec_dst: what a packet that came by `device` calls this node."""
    if route is not None and kind_of(route) == "local":
        return packet.dst
    if packet.src.packed[0] != 0:
        mark = packet.mark if node.either_setting(device, "src_valid_mark") else 0
        back = lookup(node, Flow(packet.src, mark=mark, tos=packet.tos))
        if back is not None and kind_of(back) in KINDS:
            return _route_address(node, back)
    return select_address(node, device, packet.src)


def leaving_address(
    node: Node, device: str, packet: Packet, route: Route, out: str
) -> Address | None:
    """ip_rt_get_source: what a packet that leaves by `out` calls this node."""
    flow = Flow(packet.dst, packet.src, packet.mark, device, out, tos=packet.tos)
    found = lookup(node, flow)
    if found is not None and kind_of(found) in KINDS:
        return _route_address(node, found)
    return select_address(node, out, route.gateway or packet.dst)


def _route_address(node: Node, route: Route) -> Address | None:
    """fib_result_prefsrc"""
    if route.prefsrc is not None:
        return route.prefsrc
    legs = [(leg.dev, leg.gateway) for leg in route.nexthops]
    dev, gateway = legs[0] if legs else (route.dev, route.gateway)
    is_near = gateway is not None and gateway.version == 4
    return select_address(node, dev or "", gateway if is_near else NONE4)


# IPv6.


def select_address6(node: Node, device: str | None, dst: IPv6Address) -> IPv6Address | None:
    """ipv6_dev_get_saddr (RFC 6724): the best address for packets to `dst` that leave by `device`,
    of the device alone if `dst` is on its link.  None of the node's is taken to be deprecated."""
    best: tuple[tuple[int, ...], IPv6Address] | None = None
    is_near = dst.is_multicast or _scope(dst) <= LINK_LOCAL
    for link in sorted(node.state.links, key=lambda link: link.index):
        if is_near and device is not None and link.name != device:
            continue
        for address in node.state.addresses:
            if address.dev == link.name and isinstance(address.local, IPv6Address):
                score = _score(address.local, address.prefixlen, address.dev == device, dst)
                if best is None or score > best[0]:
                    best = score, address.local
    return best[1] if best else None


def link_local_address(node: Node, device: str) -> IPv6Address | None:
    """ipv6_get_lladdr: the last of its link-local ones."""
    found = [
        address.local
        for address in node.state.addresses
        if address.dev == device
        and isinstance(address.local, IPv6Address)
        and address.local.is_link_local
    ]
    return found[-1] if found else None


def _score(own: IPv6Address, prefixlen: int, is_there: bool, dst: IPv6Address) -> tuple[int, ...]:
    """ipv6_get_saddr_eval: rules 1, 2, 5, 6 and 8, compared one after the other."""
    scope = _scope(own)
    common = 128 - (int(own) ^ int(dst)).bit_length()
    return (
        int(own == dst),
        -scope if scope >= _scope(dst) else scope - 128,
        int(is_there),
        int(_label(own) == _label(dst)),
        min(common, prefixlen),
    )


def _scope(address: IPv6Address) -> int:
    """__ipv6_addr_src_scope"""
    if address.is_multicast:
        return address.packed[1] & 15
    if address.is_link_local or address.is_loopback:
        return LINK_LOCAL
    return SITE_LOCAL if address.is_site_local else GLOBAL


def _label(address: IPv6Address) -> int:
    return next(label for prefix, label in LABELS if address in prefix)
