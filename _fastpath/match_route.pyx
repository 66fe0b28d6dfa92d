"""Matches that ask how addresses would be routed.  Specified by dataplane.reference.match_route."""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from _fastpath.address cimport addr_equal, addr_is_zero, addr_t
from _fastpath.fib_rules cimport fib_lookup, flowi_t, flowi_to
from _fastpath.forwarding cimport address_kind, uses_device
from _fastpath.image cimport (
    ADDRTYPE_INVERT_DEST,
    ADDRTYPE_INVERT_SOURCE,
    ADDRTYPE_LIMIT_IFACE_IN,
    ADDRTYPE_LIMIT_IFACE_OUT,
    ANYCAST_KERNEL,
    DEVICE_LOOPBACK,
    MATCH_ADDRTYPE,
    MATCH_REALM,
    ROUTE_BLACKHOLE,
    ROUTE_LOCAL,
    ROUTE_MULTICAST,
    ROUTE_PROHIBIT,
    ROUTE_UNICAST,
    ROUTE_UNKNOWN,
    ROUTE_UNREACHABLE,
    RPFILTER_ACCEPT_LOCAL,
    RPFILTER_LOOSE,
    RPFILTER_VALID_MARK,
    TYPE_ANYCAST,
    TYPE_LOCAL,
    TYPE_MULTICAST,
    TYPE_UNICAST,
    TYPE_UNREACHABLE,
    TYPE_UNSPEC,
    device_t,
    route_t,
)
from _fastpath.matches cimport NO, UNDECIDED, YES
from _fastpath.packet cimport ETHER_SIZE, packet_t

cdef enum:
    LIMITED_BROADCAST = 0xFFFFFFFFu
    LOCAL_GROUPS = 0xE00000         # 224.0.0.0/24


# ------------------------------------------------------------------------ kinds of address


cdef inline bint is_group(addr_t address, uint8_t family) noexcept nogil:
    return address.hi >> 56 == 0xFF if family == 6 else address.lo >> 28 == 0xE


cdef inline bint is_unicast6(addr_t address) noexcept nogil:
    """ipv6_addr_type: IPV6_ADDR_UNICAST, which an IPv4-mapped address is not."""
    return not (is_group(address, 6) or addr_is_zero(address)
                or (address.hi == 0 and address.lo >> 32 == 0xFFFF))


cdef bint is_on_device(const walk_t* walk, addr_t address, int32_t device) noexcept nogil:
    """nf_ipv6_chk_addr"""
    cdef const device_t* dev = &walk.image.devices[device]
    cdef uint32_t i
    for i in range(dev.address_start, dev.address_start + dev.address_count):
        if walk.image.addresses[i].family == 6 and addr_equal(
                walk.image.addresses[i].address, address):
            return True
    return False


cdef inline bint is_network(const route_t* way, addr_t address) noexcept nogil:
    """The address without a host's bits: of the route's own network, it is the first."""
    if way.prefixlen > 64:
        return address.lo << (way.prefixlen - 64) == 0 if way.prefixlen < 128 else True
    if way.prefixlen == 64 or address.lo:
        return address.lo == 0
    return (address.hi << way.prefixlen) == 0


cdef bint is_subnet_router(const walk_t* walk, const route_t* way, addr_t address) noexcept nogil:
    """ipv6_anycast_destination: the first address of a link (RFC 4291 2.6.1)."""
    cdef addr_t gateway = walk.image.routes[way.leg_start].gateway if way.leg_count else way.gateway
    return way.prefixlen < 127 and is_network(way, address) and addr_is_zero(gateway)


cdef int routed_types(const walk_t* walk, addr_t address, int32_t device,
                      uint32_t* types) noexcept nogil:
    """match_lookup_rt6: YES, or UNDECIDED."""
    cdef flowi_t flow = flowi_to(walk.image, walk.packet.node, 6, address)
    cdef const route_t* way
    cdef int32_t route
    flow.oif = device
    route = fib_lookup(walk.image, &flow)
    types[0] = TYPE_UNREACHABLE
    if route < 0:
        return YES
    way = &walk.image.routes[route]
    if way.kind == ROUTE_UNKNOWN:
        return UNDECIDED
    if way.kind in (ROUTE_BLACKHOLE, ROUTE_UNREACHABLE, ROUTE_PROHIBIT):
        return YES
    types[0] = 0
    if is_on_device(walk, address, device) if device >= 0 else (
            way.kind == ROUTE_LOCAL and not way.anycast):
        types[0] |= TYPE_LOCAL
    if way.anycast == ANYCAST_KERNEL or is_subnet_router(walk, way, address):
        types[0] |= TYPE_ANYCAST
    return YES


cdef int has_type6(const walk_t* walk, addr_t address, uint32_t wanted,
                   int32_t device) noexcept nogil:
    """match_type6: all that is asked for must hold, but of the last three one is enough."""
    cdef uint32_t types = 0
    if wanted & TYPE_MULTICAST and not is_group(address, 6):
        return NO
    if wanted & TYPE_UNICAST and not is_unicast6(address):
        return NO
    if wanted & TYPE_UNSPEC and not addr_is_zero(address):
        return NO
    if not wanted & (TYPE_ANYCAST | TYPE_LOCAL | TYPE_UNREACHABLE):
        return YES
    if routed_types(walk, address, device, &types) != YES:
        return UNDECIDED
    return YES if wanted & types else NO


