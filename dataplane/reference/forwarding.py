"""Where an IP packet goes: what may arrive, routes in and out, source addresses.

net/ipv4/route.c, net/ipv4/fib_frontend.c, net/ipv6/ip6_output.c, v6.12.
"""

from ipaddress import IPv4Address, IPv4Network, ip_network

from _fastpath.reason import Reason
from dataplane.node.multipath import UNMODELLED, legs
from dataplane.node.state import Address, Route
from dataplane.reference.choice import Choices
from dataplane.reference.fib_rules import Flow, flow_ports, input_flow, lookup, order
from dataplane.reference.fib_select import Unhashed, select
from dataplane.reference.lpm import holds
from dataplane.reference.node import Node
from dataplane.reference.packet import Packet
from dataplane.reference.steps import Ended, dropped, unknown

LIMITED_BROADCAST = IPv4Address("255.255.255.255")
NONE4 = IPv4Address("0.0.0.0")
LOCAL_GROUPS = IPv4Network("224.0.0.0/24")
IGMP = 2
REFUSALS = {
    "blackhole": Reason.ROUTE_BLACKHOLE,
    "unreachable": Reason.ROUTE_UNREACHABLE,
    "prohibit": Reason.ROUTE_PROHIBIT,
}
OWN_KINDS = ("local", "broadcast", "multicast", "anycast")
KINDS = ("unicast", "local", "broadcast", "multicast")
MOST_MTU = 65535  # IP_MAX_MTU


def address_type(node: Node, address: Address, device: str | None = None) -> str:
    """inet_dev_addr_type: what the local table says, with all that is one with it.

    device  when given, only its own routes count
    """
    if address.is_multicast:
        return "multicast"
    if address.version == 4 and (address.packed[0] == 0 or address == LIMITED_BROADCAST):
        return "broadcast"
    found = (
        route
        for route in node.routes
        if route.table in node.tables_of(address.version, "local") and holds(route.dst, address)
    )
    route = min(found, key=order, default=None)
    if route is None or (device is not None and route.dev != device):
        return "unicast"
    if route.type not in OWN_KINDS:  # for a refusal, too: fib_table_lookup fails
        return "unicast"
    return "local" if route.type == "anycast" and address.version == 6 else route.type


# Input.


def route_input(
    node: Node, device: str, packet: Packet, choices: Choices
) -> tuple[Route | None, Ended | None]:
    """ip_route_input_slow, ip6_route_input: the route of a packet that arrived on `device`, None
    if there is none; and why it goes no further."""
    found: list[Route] = []
    try:
        if packet.family == 4:
            _route_input4(node, device, packet, choices, found)
        else:
            _route_input6(node, device, packet, choices, found)
    except Ended as end:
        return (found[-1] if found else None), end
    return (found[-1] if found else None), None


def _route_input4(
    node: Node, device: str, packet: Packet, choices: Choices, found: list[Route]
) -> None:
    """Leaves the route in `found`.  Raises Ended."""
    if packet.dst.is_multicast:
        return _join_group4(node, device, packet)
    _refuse_martians(node, device, packet)
    if _is_to_everybody(packet):
        if packet.src.packed[0] != 0:
            validate_source(node, device, packet, None, is_to_everybody=True)
        return
    flow = input_flow(packet, device)
    route = lookup(node, flow)
    found += [route] if route is not None else []
    kind = kind_of(route)
    forwards_broadcasts = node.both_settings(device, "bc_forwarding")
    if kind == "broadcast" and not forwards_broadcasts:
        return validate_source(node, device, packet, None, is_to_everybody=True)
    if kind == "local":
        return validate_source(node, device, packet, None)
    if kind != "broadcast" and not node.forwards_from(device):
        raise dropped(Reason.FORWARDING_DISABLED)
    if kind == "multicast":
        raise dropped(Reason.MARTIAN_DESTINATION)
    leg = check_route(_choose(node, choices, flow, packet, check_route(route)))
    found.append(leg)
    validate_source(node, device, packet, leg.dev)


def _route_input6(
    node: Node, device: str, packet: Packet, choices: Choices, found: list[Route]
) -> None:
    """ip6_route_input, and ip6_forward's first question: it is asked only of what has a way."""
    if packet.dst.is_multicast:
        return _require_membership(node, device, packet)
    flow = input_flow(packet, device)
    route = lookup(node, flow)
    found += [route] if route is not None else []
    if kind_of(route) == "local":
        return
    if check_route(route).type == "broadcast":
        raise unknown(Reason.ROUTE_UNMODELLED)  # IPv6 has none
    if not node.forwards(6):
        raise dropped(Reason.FORWARDING_DISABLED)
    assert route is not None
    found.append(check_route(_choose(node, choices, flow, packet, route)))


