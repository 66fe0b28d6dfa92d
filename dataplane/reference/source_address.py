"""Which of its addresses a node speaks with.

net/ipv4/devinet.c, net/ipv4/route.c, net/ipv6/addrconf.c, net/ipv6/addrlabel.c, v6.12.
"""

from ipaddress import IPv4Address, IPv6Address, ip_network

from dataplane.node.state import Address, InterfaceAddress, NodeState, Route
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

ORCHID = ip_network("2001:10::/28")
# Loopback, compatible with IPv4, mapped: of these it does not matter that they are deprecated.
ALWAYS_PREFERRED = (ip_network("::/96"), ip_network("::ffff:0:0/96"))


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
    of the device alone if `dst` is on its link."""
    best: tuple[tuple[int, ...], IPv6Address] | None = None
    is_near = dst.is_multicast or _scope(dst) <= LINK_LOCAL
    if device is not None and _setting6(node.state, device, "use_oif_addrs_only"):
        is_near = True
    for link in sorted(node.state.links, key=lambda link: link.index):
        if is_near and device is not None and link.name != device:
            continue
        for address in node.state.addresses:
            if address.dev == link.name and is_candidate(address):
                assert isinstance(address.local, IPv6Address)
                score = _score(node.state, address, address.dev == device, dst)
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


def is_candidate(own: InterfaceAddress) -> bool:
    is_usable = "tentative" not in own.flags or "optimistic" in own.flags
    return own.local.version == 6 and is_usable and not own.local.is_multicast


def _score(
    state: NodeState, own: InterfaceAddress, is_there: bool, dst: IPv6Address
) -> tuple[int, ...]:
    """ipv6_get_saddr_eval, rule by rule.  That of home addresses is no part of kernels whose MIP6
    is a module."""
    address = own.local
    assert isinstance(address, IPv6Address)
    scope = _scope(address)
    wants_temporary = _setting6(state, own.dev, "use_tempaddr") >= 2
    common = 128 - (int(address) ^ int(dst)).bit_length()
    return (
        address == dst,
        -scope if scope >= _scope(dst) else scope - 128,
        _is_preferred(state, own),
        is_there,
        _label(address) == _label(dst),
        ("temporary" in own.flags) == wants_temporary,
        (address in ORCHID) == (dst in ORCHID),
        min(common, own.prefixlen),
        "optimistic" not in own.flags,
    )


def _is_preferred(state: NodeState, own: InterfaceAddress) -> bool:
    if any(own.local in network for network in ALWAYS_PREFERRED):
        return True
    if "deprecated" in own.flags:
        return False
    return "optimistic" not in own.flags or all(  # ipv6_use_optimistic_addr
        _setting6(state, "all", name) or _setting6(state, own.dev, name)
        for name in ("optimistic_dad", "use_optimistic")
    )


def _setting6(state: NodeState, device: str, name: str) -> int:
    """net.ipv6.conf.DEVICE.NAME; a device starts with the value of conf.default."""
    names = [device.replace(".", "/"), device]
    for written in names if device == "all" else [*names, "default"]:
        words = state.sysctls.get(f"net.ipv6.conf.{written}.{name}", "").split()
        if words:
            return int(words[0])
    return 0


def redirect_address(node: Node, device: str, dst: Address) -> Address | None:
    """nf_nat_redirect_ipv4, nf_nat_redirect_ipv6: the device's first; of IPv6, one whose scope
    suits."""
    for own in node.state.addresses:
        if own.dev == device and own.local.version == dst.version:
            if isinstance(dst, IPv4Address) or (is_candidate(own) and _suits(own.local, dst)):
                return own.local
    return None


def _suits(own: Address, dst: IPv6Address) -> bool:
    assert isinstance(own, IPv6Address)
    if own.ipv4_mapped is not None:
        return False
    return _scope(dst) == GLOBAL or _scope(own) == _scope(dst)


def _scope(address: IPv6Address) -> int:
    """__ipv6_addr_src_scope"""
    if address.is_multicast:
        return address.packed[1] & 15
    if address.is_link_local or address.is_loopback:
        return LINK_LOCAL
    return SITE_LOCAL if address.is_site_local else GLOBAL


def _label(address: IPv6Address) -> int:
    return next(label for prefix, label in LABELS if address in prefix)
