"""Internet checksum kernels.  Specified by dataplane.reference.checksum."""


cdef uint64_t checksum_add(uint64_t sum, const uint8_t* data, size_t size) noexcept nogil:
    cdef size_t i
    for i in range(0, size & ~<size_t>1, 2):
        sum += (data[i] << 8) | data[i + 1]
    if size & 1:
        sum += data[size - 1] << 8
    return sum


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
