# Matches that depend on what the rule remembers, on chance or on the time.
from _fastpath.image cimport match_t, rule_t
from _fastpath.state cimport walk_t

# Matched
cdef int memory_match(walk_t* walk, const match_t* match, const rule_t* rule) noexcept nogil

# It is not known whether this match was asked: what it remembers is not known any more.
cdef void forget_certainty(walk_t* walk, const match_t* match) noexcept nogil
