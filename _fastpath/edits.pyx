"""Output frames made from captured ones; see edits.pxd.

Checksums are updated, not computed (RFC 1624): what a field of a flow's packets changes by is the
same for all of them.
"""

from libc.string cimport memcmp, memcpy, memset

from _fastpath.packet cimport ETHER_SIZE, PROTO_TCP, load16, store16
from _fastpath.vxlan cimport VXLAN_OVERHEAD

cdef enum:
    IP_HEADER = 20
    IPV6_HEADER = 40
    OUTER_LENGTH = ETHER_SIZE + 2
    OUTER_ID = ETHER_SIZE + 4
    OUTER_CHECK = ETHER_SIZE + 10
    OUTER_SPORT = ETHER_SIZE + IP_HEADER
    OUTER_UDP_LENGTH = OUTER_SPORT + 4


# -------------------------------------------------------------------------------- checksums


cdef inline uint16_t fold16(uint32_t sum) noexcept nogil:
    sum = (sum & 0xFFFF) + (sum >> 16)
    return <uint16_t>(sum + (sum >> 16))


cdef inline uint16_t add_delta(uint16_t check, uint32_t delta) noexcept nogil:
    """RFC 1624, equation 3.  A delta that is not 0 leaves a sum that is not 0 either, as every
    single update of a checksum does."""
    cdef uint16_t changed = <uint16_t>~fold16(<uint16_t>~check + delta)
    return changed if delta else check


cdef inline uint32_t word_delta(uint16_t before, uint16_t after) noexcept nogil:
    return <uint16_t>~before + <uint32_t>after if before != after else 0


cdef uint16_t delta_of(const uint8_t* before, const uint8_t* after, uint32_t size) noexcept nogil:
    """Ones' complement sum of what is there less what was there; 0 only if nothing changed."""
    cdef uint64_t sum = 0
    cdef uint32_t i
    for i in range(0, size, 2):
        if load16(before + i) != load16(after + i):
            sum += <uint16_t>~load16(before + i) + <uint64_t>load16(after + i)
    while sum >> 16:
        sum = (sum & 0xFFFF) + (sum >> 16)
    return <uint16_t>sum


# --------------------------------------------------------------------------------- learning


cdef void learn_field(uint8_t* kept, uint8_t* put, const uint8_t* before, const uint8_t* after,
                      uint32_t size) noexcept nogil:
    if memcmp(before, after, size) == 0:
        memset(kept, 0xFF, size)
    else:
        memcpy(put, after, size)


cdef void learn_pair(uint8_t* kept, uint8_t* put, const uint8_t* before, const uint8_t* after,
                     uint32_t size) noexcept nogil:
    """Source and destination of `size` bytes each; `kept` and `put` are zero."""
    learn_field(kept, put, before, after, size)
    learn_field(kept + size, put + size, before + size, after + size, size)


cdef void edit_learn(edit_t* edit, const uint8_t* before, uint8_t family, uint8_t ttl,
                     const uint8_t* after) noexcept nogil:
    cdef const uint8_t* inner = after + edit.tunnel
    cdef rewrite_t* rewrite = &edit.rewrite
    cdef uint32_t at = ETHER_SIZE + (12 if family == 4 else 8), size = 4 if family == 4 else 16
    cdef uint32_t sum = 0, i
    memset(rewrite, 0, sizeof(rewrite_t))
    memset(edit.link, 0, LINK_MAX)
    memcpy(edit.link, after, edit.tunnel + ETHER_SIZE)
    edit.outer_sum = 0
    if edit.tunnel:
        for i in range(ETHER_SIZE, <uint32_t>OUTER_SPORT, 2):
            if i != OUTER_LENGTH and i != OUTER_ID and i != OUTER_CHECK:
                sum += load16(after + i)
        edit.outer_sum = fold16(sum)
        memset(edit.link + OUTER_SPORT, 0, 2)
        memset(edit.link + OUTER_LENGTH, 0, 4)
        memset(edit.link + OUTER_CHECK, 0, 2)
        memset(edit.link + OUTER_UDP_LENGTH, 0, 2)
    learn_pair(<uint8_t*>rewrite.addresses_kept, <uint8_t*>rewrite.addresses, before + at,
               inner + at, size)
    at += 2 * size
    learn_pair(<uint8_t*>&rewrite.ports_kept, <uint8_t*>&rewrite.ports, before + at, inner + at, 2)
    edit.ttl_less = ttl - inner[22 if family == 4 else 21]
    edit.ip_delta = edit.l4_delta = 0
    if family == 4:
        edit.ip_delta = delta_of(before + 26, inner + 26, 8)
        edit.l4_delta = delta_of(before + 26, inner + 26, 12)
    else:
        edit.l4_delta = delta_of(before + 22, inner + 22, 36)