cdef int has_type(const walk_t* walk, addr_t address, uint32_t wanted,
                  int32_t device) noexcept nogil:
    if walk.packet.family == 6:
        return has_type6(walk, address, wanted, device)
    return (wanted >> address_kind(walk.image, walk.packet.node, 4, address, device)) & 1


cdef int addrtype_match(const walk_t* walk, const match_t* match) noexcept nogil:
    """xt_addrtype.c, addrtype_mt_v1"""
    cdef const packet_t* packet = walk.packet
    cdef int32_t device = -1
    cdef int hit, other = YES
    if match.c & ADDRTYPE_LIMIT_IFACE_IN:
        device = packet.in_device
    elif match.c & ADDRTYPE_LIMIT_IFACE_OUT:
        device = packet.out_device
    if match.a:
        hit = has_type(walk, packet.src, match.a, device)
        if hit != UNDECIDED and hit == ((match.c & ADDRTYPE_INVERT_SOURCE) != 0):
            return NO
        other = UNDECIDED if hit == UNDECIDED else YES
    if match.b:
        hit = has_type(walk, packet.dst, match.b, device)
        if hit != UNDECIDED and hit == ((match.c & ADDRTYPE_INVERT_DEST) != 0):
            return NO
        other = UNDECIDED if hit == UNDECIDED else other
    return other


# ------------------------------------------------------------------------------ the way back


cdef int leads_back(const walk_t* walk, const match_t* match, const flowi_t* flow) noexcept nogil:
    """rpfilter_lookup_reverse, rpfilter_lookup_reverse6"""
    cdef int32_t route = fib_lookup(walk.image, flow)
    cdef const route_t* way
    if route < 0:
        return NO
    way = &walk.image.routes[route]
    if way.kind == ROUTE_UNKNOWN:
        return UNDECIDED
    if way.kind not in (ROUTE_UNICAST, ROUTE_LOCAL, ROUTE_MULTICAST):
        return NO
    if flow.family == 4 and (way.kind == ROUTE_MULTICAST or way.anycast):
        return NO
    if way.anycast == ANYCAST_KERNEL:
        return NO
    if way.kind == ROUTE_LOCAL and not way.anycast:
        if not match.flags & RPFILTER_ACCEPT_LOCAL:
            return NO
        if flow.family == 6:
            return YES
    if match.flags & RPFILTER_LOOSE:
        return YES
    return uses_device(walk.image, route, walk.packet.in_device)


cdef int reverse_match4(const walk_t* walk, const match_t* match) noexcept nogil:
    """ipt_rpfilter.c, rpfilter_mt"""
    cdef const packet_t* packet = walk.packet
    cdef flowi_t flow = flowi_to(walk.image, packet.node, 4, packet.src)
    cdef uint64_t dst = packet.dst.lo
    if packet.src.lo >> 24 == 0 and (dst == LIMITED_BROADCAST or dst >> 8 == LOCAL_GROUPS):
        return YES
    if not (is_group(packet.dst, 4) or dst == LIMITED_BROADCAST or dst >> 24 == 0):
        flow.src = packet.dst
    flow.mark = packet.mark if match.flags & RPFILTER_VALID_MARK else 0
    flow.tos = packet.tos
    return leads_back(walk, match, &flow)


cdef int reverse_match6(const walk_t* walk, const match_t* match) noexcept nogil:
    """ip6t_rpfilter.c, rpfilter_mt"""
    cdef const packet_t* packet = walk.packet
    cdef flowi_t flow = flowi_to(walk.image, packet.node, 6, packet.src)
    if addr_is_zero(packet.src):
        return YES
    if is_unicast6(packet.dst):
        flow.src = packet.dst
    flow.mark = packet.mark if match.flags & RPFILTER_VALID_MARK else 0
    flow.tos = packet.tos
    flow.proto = packet.frame[ETHER_SIZE + 6]
    if packet.src.hi >> 54 == 0x3FA:            # fe80::/10
        flow.oif = packet.in_device
    elif not match.flags & RPFILTER_LOOSE:
        flow.oif = packet.in_device
        flow.oif_is_wish = 1
    return leads_back(walk, match, &flow)


cdef int rpfilter_match(const walk_t* walk, const match_t* match) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef int found
    if packet.in_device < 0:
        return UNDECIDED
    if walk.image.devices[packet.in_device].kind == DEVICE_LOOPBACK:
        return YES ^ match.invert
    found = reverse_match4(walk, match) if packet.family == 4 else reverse_match6(walk, match)
    return found if found == UNDECIDED else found ^ match.invert


cdef int route_match(const walk_t* walk, const match_t* match) noexcept nogil:
    if match.kind == MATCH_ADDRTYPE:
        return addrtype_match(walk, match)
    if match.kind == MATCH_REALM:
        return ((walk.packet.realms & match.b) == match.a) ^ match.invert
    return rpfilter_match(walk, match)
