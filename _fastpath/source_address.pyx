"""Which of its addresses a node speaks with.  Specified by dataplane.reference.source_address."""

from libc.stdint cimport uint32_t, uint64_t

from _fastpath.address cimport addr_equal, addr_in, addr_is_zero
from _fastpath.fib_rules cimport fib_lookup, flowi_t, flowi_to
from _fastpath.image cimport (
    ADDRESS_AVOIDED,
    ADDRESS_FITTING,
    ADDRESS_OPTIMISTIC,
    ADDRESS_UNUSABLE,
    ROUTE_BROADCAST,
    ROUTE_LOCAL,
    ROUTE_MULTICAST,
    ROUTE_UNICAST,
    address_t,
    device_t,
    node_t,
    route_t,
)

cdef enum:
    LINK_LOCAL = 2          # IPv6 scopes: RFC 4291 section 2.7
    SITE_LOCAL = 5
    GLOBAL = 14


cdef bint source_address(const image_t* image, int32_t node, int32_t route, addr_t destination,
                         addr_t* address) noexcept nogil:
    cdef const route_t* way = &image.routes[route]
    if not addr_is_zero(way.prefsrc):
        address[0] = way.prefsrc
        return True
    if way.kind == ROUTE_LOCAL and not way.anycast:
        address[0] = destination
        return True
    if way.family == 6:
        return select_address6(image, node, way.device, destination, address)
    if way.device < 0:
        return False
    return select_address(image, way.device, near_gateway(way), 0, address)


cdef inline addr_t near_gateway(const route_t* way) noexcept nogil:
    """fib_info_update_nhc_saddr: near the gateway, or just the first."""
    return addr_t(0, 0) if way.gateway_family == 6 else way.gateway


# ----------------------------------------------------------------------------------- IPv4


cdef inline bint holds(const address_t* own, addr_t address) noexcept nogil:
    return addr_in(address, addr_t(own.address.hi & own.mask.hi, own.address.lo & own.mask.lo),
                   own.mask)


cdef bint select_address(const image_t* image, int32_t device, addr_t next_hop, uint8_t scope,
                         addr_t* address) noexcept nogil:
    """The device's first primary address whose subnet holds the next hop, else its first, else
    the first of another device."""
    cdef const node_t* here = &image.nodes[image.devices[device].node]
    cdef uint32_t other
    if select_own(image, device, next_hop, scope, address):
        return True
    for other in range(here.device_start, here.device_start + here.device_count):
        if select_own(image, <int32_t>other, addr_t(0, 0), scope, address):
            return True
    return False


cdef bint select_own(const image_t* image, int32_t device, addr_t next_hop, uint8_t scope,
                     addr_t* address) noexcept nogil:
    cdef const device_t* dev = &image.devices[device]
    cdef const address_t* own
    cdef bint found = False
    cdef uint32_t i
    for i in range(dev.address_start, dev.address_start + dev.address_count):
        own = &image.addresses[i]
        if own.family != 4 or own.secondary or own.scope > scope:
            continue
        if not addr_is_zero(next_hop) and holds(own, next_hop):
            address[0] = own.address
            return True
        if not found:
            address[0] = own.address
            found = True
    return found


cdef bint suits(const address_t* own, addr_t destination) noexcept nogil:
    """nf_nat_redirect_ipv6_usable: any will do for a global destination."""
    if not is_candidate(own) or (own.address.hi == 0 and own.address.lo >> 32 == 0xFFFF):
        return False
    return scope6(destination) == GLOBAL or scope6(own.address) == scope6(destination)


cdef bint redirect_address(const image_t* image, int32_t device, uint8_t family,
                           addr_t destination, addr_t* address) noexcept nogil:
    cdef const device_t* dev = &image.devices[device]
    cdef uint32_t i
    for i in range(dev.address_start, dev.address_start + dev.address_count):
        if image.addresses[i].family != family:
            continue
        if family == 6 and not suits(&image.addresses[i], destination):
            continue
        address[0] = image.addresses[i].address
        return True
    return False


cdef bint route_address(const image_t* image, int32_t route, addr_t* address) noexcept nogil:
    """fib_result_prefsrc"""
    cdef const route_t* way = &image.routes[route]
    if not addr_is_zero(way.prefsrc):
        address[0] = way.prefsrc
        return True
    if way.leg_count:
        way = &image.routes[way.leg_start]
    return way.device >= 0 and select_address(image, way.device, near_gateway(way), 0, address)


cdef inline bint leads_somewhere(const image_t* image, int32_t route) noexcept nogil:
    return route >= 0 and image.routes[route].kind in (
        ROUTE_UNICAST, ROUTE_LOCAL, ROUTE_BROADCAST, ROUTE_MULTICAST)


cdef bint recorded_address(const image_t* image, const packet_t* packet, int32_t device,
                           int32_t route, addr_t* address) noexcept nogil:
    cdef flowi_t flow
    cdef int32_t back
    if route >= 0 and image.routes[route].kind == ROUTE_LOCAL:
        address[0] = packet.dst
        return True
    if packet.src.lo >> 24:
        flow = flowi_to(image, image.devices[device].node, 4, packet.src)
        flow.tos = packet.tos
        if image.devices[device].src_valid_mark:
            flow.mark = packet.mark
        back = fib_lookup(image, &flow)
        if leads_somewhere(image, back):
            return route_address(image, back, address)
    return select_address(image, device, packet.src, 0, address)


