# The order of things at a bridge.
from libc.stdint cimport int32_t

from _fastpath.state cimport walk_t

# br_handle_frame: a frame arrives at a port.
cdef int bridge_input(walk_t* walk, int32_t port) noexcept nogil
# br_dev_xmit: the node itself sends through the bridge.  No hooks: it met them before.
cdef int bridge_output(walk_t* walk, int32_t bridge) noexcept nogil
# br_dev_queue_push_xmit: the frame leaves by a port, unless it is too long for it.
cdef int bridge_push(walk_t* walk, int32_t to) noexcept nogil
