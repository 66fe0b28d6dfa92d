# Sets of addresses, ports and the like, which packets look up and change.
from libc.stdint cimport int32_t, uint32_t, uint64_t

from _fastpath.image cimport match_t, target_t
from _fastpath.state cimport set_element_t, state_t, walk_t

# Matched
cdef int set_match(walk_t* walk, const match_t* match) noexcept nogil
# A packet may or may not meet this match: True if it must not be asked then, since it would
# count or learn.  From then on it is not known what it would say of that.
cdef bint set_is_kept_out(walk_t* walk, const match_t* match) noexcept nogil
# -1: on with the next rule; else WalkVerdict, and `walk.reason` says why.
cdef int set_target(walk_t* walk, const target_t* target) noexcept nogil
# The first packet's time: from it on, the timeouts that the image gives run.
cdef void sets_begin(state_t* state, uint64_t now_ns) noexcept nogil
# Chains all elements in use anew.  The buckets are all 0.
cdef void sets_rehash(state_t* state) noexcept nogil
