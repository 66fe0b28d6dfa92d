# Addresses of both families in one shape, host byte order.
from libc.stdint cimport uint64_t

cdef struct addr_t:
    uint64_t hi         # IPv6: the first 64 bits; IPv4: 0
    uint64_t lo         # IPv6: the last 64 bits; IPv4: the address

cdef inline bint addr_equal(addr_t a, addr_t b) noexcept nogil:
    return ((a.hi ^ b.hi) | (a.lo ^ b.lo)) == 0

cdef inline bint addr_in(addr_t address, addr_t network, addr_t mask) noexcept nogil:
    return (((address.hi & mask.hi) ^ network.hi) | ((address.lo & mask.lo) ^ network.lo)) == 0

cdef inline bint addr_is_zero(addr_t a) noexcept nogil:
    return (a.hi | a.lo) == 0

# -1, 0, 1 as for the addresses as numbers.
cdef inline int addr_compare(addr_t a, addr_t b) noexcept nogil:
    if a.hi != b.hi:
        return -1 if a.hi < b.hi else 1
    if a.lo != b.lo:
        return -1 if a.lo < b.lo else 1
    return 0
