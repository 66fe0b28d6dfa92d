# ICMP and ICMPv6 in conntrack: nf_conntrack_proto_icmp.c and _icmpv6.c.
from libc.stdint cimport int32_t, uint16_t

from _fastpath.packet cimport packet_t
from _fastpath.state cimport tuple_t, walk_t

# Quotes another packet.
cdef bint is_icmp_error(const packet_t* packet) noexcept nogil
# May begin a connection: it asks.
cdef bint is_icmp_query(const packet_t* packet) noexcept nogil
# 130-136 and 143 are never tracked (noct_valid_new).
cdef bint is_neighbour_discovery(const packet_t* packet) noexcept nogil
# nf_conntrack_inet_error: an error belongs to the connection it quotes, or is INVALID.
cdef void relate(walk_t* walk, uint16_t node, const uint16_t* zones) noexcept nogil
# nf_conntrack_find_get: of a tuple that may be in the zone of either direction.
cdef int32_t find_in_zones(walk_t* walk, tuple_t* tuple, const uint16_t* zones) noexcept nogil
