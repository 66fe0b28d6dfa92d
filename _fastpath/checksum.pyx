"""Internet checksum kernels.  Specified by dataplane.reference.checksum."""

from libc.string cimport memcpy


cdef uint64_t checksum_add(uint64_t sum, const uint8_t* data, size_t size) noexcept nogil:
    # RFC 1071, section 2 (B), (C): words may be summed four bytes at a time and in this machine's
    # byte order, if the sum is turned round in the end.  Right because 2^16 and 2^32 are 1 modulo
    # 2^16 - 1.  Gained: 165 -> 87 instructions for 46 bytes, 2,646 -> 847 for 1,400.
    cdef uint64_t native = 0
    cdef uint32_t word
    cdef uint8_t[2] folded
    cdef uint16_t last = 0
    cdef size_t i
    for i in range(0, size & ~<size_t>3, 4):
        memcpy(&word, data + i, 4)
        native += word
    i = size & ~<size_t>3
    if size & 2:
        memcpy(&last, data + i, 2)
        native += last
        i += 2
    if size & 1:
        folded[0], folded[1] = data[i], 0
        memcpy(&last, &folded[0], 2)
        native += last
    last = checksum_fold(native)
    memcpy(&folded[0], &last, 2)
    return sum + ((folded[0] << 8) | folded[1])


cdef uint32_t crc32c(const uint8_t* data, size_t size) noexcept nogil:
    # Bit by bit: SCTP through NAT is rare, and a table would be one more thing to trust.
    cdef uint32_t crc = 0xFFFFFFFFu
    cdef size_t i
    cdef int _bit
    for i in range(size):
        crc ^= data[i]
        for _bit in range(8):
            crc = (crc >> 1) ^ (0x82F63B78u if crc & 1 else 0)
    return ~crc


def checksum(const uint8_t[::1] data not None):
    """Checksum of `data`, 0-65535.  Zero over data that includes a correct checksum."""
    return checksum_finish(checksum_add(0, &data[0] if data.shape[0] else NULL, data.shape[0]))


def replace(uint16_t check, uint16_t old, uint16_t new):
    """`check` updated for one 16-bit word that changed from `old` to `new`."""
    return checksum_replace(check, old, new)
