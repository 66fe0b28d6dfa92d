"""Which address of a range a translation takes.  Specified by dataplane.reference.nat_range.

nf_nat_core.c, find_best_ips_proto, v6.12: a hash of the addresses, without a secret, spread
over the range word by word.  The words of an address are hashed as they lie in memory on a
little-endian machine.
"""

from libc.stdint cimport uint8_t, uint64_t

from _fastpath.image cimport RANGE_PERSISTENT

cdef enum:
    JHASH_INITVAL = 0xDEADBEEF


cdef inline uint32_t rotate(uint32_t word, uint32_t by) noexcept nogil:
    return (word << by) | (word >> (32 - by))


cdef inline uint32_t swap(uint32_t word) noexcept nogil:
    return (word << 24) | ((word & 0xFF00) << 8) | ((word >> 8) & 0xFF00) | (word >> 24)


cdef void mix(uint32_t* abc) noexcept nogil:
    """__jhash_mix"""
    cdef uint32_t a = abc[0], b = abc[1], c = abc[2]
    a = (a - c) ^ rotate(c, 4)
    c += b
    b = (b - a) ^ rotate(a, 6)
    a += c
    c = (c - b) ^ rotate(b, 8)
    b += a
    a = (a - c) ^ rotate(c, 16)
    c += b
    b = (b - a) ^ rotate(a, 19)
    a += c
    c = (c - b) ^ rotate(b, 4)
    b += a
    abc[0], abc[1], abc[2] = a, b, c


cdef uint32_t finish(uint32_t a, uint32_t b, uint32_t c) noexcept nogil:
    """__jhash_final"""
    c = (c ^ b) - rotate(b, 14)
    a = (a ^ c) - rotate(c, 11)
    b = (b ^ a) - rotate(a, 25)
    c = (c ^ b) - rotate(b, 16)
    a = (a ^ c) - rotate(c, 4)
    b = (b ^ a) - rotate(a, 14)
    return (c ^ b) - rotate(b, 24)


cdef uint32_t jhash2(const uint32_t* words, uint32_t count, uint32_t initial) noexcept nogil:
    cdef uint32_t[3] abc
    cdef uint32_t i
    abc[0] = abc[1] = abc[2] = <uint32_t>JHASH_INITVAL + (count << 2) + initial
    while count > 3:
        for i in range(3):
            abc[i] += words[i]
        mix(abc)
        words += 3
        count -= 3
    for i in range(count):
        abc[i] += words[i]
    return finish(abc[0], abc[1], abc[2]) if count else abc[2]


cdef void words_of(addr_t address, uint8_t family, uint32_t* words) noexcept nogil:
    """union nf_inet_addr, in host order: an IPv4 address is its first word."""
    words[0] = <uint32_t>(address.hi >> 32)
    words[1] = <uint32_t>address.hi
    words[2] = <uint32_t>(address.lo >> 32)
    words[3] = <uint32_t>address.lo
    if family == 4:
        words[0] = words[3]
        words[1] = words[2] = words[3] = 0


cdef addr_t best_address(const tuple_t* tuple, const target_t* wanted,
                         uint32_t zone, bint is_destination) noexcept nogil:
    cdef uint32_t[4] src, dst, low, high, hashed
    cdef uint32_t last = 0 if tuple.family == 4 else 3
    cdef uint32_t j, i, least, distance
    cdef bint is_full = False
    words_of(tuple.src, tuple.family, src)
    words_of(tuple.dst, tuple.family, dst)
    words_of(wanted.address_min, tuple.family, low)
    words_of(wanted.address_max, tuple.family, high)
    for i in range(4):
        hashed[i] = swap(src[i])
    j = jhash2(hashed, 4, 0 if wanted.flags & RANGE_PERSISTENT else swap(dst[last]) ^ zone)
    for i in range(last + 1):
        least = 0 if is_full else low[i]
        distance = 0xFFFFFFFFu if is_full else high[i] - low[i] + 1
        src[i] = least + <uint32_t>((<uint64_t>j * distance) >> 32)
        is_full = is_full or src[i] != high[i]
        if not wanted.flags & RANGE_PERSISTENT:
            # A destination is chosen in its place: by then the new word stands there.
            j ^= swap(src[i] if is_destination else dst[i])
    if tuple.family == 4:
        return addr_t(0, src[0])
    return addr_t((<uint64_t>src[0] << 32) | src[1], (<uint64_t>src[2] << 32) | src[3])


cdef addr_t mapped_address(addr_t address, const target_t* wanted) noexcept nogil:
    cdef uint64_t hi = wanted.address_min.hi ^ wanted.address_max.hi
    cdef uint64_t lo = wanted.address_min.lo ^ wanted.address_max.lo
    return addr_t((address.hi & hi) | (wanted.address_min.hi & ~hi),
                  (address.lo & lo) | (wanted.address_min.lo & ~lo))
