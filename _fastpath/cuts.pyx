"""Packets cut into fragments.  Specified by dataplane.reference.cuts.

Those that came in fragments leave in the same ones, where these fit (the frag_list of
ip_do_fragment and ip6_fragment); others are cut as long as fits.
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy, memset

from _fastpath.answers cimport fragment_id
from _fastpath.checksum cimport checksum_add, checksum_finish
from _fastpath.packet cimport (
    ETHER_SIZE,
    load16,
    packet_boundaries,
    packet_copy,
    packet_finish,
    packet_parse,
    packet_t,
    store16,
    store32,
    unfragmentable,
)
from _fastpath.reason cimport (
    CAPTURE_CUT,
    CONSUMED,
    DELIVERED,
    FORWARDED,
    FRAGMENTATION_NEEDED,
    FRAGMENTATION_UNMODELLED,
    FRAGMENT_HELD,
    IP_HEADER_INVALID,
)
from _fastpath.state cimport cut_t
from _fastpath.trace cimport STEPS_MAX, STEP_FRAGMENT, trace_step
from _fastpath.walk cimport GO_ON, drop

cdef enum:
    FRAGMENT_HEADER = 44
    MORE_FRAGMENTS = 0x2000
    DONT_FRAGMENT = 0x4000

cdef enum Rank:
    NOTHING = 0
    WAITS = 1           # held where it came to
    ARRIVED = 2
    FAILED = 3


cdef int cut(walk_t* walk, uint32_t mtu, int32_t port) noexcept nogil:
    cdef packet_t* packet = walk.packet
    cdef cut_t* made
    cdef uint32_t extra = 8 if packet.family == 6 else 0
    if walk.cut_count >= walk.cut_max:
        return drop(walk, FRAGMENTATION_UNMODELLED)
    if not packet_finish(packet):
        return drop(walk, CAPTURE_CUT)
    made = &walk.cuts[walk.cut_count]
    made.at = made.id = made.next_header = 0
    made.port = port
    made.header = (packet.frame[ETHER_SIZE] & 15) * 4
    if packet.family == 6:
        made.header = unfragmentable(packet, &made.next_header)
        if made.header == 0:
            return drop(walk, IP_HEADER_INVALID)
    if mtu < made.header + extra + 8:
        return drop(walk, FRAGMENTATION_NEEDED)
    made.space = mtu - made.header - extra
    if packet.family == 6:
        made.id = fragment_id(walk)
    packet_copy(&made.whole, packet)
    if made.whole.is_listed and not pieces_fit(made):
        made.whole.is_listed = 0
    walk.cut_count += 1
    walk.was_cut = 1
    trace_step(walk.trace, STEP_FRAGMENT, <uint32_t>packet.node)
    take_fragment(walk)
    return GO_ON


cdef inline uint32_t left(const cut_t* made) noexcept nogil:
    return made.whole.ip_length - made.header - made.at


cdef uint32_t next_piece(const cut_t* made) noexcept nogil:
    """Bytes of the payload to where the next of its own fragments began, or to its end."""
    cdef const uint8_t* map = packet_boundaries(&made.whole)
    cdef uint32_t at = made.at + made.header - made.whole.listed_from
    cdef uint32_t block = (at >> 3) + 1
    while block * 8 < at + left(made):
        if (map[block >> 3] >> (block & 7)) & 1:
            return block * 8 - at
        block += 1
    return left(made)


cdef bint header_fits(const cut_t* made) noexcept nogil:
    """All headers that each fragment repeats came in the first one, in units of eight bytes."""
    cdef const uint8_t* map = packet_boundaries(&made.whole)
    cdef uint32_t more = made.header - made.whole.listed_from
    cdef uint32_t block
    if made.header < made.whole.listed_from or more & 7:
        return False
    for block in range(1, (more >> 3) + 1):
        if (map[block >> 3] >> (block & 7)) & 1:
            return False
    return True


cdef bint pieces_fit(cut_t* made) noexcept nogil:
    """The geometry is right, as ip_do_fragment has it."""
    cdef bint is_right = header_fits(made)
    while is_right and left(made):
        is_right = next_piece(made) <= made.space
        made.at += next_piece(made)
    made.at = 0
    return is_right


cdef void take_fragment(walk_t* walk) noexcept nogil:
    """The next fragment of the innermost cut into walk.packet; after the last the cut is closed."""
    cdef cut_t* made = &walk.cuts[walk.cut_count - 1]
    cdef packet_t* packet = walk.packet
    cdef const packet_t* whole = &made.whole
    cdef uint8_t* buffer = packet.buffer
    cdef uint32_t size = left(made)
    cdef uint32_t start = ETHER_SIZE + made.header
    cdef uint32_t extra = 8 if whole.family == 6 else 0
    cdef uint32_t present = 0
    cdef bint is_last
    if whole.is_listed:
        size = next_piece(made)
    elif size > made.space:
        size = made.space & <uint32_t>~7
    is_last = size == left(made)
    if whole.size > start + made.at:
        present = min(size, whole.size - start - made.at)
    memcpy(packet, whole, sizeof(packet_t))
    packet.buffer = buffer
    packet.frame = buffer + (whole.frame - whole.buffer)
    memcpy(packet.frame, whole.frame, start)
    memcpy(packet.frame + start + extra, whole.frame + start + made.at, present)
    packet.size = start + extra + present
    packet.length = start + extra + size
    packet.is_listed = packet.ignore_df = packet.fragment_df = 0
    packet.fragment_max = 0
    if whole.family == 4:
        write_header4(packet, made, is_last)
    else:
        write_header6(packet, made, is_last)
    packet_parse(packet)
    made.at += size
    if is_last:
        walk.cut_count -= 1


cdef void write_header4(packet_t* packet, const cut_t* made, bint is_last) noexcept nogil:
    cdef uint8_t* ip = packet.frame + ETHER_SIZE
    cdef uint16_t fragment = load16(ip + 6)
    cdef uint16_t flags = 0 if is_last and not fragment & MORE_FRAGMENTS else MORE_FRAGMENTS
    if made.whole.fragment_df and not made.whole.is_listed:
        flags |= DONT_FRAGMENT
    if made.at:
        blank_options(ip, made.header)
    store16(ip + 2, <uint16_t>(packet.length - ETHER_SIZE))
    store16(ip + 6, <uint16_t>(flags | ((fragment & 0x1FFF) + (made.at >> 3))))
    store16(ip + 10, 0)
    store16(ip + 10, checksum_finish(checksum_add(0, ip, made.header)))


cdef void blank_options(uint8_t* ip, uint32_t header) noexcept nogil:
    """ip_options_fragment: only the first fragment has the options that are not copied."""
    cdef uint32_t at = 20, size
    while at < header and ip[at]:
        if ip[at] == 1:
            at += 1
            continue
        if at + 2 > header:
            return
        size = ip[at + 1]
        if size < 2 or at + size > header:
            return
        if not ip[at] & 0x80:
            memset(ip + at, 1, size)
        at += size


cdef void write_header6(packet_t* packet, const cut_t* made, bint is_last) noexcept nogil:
    cdef uint8_t* header = packet.frame + ETHER_SIZE + made.header
    header[0] = packet.frame[made.next_header]
    header[1] = 0
    store16(header + 2, <uint16_t>(made.at | (not is_last)))
    store32(header + 4, made.id)
    packet.frame[made.next_header] = FRAGMENT_HEADER
    store16(packet.frame + ETHER_SIZE + 4, <uint16_t>(packet.length - ETHER_SIZE - 40))


cdef uint8_t rank_of(const walk_t* walk) noexcept nogil:
    if walk.verdict == DELIVERED or walk.verdict == FORWARDED:
        return ARRIVED
    if walk.verdict == CONSUMED:
        return WAITS if walk.reason == FRAGMENT_HELD else ARRIVED
    return FAILED


cdef int32_t next_fragment(walk_t* walk) noexcept nogil:
    cdef uint8_t rank = rank_of(walk)
    cdef int32_t port
    if rank > walk.told_rank:
        walk.told_rank = rank
        walk.told_verdict, walk.told_reason = walk.verdict, walk.reason
        walk.told_place = walk.place
        packet_copy(walk.told, walk.packet)
    if walk.trace.count > STEPS_MAX:
        walk.cut_count = 0
    if walk.cut_count:
        port = walk.cuts[walk.cut_count - 1].port
        take_fragment(walk)
        return port
    packet_copy(walk.packet, walk.told)
    walk.verdict, walk.reason = walk.told_verdict, walk.told_reason
    walk.place = walk.told_place
    walk.told_rank = NOTHING
    return NO_MORE
