# Matches that look at the network header and the link layer's.
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# Matched
cdef int header_match(walk_t* walk, const match_t* match) noexcept nogil
