# -m physdev: the bridge ports that a packet came by and leaves by.
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# Matched
cdef int physdev_match(const walk_t* walk, const match_t* match) noexcept nogil
