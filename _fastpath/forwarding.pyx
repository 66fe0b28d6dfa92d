"""Where an IP packet goes.  Specified by dataplane.reference.forwarding."""

from _fastpath.address cimport addr_compare, addr_equal, addr_in, addr_is_zero
from _fastpath.fib_rules cimport fib_lookup, flowi_input
from _fastpath.fib_select cimport fib_select
from _fastpath.image cimport (
    ANYCAST_KERNEL,
    ROUTE_ANYCAST,
    DEVICE_LOOPBACK,
    ROUTE_BLACKHOLE,
    ROUTE_BROADCAST,
    ROUTE_LOCAL,
    ROUTE_MULTICAST,
    ROUTE_PROHIBIT,
    ROUTE_UNICAST,
    ROUTE_UNKNOWN,
    ROUTE_UNREACHABLE,
    address_t,
    device_t,
    group_t,
)
from _fastpath.lpm cimport lpm_lookup
from _fastpath.reason cimport (
    FORWARDING_DISABLED,
    GROUP_NOT_JOINED,
    MARTIAN_DESTINATION,
    MARTIAN_SOURCE,
    NO_ROUTE,
    REVERSE_PATH,
    ROUTE_PROHIBIT as REASON_PROHIBIT,
    ROUTE_UNMODELLED,
)
from _fastpath.reason cimport ROUTE_BLACKHOLE as REASON_BLACKHOLE
from _fastpath.reason cimport ROUTE_UNREACHABLE as REASON_UNREACHABLE

cdef enum:
    LIMITED_BROADCAST = 0xFFFFFFFFu
    PROTO_IGMP = 2
    IP_MTU_MAX = 65535

# ------------------------------------------------------------------------ kinds of address


cdef uint8_t address_kind(const image_t* image, int32_t node, uint8_t family,
                          addr_t address, int32_t device) noexcept nogil:
    cdef int32_t root = image.nodes[node].local_fib[1 if family == 6 else 0]
    cdef int32_t route
    cdef uint8_t kind
    if family == 4:
        # fib_frontend.c, __inet_dev_addr_type
        if address.lo >> 24 == 0 or address.lo == LIMITED_BROADCAST:
            return ROUTE_BROADCAST
        if (address.lo >> 28) == 0xE:
            return ROUTE_MULTICAST
    elif (address.hi >> 56) == 0xFF:
        return ROUTE_MULTICAST
    if root < 0:
        return ROUTE_UNICAST
    route = lpm_lookup(image.lpm, root, address, family)
    if route < 0:
        return ROUTE_UNICAST
    if device >= 0 and image.routes[route].device != device:
        return ROUTE_UNICAST
    kind = image.routes[route].kind
    if kind not in (ROUTE_LOCAL, ROUTE_BROADCAST, ROUTE_MULTICAST):
        return ROUTE_UNICAST    # for a refusal, too: fib_table_lookup fails
    if family == 4 and image.routes[route].anycast:
        return ROUTE_ANYCAST
    return kind


# ------------------------------------------------------------------------------- sources


cdef inline bint is_loopback(addr_t address) noexcept nogil:
    return (address.lo >> 24) == 127


cdef bint is_own(const image_t* image, int32_t node, addr_t address) noexcept nogil:
    """inet_lookup_ifaddr_rcu: an address of any device."""
    cdef const device_t* dev
    cdef uint32_t device, i
    for device in range(image.nodes[node].device_start,
                        image.nodes[node].device_start + image.nodes[node].device_count):
        dev = &image.devices[device]
        for i in range(dev.address_start, dev.address_start + dev.address_count):
            if image.addresses[i].family == 4 and addr_equal(image.addresses[i].address, address):
                return True
    return False


cdef bint uses_device(const image_t* image, int32_t route, int32_t device) noexcept nogil:
    """fib_info_nh_uses_dev"""
    cdef const route_t* way = &image.routes[route]
    cdef uint32_t i
    if way.device == device:
        return True
    for i in range(way.leg_start, way.leg_start + way.leg_count):
        if image.routes[i].device == device:
            return True
    return False


