# Internet checksum (RFC 1071) and its incremental update (RFC 1624).
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.address cimport addr_t

# Running sum of big-endian words.  `size` may be odd only in the last call.
cdef uint64_t checksum_add(uint64_t sum, const uint8_t* data, size_t size) noexcept nogil

# The sum of an address's words; of an IPv4 address two of the eight are not zero.
cdef inline uint64_t checksum_add_address(uint64_t sum, addr_t address) noexcept nogil:
    return (sum + (address.hi >> 32) + (address.hi & 0xFFFFFFFFu)
            + (address.lo >> 32) + (address.lo & 0xFFFFFFFFu))

# Folded to 16 bits, not complemented.
cdef inline uint16_t checksum_fold(uint64_t sum) noexcept nogil:
    sum = (sum & 0xFFFFFFFFu) + (sum >> 32)
    sum = (sum & 0xFFFFFFFFu) + (sum >> 32)
    sum = (sum & 0xFFFF) + (sum >> 16)
    sum = (sum & 0xFFFF) + (sum >> 16)
    return <uint16_t>sum

# Folded and complemented, ready to store big-endian.
cdef inline uint16_t checksum_finish(uint64_t sum) noexcept nogil:
    return <uint16_t>~checksum_fold(sum)

# Checksum after one 16-bit word of the covered data changed from old to new.
#   HC' = ~(~HC + ~m + m')                                    RFC 1624, equation 3.
# Not equation 2 (RFC 1141: HC + m + ~m'), which yields 0xFFFF where the true checksum is 0.
cdef inline uint16_t checksum_replace(uint16_t check, uint16_t old, uint16_t new) noexcept nogil:
    return checksum_finish(<uint64_t><uint16_t>~check + <uint16_t>~old + new)

# The same for an address.
cdef inline uint16_t checksum_replace_address(uint16_t check, addr_t old,
                                              addr_t new) noexcept nogil:
    cdef uint64_t sum = <uint64_t><uint16_t>~check + <uint16_t>~checksum_fold(
        checksum_add_address(0, old))
    return checksum_finish(sum + checksum_fold(checksum_add_address(0, new)))

# RFC 768, RFC 8200 section 8.1.  `length` counts the transport header and its payload.
cdef inline uint64_t checksum_pseudo(addr_t src, addr_t dst, uint8_t proto,
                                     uint32_t length) noexcept nogil:
    return checksum_add_address(checksum_add_address(0, src), dst) + proto + length

# SCTP's checksum (RFC 9260, appendix A), as the number that is stored little-endian.
cdef uint32_t crc32c(const uint8_t* data, size_t size) noexcept nogil
