# Long chains, indexed: the next rule that may match a packet.
from libc.stdint cimport uint32_t, uint64_t

from _fastpath.image cimport PATTERNS_MAX
from _fastpath.state cimport walk_t

# What the index knows of a packet, from one rule that is found to the next.
cdef struct cursor_t:
    uint32_t number         # of the classifier it is about + 1; 0 = of none yet
    uint32_t patterns       # that may have rules for the packet: a bit each
    uint64_t addresses      # as candidates have them
    uint64_t ports
    uint64_t[PATTERNS_MAX] keys

# The first row at `at` or after it, in its chain, that may match; the rows between certainly do
# not, and asking them would have left no mark.  `at` itself where the chain has no index.
# The packet's addresses and ports must be the same at each call with one cursor.
cdef uint32_t find_candidate(const walk_t* walk, cursor_t* cursor, uint32_t at) noexcept nogil

cdef inline uint32_t next_candidate(const walk_t* walk, cursor_t* cursor,
                                    uint32_t at) noexcept nogil:
    return find_candidate(walk, cursor, at) if walk.image.rule_classifiers[at] else at
