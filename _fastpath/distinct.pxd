# Rows of bytes numbered by what they are: equal rows have one number, in the order in which they
# are first seen.  So whatever is said of a row is put together once.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

# What has been seen so far.  The arrays are Python's; `keys_max` is at most half of the slots.
cdef struct distinct_t:
    uint8_t* keys           # (keys_max, key_bytes) by number; the last eight hold the tag
    uint32_t* slots         # (slot_mask + 1,) number + 1; 0 = free
    uint32_t slot_mask
    uint32_t count, keys_max
    uint32_t key_bytes      # of a row and its tag; a multiple of 8

# The number of a row; `table.keys_max` when it is new and there is no room for it.
cdef uint32_t distinct_number(distinct_t* table, const uint8_t* row, uint64_t tag) noexcept nogil
