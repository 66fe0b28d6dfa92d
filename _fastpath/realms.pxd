# What class the routes of an IPv4 packet give it: dst_entry.tclassid, from << 16 | to.
from libc.stdint cimport int32_t, uint32_t

from _fastpath.fib_rules cimport flowi_t
from _fastpath.image cimport image_t
from _fastpath.packet cimport packet_t

# Of a packet that arrived on `device` and may be routed; `route` -1: the limited broadcast.
cdef uint32_t input_realms(const image_t* image, const packet_t* packet, int32_t device,
                           int32_t route) noexcept nogil
# Of one that the node sends by `route`, which `flow` asked for.
cdef uint32_t output_realms(const image_t* image, const flowi_t* flow,
                            int32_t route) noexcept nogil
