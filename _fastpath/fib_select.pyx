"""Multipath routes.  Specified by dataplane.reference.fib_select.

Linux hashes with a secret of its boot (fib_multipath_hash_seed); here the hash is keyed like
every other draw, over the same fields.
"""

from libc.stdint cimport uint8_t, uint32_t

from _fastpath.address cimport addr_t
from _fastpath.choice cimport CHOICE_MULTIPATH, choice_fed, choice_key
from _fastpath.image cimport ROUTE_UNKNOWN, node_t, route_t
from _fastpath.packet cimport (
    ETHER_SIZE,
    PROTO_GRE,
    PROTO_ICMP,
    PROTO_ICMPV6,
    load32,
    load64,
)

cdef enum:
    FLOWLABEL = 0xFFFFF
    PROTO_IPIP = 4
    PROTO_IPV6 = 41


cdef inline bint is_icmp_error(const packet_t* packet) noexcept nogil:
    cdef uint8_t type
    if packet.l4 == 0 or packet.l4 >= packet.size:
        return False
    type = packet.frame[packet.l4]
    if packet.family == 4:
        return (packet.proto == PROTO_ICMP and packet.fragment_offset == 0
                and type in (3, 5, 11, 12))
    return packet.proto == PROTO_ICMPV6 and type < 128 and packet.frame[ETHER_SIZE + 6] == 58


cdef void outer_keys(draw_t* draw, const packet_t* packet) noexcept nogil:
    """ip_multipath_l3_keys: an ICMP error goes the way of what it quotes."""
    cdef const uint8_t* ip = packet.frame + ETHER_SIZE
    cdef uint32_t size = packet.size - ETHER_SIZE
    if is_icmp_error(packet):
        if packet.l4 + 8 + (20 if packet.family == 4 else 40) <= packet.size:
            ip = packet.frame + packet.l4 + 8
            size = packet.size - packet.l4 - 8
    if packet.family == 4 and size >= 20:
        draw.src, draw.dst = addr_t(0, load32(ip + 12)), addr_t(0, load32(ip + 16))
    elif packet.family == 6 and size >= 40:
        draw.src = addr_t(load64(ip + 8), load64(ip + 16))
        draw.dst = addr_t(load64(ip + 24), load64(ip + 32))
        draw.extra = load32(ip) & FLOWLABEL
        draw.proto = ip[6]


cdef inline bint is_tunnelled(const draw_t* draw) noexcept nogil:
    return draw.proto in (PROTO_IPIP, PROTO_IPV6, PROTO_GRE)


cdef bint only(draw_t* draw, uint32_t fields, uint32_t label) noexcept nogil:
    """fib_multipath_custom_hash_outer, rt6_multipath_custom_hash_outer"""
    if fields & FIELDS_INNER and is_tunnelled(draw):
        return False
    if not fields & FIELD_SRC_IP:
        draw.src = addr_t(0, 0)
    if not fields & FIELD_DST_IP:
        draw.dst = addr_t(0, 0)
    if not fields & FIELD_IP_PROTO:
        draw.proto = 0
    if fields & FIELD_FLOWLABEL:
        draw.extra = label
    if not fields & FIELD_SRC_PORT:
        draw.sport = 0
    if not fields & FIELD_DST_PORT:
        draw.dport = 0
    return True


cdef bint hash_fields(const image_t* image, const flowi_t* flow, const packet_t* packet,
                      draw_t* draw) noexcept nogil:
    """fib_multipath_hash, rt6_multipath_hash: what is hashed.  False: not modelled."""
    cdef const node_t* node = &image.nodes[flow.node]
    cdef uint32_t column = 1 if flow.family == 6 else 0
    cdef uint8_t policy = node.hash_policy[column]
    cdef uint32_t label = 0
    draw.node, draw.kind, draw.family = node.identity, CHOICE_MULTIPATH, flow.family
    draw.padding = 0
    draw.src, draw.dst = flow.src, flow.dst
    draw.sport, draw.dport, draw.proto, draw.extra = flow.sport, flow.dport, flow.proto, 0
    if packet != NULL and packet.family == 6:
        label = load32(packet.frame + ETHER_SIZE) & FLOWLABEL
    if policy == HASH_L4:
        return True
    if policy == HASH_CUSTOM:
        return only(draw, node.hash_fields[column], label)
    if policy == HASH_INNER and is_tunnelled(draw):
        return False
    draw.sport = draw.dport = 0
    if flow.family == 4:
        draw.proto = 0
    if packet != NULL:
        outer_keys(draw, packet)
    return True


cdef int32_t leg_by_device(const image_t* image, const route_t* way,
                           int32_t oif) noexcept nogil:
    cdef uint32_t i
    for i in range(way.leg_start, way.leg_start + way.leg_count):
        if image.routes[i].device == oif:
            return <int32_t>i
    return -1


cdef int32_t fib_select(const image_t* image, state_t* state, const flowi_t* flow,
                        const packet_t* packet, int32_t route) noexcept nogil:
    """fib_select_path, fib_select_multipath, fib6_select_path"""
    cdef const route_t* way
    cdef draw_t draw
    cdef uint32_t value = 0, i
    if route < 0:
        return route
    way = &image.routes[route]
    if way.leg_count == 0 or way.kind == ROUTE_UNKNOWN:
        return route
    if flow.oif >= 0:
        return leg_by_device(image, way, flow.oif)
    if not hash_fields(image, flow, packet, &draw):
        return -1
    if choice_fed(state, &draw, True, &value):
        return <int32_t>(way.leg_start + min(value, way.leg_count - 1))
    value = <uint32_t>(choice_key(image.seed, &draw) >> 33)
    for i in range(way.leg_start, way.leg_start + way.leg_count):
        if value <= image.routes[i].upper_bound:
            return <int32_t>i
    return <int32_t>(way.leg_start + way.leg_count - 1)
