"""SCTP in conntrack.  Specified by dataplane.reference.conntrack_sctp.

nf_conntrack_proto_sctp.c, v6.18.  A packet holds several chunks; each moves the connection.
"""

from libc.stdint cimport uint8_t, uint64_t

from _fastpath.conntrack_tcp cimport PACKET_ACCEPT, PACKET_IGNORE, PACKET_INVALID
from _fastpath.image cimport node_t
from _fastpath.packet cimport ETHER_SIZE, load32
from _fastpath.state cimport (
    IPS_ASSURED,
    IPS_CONFIRMED,
    TIMEOUT_SCTP,
    connection_sctp,
    sctp_t,
)

cdef enum:
    SECOND_NS = 1000000000
    HEADER = 12                 # ports, verification tag, checksum
    NO_ROW = 11
    T_BIT = 1                   # of ABORT and SHUTDOWN COMPLETE: the tag is the sender's own
    CHUNK_DATA = 0
    CHUNK_INIT = 1
    CHUNK_INIT_ACK = 2
    CHUNK_HEARTBEAT = 4
    CHUNK_HEARTBEAT_ACK = 5
    CHUNK_ABORT = 6
    CHUNK_SHUTDOWN_ACK = 8
    CHUNK_COOKIE_ECHO = 10
    CHUNK_COOKIE_ACK = 11
    CHUNK_SHUTDOWN_COMPLETE = 14
    # Out of the blue, these begin nothing (RFC 9260 8.4).
    BEGINS_NOTHING = 1 << CHUNK_ABORT | 1 << CHUNK_SHUTDOWN_COMPLETE | 1 << CHUNK_COOKIE_ACK
    # Their tags are looked at one by one.
    HAS_OWN_CHECK = (1 << CHUNK_INIT | 1 << CHUNK_SHUTDOWN_COMPLETE | 1 << CHUNK_COOKIE_ECHO
                     | 1 << CHUNK_ABORT | 1 << CHUNK_SHUTDOWN_ACK | 1 << CHUNK_HEARTBEAT
                     | 1 << CHUNK_HEARTBEAT_ACK)

# sctp_conntracks: [direction][row of the chunk's type][state].
cdef uint8_t[2][11][9] SCTP_TABLE
SCTP_TABLE[0][0][:] = [1, 1, 2, 3, 4, 1, 1, 7, 2]       # INIT
SCTP_TABLE[0][1][:] = [1, 1, 2, 3, 4, 5, 6, 7, 1]       # INIT ACK
SCTP_TABLE[0][2][:] = [1, 1, 1, 1, 1, 1, 1, 1, 1]       # ABORT
SCTP_TABLE[0][3][:] = [1, 1, 2, 3, 5, 5, 6, 7, 1]       # SHUTDOWN
SCTP_TABLE[0][4][:] = [7, 1, 2, 3, 4, 7, 7, 7, 7]       # SHUTDOWN ACK
SCTP_TABLE[0][5][:] = [1, 1, 2, 3, 4, 5, 6, 7, 1]       # ERROR
SCTP_TABLE[0][6][:] = [1, 1, 3, 3, 4, 5, 6, 7, 1]       # COOKIE ECHO
SCTP_TABLE[0][7][:] = [1, 1, 2, 4, 4, 5, 6, 7, 1]       # COOKIE ACK
SCTP_TABLE[0][8][:] = [1, 1, 2, 3, 4, 5, 6, 1, 1]       # SHUTDOWN COMPLETE
SCTP_TABLE[0][9][:] = [8, 1, 2, 3, 4, 5, 6, 7, 8]       # HEARTBEAT
SCTP_TABLE[0][10][:] = [1, 1, 2, 3, 4, 5, 6, 7, 8]      # HEARTBEAT ACK
SCTP_TABLE[1][0][:] = [9, 1, 2, 3, 4, 5, 6, 7, 9]
SCTP_TABLE[1][1][:] = [9, 2, 2, 3, 4, 5, 6, 7, 9]
SCTP_TABLE[1][2][:] = [9, 1, 1, 1, 1, 1, 1, 1, 9]
SCTP_TABLE[1][3][:] = [9, 1, 2, 3, 6, 5, 6, 7, 9]
SCTP_TABLE[1][4][:] = [9, 1, 2, 3, 4, 7, 7, 7, 9]
SCTP_TABLE[1][5][:] = [9, 1, 2, 1, 4, 5, 6, 7, 9]
SCTP_TABLE[1][6][:] = [9, 1, 3, 3, 4, 5, 6, 7, 9]
SCTP_TABLE[1][7][:] = [9, 1, 2, 4, 4, 5, 6, 7, 9]
SCTP_TABLE[1][8][:] = [9, 1, 2, 3, 4, 5, 6, 1, 9]
SCTP_TABLE[1][9][:] = [9, 1, 2, 3, 4, 5, 6, 7, 8]
SCTP_TABLE[1][10][:] = [9, 1, 2, 3, 4, 5, 6, 7, 4]


