# Frames looked at where they lie in a capture, a batch at a time, and the keys of their flows.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cpdef enum:
    BATCH = 64              # frames that are looked at before the first is carried

# One frame of a batch, and what is decided about it: see established.pxd.
cdef struct job_t:
    const uint8_t* frame
    uint64_t time_ns
    uint64_t addresses      # of flow_way_t, with `ports`
    uint32_t ports
    uint32_t hash           # the same for both directions
    uint32_t size           # bytes present
    uint32_t length         # bytes on the wire; of the IP packet ETHER_SIZE less
    uint8_t can_take        # it looks like data of an established flow
    uint8_t family, proto, tos, ttl
    uint8_t tcp_flags
    uint8_t is_sound        # its checksum is right, or there is none, or it cannot be seen
    # decided
    uint8_t is_known        # whose flow it is
    uint8_t is_taken
    uint32_t flow           # flow * 2 + direction
    uint32_t way            # of ways_t
    uint32_t tap            # row of its first output frame
    uint16_t outer_id       # IP identification of the tunnel's packet
    uint16_t outer_sport    # as the frame has it
    uint64_t output         # where its first output frame goes

# Look at a frame without a copy: nobody may write to it.  can_take: TCP with ACK, and PSH or not,
# or UDP; an IP header that is right, has no options and is no fragment's; all headers there;
# nothing in the frame behind the packet.  Else nothing more is said of it.
cdef void look(job_t* job, const uint8_t* data, uint32_t size, uint32_t length) noexcept nogil

# The key of one direction of a flow; its hash is that of the other direction.
cdef inline uint64_t addresses_turned(uint64_t addresses) noexcept nogil:
    return addresses >> 32 | addresses << 32

cdef inline uint32_t ports_turned(uint32_t ports) noexcept nogil:
    return ports >> 16 | ports << 16

# Of an IPv6 address: 32 bits that stand for it.
cdef inline uint64_t address_digest(uint64_t hi, uint64_t lo) noexcept nogil:
    return (((hi ^ (hi >> 29)) * <uint64_t>0x9E3779B97F4A7C15u + lo)
            * <uint64_t>0xBF58476D1CE4E5B9u) >> 32

cdef inline uint64_t end_hash(uint64_t address, uint64_t port) noexcept nogil:
    cdef uint64_t h = (address << 16 | port) * <uint64_t>0x9E3779B97F4A7C15u
    return h ^ h >> 32

cdef inline uint32_t key_hash(uint64_t addresses, uint32_t ports, uint8_t proto) noexcept nogil:
    return <uint32_t>((
        (end_hash(addresses & 0xFFFFFFFFu, ports & 0xFFFF) + end_hash(addresses >> 32, ports >> 16)
         + proto) * <uint64_t>0xBF58476D1CE4E5B9u) >> 32)