cdef flowi_t reverse_flow(const image_t* image, const packet_t* packet, int32_t device,
                          int32_t out_device, bint to_everybody) noexcept nogil:
    cdef const device_t* dev = &image.devices[device]
    cdef flowi_t flow = flowi_input(image, packet, device)
    flow.src, flow.dst = addr_t(0, 0) if to_everybody else packet.dst, packet.src
    flow.iif = out_device if out_device >= 0 else image.nodes[dev.node].loopback
    flow.sport, flow.dport = flow.dport, flow.sport
    if not dev.src_valid_mark:
        flow.mark = 0
    return flow


cdef int reverse_path(const image_t* image, const packet_t* packet, int32_t device,
                      int32_t out_device, bint to_everybody) noexcept nogil:
    """__fib_validate_source.  The way back must be the way it came: RFC 3704, strict (1) or
    loose (2); and no source may be anything but a host."""
    cdef const device_t* dev = &image.devices[device]
    cdef flowi_t flow = reverse_flow(image, packet, device, out_device, to_everybody)
    cdef int32_t back
    cdef uint8_t kind
    back = fib_lookup(image, &flow)
    kind = image.routes[back].kind if back >= 0 else ROUTE_UNREACHABLE
    if kind == ROUTE_BLACKHOLE or kind == ROUTE_UNREACHABLE or kind == ROUTE_PROHIBIT:
        return REVERSE_PATH if dev.rp_filter else 0
    if kind == ROUTE_UNKNOWN:
        return ROUTE_UNMODELLED
    if kind != ROUTE_UNICAST and not (kind == ROUTE_LOCAL and dev.accept_local):
        return MARTIAN_SOURCE
    if uses_device(image, back, device) or (kind == ROUTE_LOCAL and dev.kind == DEVICE_LOOPBACK):
        return 0
    if not dev.has_address:
        return REVERSE_PATH if dev.rp_filter else 0
    return REVERSE_PATH if dev.rp_filter == 1 else 0


cdef int check_source(const image_t* image, const packet_t* packet, int32_t device,
                      int32_t out_device, bint to_everybody) noexcept nogil:
    """fib_validate_source.  `out_device`: where it would be forwarded; -1 = it is not."""
    cdef const device_t* dev = &image.devices[device]
    cdef const node_t* node = &image.nodes[dev.node]
    if dev.rp_filter == 0 and not (device == out_device and dev.send_redirects) and (
            not node.has_realms):
        if dev.accept_local:
            return 0
        if not node.has_custom_local and not node.has_custom_rules:
            return MARTIAN_SOURCE if is_own(image, dev.node, packet.src) else 0
    return reverse_path(image, packet, device, out_device, to_everybody)


cdef bint goes_back(const image_t* image, const packet_t* packet, int32_t device,
                    int32_t route) noexcept nogil:
    cdef const device_t* dev = &image.devices[device]
    cdef const route_t* way = &image.routes[route]
    cdef flowi_t flow
    cdef int32_t back
    if way.device != device or not dev.send_redirects:
        return False
    flow = reverse_flow(image, packet, device, device, False)
    back = fib_lookup(image, &flow)
    if back < 0 or image.routes[back].kind not in (
            ROUTE_UNICAST, ROUTE_LOCAL, ROUTE_BROADCAST, ROUTE_MULTICAST):
        return False
    if not is_near(image, &flow, device, back):
        return False
    return dev.shared_media or shares_subnet(image, dev, packet.src, way)


