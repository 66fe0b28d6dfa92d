# -m connlimit: how many connections have an address in common.
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# Matched
cdef int connlimit_match(walk_t* walk, const match_t* match) noexcept nogil