cdef inline uint32_t row_of(uint8_t kind) noexcept nogil:
    if CHUNK_INIT <= kind <= CHUNK_INIT_ACK:
        return kind - 1
    if CHUNK_ABORT <= kind <= CHUNK_COOKIE_ACK:
        return kind - 4
    if kind == CHUNK_SHUTDOWN_COMPLETE:
        return 8
    if kind == CHUNK_HEARTBEAT or kind == CHUNK_HEARTBEAT_ACK:
        return kind + 5
    return NO_ROW


cdef inline uint8_t next_state(uint32_t direction, uint8_t before, uint8_t kind) noexcept nogil:
    """sctp_new_state: DATA, SACK and the unknown change nothing."""
    cdef uint32_t row = row_of(kind)
    return before if row == NO_ROW else SCTP_TABLE[direction][row][before]


cdef inline uint32_t chunks_end(const packet_t* packet) noexcept nogil:
    return min(packet.size, ETHER_SIZE + packet.ip_length)


cdef inline uint32_t chunk_size(const uint8_t* chunk) noexcept nogil:
    return (<uint32_t>chunk[2] << 8 | chunk[3]) + 3 & ~<uint32_t>3


cdef uint32_t crc32c_over(const uint8_t* header, uint32_t size) noexcept nogil:
    """With the checksum's own place as zero."""
    cdef uint32_t crc = 0xFFFFFFFFu
    cdef uint32_t i
    cdef int _bit
    for i in range(size):
        crc ^= 0 if 8 <= i < 12 else header[i]
        for _bit in range(8):
            crc = (crc >> 1) ^ (0x82F63B78u if crc & 1 else 0)
    return ~crc


cdef bint sctp_is_broken(const packet_t* packet) noexcept nogil:
    cdef const uint8_t* header = packet.frame + packet.l4
    cdef uint32_t stop = ETHER_SIZE + packet.ip_length
    if packet.l4 == 0 or stop > packet.size or load32(header + 8) == 0:
        return False            # cut, or left to a device
    return crc32c_over(header, stop - packet.l4) != (
        <uint32_t>header[8] | <uint32_t>header[9] << 8 | <uint32_t>header[10] << 16
        | <uint32_t>header[11] << 24)


cdef uint32_t chunk_map(const packet_t* packet) noexcept nogil:
    """do_basic_checks: a bit per type of chunk; 0 if they may not stand together so."""
    cdef uint32_t stop = chunks_end(packet), at = packet.l4 + HEADER
    cdef uint32_t found = 0, count = 0
    cdef bint alone = False
    cdef const uint8_t* chunk
    while at + 4 <= stop:
        chunk = packet.frame + at
        if chunk[0] in (CHUNK_INIT, CHUNK_INIT_ACK, CHUNK_SHUTDOWN_COMPLETE):
            alone = True
        if count and (alone or chunk[0] in (CHUNK_COOKIE_ACK, CHUNK_COOKIE_ECHO)):
            return 0
        if chunk[2] == 0 and chunk[3] == 0:
            return 0
        # Types past 30 are not asked for: one bit for them all.
        found |= <uint32_t>1 << (chunk[0] if chunk[0] < 31 else 31)
        count += 1
        at += chunk_size(chunk)
    return found


cdef bint begin(sctp_t* sctp, const packet_t* packet, uint32_t vtag) noexcept nogil:
    """sctp_new"""
    cdef uint32_t stop = chunks_end(packet), at = packet.l4 + HEADER
    cdef const uint8_t* chunk
    cdef uint8_t after
    while at + 4 <= stop:
        chunk = packet.frame + at
        after = next_state(0, SCTP_NONE, chunk[0])
        if after == SCTP_NONE or after == SCTP_MAX:
            return False
        if chunk[0] == CHUNK_INIT:
            if vtag or at + 20 > stop:
                return False
            sctp.vtag[1] = load32(chunk + 4)
        elif chunk[0] == CHUNK_HEARTBEAT:
            sctp.vtag[0] = vtag
        elif chunk[0] == CHUNK_SHUTDOWN_ACK:
            sctp.vtag[1] = vtag
        at += chunk_size(chunk)
    return True


cdef enum:
    TAG_WRONG = 0
    TAG_RIGHT = 1
    TAG_IGNORED = 2             # the chunk is let pass, and changes nothing


cdef int heartbeat_tag(sctp_t* sctp, uint8_t kind, uint32_t vtag, uint32_t direction,
                       bint may_differ) noexcept nogil:
    """A second path may be used with new tags: the answer has to confirm it."""
    if sctp.vtag[direction] == 0:
        sctp.vtag[direction] = vtag
        return TAG_RIGHT
    if vtag == sctp.vtag[direction]:
        sctp.flags &= <uint8_t>~SCTP_HEARTBEAT_FAILED
        return TAG_RIGHT
    if not may_differ:
        return TAG_WRONG
    if kind == CHUNK_HEARTBEAT:
        sctp.flags |= SCTP_HEARTBEAT_FAILED
        sctp.last_dir = <uint8_t>direction
        return TAG_IGNORED
    if not sctp.flags & SCTP_HEARTBEAT_FAILED or sctp.last_dir == direction:
        return TAG_WRONG
    sctp.flags &= <uint8_t>~SCTP_HEARTBEAT_FAILED
    sctp.vtag[direction] = vtag
    sctp.vtag[1 - direction] = 0
    return TAG_RIGHT