cdef bint is_near(const image_t* image, flowi_t* flow, int32_t device,
                  int32_t back) noexcept nogil:
    """What __fib_validate_source says of the way back: it needs no gateway."""
    cdef const device_t* dev = &image.devices[device]
    cdef const route_t* way = &image.routes[back]
    cdef uint32_t leg
    if uses_device(image, back, device) or (
            way.kind == ROUTE_LOCAL and dev.kind == DEVICE_LOOPBACK):
        if way.leg_count:
            way = &image.routes[way.leg_start]
        return addr_is_zero(way.gateway)
    if not dev.has_address:
        return False
    flow.oif = device
    back = fib_lookup(image, flow)
    if back < 0 or image.routes[back].kind != ROUTE_UNICAST:
        return False
    way = &image.routes[back]
    for leg in range(way.leg_start, way.leg_start + way.leg_count):
        if image.routes[leg].device == device:
            return addr_is_zero(image.routes[leg].gateway)
    return addr_is_zero(way.gateway)


cdef bint shares_subnet(const image_t* image, const device_t* dev, addr_t address,
                        const route_t* way) noexcept nogil:
    """inet_addr_onlink"""
    cdef bint has_gateway = way.gateway_family == 4 and not addr_is_zero(way.gateway)
    cdef const address_t* own
    cdef addr_t network
    cdef uint32_t i
    for i in range(dev.address_start, dev.address_start + dev.address_count):
        own = &image.addresses[i]
        network = addr_t(own.address.hi & own.mask.hi, own.address.lo & own.mask.lo)
        if own.family == 4 and addr_in(address, network, own.mask) and (
                not has_gateway or addr_in(way.gateway, network, own.mask)):
            return True
    return False


cdef int check_addresses(const image_t* image, const packet_t* packet,
                         int32_t device) noexcept nogil:
    """route.c, ip_route_input_slow: addresses that never arrive on a wire."""
    cdef const device_t* dev = &image.devices[device]
    cdef uint64_t src = packet.src.lo, dst = packet.dst.lo
    if src >> 28 == 0xE or src == LIMITED_BROADCAST:
        return MARTIAN_SOURCE
    if is_to_everybody(packet):
        return 0                # the only destinations for which source 0.0.0.0 is right
    if src >> 24 == 0:
        return MARTIAN_SOURCE
    if dst >> 24 == 0:
        return MARTIAN_DESTINATION
    if dev.route_localnet:
        return 0
    if is_loopback(packet.dst):
        return MARTIAN_DESTINATION
    return MARTIAN_SOURCE if is_loopback(packet.src) else 0


cdef bint is_to_everybody(const packet_t* packet) noexcept nogil:
    return packet.dst.lo == LIMITED_BROADCAST or (packet.src.lo == 0 and packet.dst.lo == 0)


# --------------------------------------------------------------------------------- routes


cdef int refusal(uint8_t kind) noexcept nogil:
    if kind == ROUTE_BLACKHOLE:
        return REASON_BLACKHOLE
    if kind == ROUTE_UNREACHABLE:
        return REASON_UNREACHABLE
    if kind == ROUTE_PROHIBIT:
        return REASON_PROHIBIT
    return 0 if kind == ROUTE_UNICAST else ROUTE_UNMODELLED


cdef int route_input(const image_t* image, state_t* state, const packet_t* packet,
                     int32_t device, int32_t* route) noexcept nogil:
    cdef flowi_t flow = flowi_input(image, packet, device)
    route[0] = -1
    if is_multicast(packet):
        return group_input(image, packet, device)
    if packet.family == 4:
        return route_input4(image, state, &flow, packet, device, route)
    return route_input6(image, state, &flow, packet, route)


cdef inline bint is_multicast(const packet_t* packet) noexcept nogil:
    if packet.family == 4:
        return packet.dst.lo >> 28 == 0xE
    return packet.dst.hi >> 56 == 0xFF


cdef bint is_joined(const image_t* image, int32_t device, uint8_t family,
                    addr_t address) noexcept nogil:
    cdef uint32_t low = 0, high = image.group_count, middle
    cdef const group_t* group
    cdef int order
    while low < high:
        middle = (low + high) >> 1
        group = &image.groups[middle]
        order = compare_key(group.device, group.family, group.address, device, family, address)
        if order == 0:
            return True
        if order < 0:
            low = middle + 1
        else:
            high = middle
    return False


