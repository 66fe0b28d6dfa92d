# What every room of the way needs: how a packet ends, and what is seen of it at a device.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.state cimport walk_t

# What happens next.
cpdef enum Action:
    END = 0
    RECEIVE = 1         # the frame arrives at the device walk.place
    SEND = 2            # the node sends walk.packet: local_out
    GO_ON = 3           # nothing ended the walk
    PASS_UP = 4         # the bridge walk.place keeps the frame for itself
    TRANSMIT = 5        # the frame leaves by the device walk.place

cdef int end(walk_t* walk, uint8_t verdict, uint16_t reason, int32_t place) noexcept nogil
# DROPPED, or UNKNOWN where the reason says that something is not modelled; at the node.
cdef int drop(walk_t* walk, uint16_t reason) noexcept nogil
# The packet goes no further; whether its sender was told says REJECTED or DROPPED.
cdef int answered(walk_t* walk, bint is_answered, uint16_t reason) noexcept nogil
# At a process of the packet's node.
cdef int32_t here(const walk_t* walk) noexcept nogil
cdef int next_at(walk_t* walk, int action, int32_t device) noexcept nogil

# A packet that is no longer than this passes here.
cdef void fits_into(walk_t* walk, uint32_t mtu) noexcept nogil
cdef void tap(walk_t* walk, int32_t device, bint outgoing) noexcept nogil
# Nothing of a node's own goes with the frame.
cdef void leave_node(walk_t* walk) noexcept nogil
cdef void set_ether_dst(walk_t* walk, uint64_t mac) noexcept nogil
cdef void set_ether_src(walk_t* walk, uint64_t mac) noexcept nogil
