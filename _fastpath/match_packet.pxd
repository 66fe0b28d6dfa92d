# Matches that look at the packet's bytes alone.
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# Matched
cdef int packet_match(walk_t* walk, const match_t* match) noexcept nogil
