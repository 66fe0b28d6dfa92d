# Matches that ask where the packet is, and to whom it belongs.
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# Matched
cdef int place_match(walk_t* walk, const match_t* match) noexcept nogil
