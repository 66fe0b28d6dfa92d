# Matches that ask how addresses would be routed: addrtype, realm, rpfilter.
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# Matched
cdef int route_match(const walk_t* walk, const match_t* match) noexcept nogil