cdef int group_input(const image_t* image, const packet_t* packet, int32_t device) noexcept nogil:
    """ip_route_input_rcu, ip_mc_validate_source; ip6_mc_input.  Nothing is forwarded to groups."""
    cdef uint64_t src = packet.src.lo
    if not is_joined(image, device, packet.family, packet.dst):
        return GROUP_NOT_JOINED
    if packet.family == 6:
        return 0
    if src >> 28 == 0xE or src == LIMITED_BROADCAST:
        return MARTIAN_SOURCE
    if is_loopback(packet.src) and not image.devices[device].route_localnet:
        return MARTIAN_SOURCE
    if src >> 24:
        return check_source(image, packet, device, -1, True)
    # 224.0.0.0/24, or IGMP
    return 0 if packet.dst.lo >> 8 == 0xE00000 or packet.proto == PROTO_IGMP else MARTIAN_SOURCE


cdef uint32_t route_mtu(const image_t* image, const route_t* way, int32_t device) noexcept nogil:
    cdef const device_t* dev = &image.devices[device]
    if way.mtu:
        return min(way.mtu, <uint32_t>IP_MTU_MAX)
    return min(dev.mtu6 if way.family == 6 else dev.mtu, <uint32_t>IP_MTU_MAX)


cdef int choose_leg(const image_t* image, state_t* state, const flowi_t* flow,
                    const packet_t* packet, int32_t* route) noexcept nogil:
    cdef int32_t leg = fib_select(image, state, flow, packet, route[0])
    if leg < 0:
        return ROUTE_UNMODELLED
    if leg == route[0]:
        return 0
    route[0] = leg
    return refusal(image.routes[leg].kind)


cdef int route_input4(const image_t* image, state_t* state, const flowi_t* flow,
                      const packet_t* packet, int32_t device, int32_t* route) noexcept nogil:
    """ip_route_input_slow"""
    cdef const device_t* dev = &image.devices[device]
    cdef int reason = check_addresses(image, packet, device)
    cdef uint8_t kind
    if reason:
        return reason
    if is_to_everybody(packet):
        return 0 if packet.src.lo >> 24 == 0 else check_source(image, packet, device, -1, True)
    route[0] = fib_lookup(image, flow)
    kind = image.routes[route[0]].kind if route[0] >= 0 else ROUTE_UNREACHABLE
    if kind == ROUTE_BROADCAST and not dev.bc_forwarding:
        return check_source(image, packet, device, -1, True)
    if kind == ROUTE_LOCAL:
        return check_source(image, packet, device, -1, False)
    if not dev.forwards and kind != ROUTE_BROADCAST:
        return FORWARDING_DISABLED
    if route[0] < 0:
        return NO_ROUTE
    if kind == ROUTE_MULTICAST:
        return MARTIAN_DESTINATION
    reason = refusal(kind) if kind != ROUTE_BROADCAST else 0
    if reason == 0:
        reason = choose_leg(image, state, flow, packet, route)
    if reason:
        return reason
    return check_source(image, packet, device, image.routes[route[0]].device, False)


cdef int route_input6(const image_t* image, state_t* state, const flowi_t* flow,
                      const packet_t* packet, int32_t* route) noexcept nogil:
    """ip6_route_input, and ip6_forward's first question: it is asked only of what has a way."""
    cdef int reason
    cdef uint8_t kind
    route[0] = fib_lookup(image, flow)
    if route[0] < 0:
        return NO_ROUTE
    kind = image.routes[route[0]].kind
    if kind == ROUTE_LOCAL:
        return 0
    reason = refusal(kind)
    if reason:
        return reason
    if not image.nodes[flow.node].forwarding[1]:
        return FORWARDING_DISABLED
    return choose_leg(image, state, flow, packet, route)


cdef inline bint is_looped_anycast(const route_t* way) noexcept nogil:
    """ip6_rt_get_dev_rcu: of IPv6, the kernel's own."""
    return way.family == 6 and way.anycast == ANYCAST_KERNEL


