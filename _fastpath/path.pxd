# A packet's way: every decision in the order in which Linux takes it.
from libc.stdint cimport int32_t

from _fastpath.state cimport walk_t

# The copy walk.packet, routed, on its way out; END, or RECEIVE at walk.place.
cdef int send_copy(walk_t* walk) noexcept nogil

# Walks walk.packet from where it enters to its end, and the packets made on the way after it.
# Leaves verdict, reason and place in `walk`; steps and output frames in walk.trace.
cdef void walk_from_device(walk_t* walk, int32_t device) noexcept nogil
cdef void walk_from_node(walk_t* walk, int32_t node) noexcept nogil