def _require_membership(node: Node, device: str, packet: Packet) -> None:
    """ip_check_mc_rcu, ip6_mc_input; nothing is forwarded to groups."""
    if (device, packet.dst) not in node.groups:
        raise dropped(Reason.GROUP_NOT_JOINED)


def _join_group4(node: Node, device: str, packet: Packet) -> None:
    """ip_route_input_rcu, ip_mc_validate_source"""
    src = packet.src
    _require_membership(node, device, packet)
    if src.is_multicast or src == LIMITED_BROADCAST:
        raise dropped(Reason.MARTIAN_SOURCE)
    if src.is_loopback and not node.either_setting(device, "route_localnet"):
        raise dropped(Reason.MARTIAN_SOURCE)
    if src.packed[0] != 0:
        return validate_source(node, device, packet, None, is_to_everybody=True)
    if packet.dst not in LOCAL_GROUPS and packet.protocol != IGMP:
        raise dropped(Reason.MARTIAN_SOURCE)


def _choose(node: Node, choices: Choices, flow: Flow, packet: Packet | None, route: Route) -> Route:
    try:
        return select(node, choices, flow, packet, route)
    except Unhashed:
        raise unknown(Reason.ROUTE_UNMODELLED) from None


def is_for_node(node: Node, device: str, route: Route | None) -> bool:
    """Whether a packet that may arrive goes no further."""
    if route is None or kind_of(route) == "local":
        return True
    return kind_of(route) == "broadcast" and not node.both_settings(device, "bc_forwarding")


def check_route(route: Route | None) -> Route:
    """Raises Ended for a route that carries nothing."""
    if route is None:
        raise dropped(Reason.NO_ROUTE)
    if route.type in REFUSALS:
        raise dropped(REFUSALS[route.type])
    if kind_of(route) not in ("unicast", "broadcast", "local"):
        raise unknown(Reason.ROUTE_UNMODELLED)
    return route


def kind_of(route: Route | None) -> str:
    """RTN_*, or UNMODELLED."""
    if route is None:
        return "unreachable"
    if route.gateway is not None and (route.dst.version, route.gateway.version) == (6, 4):
        return UNMODELLED
    if route.type in ("unicast", "broadcast") and route.dev is None and not route.nexthops:
        return UNMODELLED
    return "local" if route.type == "anycast" else route.type


def route_output(node: Node, choices: Choices, flow: Flow, packet: Packet | None = None) -> Route:
    """ip_route_output_key: the route by which the node sends.  Raises Ended.

    packet  what is hashed in place of the flow, where legs are chosen
    """
    return check_route(_choose(node, choices, flow, packet, check_route(lookup(node, flow))))


def output_device(node: Node, route: Route) -> str | None:
    """The loopback for what is the node's own."""
    is_looped_anycast = (  # ip6_rt_get_dev_rcu: of IPv6, the kernel's own
        route.type == "anycast" and route.dst.version == 6 and route.protocol == "kernel"
    )
    return node.loopback if route.type == "local" or is_looped_anycast else route.dev


def mtu_of(node: Node, route: Route, device: str) -> int:
    """ip_dst_mtu_maybe_forward, ip6_mtu: the route's own, or that of its device.  What routers
    told of the path is not known here."""
    return min(route.mtu or device_mtu(node, device, route.dst.version), MOST_MTU)


def device_mtu(node: Node, device: str, family: int) -> int:
    """IPv6 may be told that it is less than it is."""
    mtu = next(link.mtu for link in node.state.links if link.name == device)
    if family == 4:
        return mtu
    return min(mtu, node.setting(f"net.ipv6.conf.{device.replace('.', '/')}.mtu", mtu))


def _is_to_everybody(packet: Packet) -> bool:
    """The only destinations for which source 0.0.0.0 is right."""
    return packet.dst == LIMITED_BROADCAST or packet.src == packet.dst == NONE4


def _refuse_martians(node: Node, device: str, packet: Packet) -> None:
    src, dst = packet.src, packet.dst
    if src.is_multicast or src == LIMITED_BROADCAST:
        raise dropped(Reason.MARTIAN_SOURCE)
    if _is_to_everybody(packet):
        return
    if src.packed[0] == 0:
        raise dropped(Reason.MARTIAN_SOURCE)
    if dst.packed[0] == 0:
        raise dropped(Reason.MARTIAN_DESTINATION)
    if not node.either_setting(device, "route_localnet"):
        if dst.is_loopback:
            raise dropped(Reason.MARTIAN_DESTINATION)
        if src.is_loopback:
            raise dropped(Reason.MARTIAN_SOURCE)


