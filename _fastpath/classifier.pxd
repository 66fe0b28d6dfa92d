# Long chains, indexed: the next rule that may match a packet.
from libc.stdint cimport uint32_t

from _fastpath.state cimport walk_t

# The first row at `at` or after it, in its chain, that may match; the rows between certainly do
# not, and asking them would have left no mark.  `at` itself where the chain has no index.
cdef uint32_t next_candidate(const walk_t* walk, uint32_t at) noexcept nogil
