# Policy routing: which rule answers for a flow, and with which route.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

from _fastpath.address cimport addr_t
from _fastpath.image cimport image_t
from _fastpath.packet cimport packet_t

# What routing looks at: struct flowi4, flowi6.
cdef struct flowi_t:
    addr_t src, dst
    uint32_t mark
    int32_t node
    int32_t iif             # device; the loopback for what the node itself sends
    int32_t oif             # device that the route must leave by; -1 = any
    int32_t link            # device on whose link the destination is; -1 = any
    uint16_t sport, dport
    uint8_t family
    uint8_t proto
    uint8_t tos
    uint8_t is_output       # sent by a process: nobody knows by whose
    uint8_t oif_is_wish     # if none of the longest prefix leaves by oif, the first of it does

# Of a packet that arrived on a device, and of one that the node sends.
cdef flowi_t flowi_input(const image_t* image, const packet_t* packet,
                         int32_t device) noexcept nogil
cdef flowi_t flowi_output(const image_t* image, const packet_t* packet, int32_t node,
                          int32_t oif) noexcept nogil
# Of nothing but a destination.
cdef flowi_t flowi_to(const image_t* image, int32_t node, uint8_t family,
                      addr_t dst) noexcept nogil

# The same, and the row of the rule that answered; -1 = none.
cdef int32_t fib_lookup_by(const image_t* image, const flowi_t* flow,
                           int32_t* answering) noexcept nogil
# Row of the route; -1 if there is none.  A multipath route's leg is not chosen yet.
cdef int32_t fib_lookup(const image_t* image, const flowi_t* flow) noexcept nogil
