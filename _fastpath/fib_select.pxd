# Multipath routes: which leg a flow takes.
from libc.stdint cimport int32_t

from _fastpath.choice cimport draw_t
from _fastpath.fib_rules cimport flowi_t
from _fastpath.image cimport image_t
from _fastpath.packet cimport packet_t
from _fastpath.state cimport state_t

cpdef enum HashPolicy:      # fib_multipath_hash_policy
    HASH_L3 = 0
    HASH_L4 = 1
    HASH_INNER = 2
    HASH_CUSTOM = 3

cpdef enum HashField:       # FIB_MULTIPATH_HASH_FIELD_*
    FIELD_SRC_IP = 1
    FIELD_DST_IP = 2
    FIELD_IP_PROTO = 4
    FIELD_FLOWLABEL = 8
    FIELD_SRC_PORT = 16
    FIELD_DST_PORT = 32
    FIELDS_INNER = 0xFC0

# The leg of `route` that the flow takes, or `route` itself where it has none; -1 where what is
# hashed is not modelled.  `packet`: what the kernel would hash in place of the flow, or NULL.
cdef int32_t fib_select(const image_t* image, state_t* state, const flowi_t* flow,
                        const packet_t* packet, int32_t route) noexcept nogil