cdef int32_t output_device(const image_t* image, int32_t node, int32_t route) noexcept nogil:
    cdef const route_t* way = &image.routes[route]
    if way.kind == ROUTE_LOCAL and (not way.anycast or is_looped_anycast(way)):
        return image.nodes[node].loopback
    return way.device


cdef int route_output(const image_t* image, state_t* state, const flowi_t* flow,
                      const packet_t* packet, int32_t* route) noexcept nogil:
    cdef uint8_t kind
    cdef int reason
    route[0] = fib_lookup(image, flow)
    if route[0] < 0:
        return NO_ROUTE
    kind = image.routes[route[0]].kind
    if kind != ROUTE_LOCAL and kind != ROUTE_BROADCAST and refusal(kind):
        return refusal(kind)
    reason = choose_leg(image, state, flow, packet, route)
    if reason:
        return reason
    return ROUTE_UNMODELLED if output_device(image, flow.node, route[0]) < 0 else 0


# ----------------------------------------------------------------------- hosts and wires


cdef int compare_key(int32_t device, uint8_t family, addr_t address, int32_t other_device,
                     uint8_t other_family, addr_t other) noexcept nogil:
    if device != other_device:
        return -1 if device < other_device else 1
    if family != other_family:
        return -1 if family < other_family else 1
    return addr_compare(address, other)


cdef int32_t host_lookup(const image_t* image, int32_t device, uint64_t mac) noexcept nogil:
    cdef uint32_t low = 0, high = image.host_count, middle
    cdef const host_t* host
    while low < high:
        middle = (low + high) >> 1
        host = &image.hosts[middle]
        if host.device < device or (host.device == device and host.mac < mac):
            low = middle + 1
        else:
            high = middle
    if low < image.host_count and image.hosts[low].device == device and image.hosts[low].mac == mac:
        return <int32_t>low
    return -1


cdef int32_t host_of_address(const image_t* image, uint8_t family,
                             addr_t address) noexcept nogil:
    cdef uint32_t low = 0, high = image.host_count, middle
    cdef const host_t* host
    cdef int order
    while low < high:
        middle = (low + high) >> 1
        host = &image.hosts[image.host_by_address[middle]]
        order = compare_key(0, host.family, host.address, 0, family, address)
        if order < 0:
            low = middle + 1
        else:
            high = middle
    if low == image.host_count:
        return -1
    host = &image.hosts[image.host_by_address[low]]
    if host.has_address and host.family == family and addr_equal(host.address, address):
        return <int32_t>image.host_by_address[low]
    return -1


cdef int32_t wire_lookup(const image_t* image, int32_t device, uint64_t mac) noexcept nogil:
    cdef int32_t segment = image.devices[device].segment
    cdef uint32_t low = 0, high = image.wire_count, middle
    cdef const device_t* other
    if segment < 0:
        return -1
    while low < high:
        middle = (low + high) >> 1
        other = &image.devices[image.wires[middle]]
        if other.segment < segment or (other.segment == segment and other.mac < mac):
            low = middle + 1
        else:
            high = middle
    if low == image.wire_count:
        return -1
    other = &image.devices[image.wires[low]]
    if other.segment == segment and other.mac == mac and image.wires[low] != device:
        return image.wires[low]
    return -1


cdef int32_t wire_address(const image_t* image, int32_t device, uint8_t family,
                          addr_t address) noexcept nogil:
    cdef int32_t segment = image.devices[device].segment
    cdef const device_t* dev
    cdef uint32_t i, j
    if segment < 0:
        return -1
    for i in range(image.device_count):
        dev = &image.devices[i]
        if dev.segment != segment or <int32_t>i == device or not dev.is_up:
            continue
        for j in range(dev.address_start, dev.address_start + dev.address_count):
            if (image.addresses[j].family == family
                    and addr_equal(image.addresses[j].address, address)):
                return <int32_t>i
    return -1
