# Walking one iptables base chain.
from libc.stdint cimport int32_t, uint32_t

from _fastpath.image cimport hook_t, rule_t
from _fastpath.state cimport walk_t

cpdef enum WalkVerdict:
    WALK_ACCEPT = 0
    WALK_DROP = 1       # `walk.reason` says why
    WALK_REJECT = 2     # dropped, and `rule`'s target says what goes back
    WALK_UNKNOWN = 3    # `walk.reason` says why

# Runs a base chain.  `rule` is the last rule that decided.
# Trusts what dataplane.image checked: indices in range, jumps nested at most JUMP_DEPTH deep
# and free of loops, every chain closed by a rule that is_policy.
cdef int table_walk(walk_t* walk, const hook_t* hook, uint32_t* rule) noexcept nogil

# Matched.  `is_asked` 0: it is not known whether the packet meets this rule; then nothing that
# remembers is asked, and what it remembers is not known any more.
cdef int rule_matches(walk_t* walk, const rule_t* rule, bint is_asked) noexcept nogil
