# Address translation: nf_nat_core.c.  A translation is a connection whose reply tuple is not
# the mirror image of its original one.
from libc.stdint cimport uint16_t, uint32_t

from _fastpath.image cimport target_t
from _fastpath.packet cimport packet_t
from _fastpath.state cimport walk_t

cpdef enum Manip:           # enum nf_nat_manip_type
    MANIP_SRC = 0
    MANIP_DST = 1

# nf_nat_setup_info: binds one side of a new connection to a range.
cdef void nat_setup(walk_t* walk, const target_t* range, uint32_t manip) noexcept nogil
# The range that keeps the address as it is: for connections that no rule translates.
cdef void nat_null_binding(walk_t* walk, uint32_t manip) noexcept nogil
cdef bint nat_is_set_up(walk_t* walk, uint32_t manip) noexcept nogil
# nf_nat_packet: rewrites the packet as its connection says.
cdef void nat_packet(walk_t* walk, uint32_t manip) noexcept nogil

# nf_nat_icmp_reply_translation: an ICMP error about a translated connection is translated too,
# outside and inside.  0, or the Reason why it is dropped.
cdef int nat_icmp_error(walk_t* walk, uint32_t manip) noexcept nogil
