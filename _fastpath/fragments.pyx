"""Fragments that wait for each other.  Specified by dataplane.reference.fragments.

ip_fragment.c, nf_conntrack_reasm.c, reassembly.c, v6.12.
"""

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy

from _fastpath.answers cimport icmp_error
from _fastpath.checksum cimport checksum_add, checksum_finish
from _fastpath.fragment_queues cimport (
    DUPLICATE,
    OVERLAP,
    piece_t,
    queue_clear,
    queue_data,
    queue_expiry,
    queue_find,
    queue_head,
    queue_insert,
    queue_keep,
    queue_none,
    queue_pieces,
)
from _fastpath.packet cimport (
    BOUNDARIES_SIZE,
    ETHER_SIZE,
    FRAME_MAX,
    HEADROOM,
    fragment_header,
    load16,
    load32,
    packet_boundaries,
    packet_parse,
    packet_t,
    store16,
)
from _fastpath.reason cimport (
    CAPTURE_CUT,
    CONSUMED,
    FRAGMENT_DUPLICATE,
    FRAGMENT_HELD,
    FRAGMENT_INVALID,
    FRAGMENT_UNMODELLED,
)
from _fastpath.state cimport (
    FRAGMENT_FIRST_IN,
    FRAGMENT_HEAD,
    FRAGMENT_LAST_IN,
    USER_LOCAL,
    fragment_queue_t,
)
from _fastpath.trace cimport GENERATED_ICMP_PARAMETER_PROBLEM, STEP_REASSEMBLE, trace_step
from _fastpath.walk cimport GO_ON, answered, drop, end, here

cdef enum:
    MORE_FRAGMENTS = 0x2000
    DONT_FRAGMENT = 0x4000
    PAYLOAD_MAX = 65535
    ECN_CONFLICT = 0xFF
    PARAMETER_PROBLEM = 4       # RFC 4443, section 3.4
    HEADER_FIELD = 0
    HEADER_INCOMPLETE = 3       # RFC 7112
    PAYLOAD_LENGTH = 4          # where it stands in an IPv6 header


cdef bint is_whole(const fragment_queue_t* queue) noexcept nogil:
    return (queue.flags == (FRAGMENT_FIRST_IN | FRAGMENT_LAST_IN)
            and queue.received == queue.length)


cdef uint8_t merged_ecn(uint8_t seen) noexcept nogil:
    """ip_frag_ecn_table: what is added to the first fragment's; RFC 3168 section 5.3."""
    if seen & 1 and seen != 1:
        return ECN_CONFLICT
    return 3 if seen & 8 and seen != 8 else 0


cdef int held(walk_t* walk) noexcept nogil:
    return end(walk, CONSUMED, FRAGMENT_HELD, here(walk))


cdef int discard(walk_t* walk, fragment_queue_t* queue) noexcept nogil:
    queue.expires_ns = 0
    return drop(walk, FRAGMENT_INVALID)


# ------------------------------------------------------------------------------------- IPv4


cdef int gather4(walk_t* walk, uint8_t user) noexcept nogil:
    """ip_defrag, ip_frag_queue"""
    cdef packet_t* packet = walk.packet
    cdef const uint8_t* ip = packet.frame + ETHER_SIZE
    cdef uint32_t header = (ip[0] & 15) * 4
    cdef piece_t piece
    cdef fragment_queue_t* queue
    cdef int outcome
    piece.id = load16(ip + 4)
    piece.offset = <uint32_t>packet.fragment_offset * 8
    piece.end = piece.offset + packet.ip_length - header
    piece.data = ETHER_SIZE + header
    piece.more = (load16(ip + 6) & MORE_FRAGMENTS) != 0
    piece.has_df = packet.dont_fragment
    queue = queue_find(walk, &piece, user)
    if queue == NULL:
        return drop(walk, queue_none(walk, user))
    if is_too_far(walk, queue):
        queue_clear(walk.state, queue)
        queue.expires_ns = queue_expiry(walk, user)
    queue.distance = 0
    if piece.more:
        piece.end &= <uint32_t>~7
    if not fits(queue, &piece) or piece.end <= piece.offset:
        return discard(walk, queue)
    outcome = queue_insert(walk.state, queue, piece.offset, piece.end)
    if outcome == DUPLICATE:
        return drop(walk, FRAGMENT_DUPLICATE)
    if outcome == OVERLAP:
        return discard(walk, queue)
    piece.size = piece.end - piece.offset + header
    keep(walk, queue, &piece)
    return reassemble4(walk, queue) if is_whole(queue) else held(walk)


cdef bint is_too_far(const walk_t* walk, const fragment_queue_t* queue) noexcept nogil:
    """ip_frag_too_far: so many others of the sender came between that identifications may
    have come round."""
    cdef uint32_t most = walk.image.nodes[walk.packet.node].fragment_distance
    return most != 0 and queue.received != 0 and queue.distance > most


