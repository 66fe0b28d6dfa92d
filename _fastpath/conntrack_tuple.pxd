# Tuples: what one direction of a connection looks like.  nf_ct_get_tuple, nf_ct_invert_tuple.
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from _fastpath.packet cimport PROTO_ICMP, PROTO_ICMPV6, packet_t
from _fastpath.state cimport tuple_t

cdef inline bint is_icmp(uint8_t proto) noexcept nogil:
    return proto == PROTO_ICMP or proto == PROTO_ICMPV6

# type << 8 of what answers this ICMP type; 0xFFFF if nothing does.
cdef uint16_t icmp_answer(uint8_t proto, uint16_t kind) noexcept nogil
# The other direction's, in the same zone.
cdef void tuple_invert(tuple_t* to, const tuple_t* source) noexcept nogil
# The packet's own, in zone 0; False when too little of its transport header is there.
cdef bint packet_tuple(const packet_t* packet, uint16_t node, bint has_dccp,
                       tuple_t* tuple) noexcept nogil
# Where the transport header of the packet that an ICMP error quotes begins, and its protocol;
# 0 if it, or what a tuple needs of it, is not there.
cdef uint32_t quoted_transport(const packet_t* packet, uint8_t* proto) noexcept nogil
# The tuple of that packet.
cdef bint quoted_tuple(const packet_t* packet, uint16_t node, bint has_dccp,
                       tuple_t* tuple) noexcept nogil
