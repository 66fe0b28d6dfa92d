"""ICMP in conntrack.  Specified by dataplane.reference.conntrack_icmp."""

from libc.stdint cimport uint8_t

from _fastpath.address cimport addr_equal
from _fastpath.conntrack_table cimport table_find
from _fastpath.conntrack_tuple cimport icmp_answer, is_icmp, quoted_tuple, tuple_invert
from _fastpath.packet cimport PROTO_ICMP, PROTO_ICMPV6
from _fastpath.state cimport CT_INVALID, CT_RELATED, CT_RELATED_REPLY, connection_tuple


cdef bint is_icmp_error(const packet_t* packet) noexcept nogil:
    cdef uint16_t type = packet.dport >> 8
    if packet.proto == PROTO_ICMP and packet.family == 4:
        return type == 3 or type == 4 or type == 5 or type == 11 or type == 12
    return packet.proto == PROTO_ICMPV6 and packet.family == 6 and type < 128


cdef bint is_icmp_query(const packet_t* packet) noexcept nogil:
    cdef uint16_t type = packet.dport >> 8
    if packet.proto == PROTO_ICMP:
        return type == 8 or type == 13 or type == 15 or type == 17
    return type == 128 or type == 139


cdef bint is_neighbour_discovery(const packet_t* packet) noexcept nogil:
    cdef uint16_t type = packet.dport >> 8
    return packet.proto == PROTO_ICMPV6 and packet.has_ports and (
            130 <= type <= 136 or type == 143)


cdef int32_t find_in_zones(walk_t* walk, tuple_t* tuple, const uint16_t* zones) noexcept nogil:
    cdef int32_t found
    tuple.zone = zones[0]
    found = table_find(walk.state, tuple, zones, walk.now_ns)
    if found >= 0 or zones[0] == zones[1]:
        return found
    tuple.zone = zones[1]
    found = table_find(walk.state, tuple, zones, walk.now_ns)
    tuple.zone = zones[0]
    return found


cdef void relate(walk_t* walk, uint16_t node, const uint16_t* zones) noexcept nogil:
    cdef packet_t* packet = walk.packet
    cdef tuple_t quoted, sought
    cdef int32_t found
    packet.ctinfo = CT_INVALID
    if not quoted_tuple(packet, node, walk.image.nodes[node].has_dccp != 0, &quoted):
        return
    tuple_invert(&sought, &quoted)
    if is_icmp(quoted.proto) and icmp_answer(quoted.proto, quoted.dport) == 0xFFFF:
        return
    found = find_in_zones(walk, &sought, zones)
    if found < 0:
        return
    if not addr_equal(packet.dst,
                      connection_tuple(&walk.state.connections[found >> 1], found & 1).dst):
        return                  # told to somebody who never sent what it quotes
    packet.connection = found >> 1
    # The error travels against the packet it quotes.
    packet.direction = <uint8_t>(found & 1)
    packet.ctinfo = CT_RELATED if found & 1 == 0 else CT_RELATED_REPLY
