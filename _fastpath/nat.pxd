# Address translation: nf_nat_core.c.  A translation is a connection whose reply tuple is not
# the mirror image of its original one.
from libc.stdint cimport uint32_t

from _fastpath.image cimport target_t
from _fastpath.packet cimport PROTO_DCCP, packet_t
from _fastpath.state cimport tuple_t, walk_t

cpdef enum Manip:           # enum nf_nat_manip_type
    MANIP_SRC = 0
    MANIP_DST = 1

# nf_nat_setup_info: binds one side of a new connection to a range.
cdef void nat_setup(walk_t* walk, const target_t* range, uint32_t manip) noexcept nogil
# The range that keeps the address as it is: for connections that no rule translates.
cdef void nat_null_binding(walk_t* walk, uint32_t manip) noexcept nogil
cdef bint nat_is_set_up(walk_t* walk, uint32_t manip) noexcept nogil
# nf_nat_packet: rewrites the packet as its connection says.
cdef bint nat_packet(walk_t* walk, uint32_t manip) noexcept nogil
cdef bint gre_is_writable(const packet_t* packet, uint32_t at, uint32_t end,
                          uint32_t manip) noexcept nogil

# There is one, and conntrack knows it: Linux forgot about DCCP's with 6.16.
cdef inline bint has_port(const packet_t* packet, const tuple_t* target) noexcept nogil:
    return packet.has_ports and (
        packet.proto != PROTO_DCCP or (target.sport | target.dport) != 0)
