# Connection tracking: nf_conntrack_core.c.
from libc.stdint cimport int32_t, uint32_t

from _fastpath.state cimport walk_t

# nf_conntrack_in: finds or makes the packet's connection and sets its ctinfo.
# Returns 0, or the Reason why the packet is dropped or cannot be followed.
cdef int conntrack_in(walk_t* walk, uint32_t hook) noexcept nogil
# nf_confirm: the packet of a new connection leaves (or reaches a process): it is entered.
cdef int conntrack_confirm(walk_t* walk) noexcept nogil
# A dropped packet's unconfirmed connection vanishes with it.
cdef void conntrack_drop(walk_t* walk, int32_t index) noexcept nogil
