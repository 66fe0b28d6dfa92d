"""Matches that look at the packet's bytes alone.  Specified by dataplane.reference.match_packet."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from _fastpath.image cimport (
    MATCH_DCCP_OPTION,
    MATCH_DCCP_TYPES,
    MATCH_ICMP,
    MATCH_MULTIPORT,
    MATCH_PORTS,
    MATCH_SCTP_CHUNKS,
    MATCH_SPI,
    MATCH_TCPMSS,
    MATCH_TCP_FLAGS,
    MATCH_TCP_OPTION,
    NATIVE_DPORT,
    NATIVE_SPORT,
    SCTP_ALL,
    SCTP_ANY,
    SCTP_ONLY,
    range_t,
)
from _fastpath.match_dccp cimport dccp_match
from _fastpath.matches cimport COUNTED_DROP, HOTDROP, NO, UNDECIDED, YES
from _fastpath.packet cimport (
    ETHER_SIZE,
    PROTO_TCP,
    load16,
    load32,
    packet_holds,
    packet_t,
    tcp_header,
)


cdef inline int ports_match(const match_t* match, const packet_t* packet) noexcept nogil:
    if not packet.is_first:
        # xt_tcpudp.c: only tcp_mt suspects a header that was split.
        # IPv6 counts offsets in bytes, and 1 never comes.
        return HOTDROP if (packet.fragment_offset == 1 and packet.proto == PROTO_TCP
                           and packet.family == 4) else NO
    if not packet.has_ports:
        return HOTDROP
    return (((match.a <= packet.sport <= match.b) ^ (match.invert & 1))
            and ((match.c <= packet.dport <= match.d) ^ ((match.invert >> 1) & 1)))


cdef int loaded(const packet_t* packet, uint32_t at, uint32_t count) noexcept nogil:
    """nft_payload_fast_eval, which asks of no fragment whether it is the first: a Matched, YES
    when the bytes can be loaded."""
    return packet_holds(packet, tcp_header(packet) + at, count)


cdef int native_ports_match(const match_t* match, const packet_t* packet) noexcept nogil:
    """`tcp dport …` as nft evaluates it: without the bytes the rule does not match."""
    cdef int held
    cdef uint16_t port
    if match.flags & NATIVE_SPORT:
        held = loaded(packet, 0, 2)
        if held != YES:
            return held
        port = load16(packet.frame + tcp_header(packet))
        if (match.a <= port <= match.b) == (match.invert & 1):
            return NO
    if match.flags & NATIVE_DPORT:
        held = loaded(packet, 2, 2)
        if held != YES:
            return held
        port = load16(packet.frame + tcp_header(packet) + 2)
        if (match.c <= port <= match.d) == ((match.invert >> 1) & 1):
            return NO
    return YES


cdef int native_flags_match(const match_t* match, const packet_t* packet) noexcept nogil:
    cdef int held = loaded(packet, 13, 1)
    if held != YES:
        return held
    return ((packet.frame[tcp_header(packet) + 13] & match.a) == match.b) ^ match.invert


cdef int tcp_option_match(const match_t* match, const packet_t* packet) noexcept nogil:
    """xt_tcpudp.c, tcp_find_option"""
    cdef uint32_t at, end
    if not packet.has_ports:
        return HOTDROP
    at = packet.l4 + 20
    end = packet.l4 + (packet.frame[packet.l4 + 12] >> 4) * 4
    if end < at or end > packet.length:
        return HOTDROP
    if end > packet.size:
        return UNDECIDED
    while at < end:
        if packet.frame[at] == match.a:
            return YES ^ match.invert
        if packet.frame[at] < 2 or at + 1 >= end:
            at += 1
        else:
            at += max(packet.frame[at + 1], 1)
    return NO ^ match.invert


cdef inline int icmp_match(const match_t* match, const packet_t* packet) noexcept nogil:
    cdef bint hit
    if not packet.is_first:
        return NO
    if not packet.has_ports:
        return HOTDROP
    hit = match.a == 255 or (packet.dport >> 8 == match.a
                             and match.b <= (packet.dport & 0xFF) <= match.c)
    return hit ^ match.invert


cdef int multiport_match(const walk_t* walk, const match_t* match) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef const range_t* ports
    cdef uint16_t sport, dport
    cdef uint32_t i
    cdef bint hit = False
    cdef int held = packet_holds(packet, packet.thoff, 4)
    if not packet.is_first:
        return NO
    if held != YES:
        return HOTDROP if held == NO else UNDECIDED
    sport = load16(packet.frame + packet.thoff)
    dport = load16(packet.frame + packet.thoff + 2)
    for i in range(match.a, match.a + match.b):
        ports = &walk.image.ranges[i]
        if ((match.c & 1 and ports.low <= sport <= ports.high)
                or (match.c & 2 and ports.low <= dport <= ports.high)):
            hit = True
            break
    return hit ^ match.invert


cdef int tcpmss_match(const match_t* match, const packet_t* packet) noexcept nogil:
    """xt_tcpmss.c"""
    cdef const uint8_t* frame = packet.frame
    cdef uint32_t at, end
    cdef uint16_t mss
    cdef uint32_t header = tcp_header(packet)
    cdef int held = packet_holds(packet, header, 20)
    if held == UNDECIDED:
        return UNDECIDED
    if held == NO or (frame[header + 12] >> 4) < 5:
        return HOTDROP
    at = header + 20
    end = header + (frame[header + 12] >> 4) * 4
    held = packet_holds(packet, at, end - at)
    if held != YES:
        return HOTDROP if held == NO else UNDECIDED
    while at < end:
        if frame[at] == 2 and end - at >= 4 and frame[at + 1] == 4:
            mss = load16(frame + at + 2)
            return (match.a <= mss <= match.b) ^ match.invert
        if frame[at] < 2 or at + 1 >= end:
            at += 1
        else:
            at += max(frame[at + 1], 1)
    return match.invert


cdef int spi_match(const match_t* match, const packet_t* packet) noexcept nogil:
    """ipt_ah.c, xt_esp.c"""
    cdef int held
    if not packet.is_first:
        return NO
    held = packet_holds(packet, packet.thoff, match.d)
    if held != YES:
        return HOTDROP if held == NO else UNDECIDED
    return (match.a <= load32(packet.frame + packet.thoff + match.c) <= match.b) ^ match.invert


cdef bint chunk_flags_match(const uint32_t* entries, uint32_t count, uint8_t type,
                            uint8_t flags) noexcept nogil:
    """match_flags: (type, mask, flags) each; a type without an entry may have any."""
    cdef uint32_t i
    for i in range(count):
        if entries[3 * i] == type:
            return (flags & entries[3 * i + 1]) == entries[3 * i + 2]
    return True


cdef int sctp_chunks_match(const walk_t* walk, const match_t* match) noexcept nogil:
    """xt_sctp.c, match_packet"""
    cdef const packet_t* packet = walk.packet
    cdef const uint32_t* words = walk.image.words + match.a
    cdef uint32_t[8] missing
    cdef uint32_t at = packet.l4 + 12, length, i, unmet = 0
    cdef uint8_t type
    cdef bint wanted
    cdef int held
    if not packet.is_first:
        return NO
    if not packet.has_ports:
        return HOTDROP
    for i in range(8):
        missing[i] = words[i]
    while True:
        held = packet_holds(packet, at, 4)
        if held == UNDECIDED:
            return UNDECIDED
        length = load16(packet.frame + at + 2) if held == YES else 0
        if length == 0:
            # xt_sctp.c turns that answer round as well: the rule counts, and the packet is dropped.
            return COUNTED_DROP if match.d else HOTDROP
        type = packet.frame[at]
        wanted = (words[type >> 5] >> (type & 31)) & 1
        if wanted and chunk_flags_match(words + 8, match.b, type, packet.frame[at + 1]):
            if match.c == SCTP_ANY:
                return YES ^ match.invert
            missing[type >> 5] &= ~(<uint32_t>1 << (type & 31))
        elif match.c == SCTP_ONLY:
            return NO ^ match.invert
        at += (length + 3) & ~<uint32_t>3
        if at >= ETHER_SIZE + packet.ip_length:
            break
    for i in range(8):
        unmet |= missing[i]
    if match.c == SCTP_ALL:
        return (unmet == 0) ^ match.invert
    return (match.c == SCTP_ONLY) ^ match.invert


cdef int tcp_flags_match(const match_t* match, const packet_t* packet) noexcept nogil:
    if not packet.is_first:
        return NO
    if not packet.has_ports:
        return HOTDROP
    return ((packet.tcp_flags & match.a) == match.b) ^ match.invert


cdef int packet_match(walk_t* walk, const match_t* match) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    if match.flags:
        return (native_ports_match(match, packet) if match.kind == MATCH_PORTS
                else native_flags_match(match, packet))
    if match.kind == MATCH_PORTS:
        return ports_match(match, packet)
    if match.kind == MATCH_MULTIPORT:
        return multiport_match(walk, match)
    if match.kind == MATCH_TCP_FLAGS:
        return tcp_flags_match(match, packet)
    if match.kind == MATCH_TCP_OPTION:
        return tcp_option_match(match, packet)
    if match.kind == MATCH_TCPMSS:
        return tcpmss_match(match, packet)
    if match.kind == MATCH_SPI:
        return spi_match(match, packet)
    if match.kind == MATCH_SCTP_CHUNKS:
        return sctp_chunks_match(walk, match)
    if match.kind == MATCH_DCCP_TYPES or match.kind == MATCH_DCCP_OPTION:
        return dccp_match(match, packet)
    if match.kind == MATCH_ICMP:
        return icmp_match(match, packet)
    return UNDECIDED
