# Matches that look at the packet's connection.
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# Matched
cdef int conntrack_match(walk_t* walk, const match_t* match) noexcept nogil
