# -m hashlimit: a limit for each of the flows that a table tells apart.
from libc.stdint cimport uint8_t, uint64_t

from _fastpath.address cimport addr_t
from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

# The first `bits` bits of an address.
cdef addr_t shortened(addr_t address, uint64_t bits, uint8_t family) noexcept nogil
# Matched
cdef int hashlimit_match(walk_t* walk, const match_t* match) noexcept nogil