cdef bint fits(fragment_queue_t* queue, const piece_t* piece) noexcept nogil:
    """The fragment agrees with what is known of the packet's end."""
    if not piece.more:
        if piece.end < queue.length or (
                queue.flags & FRAGMENT_LAST_IN and piece.end != queue.length):
            return False
        queue.flags |= FRAGMENT_LAST_IN
        queue.length = piece.end
    elif piece.end > queue.length:
        if queue.flags & FRAGMENT_LAST_IN:
            return False
        queue.length = piece.end
    return True


cdef void keep(walk_t* walk, fragment_queue_t* queue, const piece_t* piece) noexcept nogil:
    queue_keep(walk, queue, piece)
    queue.ecn |= <uint8_t>(1 << (walk.packet.tos & 3))
    if piece.offset == 0:
        queue.flags |= FRAGMENT_FIRST_IN
    queue.max_size = max(queue.max_size, piece.size)
    if piece.has_df:
        queue.max_df_size = max(queue.max_df_size, piece.size)


cdef int reassemble4(walk_t* walk, fragment_queue_t* queue) noexcept nogil:
    """ip_frag_reasm"""
    cdef packet_t* packet = walk.packet
    cdef uint32_t header = queue.head_size - ETHER_SIZE
    cdef uint8_t ecn = merged_ecn(queue.ecn)
    cdef bint has_df = queue.max_df_size == queue.max_size
    cdef uint8_t* ip
    if ecn == ECN_CONFLICT or header + queue.length > PAYLOAD_MAX:
        return discard(walk, queue)
    if queue.is_cut:
        queue.expires_ns = 0
        return drop(walk, CAPTURE_CUT)
    take(walk, queue)
    ip = packet.frame + ETHER_SIZE
    ip[1] |= ecn
    store16(ip + 2, <uint16_t>(header + queue.length))
    store16(ip + 6, DONT_FRAGMENT if has_df else 0)
    store16(ip + 10, 0)
    store16(ip + 10, checksum_finish(checksum_add(0, ip, header)))
    packet.fragment_max = max(queue.max_df_size, queue.max_size)
    packet.fragment_df = has_df
    return whole(walk)


cdef void take(walk_t* walk, fragment_queue_t* queue) noexcept nogil:
    """The packet takes the place of its last fragment; the queue is gone."""
    cdef packet_t* packet = walk.packet
    cdef uint32_t size = queue.head_size + queue.length
    if packet.frame + size > packet.buffer + HEADROOM + FRAME_MAX:
        packet.frame = packet.buffer + HEADROOM + 8     # it was far inside tunnels
    memcpy(packet.frame, queue_head(walk.state, queue), queue.head_size)
    memcpy(packet.frame + queue.head_size, queue_data(walk.state, queue), queue.length)
    memcpy(packet_boundaries(packet), queue_pieces(walk.state, queue), BOUNDARIES_SIZE)
    packet.size = packet.length = size
    packet.mark = queue.mark
    packet.is_listed = packet.ignore_df = 1
    packet.listed_from = <uint16_t>(queue.head_size - ETHER_SIZE)
    queue.expires_ns = 0


cdef int whole(walk_t* walk) noexcept nogil:
    cdef packet_t* packet = walk.packet
    packet_parse(packet)
    trace_step(walk.trace, STEP_REASSEMBLE, <uint32_t>packet.node)
    return GO_ON


# ------------------------------------------------------------------------------------- IPv6


cdef int refuse(walk_t* walk, uint8_t user, uint8_t code, uint32_t pointer) noexcept nogil:
    """The sender of fragments for a process is told; conntrack says nothing."""
    if user != USER_LOCAL:
        return drop(walk, FRAGMENT_INVALID)
    return answered(walk, icmp_error(walk, GENERATED_ICMP_PARAMETER_PROBLEM, PARAMETER_PROBLEM,
                                     code, pointer), FRAGMENT_INVALID)


