# -m hashlimit: a limit for each of the flows that a table tells apart.
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# Matched
cdef int hashlimit_match(walk_t* walk, const match_t* match) noexcept nogil
