"""Realms: how routes class packets.  Specified by dataplane.reference.realms."""

from libc.stdint cimport uint8_t

from _fastpath.fib_rules cimport fib_lookup_by, flowi_input
from _fastpath.forwarding cimport reverse_flow, uses_device
from _fastpath.image cimport (
    DEVICE_LOOPBACK,
    ROUTE_BROADCAST,
    ROUTE_LOCAL,
    ROUTE_UNICAST,
    device_t,
    route_t,
)


cdef inline uint32_t half_by_half(uint32_t realms, uint32_t others) noexcept nogil:
    """set_class_tag: each half, if it is not there yet."""
    if realms & 0xFFFF == 0:
        realms |= others & 0xFFFF
    if realms >> 16 == 0:
        realms |= others & 0xFFFF0000u
    return realms


cdef uint32_t realms_of_rule(const image_t* image, const flowi_t* flow) noexcept nogil:
    cdef int32_t rule = -1
    fib_lookup_by(image, flow, &rule)
    return image.fib_rules[rule].realms if rule >= 0 else 0


cdef uint32_t first_realms(const image_t* image, int32_t route) noexcept nogil:
    """Of a multipath route: its first leg's."""
    cdef const route_t* way = &image.routes[route]
    return image.routes[way.leg_start].realms if way.leg_count else way.realms


cdef uint32_t source_realms(const image_t* image, const packet_t* packet, int32_t device,
                            int32_t out_device, bint to_everybody) noexcept nogil:
    """__fib_validate_source, fib_combine_itag: what leads back to the source."""
    cdef const device_t* dev = &image.devices[device]
    cdef flowi_t flow = reverse_flow(image, packet, device, out_device, to_everybody)
    cdef int32_t rule = -1
    cdef int32_t back = fib_lookup_by(image, &flow, &rule)
    cdef uint32_t realms, own
    if back < 0 or image.routes[back].kind not in (ROUTE_UNICAST, ROUTE_LOCAL):
        return 0
    if not dev.has_address and not uses_device(image, back, device) and not (
            image.routes[back].kind == ROUTE_LOCAL and dev.kind == DEVICE_LOOPBACK):
        return 0
    realms = first_realms(image, back) << 16
    own = image.fib_rules[rule].realms
    if realms == 0:
        realms = own << 16
    return realms | (own >> 16)


cdef uint32_t input_realms(const image_t* image, const packet_t* packet, int32_t device,
                           int32_t route) noexcept nogil:
    """ip_route_input_slow, rt_set_nexthop"""
    cdef const device_t* dev = &image.devices[device]
    cdef flowi_t flow
    cdef uint8_t kind
    if packet.family != 4 or not image.nodes[dev.node].has_realms:
        return 0
    if route < 0:       # to a group or to everybody
        return 0 if packet.src.lo >> 24 == 0 else source_realms(image, packet, device, -1, True)
    kind = image.routes[route].kind
    if kind == ROUTE_LOCAL or (kind == ROUTE_BROADCAST and not dev.bc_forwarding):
        return source_realms(image, packet, device, -1, kind == ROUTE_BROADCAST)
    flow = flowi_input(image, packet, device)
    return half_by_half(
        half_by_half(image.routes[route].realms, realms_of_rule(image, &flow)),
        source_realms(image, packet, device, image.routes[route].device, False))


cdef uint32_t output_realms(const image_t* image, const flowi_t* flow,
                            int32_t route) noexcept nogil:
    """__mkroute_output, rt_set_nexthop: no leg of a broadcast's, or of a default route to a
    group, counts."""
    cdef const route_t* way = &image.routes[route]
    cdef uint32_t own = way.realms
    if flow.family != 4 or not image.nodes[flow.node].has_realms:
        return 0
    if way.kind == ROUTE_BROADCAST or flow.dst.lo == 0xFFFFFFFFu or (
            flow.dst.lo >> 28 == 0xE and way.prefixlen < 4):
        own = 0
    return half_by_half(own, realms_of_rule(image, flow))