cdef bint leaving_address(const image_t* image, const packet_t* packet, int32_t device,
                          int32_t route, addr_t* address) noexcept nogil:
    cdef const route_t* way = &image.routes[route]
    cdef flowi_t flow = flowi_to(image, image.devices[device].node, 4, packet.dst)
    cdef int32_t found
    flow.src, flow.mark, flow.tos = packet.src, packet.mark, packet.tos
    flow.iif, flow.oif = device, way.device
    found = fib_lookup(image, &flow)
    if leads_somewhere(image, found):
        return route_address(image, found, address)
    return select_address(image, way.device, packet.dst if addr_is_zero(way.gateway)
                          else way.gateway, 0, address)


# ----------------------------------------------------------------------------------- IPv6


cdef struct score_t:        # what ipv6_get_saddr_eval compares, one after the other
    int rules[8]


cdef bint is_candidate(const address_t* own) noexcept nogil:
    return (own.family == 6 and not own.flags & ADDRESS_UNUSABLE
            and own.address.hi >> 56 != 0xFF)


cdef bint select_address6(const image_t* image, int32_t node, int32_t device, addr_t dst,
                          addr_t* address) noexcept nogil:
    cdef const node_t* here = &image.nodes[node]
    cdef bint is_near = dst.hi >> 56 == 0xFF or scope6(dst) <= LINK_LOCAL or (
        device >= 0 and image.devices[device].own_addresses_only)
    cdef bint found = False
    cdef const address_t* own
    cdef score_t best, score
    cdef uint32_t other, i
    for other in range(here.device_start, here.device_start + here.device_count):
        if is_near and device >= 0 and <int32_t>other != device:
            continue
        for i in range(image.devices[other].address_start,
                       image.devices[other].address_start + image.devices[other].address_count):
            own = &image.addresses[i]
            if not is_candidate(own):
                continue
            score = evaluate(own, <int32_t>other == device, dst)
            if not found or is_better(&score, &best):
                found = True
                best = score
                address[0] = own.address
    return found


cdef bint link_local_address(const image_t* image, int32_t device, addr_t* address) noexcept nogil:
    cdef const device_t* dev = &image.devices[device]
    cdef bint found = False
    cdef uint32_t i
    for i in range(dev.address_start, dev.address_start + dev.address_count):
        if image.addresses[i].family == 6 and image.addresses[i].address.hi >> 54 == 0x3FA:
            address[0] = image.addresses[i].address
            found = True
    return found


cdef bint is_better(const score_t* one, const score_t* other) noexcept nogil:
    cdef int rule
    for rule in range(8):
        if one.rules[rule] != other.rules[rule]:
            return one.rules[rule] > other.rules[rule]
    return False


cdef score_t evaluate(const address_t* own, bint is_there, addr_t dst) noexcept nogil:
    """RFC 6724 section 5, but for home addresses: Linux asks for them only with MIP6 built in."""
    cdef score_t score
    cdef int scope = scope6(own.address)
    score.rules[0] = addr_equal(own.address, dst)
    score.rules[1] = -scope if scope >= scope6(dst) else scope - 128
    score.rules[2] = is_preferred(own)
    score.rules[3] = is_there
    score.rules[4] = label6(own.address) == label6(dst)
    # Temporary as its device wants it, and an ORCHID only for another (RFC 4843).
    score.rules[5] = 2 * ((own.flags & ADDRESS_FITTING) != 0) + (
        is_orchid(own.address) == is_orchid(dst))
    score.rules[6] = min(common_bits(own.address, dst), <int>own.prefixlen)
    score.rules[7] = not own.flags & ADDRESS_OPTIMISTIC
    return score


cdef bint is_preferred(const address_t* own) noexcept nogil:
    """ipv6_saddr_preferred: of some it does not matter that they are deprecated."""
    if own.address.hi == 0 and own.address.lo >> 32 in (0, 0xFFFF):
        return True                     # the loopback; compatible with IPv4, or mapped
    return not own.flags & ADDRESS_AVOIDED


cdef bint is_orchid(addr_t address) noexcept nogil:
    return address.hi >> 36 == 0x2001001


cdef int scope6(addr_t address) noexcept nogil:
    """__ipv6_addr_src_scope"""
    if address.hi >> 56 == 0xFF:
        return (address.hi >> 48) & 15
    if address.hi >> 54 == 0x3FA or (address.hi == 0 and address.lo == 1):
        return LINK_LOCAL
    return SITE_LOCAL if address.hi >> 54 == 0x3FB else GLOBAL


cdef int label6(addr_t address) noexcept nogil:
    """ip6addrlbl_init_table: RFC 6724 section 2.1."""
    if address.hi == 0:
        if address.lo == 1:
            return 0
        if address.lo >> 32 == 0:
            return 3
        if address.lo >> 32 == 0xFFFF:
            return 4
    if address.hi >> 32 == 0x20010000u:
        return 6
    if address.hi >> 36 == 0x2001001:
        return 7
    if address.hi >> 48 == 0x3FFE:
        return 12
    if address.hi >> 48 == 0x2002:
        return 2
    if address.hi >> 54 == 0x3FB:
        return 11
    return 5 if address.hi >> 57 == 0x7E else 1


cdef int common_bits(addr_t a, addr_t b) noexcept nogil:
    cdef uint64_t differs = a.hi ^ b.hi
    cdef int bits = 0
    if differs == 0:
        differs, bits = a.lo ^ b.lo, 64
        if differs == 0:
            return 128
    while not differs >> 63:
        differs <<= 1
        bits += 1
    return bits
