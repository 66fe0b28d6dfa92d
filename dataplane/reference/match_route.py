"""Matches that ask how addresses would be routed: addrtype, realm, rpfilter."""

from ipaddress import IPv6Address, ip_network

from dataplane.node import realms
from dataplane.node.state import Address, Route
from dataplane.reference.fib_rules import ERRORS, Flow, lookup
from dataplane.reference.forwarding import KINDS, LIMITED_BROADCAST, NONE4, address_type, kind_of
from dataplane.reference.match_words import Answer, Options, Unmodelled, by_name
from dataplane.reference.packet import ETHER_SIZE, Packet
from dataplane.reference.place import Place

TYPES = {
    "UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE",
    "PROHIBIT", "THROW", "NAT", "XRESOLVE",
}  # fmt: skip
IPV6_TYPES = {"UNSPEC", "UNICAST", "LOCAL", "ANYCAST", "MULTICAST", "UNREACHABLE"}
LOCAL_GROUPS = ip_network("224.0.0.0/24")
RPFILTER = ("--loose", "--validmark", "--accept-local", "--invert")


# addrtype


def _addrtype(place: Place, options: Options, packet: Packet) -> bool:
    """xt_addrtype.c, addrtype_mt_v1."""
    asked = by_name(options, "--src-type", "--dst-type", "--limit-iface-in", "--limit-iface-out")
    device = None
    if "--limit-iface-in" in asked:
        device = place.in_device
    elif "--limit-iface-out" in asked:
        device = place.out_device
    is_known = True
    for name, address in (("--src-type", packet.src), ("--dst-type", packet.dst)):
        if name not in asked:
            continue
        wanted = set(asked[name].values[0].split(","))
        if not wanted <= (TYPES if place.family == 4 else IPV6_TYPES):
            raise Unmodelled
        try:
            if _has_type(place, address, wanted, device) == asked[name].negated:
                return False
        except Unmodelled:
            is_known = False
    if not is_known:
        raise Unmodelled
    return True


def _has_type(place: Place, address: Address, wanted: set[str], device: str | None) -> bool:
    """match_type; of an IPv6 address (match_type6) all that is asked for must hold, but of what
    its route says one is enough."""
    if isinstance(address, IPv6Address):
        if "MULTICAST" in wanted and not address.is_multicast:
            return False
        if "UNICAST" in wanted and not _is_unicast6(address):
            return False
        if "UNSPEC" in wanted and not address.is_unspecified:
            return False
        routed = wanted & {"ANYCAST", "LOCAL", "UNREACHABLE"}
        return not routed or bool(routed & _routed_types(place, address, device))
    return address_type(place.node, address, device).upper() in wanted


def _is_unicast6(address: IPv6Address) -> bool:
    """ipv6_addr_type: IPV6_ADDR_UNICAST"""
    return not (address.is_multicast or address.is_unspecified or address.ipv4_mapped)


def _routed_types(place: Place, address: IPv6Address, device: str | None) -> set[str]:
    """match_lookup_rt6: with a device, the route must leave by it."""
    route = lookup(place.node, Flow(address, IPv6Address(0), oif=device))
    kind, found = _kind(route), set()
    if route is None or kind in ERRORS:
        return {"UNREACHABLE"}
    if device is not None:
        own = [a.local for a in place.node.state.addresses if a.dev == device]
        found |= {"LOCAL"} if address in own else set()
    elif kind == "local":
        found.add("LOCAL")
    if (kind == "anycast" and route.protocol == "kernel") or _is_subnet_router(route, address):
        found.add("ANYCAST")
    return found


def _is_subnet_router(route: Route, address: Address) -> bool:
    """ipv6_anycast_destination: the first address of a link (RFC 4291 2.6.1)."""
    gateway = route.nexthops[0].gateway if route.nexthops else route.gateway
    return route.dst.prefixlen < 127 and not gateway and address == route.dst.network_address


# realm


def _realm(place: Place, options: Options, packet: Packet) -> bool:
    """xt_realm.c"""
    if place.family != 4 or not realms.are_known(place.node.state):
        raise Unmodelled
    value, slash, mask = by_name(options, "--realm")["--realm"].values[0].partition("/")
    try:
        wanted = int(value, 0) if value[:1].isdigit() else realms.number(value)
        bits = int(mask, 0) if slash else 0xFFFFFFFF
    except ValueError:
        raise Unmodelled from None
    if not (0 <= wanted < 1 << 32 and 0 <= bits < 1 << 32):
        raise Unmodelled
    return (packet.realms & bits == wanted) != options[0].negated


# rpfilter


def _rpfilter(place: Place, options: Options, packet: Packet) -> bool:
    """ipt_rpfilter.c, ip6t_rpfilter.c: would an answer leave by the device it came by?"""
    asked = by_name(options, *RPFILTER)
    if place.in_device is None:
        raise Unmodelled
    if place.in_device == place.node.loopback:
        found = True
    elif place.family == 4:
        found = _leads_back4(place, set(asked), packet)
    else:
        found = _leads_back6(place, set(asked), packet)
    return found != ("--invert" in asked)


def _leads_back4(place: Place, names: set[str], packet: Packet) -> bool:
    src, dst = packet.src, packet.dst
    if src.packed[0] == 0 and (dst == LIMITED_BROADCAST or dst in LOCAL_GROUPS):
        return True
    is_nobody = dst.is_multicast or dst == LIMITED_BROADCAST or dst.packed[0] == 0
    flow = Flow(
        dst=src,
        src=NONE4 if is_nobody else dst,
        mark=packet.mark if "--validmark" in names else 0,
        tos=packet.tos,
    )
    route = lookup(place.node, flow)
    kind = _kind(route)
    if kind != "unicast" and not (kind == "local" and "--accept-local" in names):
        return False
    assert route is not None
    return "--loose" in names or _uses(route, place.in_device)


def _leads_back6(place: Place, names: set[str], packet: Packet) -> bool:
    src = packet.src
    if src.is_unspecified:
        return True
    is_strict = src.is_link_local or "--loose" not in names
    assert isinstance(packet.dst, IPv6Address)
    flow = Flow(
        dst=src,
        src=packet.dst if _is_unicast6(packet.dst) else IPv6Address(0),
        mark=packet.mark if "--validmark" in names else 0,
        protocol=packet.frame[ETHER_SIZE + 6],
        tos=packet.tos,
        oif=place.in_device if is_strict else None,
        oif_is_wish=not src.is_link_local and is_strict,
    )
    route = lookup(place.node, flow)
    kind = _kind(route)
    if kind == "local":
        return "--accept-local" in names
    if route is None or kind not in ("unicast", "multicast", "anycast"):
        return False
    if kind == "anycast" and route.protocol == "kernel":  # RTF_ANYCAST
        return False
    return "--loose" in names or _uses(route, place.in_device)


def _kind(route: Route | None) -> str:
    """With anycast for itself."""
    if kind_of(route) not in (*KINDS, *ERRORS):
        raise Unmodelled
    return route.type if route else "unreachable"


def _uses(route: Route, device: str | None) -> bool:
    """fib_info_nh_uses_dev"""
    return device == route.dev or any(leg.dev == device for leg in route.nexthops)


ANSWERS: dict[str, Answer] = {"addrtype": _addrtype, "realm": _realm, "rpfilter": _rpfilter}
