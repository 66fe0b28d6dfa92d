"""Tuples: what one direction of a connection looks like.

Specified by dataplane.reference.conntrack_tuple.
"""

from _fastpath.address cimport addr_t
from _fastpath.packet cimport (
    PROTO_DCCP,
    PROTO_GRE,
    is_extension,
    load16,
    load32,
    load64,
    packet_holds,
    proto_has_ports,
    skip_extensions,
)

cdef enum:
    GRE_VERSION = 7             # bits of the flags
    GRE_PPTP = 1
    PROTO_NONE = 59
    GRE_PROTO_PPP = 0x880B


cdef uint16_t icmp_answer(uint8_t proto, uint16_t kind) noexcept nogil:
    """type << 8 of what answers this type; 0xFFFF if nothing does (not trackable).

    nf_conntrack_proto_icmp.c and _icmpv6.c, invmap.
    """
    cdef uint16_t type = kind >> 8
    if proto == PROTO_ICMP:
        if type == 8:
            return 0 << 8
        if type == 0:
            return 8 << 8
        if type == 13 or type == 15 or type == 17:
            return (type + 1) << 8
        if type == 14 or type == 16 or type == 18:
            return (type - 1) << 8
        return 0xFFFF
    if type == 128:
        return 129 << 8
    if type == 129:
        return 128 << 8
    if type == 139:
        return 140 << 8
    if type == 140:
        return 139 << 8
    return 0xFFFF


cdef void tuple_invert(tuple_t* to, const tuple_t* source) noexcept nogil:
    to.src = source.dst
    to.dst = source.src
    to.node = source.node
    to.zone = source.zone
    to.proto = source.proto
    to.family = source.family
    if is_icmp(source.proto):
        to.sport = source.sport
        to.dport = <uint16_t>(icmp_answer(source.proto, source.dport) | (source.dport & 0xFF))
    else:
        to.sport = source.dport
        to.dport = source.sport


cdef bint gre_key(const packet_t* packet, uint32_t at, tuple_t* tuple) noexcept nogil:
    """gre_pkt_to_tuple: PPTP has a call identifier; whose, only its helper would know."""
    cdef const uint8_t* header = packet.frame + at
    if packet_holds(packet, at, 4) != 1 or load16(header) & GRE_VERSION != GRE_PPTP:
        return True
    if packet_holds(packet, at, 8) != 1:
        return True
    if load16(header + 2) != GRE_PROTO_PPP:
        return False
    tuple.dport = load16(header + 6)
    return True


cdef bint packet_tuple(const packet_t* packet, uint16_t node, bint has_dccp,
                       tuple_t* tuple) noexcept nogil:
    tuple.src = packet.src
    tuple.dst = packet.dst
    tuple.node = node
    tuple.zone = 0
    tuple.proto = packet.proto
    tuple.family = packet.family
    tuple.sport = tuple.dport = 0
    if packet.family == 6 and (packet.proto == PROTO_NONE or is_extension(packet.proto)):
        return False                    # ipv6_skip_exthdr: nothing there, or cut short
    if packet.proto == PROTO_GRE:
        return gre_key(packet, packet.thoff, tuple)
    if packet.proto == PROTO_DCCP and not has_dccp:
        return True
    if proto_has_ports(packet.proto) or is_icmp(packet.proto):
        if not packet.has_ports:
            return False
        tuple.sport = packet.sport
        tuple.dport = packet.dport
    return True


cdef uint32_t quoted_transport(const packet_t* packet, uint8_t* proto) noexcept nogil:
    cdef uint32_t at = packet.l4 + 8
    cdef const uint8_t* ip = packet.frame + at
    cdef bint is_first = True
    if at + (20 if packet.family == 4 else 40) > packet.size or ip[0] >> 4 != packet.family:
        return 0
    if packet.family == 4:
        if (ip[0] & 15) < 5 or load16(ip + 6) & 0x1FFF:
            return 0
        proto[0] = ip[9]
        at += (ip[0] & 15) * 4
    else:
        proto[0] = ip[6]
        at = skip_extensions(packet.frame, at + 40, packet.size, proto, &is_first)
    # nf_ct_get_tuple: a whole ICMP header; of what has no ports nothing.
    return 0 if at == 0 or not is_first or (
        at + (8 if is_icmp(proto[0]) else 0) > packet.size) else at


cdef bint quoted_tuple(const packet_t* packet, uint16_t node, bint has_dccp,
                       tuple_t* tuple) noexcept nogil:
    cdef const uint8_t* ip = packet.frame + packet.l4 + 8
    cdef const uint8_t* transport
    cdef uint32_t at = quoted_transport(packet, &tuple.proto)
    if at == 0:
        return False
    transport = packet.frame + at
    tuple.node = node
    tuple.zone = 0
    tuple.family = packet.family
    tuple.sport = tuple.dport = 0
    if packet.family == 4:
        tuple.src = addr_t(0, load32(ip + 12))
        tuple.dst = addr_t(0, load32(ip + 16))
    else:
        tuple.src = addr_t(load64(ip + 8), load64(ip + 16))
        tuple.dst = addr_t(load64(ip + 24), load64(ip + 32))
    if is_icmp(tuple.proto):
        tuple.sport = load16(transport + 4)
        tuple.dport = load16(transport)
    elif tuple.proto == PROTO_GRE:
        return gre_key(packet, at, tuple)
    elif proto_has_ports(tuple.proto) and (has_dccp or tuple.proto != PROTO_DCCP):
        if at + 4 > packet.size:
            return False
        tuple.sport = load16(transport)
        tuple.dport = load16(transport + 2)
    return True
