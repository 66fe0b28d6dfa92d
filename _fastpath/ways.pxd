# Where a packet may be in a table, and what becomes of it whether or not a rule matches.
from libc.stdint cimport uint32_t

from _fastpath.image cimport JUMP_DEPTH, hook_t, rule_t
from _fastpath.state cimport walk_t

cpdef enum:
    WAYS_MAX = 32       # that are followed at once
    WAYS_RULES_MAX = 1024   # rules that are met on them

# A place in a table: the rule that is next, and where its callers go on.
cdef struct way_t:
    uint32_t[JUMP_DEPTH] callers
    uint32_t depth
    uint32_t at

# Goes on from a rule that matched, if its target only says where to.
cdef bint follow(const rule_t* rules, const hook_t* hook, way_t* way) noexcept nogil

# At a rule that may match or not (`outcome`: UNDECIDED, UNDECIDED_DROP).  -1: the ways meet again
# at `way`; else the WalkVerdict that all lead to, `rule` one that concludes it; WALK_UNKNOWN if
# they lead to different things.
cdef int either_way(walk_t* walk, const hook_t* hook, way_t* way, int outcome,
                    uint32_t* rule) noexcept nogil
