# Matches that depend on what the rule remembers, on chance or on the time.
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# Matched
cdef int memory_match(walk_t* walk, const match_t* match) noexcept nogil

# Whether a match must not be asked where it is not known if Linux asks it: what it remembers is
# not known any more, then.
cdef bint is_kept_out(walk_t* walk, const match_t* match) noexcept nogil