# --------------------------------------------------------------------------------- writing


cdef inline void copy_rest(uint8_t* to, const uint8_t* source, uint32_t size) noexcept nogil:
    """memcpy of at least 16 bytes, the last block of which may overlap the one before it.

    Right because `to` and `source` are different frames.  Gained: a call of memcpy, of which the
    size cannot be foreseen, costs about as much as the copy of a small frame."""
    cdef uint32_t at = 0
    cdef uint32_t last
    if size < 32:
        memcpy(to, source, 16)
        memcpy(to + size - 16, source + size - 16, 16)
        return
    last = size - 32
    while at < last:
        memcpy(to + at, source + at, 32)
        at += 32
    memcpy(to + last, source + last, 32)


cdef inline void write_ipv4(const edit_t* edit, const job_t* job, uint8_t ttl,
                            uint8_t* to) noexcept nogil:
    cdef const uint8_t* frame = job.frame
    cdef uint64_t addresses
    to[22] = ttl
    store16(to + 24, add_delta(load16(frame + 24), edit.ip_delta + word_delta(
        load16(frame + 22), <uint16_t>(ttl << 8) | frame[23])))
    addresses = (job.addresses & edit.rewrite.addresses_kept[0]) | edit.rewrite.addresses[0]
    memcpy(to + 26, &addresses, 8)


cdef inline void write_ipv6(const edit_t* edit, uint8_t ttl, uint8_t* to) noexcept nogil:
    cdef uint64_t[4] addresses
    cdef uint32_t i
    to[21] = ttl
    memcpy(addresses, to + 22, 32)
    for i in range(4):
        addresses[i] = (addresses[i] & edit.rewrite.addresses_kept[i]) | edit.rewrite.addresses[i]
    memcpy(to + 22, addresses, 32)


cdef inline uint16_t transport_check(uint16_t check, uint32_t delta, bint is_tcp) noexcept nogil:
    """RFC 768: 0 is no checksum, and stays none; one that would be 0 is written as ones."""
    cdef uint16_t changed = add_delta(check, delta)
    cdef uint16_t datagram = changed if changed else (0xFFFF if delta else 0)
    datagram = datagram if check else 0
    return changed if is_tcp else datagram


cdef inline void write_transport(const edit_t* edit, const job_t* job, uint32_t at,
                                 uint8_t* to) noexcept nogil:
    cdef bint is_tcp = job.proto == PROTO_TCP
    cdef uint32_t check = at + (16 if is_tcp else 6)
    cdef uint32_t ports = (job.ports & edit.rewrite.ports_kept) | edit.rewrite.ports
    memcpy(to + at, &ports, 4)
    store16(to + check, transport_check(load16(job.frame + check), edit.l4_delta, is_tcp))


cdef inline void write_tunnel(const edit_t* edit, const job_t* job, uint8_t* to) noexcept nogil:
    cdef uint16_t length = <uint16_t>(job.length + VXLAN_OVERHEAD - ETHER_SIZE)
    store16(to + OUTER_LENGTH, length)
    store16(to + OUTER_ID, job.outer_id)
    store16(to + OUTER_CHECK, <uint16_t>~fold16(
        <uint32_t>edit.outer_sum + length + job.outer_id))
    memcpy(to + OUTER_SPORT, &job.outer_sport, 2)
    store16(to + OUTER_UDP_LENGTH, <uint16_t>(length - IP_HEADER))


cdef uint32_t edit_write(const edit_t* edit, const job_t* job, uint8_t ttl,
                         uint8_t* to) noexcept nogil:
    cdef uint8_t* inner = to + edit.tunnel
    if edit.tunnel:
        memcpy(to, edit.link, VXLAN_OVERHEAD + ETHER_SIZE)
        write_tunnel(edit, job, to)
    else:
        memcpy(to, edit.link, ETHER_SIZE)
    copy_rest(inner + ETHER_SIZE, job.frame + ETHER_SIZE, job.size - ETHER_SIZE)
    if job.family == 4:
        write_ipv4(edit, job, ttl - edit.ttl_less, inner)
        write_transport(edit, job, ETHER_SIZE + IP_HEADER, inner)
    else:
        write_ipv6(edit, ttl - edit.ttl_less, inner)
        write_transport(edit, job, ETHER_SIZE + IPV6_HEADER, inner)
    return job.size + edit.tunnel