cdef int check_tag(sctp_t* sctp, const uint8_t* chunk, uint32_t vtag, uint32_t direction,
                   bint may_differ) noexcept nogil:
    """RFC 9260 8.5.1"""
    if chunk[0] == CHUNK_INIT:
        return TAG_RIGHT if vtag == 0 else TAG_WRONG
    if chunk[0] == CHUNK_ABORT or chunk[0] == CHUNK_SHUTDOWN_COMPLETE:
        return vtag == sctp.vtag[direction ^ (chunk[1] & T_BIT)]
    if chunk[0] == CHUNK_COOKIE_ECHO:
        return vtag == sctp.vtag[direction]
    if chunk[0] == CHUNK_COOKIE_ACK:
        sctp.init[0] = sctp.init[1] = 0
    elif chunk[0] == CHUNK_HEARTBEAT or chunk[0] == CHUNK_HEARTBEAT_ACK:
        return heartbeat_tag(sctp, chunk[0], vtag, direction, may_differ)
    return TAG_RIGHT


cdef bint note_init(sctp_t* sctp, uint8_t kind, uint32_t tag, uint32_t direction) noexcept nogil:
    """The tag that the other end must use from now on; False: it contradicts what is known."""
    cdef uint32_t other = 1 - direction
    if kind == CHUNK_INIT:
        if sctp.state == SCTP_NONE or sctp.vtag[other] != tag:
            if sctp.init[direction] and sctp.init[other]:
                sctp.init[other] = 0
            sctp.init[direction] = 1
    else:
        if not sctp.init[other] and sctp.vtag[other] and sctp.vtag[other] != tag:
            return False
        if sctp.init[direction] and sctp.init[other] and sctp.vtag[other] != tag:
            return False
    sctp.vtag[other] = tag
    return True


cdef int follow(connection_t* connection, const packet_t* packet, uint32_t vtag, uint32_t found,
                uint32_t direction) noexcept nogil:
    cdef sctp_t* sctp = connection_sctp(connection)
    cdef uint32_t stop = chunks_end(packet), at = packet.l4 + HEADER
    cdef const uint8_t* chunk
    cdef uint8_t after
    cdef int tag, outcome = PACKET_ACCEPT
    while at + 4 <= stop:
        chunk = packet.frame + at
        at += chunk_size(chunk)
        tag = check_tag(sctp, chunk, vtag, direction,
                        not found & 1 << CHUNK_DATA and outcome != PACKET_IGNORE)
        if tag == TAG_WRONG:
            return PACKET_INVALID
        if tag == TAG_IGNORED:
            outcome = PACKET_IGNORE
            continue
        after = next_state(direction, sctp.state, chunk[0])
        if after == SCTP_MAX:
            return PACKET_INVALID
        if chunk[0] == CHUNK_INIT or chunk[0] == CHUNK_INIT_ACK:
            if chunk + 20 > packet.frame + stop:
                return PACKET_INVALID
            if not note_init(sctp, chunk[0], load32(chunk + 4), direction):
                return PACKET_INVALID
            # A repeated INIT prolongs nothing.
            if (chunk[0] == CHUNK_INIT and after == SCTP_CLOSED and sctp.state == SCTP_CLOSED
                    and connection.status & IPS_CONFIRMED):
                outcome = PACKET_IGNORE
        if sctp.state != after and after == SCTP_ESTABLISHED:
            connection.status |= IPS_ASSURED
        sctp.state = after
    return outcome


cdef int sctp_packet(walk_t* walk, connection_t* connection, uint32_t direction) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef const node_t* node = &walk.image.nodes[connection.original.node]
    cdef sctp_t* sctp = connection_sctp(connection)
    cdef uint32_t vtag = load32(packet.frame + packet.l4 + 4)
    cdef uint32_t found = chunk_map(packet)
    cdef int outcome
    if found == 0:
        return PACKET_INVALID
    if not connection.status & IPS_CONFIRMED and (
            found & BEGINS_NOTHING or not begin(sctp, packet, vtag)):
        return PACKET_INVALID
    if sctp.flags & SCTP_LEARNS << direction and not found & 1 << CHUNK_INIT:
        sctp.flags &= <uint8_t>~(SCTP_LEARNS << direction)
        sctp.vtag[direction] = vtag
    if not found & HAS_OWN_CHECK and vtag != sctp.vtag[direction]:
        return PACKET_INVALID
    outcome = follow(connection, packet, vtag, found, direction)
    if outcome == PACKET_ACCEPT:
        connection.expires_ns = (
            walk.now_ns + <uint64_t>node.timeouts[TIMEOUT_SCTP + sctp.state] * SECOND_NS)
    return outcome
