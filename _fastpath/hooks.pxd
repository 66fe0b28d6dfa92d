# What stands at a netfilter hook, in the order of its priority.
from libc.stdint cimport uint32_t

from _fastpath.state cimport walk_t

# Every entry of a hook for walk.packet.  GO_ON, or END with the verdict set.
cdef int hooks(walk_t* walk, uint32_t hook) noexcept nogil
