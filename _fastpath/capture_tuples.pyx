"""5-tuples of a capture's frames, without walking them.  Specified by
dataplane.reference.capture_tuples.

They are those that the records of a replay begin with.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from _fastpath.packet cimport (
    ETHER_SIZE, FRAME_MAX, PROTO_ICMP, PROTO_ICMPV6, PROTO_SCTP, PROTO_TCP,
    PROTO_DCCP, PROTO_UDP, PROTO_UDPLITE, load16, load32, packet_parse, packet_t,
)


cdef extern from *:
    """
    #define prefetch_read(p) __builtin_prefetch((p), 0, 3)
    """
    void prefetch_read(const void*) noexcept nogil
    bint likely(bint) noexcept nogil


cdef enum:
    PLAIN_BYTES = 54        # Ethernet, IPv4 without options, and the widest of what is read behind
    # Distance of the prefetch, in frames.  Where headers lie is known, but too irregular for the
    # processor to guess: IMIX 74 -> 13 ns a frame, 64 bytes 9 -> 7.5.
    AHEAD = 24


# packet.pyx, header_size, without its branches.
cdef inline uint32_t needed_of(uint8_t proto) noexcept nogil:
    return <uint32_t>(20 * (proto == PROTO_TCP)
                      + 12 * ((proto == PROTO_SCTP) | (proto == PROTO_DCCP))
                      + 8 * ((proto == PROTO_UDP) | (proto == PROTO_UDPLITE)
                             | (proto == PROTO_ICMP) | (proto == PROTO_ICMPV6)))


# Whether the frame is what most are: IPv4 without options, whole, no fragment.
#
# Every test is made whatever the others say, and one branch is taken on all of them: in real
# traffic it is always the same.  packet_parse, which branches on each, takes 26 ns where this
# takes 7.5.  Reads PLAIN_BYTES.
cdef inline bint is_plain(const frame_t* frame, const uint8_t* data,
                          uint32_t needed) noexcept nogil:
    cdef const uint8_t* ip = data + ETHER_SIZE
    cdef uint32_t[5] words
    cdef uint32_t length = load16(ip + 2)
    cdef uint64_t sum
    memcpy(words, ip, 20)
    sum = <uint64_t>words[0] + words[1] + words[2] + words[3] + words[4]
    # RFC 1071: the sum of 32-bit words, in any byte order, folds to the same 0xFFFF.
    sum = (sum & 0xFFFFFFFFu) + (sum >> 32)
    sum = (sum & 0xFFFF) + (sum >> 16)
    sum = (sum & 0xFFFF) + (sum >> 16)
    return ((load16(data + 12) == 0x0800) & (ip[0] == 0x45) & (sum == 0xFFFF)
            & ((load16(ip + 6) & 0x3FFF) == 0) & (length >= 20 + needed)
            & (ETHER_SIZE + length <= frame.length) & (frame.captured <= FRAME_MAX))


cdef inline void plain_tuple(const uint8_t* ip, uint32_t needed,
                             five_tuple_t* found) noexcept nogil:
    cdef const uint8_t* header = ip + 20
    cdef uint8_t proto = ip[9]
    cdef bint is_icmp = (proto == PROTO_ICMP) | (proto == PROTO_ICMPV6)
    cdef uint16_t mask = 0xFFFF if needed else 0
    cdef uint16_t first = load16(header) & mask, second = load16(header + 2) & mask
    found.src = addr_t(0, load32(ip + 12))
    found.dst = addr_t(0, load32(ip + 16))
    found.sport = load16(header + 4) if is_icmp else first
    found.dport = first if is_icmp else second
    found.family = 4
    found.proto = proto
    found.tcp_flags = header[13] if proto == PROTO_TCP else 0
    found.is_fragment = 0


cdef void any_tuple(const frame_t* frame, const uint8_t* data,
                    five_tuple_t* found) noexcept nogil:
    cdef packet_t packet
    memset(&packet, 0, sizeof(packet_t))
    memset(found, 0, sizeof(five_tuple_t))
    packet.frame = <uint8_t*>data           # packet_parse reads only
    packet.size = min(frame.captured, <uint32_t>FRAME_MAX)
    packet.length = max(frame.length, packet.size)
    if packet_parse(&packet) or packet.family == 0:
        return
    found.src = packet.src
    found.dst = packet.dst
    found.sport = packet.sport
    found.dport = packet.dport
    found.family = packet.family
    found.proto = packet.proto
    found.tcp_flags = packet.tcp_flags
    found.is_fragment = packet.is_fragment


cdef void frame_five_tuple(const frame_t* frame, const uint8_t* data,
                           five_tuple_t* found) noexcept nogil:
    cdef uint32_t needed
    if likely(frame.captured >= PLAIN_BYTES):
        needed = needed_of(data[ETHER_SIZE + 9])
        if likely(is_plain(frame, data, needed)):
            plain_tuple(data + ETHER_SIZE, needed, found)
            return
    any_tuple(frame, data, found)


# Frames that were read; fewer than `count` if one does not lie in the data.
cdef Py_ssize_t frames_five_tuples(const frame_t* frames, Py_ssize_t count, const uint8_t* data,
                                   uint64_t size, five_tuple_t* found) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        if frames[i].offset > size or frames[i].captured > size - frames[i].offset:
            return i
        # An offset out of bounds is only prefetched, which reads nothing.
        if i + AHEAD < count:
            prefetch_read(<const void*>(<size_t>data + frames[i + AHEAD].offset))
        frame_five_tuple(&frames[i], data + frames[i].offset, &found[i])
    return count


def five_tuples(const frame_t[::1] frames not None, const uint8_t[::1] data not None,
                five_tuple_t[::1] found not None):
    """found[i] = the 5-tuple of frames[i].  Releases the GIL.

    frames  (n,) FRAME in Ethernet form; offsets are into `data`
    found   (n,) FIVE_TUPLE, overwritten; zeros where a packet is refused or is not IP
    raises  ValueError if lengths differ or a frame does not lie in `data`
    """
    cdef Py_ssize_t n = frames.shape[0], done
    if found.shape[0] != n:
        raise ValueError(f"{n} frames, and room for {found.shape[0]}")
    if n == 0:
        return
    with nogil:
        done = frames_five_tuples(&frames[0], n, &data[0] if data.shape[0] else NULL,
                                  data.shape[0], &found[0])
    if done < n:
        raise ValueError(f"frame {done} does not lie in the data")
