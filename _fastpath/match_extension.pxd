# Matches that look at IPv6 extension headers.
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# Matched
cdef int extension_match(walk_t* walk, const match_t* match) noexcept nogil
