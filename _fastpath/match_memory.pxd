# Matches that depend on what the rule remembers, on chance or on the time.
from _fastpath.image cimport match_t, rule_t
from _fastpath.state cimport walk_t

# Matched
cdef int memory_match(walk_t* walk, const match_t* match, const rule_t* rule) noexcept nogil