cdef int gather6(walk_t* walk, uint8_t user) noexcept nogil:
    """nf_ct_frag6_gather, nf_ct_frag6_queue; for a process ipv6_frag_rcv, ip6_frag_queue."""
    cdef packet_t* packet = walk.packet
    cdef uint32_t next_header = 0
    cdef uint32_t at = fragment_header(packet, &next_header)
    cdef const uint8_t* header = packet.frame + at
    cdef piece_t piece
    cdef fragment_queue_t* queue
    cdef int outcome
    if at == 0 or packet.ip_length == 40:
        return GO_ON
    if is_head_cut(packet, at):
        return refuse(walk, user, HEADER_INCOMPLETE, 0) if user == USER_LOCAL else GO_ON
    if at + 8 > ETHER_SIZE + packet.ip_length:
        return refuse(walk, user, HEADER_FIELD, at - ETHER_SIZE)
    if at + 8 > packet.size:
        return drop(walk, CAPTURE_CUT)
    if user == USER_LOCAL and not load16(header + 2) & 0xFFF9:
        return GO_ON                        # of one fragment alone (RFC 6946)
    piece.id = load32(header + 4)
    piece.offset = load16(header + 2) & 0xFFF8
    piece.data = at + 8
    piece.end = piece.offset + packet.ip_length + ETHER_SIZE - piece.data
    piece.size = packet.ip_length
    piece.more = load16(header + 2) & 1
    piece.has_df = 0
    if piece.data > FRAGMENT_HEAD:
        return drop(walk, FRAGMENT_UNMODELLED)
    queue = queue_find(walk, &piece, user)
    if queue == NULL:
        return drop(walk, queue_none(walk, user))
    if piece.end > PAYLOAD_MAX:
        return refuse(walk, user, HEADER_FIELD, piece.data - 6 - ETHER_SIZE)
    if piece.more and piece.end & 7:
        if user == USER_LOCAL:
            return refuse(walk, user, HEADER_FIELD, PAYLOAD_LENGTH)
        queue.expires_ns = 0                # -EPROTO: the packet goes on as it stands
        return GO_ON
    if not fits(queue, &piece) or piece.end <= piece.offset:
        if user == USER_LOCAL:
            return discard(walk, queue)
        return drop(walk, FRAGMENT_INVALID)
    outcome = queue_insert(walk.state, queue, piece.offset, piece.end)
    if outcome == DUPLICATE:
        return drop(walk, FRAGMENT_DUPLICATE)
    if outcome == OVERLAP:
        return discard(walk, queue)
    keep(walk, queue, &piece)
    if piece.offset == 0:
        queue.next_header = <uint16_t>next_header
    return reassemble6(walk, queue) if is_whole(queue) else held(walk)


cdef bint is_head_cut(const packet_t* packet, uint32_t at) noexcept nogil:
    """ipv6frag_thdr_truncated: a first fragment must hold all headers (RFC 8200, 4.5)."""
    cdef uint32_t stop = ETHER_SIZE + packet.ip_length
    cdef uint32_t transport = at + 8
    cdef uint8_t proto
    if at + 4 > min(stop, packet.size) or load16(packet.frame + at + 2) & 0xFFF8:
        return False
    proto = packet.frame[at]
    transport = skip_more(packet, transport, stop, &proto)
    if transport == 0:
        return False
    if proto == 6:
        return transport + 20 > stop
    return transport + (8 if proto == 17 or proto == 58 else 1) > stop


cdef uint32_t skip_more(const packet_t* packet, uint32_t at, uint32_t stop,
                        uint8_t* proto) noexcept nogil:
    """ipv6_skip_exthdr; 0 when the packet ends within a header."""
    cdef uint8_t kind
    while proto[0] in (0, 43, 44, 51, 60, 59):
        kind = proto[0]
        if kind == 59 or at + 2 > min(stop, packet.size) or (
                kind == 44 and at + 4 > min(stop, packet.size)):
            return 0
        proto[0] = packet.frame[at]
        if kind == 44:
            if load16(packet.frame + at + 2) & 0xFFF8:
                return 0
            at += 8
        elif kind == 51:
            at += (<uint32_t>packet.frame[at + 1] + 2) * 4
        else:
            at += (<uint32_t>packet.frame[at + 1] + 1) * 8
    return at


cdef int reassemble6(walk_t* walk, fragment_queue_t* queue) noexcept nogil:
    """nf_ct_frag6_reasm: the fragment header is taken out."""
    cdef packet_t* packet = walk.packet
    cdef uint8_t* head = queue_head(walk.state, queue)
    cdef uint32_t at = queue.head_size - 8
    cdef uint8_t ecn = merged_ecn(queue.ecn)
    if ecn == ECN_CONFLICT or at - ETHER_SIZE - 40 + queue.length > PAYLOAD_MAX:
        return discard(walk, queue)
    if queue.is_cut:
        queue.expires_ns = 0
        return drop(walk, CAPTURE_CUT)
    head[queue.next_header] = head[at]
    queue.head_size = at
    packet.fragment_max = queue.max_size
    take(walk, queue)
    store16(packet.frame + ETHER_SIZE + 4, <uint16_t>(packet.size - ETHER_SIZE - 40))
    packet.frame[ETHER_SIZE + 1] |= <uint8_t>(ecn << 4)
    packet.fragment_df = 0
    return whole(walk)


# ------------------------------------------------------------------------------------- door


cdef int gather(walk_t* walk, uint8_t user) noexcept nogil:
    if walk.packet.family == 6:
        return gather6(walk, user)
    return gather4(walk, user) if walk.packet.is_fragment else GO_ON