def validate_source(
    node: Node, device: str, packet: Packet, out: str | None, is_to_everybody: bool = False
) -> None:
    """fib_validate_source: nobody else may have this node's addresses, and the way back is
    looked at where something asks for it.

    out  the device by which it would be forwarded
    """
    strictness = node.strictness(device)
    may_redirect = device == out and node.either_setting(device, "send_redirects", 1)
    if not strictness and not may_redirect and not node.has_realms:
        if node.either_setting(device, "accept_local"):
            return
        if not node.has_custom_local and not node.has_custom_rules:
            if any(address.local == packet.src for address in node.state.addresses):
                raise dropped(Reason.MARTIAN_SOURCE)
            return
    flow = reverse_flow(node, device, packet, out, is_to_everybody)
    _filter_reverse_path(node, device, flow, strictness)


def has_address(node: Node, device: str) -> bool:
    """IPv4"""
    return any(
        address.dev == device and address.local.version == 4 for address in node.state.addresses
    )


def reverse_flow(
    node: Node, device: str, packet: Packet, out: str | None, is_to_everybody: bool
) -> Flow:
    """With what __fib_validate_source asks for the way back."""
    sport, dport = flow_ports(packet)
    return Flow(
        dst=packet.src,
        src=NONE4 if is_to_everybody else packet.dst,
        iif=out or "",
        mark=packet.mark if node.either_setting(device, "src_valid_mark") else 0,
        protocol=packet.protocol,
        sport=dport,
        dport=sport,
        tos=packet.tos,
    )


def _filter_reverse_path(node: Node, device: str, flow: Flow, strictness: int) -> None:
    """__fib_validate_source.  The way back must be the way it came: RFC 3704, strict (1) or
    loose (2); and no source may be anything but a host."""
    back = lookup(node, flow)
    kind = kind_of(back)
    if back is None or kind in REFUSALS:
        if strictness:
            raise dropped(Reason.REVERSE_PATH)
        return
    if kind not in KINDS:
        raise unknown(Reason.ROUTE_UNMODELLED)
    accepts_local = node.either_setting(device, "accept_local")
    if kind != "unicast" and not (kind == "local" and accepts_local):
        raise dropped(Reason.MARTIAN_SOURCE)
    if leads_to(node, back, device):
        return
    if strictness == 1 or (strictness and not has_address(node, device)):
        raise dropped(Reason.REVERSE_PATH)


def goes_back(node: Node, packet: Packet, device: str, route: Route) -> bool:
    """__mkroute_input: the packet leaves by the device that it came by, and its sender is near
    enough to send it there itself.  IPv4."""
    if route.dev != device or not node.either_setting(device, "send_redirects", 1):
        return False
    back = lookup(node, reverse_flow(node, device, packet, device, False))
    if back is None or kind_of(back) not in KINDS or not _is_near(node, device, packet, back):
        return False
    return node.either_setting(device, "shared_media", 1) or _shares_subnet(
        node, device, packet.src, route.gateway
    )


def _is_near(node: Node, device: str, packet: Packet, back: Route) -> bool:
    """What __fib_validate_source says of the way back: it needs no gateway."""
    if not leads_to(node, back, device):
        if not has_address(node, device):
            return False
        asked = reverse_flow(node, device, packet, device, False)._replace(oif=device)
        again = lookup(node, asked)
        if again is None or kind_of(again) != "unicast":
            return False
        back = next((leg for leg in legs(again) if leg.dev == device), again)
    elif back.nexthops:
        back = legs(back)[0]
    return back.gateway is None


def _shares_subnet(node: Node, device: str, address: Address, gateway: Address | None) -> bool:
    """inet_addr_onlink"""
    for own in node.state.addresses:
        if own.dev == device and own.local.version == 4:
            subnet = ip_network(f"{own.local}/{own.prefixlen}", strict=False)
            is_v4 = gateway is not None and gateway.version == 4
            if address in subnet and (not is_v4 or gateway in subnet):
                return True
    return False


def leads_to(node: Node, route: Route, device: str) -> bool:
    """fib_info_nh_uses_dev; what is this node's own has a way from the loopback, too."""
    if device == route.dev or any(leg.dev == device for leg in route.nexthops):
        return True
    return kind_of(route) == "local" and device == node.loopback
