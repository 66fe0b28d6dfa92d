# Longest-prefix match over a binary trie laid out in one array.
from libc.stdint cimport int32_t, uint8_t

from _fastpath.address cimport addr_t
from _fastpath.image cimport lpm_node_t

# Value of the longest prefix that holds `address`; -1 if none.  `root` is the trie's first node.
cdef int32_t lpm_lookup(const lpm_node_t* nodes, int32_t root, addr_t address,
                        uint8_t family) noexcept nogil
