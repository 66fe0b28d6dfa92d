# -m recent: which addresses were seen, and when.
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# Matched
cdef int recent_match(walk_t* walk, const match_t* match) noexcept nogil
