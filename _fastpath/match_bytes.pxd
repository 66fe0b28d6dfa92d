# Matches that look anywhere in the packet's bytes.
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# Matched
cdef int bytes_match(walk_t* walk, const match_t* match) noexcept nogil
