# -m time: is the packet's time within the days and hours of a rule?
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# Matched
cdef int time_match(const walk_t* walk, const match_t* match) noexcept nogil
