"""Frames looked at where they lie; see peek.pxd.  Specified by packet.pyx: tests/test_packet.py."""

from libc.string cimport memcpy, memset

from _fastpath.checksum cimport checksum_add, checksum_fold
from _fastpath.packet cimport (
    ETHER_IPV4,
    ETHER_IPV6,
    ETHER_SIZE,
    PROTO_TCP,
    PROTO_UDP,
    TCP_ACK,
    TCP_PSH,
    load16,
    load64,
)

cdef enum:
    IP_HEADER = 20
    IPV6_HEADER = 40
    UDP_HEADER = 8
    TCP_HEADER = 20
    SHORT = 96              # bytes


cdef inline uint16_t native16(const uint8_t* data) noexcept nogil:
    cdef uint16_t word
    memcpy(&word, data, 2)
    return word


cdef inline uint32_t native32(const uint8_t* data) noexcept nogil:
    cdef uint32_t word
    memcpy(&word, data, 4)
    return word


cdef inline uint64_t native64(const uint8_t* data) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, data, 8)
    return word


cdef inline bint header_sum_is_right(const uint8_t* ip) noexcept nogil:
    """Of twenty bytes: RFC 1071, section 2 (B): a sum of all ones is one in any order of bytes."""
    return checksum_fold(<uint64_t>native32(ip) + native32(ip + 4) + native32(ip + 8)
                         + native32(ip + 12) + native32(ip + 16)) == 0xFFFF


cdef inline bint transport_is_whole(job_t* job, uint32_t at, uint32_t length) noexcept nogil:
    """The transport header, `length` bytes with what it carries, is there and as data has it."""
    # One test for both protocols, and no branch between them: which of them comes next cannot be
    # foreseen.
    cdef const uint8_t* header = job.frame + at
    cdef bint is_tcp = job.proto == PROTO_TCP and job.size >= at + TCP_HEADER
    cdef uint32_t size = (header[12 if is_tcp else 0] >> 4) * 4
    cdef uint8_t flags = header[13 if is_tcp else 0]
    cdef bint is_segment = ((flags & ~TCP_PSH == TCP_ACK) & (size >= TCP_HEADER)
                            & (job.size >= at + size))
    cdef bint is_datagram = (job.proto == PROTO_UDP) & (load16(header + 4) == length)
    job.tcp_flags = flags if is_tcp else 0
    return is_segment if is_tcp else is_datagram


cdef inline uint16_t swapped(uint16_t word) noexcept nogil:
    """A number as it would be read from a frame."""
    cdef uint8_t[2] bytes
    bytes[0], bytes[1] = <uint8_t>(word >> 8), <uint8_t>word
    return native16(&bytes[0])


cdef inline uint64_t short_sum(const uint8_t* data, uint32_t size) noexcept nogil:
    """checksum_add of a few bytes, in this machine's order, without a call."""
    cdef uint64_t sum = 0, word
    cdef uint8_t[2] last
    cdef uint32_t at = 0
    while at + 8 <= size:
        word = native64(data + at)
        sum += (word & 0xFFFFFFFFu) + (word >> 32)
        at += 8
    if size & 4:
        sum += native32(data + at)
        at += 4
    if size & 2:
        sum += native16(data + at)
        at += 2
    if size & 1:
        last[0], last[1] = data[at], 0
        sum += native16(&last[0])
    return sum


cdef inline bint sum_is_right(const job_t* job, uint32_t addresses_at, uint32_t at) noexcept nogil:
    """Of the whole transport packet; the addresses stand right before it."""
    cdef uint32_t length = job.size - at
    if job.size - addresses_at <= SHORT:
        return checksum_fold(short_sum(job.frame + addresses_at, job.size - addresses_at)
                             + swapped(<uint16_t>length) + swapped(job.proto)) == 0xFFFF
    return checksum_fold(checksum_add(job.proto + length, job.frame + addresses_at,
                                      job.size - addresses_at)) == 0xFFFF


