"""Matches that look at the packet's bytes alone.  Specified by dataplane.reference.match_packet."""

from libc.stdint cimport uint32_t

from _fastpath.image cimport (
    MATCH_ICMP,
    MATCH_MULTIPORT,
    MATCH_PORTS,
    MATCH_TCP_FLAGS,
    MATCH_TCP_OPTION,
    range_t,
)
from _fastpath.matches cimport HOTDROP, NO, UNDECIDED, YES
from _fastpath.packet cimport PROTO_TCP, packet_t


cdef inline int ports_match(const match_t* match, const packet_t* packet) noexcept nogil:
    if not packet.is_first:
        # xt_tcpudp.c: only tcp_mt suspects a header that was split.
        return HOTDROP if packet.fragment_offset == 1 and packet.proto == PROTO_TCP else NO
    if not packet.has_ports:
        return HOTDROP
    return (((match.a <= packet.sport <= match.b) ^ (match.invert & 1))
            and ((match.c <= packet.dport <= match.d) ^ ((match.invert >> 1) & 1)))


cdef int tcp_option_match(const match_t* match, const packet_t* packet) noexcept nogil:
    """xt_tcpudp.c, tcp_find_option"""
    cdef uint32_t at, end
    if not packet.has_ports:
        return HOTDROP
    at = packet.l4 + 20
    end = packet.l4 + (packet.frame[packet.l4 + 12] >> 4) * 4
    if end < at or end > packet.length:
        return HOTDROP
    if end > packet.size:
        return UNDECIDED
    while at < end:
        if packet.frame[at] == match.a:
            return YES ^ match.invert
        if packet.frame[at] < 2 or at + 1 >= end:
            at += 1
        else:
            at += max(packet.frame[at + 1], 1)
    return NO ^ match.invert


cdef inline int icmp_match(const match_t* match, const packet_t* packet) noexcept nogil:
    cdef bint hit
    if not packet.is_first:
        return NO
    if not packet.has_ports:
        return HOTDROP
    hit = match.a == 255 or (packet.dport >> 8 == match.a
                             and match.b <= (packet.dport & 0xFF) <= match.c)
    return hit ^ match.invert


cdef int multiport_match(const walk_t* walk, const match_t* match) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef const range_t* ports
    cdef uint32_t i
    cdef bint hit = False
    if not packet.is_first:
        return NO
    if not packet.has_ports:
        return HOTDROP
    for i in range(match.a, match.a + match.b):
        ports = &walk.image.ranges[i]
        if ((match.c & 1 and ports.low <= packet.sport <= ports.high)
                or (match.c & 2 and ports.low <= packet.dport <= ports.high)):
            hit = True
            break
    return hit ^ match.invert


cdef int tcp_flags_match(const match_t* match, const packet_t* packet) noexcept nogil:
    if not packet.is_first:
        return NO
    if not packet.has_ports:
        return HOTDROP
    return ((packet.tcp_flags & match.a) == match.b) ^ match.invert


cdef int packet_match(walk_t* walk, const match_t* match) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    if match.kind == MATCH_PORTS:
        return ports_match(match, packet)
    if match.kind == MATCH_MULTIPORT:
        return multiport_match(walk, match)
    if match.kind == MATCH_TCP_FLAGS:
        return tcp_flags_match(match, packet)
    if match.kind == MATCH_TCP_OPTION:
        return tcp_option_match(match, packet)
    if match.kind == MATCH_ICMP:
        return icmp_match(match, packet)
    return UNDECIDED
