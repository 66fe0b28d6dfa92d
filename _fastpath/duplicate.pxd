# TEE: a copy of the packet goes to a gateway.
from _fastpath.image cimport target_t
from _fastpath.state cimport walk_t

# nf_dup_ipv4, nf_dup_ipv6.  The copy is sent before the packet goes on; where it arrives, that
# happens later.  -1: the walk goes on; else the WalkVerdict that it ends with.
cdef int duplicate(walk_t* walk, const target_t* target) noexcept nogil