cdef inline bint is_sound(const job_t* job, uint32_t addresses_at, uint32_t at) noexcept nogil:
    cdef uint16_t field
    if job.size < job.length:
        return True
    field = native16(job.frame + at + (16 if job.proto == PROTO_TCP else 6))
    if field == 0 and job.proto == PROTO_UDP:
        return True
    return sum_is_right(job, addresses_at, at)


cdef inline bint look4(job_t* job) noexcept nogil:
    cdef const uint8_t* ip = job.frame + ETHER_SIZE
    cdef uint32_t length = load16(ip + 2)
    job.family, job.proto, job.tos, job.ttl = 4, ip[9], ip[1], ip[8]
    if not ((ip[0] == 0x45) & (load16(ip + 6) & 0x3FFF == 0) & (job.length == length + ETHER_SIZE)
            & (length >= IP_HEADER + UDP_HEADER) & header_sum_is_right(ip)):
        return False
    if not transport_is_whole(job, ETHER_SIZE + IP_HEADER, length - IP_HEADER):
        return False
    job.addresses = native64(ip + 12)
    job.is_sound = is_sound(job, ETHER_SIZE + 12, ETHER_SIZE + IP_HEADER)
    job.ports = native32(ip + IP_HEADER)
    return True


cdef bint look6(job_t* job) noexcept nogil:
    cdef const uint8_t* ip = job.frame + ETHER_SIZE
    cdef uint32_t length = load16(ip + 4)
    job.family, job.proto, job.ttl = 6, ip[6], ip[7]
    job.tos = <uint8_t>(((ip[0] & 15) << 4) | (ip[1] >> 4))
    if (job.size < ETHER_SIZE + IPV6_HEADER + UDP_HEADER or ip[0] >> 4 != 6
            or job.length != ETHER_SIZE + IPV6_HEADER + length):
        return False
    if not transport_is_whole(job, ETHER_SIZE + IPV6_HEADER, length):
        return False
    job.addresses = (address_digest(load64(ip + 8), load64(ip + 16))
                     | address_digest(load64(ip + 24), load64(ip + 32)) << 32)
    job.is_sound = is_sound(job, ETHER_SIZE + 8, ETHER_SIZE + IPV6_HEADER)
    job.ports = native32(ip + IPV6_HEADER)
    return True


cdef void look(job_t* job, const uint8_t* data, uint32_t size, uint32_t length) noexcept nogil:
    cdef uint16_t ethertype
    job.frame, job.size, job.length = data, min(size, length), length
    job.can_take = 0
    if size < ETHER_SIZE + IP_HEADER + UDP_HEADER:
        return
    ethertype = load16(data + 12)
    if ethertype == ETHER_IPV4:
        job.can_take = look4(job)
    elif ethertype == ETHER_IPV6:
        job.can_take = look6(job)
    if job.can_take:
        job.hash = key_hash(job.addresses, job.ports, job.proto)


# ------------------------------------------------------------------------------- from Python


def peek(frame, uint32_t length):
    """What `look` says of a frame with `length` bytes on the wire; {} if it says nothing.

    As _fastpath.packet.parse names it; the addresses as in the frame.
    """
    cdef const uint8_t[::1] data = frame if len(frame) else b"\0"
    cdef job_t job
    memset(&job, 0, sizeof(job_t))
    look(&job, &data[0], <uint32_t>len(frame), max(length, <uint32_t>len(frame)))
    if not job.can_take:
        return {}
    at = 26 if job.family == 4 else 22
    return {
        "family": job.family, "proto": job.proto, "ttl": job.ttl, "tos": job.tos,
        "src": bytes(frame[at : at + (job.family == 4) * 4 + (job.family == 6) * 16]),
        "sport": (job.ports & 0xFF) << 8 | job.ports >> 8 & 0xFF,
        "dport": (job.ports >> 16 & 0xFF) << 8 | job.ports >> 24,
        "tcp_flags": job.tcp_flags, "size": job.size, "length": job.length,
        "is_sound": bool(job.is_sound),
    }
