"""Matches that look at IPv6 extension headers.  Specified by dataplane.reference.match_extension.

Each match looks for its header anew, as Linux does: what is cut short on the way drops the packet.
"""

from libc.stdint cimport uint8_t, uint32_t

from _fastpath.image cimport (
    AUTHENTICATION_RESERVED,
    AUTHENTICATION_SPI,
    EXTENSION_OPTIONS,
    EXTENSION_PRESENT,
    EXTENSION_SIZE,
    FRAGMENT_ID,
    FRAGMENT_MORE,
    FRAGMENT_OFFSET,
    FRAGMENT_RESERVED,
    MATCH_EXTENSION,
    MATCH_IPV6HEADER,
    MATCH_MOBILITY,
    ROUTING_ADDRESSES,
    ROUTING_RESERVED,
    ROUTING_SEGMENTS_LEFT,
    ROUTING_SOME,
    ROUTING_TYPE,
)
from _fastpath.matches cimport HOTDROP, NO, UNDECIDED, YES
from _fastpath.packet cimport ETHER_SIZE, is_extension, load16, load32, packet_holds, packet_t

cdef enum:
    HOP_BY_HOP = 0          # RFC 8200 section 4
    ROUTING = 43
    FRAGMENT = 44
    ESP = 50
    AUTHENTICATION = 51
    NO_NEXT_HEADER = 59
    DESTINATION = 60

cdef enum:                  # linux/netfilter_ipv6/ip6t_ipv6header.h: MASK_*
    MASK_PROTO = 1
    MASK_NONE = 2
    MASK_ESP = 4

# -------------------------------------------------------------------------- finding a header


cdef inline uint32_t size_at(const packet_t* packet, uint32_t at, uint8_t proto) noexcept nogil:
    """Bytes of the header at `at`, as it says; its first two are there."""
    if proto == FRAGMENT:
        return 8
    if proto == AUTHENTICATION:
        return (packet.frame[at + 1] + 2) * 4
    return (packet.frame[at + 1] + 1) * 8


cdef inline uint32_t needed_of(uint8_t proto) noexcept nogil:
    """What ipv6_find_hdr reads of a header on its way."""
    return 4 if proto in (ROUTING, FRAGMENT) else 2


cdef int find_header(const packet_t* packet, uint8_t wanted, uint32_t* at) noexcept nogil:
    """exthdrs_core.c, ipv6_find_hdr: YES, NO (there is none), HOTDROP (cut short) or UNDECIDED."""
    cdef uint8_t proto = packet.frame[ETHER_SIZE + 6]
    cdef int held
    at[0] = ETHER_SIZE + 40
    while is_extension(proto):
        held = packet_holds(packet, at[0], needed_of(proto))
        if held != YES:
            return HOTDROP if held == NO else UNDECIDED
        if proto == wanted:
            return YES
        if proto == FRAGMENT and load16(packet.frame + at[0] + 2) & 0xFFF8:
            return NO                           # of what follows, this is the middle
        held = size_at(packet, at[0], proto)
        proto = packet.frame[at[0]]
        at[0] += held
    return NO


cdef inline uint32_t fixed_size(uint8_t proto) noexcept nogil:
    """What each match reads of its own header at once."""
    if proto == FRAGMENT:
        return 8
    if proto == ROUTING:
        return 4
    return 12 if proto == AUTHENTICATION else 2


# ----------------------------------------------------------------------------- what it holds


cdef int options_match(const packet_t* packet, const match_t* match, const uint32_t* words,
                       uint32_t at) noexcept nogil:
    """ip6t_hbh.c, hbh_mt6: the first options are these, in this order."""
    cdef uint32_t left = size_at(packet, at, HOP_BY_HOP) - 2, i, size
    cdef uint8_t type
    cdef int held
    at += 2
    for i in range(match.b):
        held = packet_holds(packet, at, 1) if left >= 1 else NO
        if held != YES:
            return held
        type = packet.frame[at]
        if type != words[i] >> 8:
            return NO
        size = 1
        if type:
            held = packet_holds(packet, at + 1, 1) if left >= 2 else NO
            if held != YES:
                return held
            if words[i] & 0xFF != 0xFF and words[i] & 0xFF != packet.frame[at + 1]:
                return NO
            size = packet.frame[at + 1] + 2
        if i + 1 < match.b and (left < size or packet_holds(packet, at, size) == NO):
            return NO
        at += size
        left -= size
    return YES


cdef inline bint is_address(const packet_t* packet, uint32_t at,
                            const uint32_t* words) noexcept nogil:
    return (load32(packet.frame + at) == words[0] and load32(packet.frame + at + 4) == words[1]
            and load32(packet.frame + at + 8) == words[2]
            and load32(packet.frame + at + 12) == words[3])


cdef int addresses_match(const packet_t* packet, const match_t* match, const uint32_t* words,
                         uint32_t at) noexcept nogil:
    """ip6t_rt.c, rt_mt6: the addresses of a type 0 header.  The header was seen to be whole."""
    cdef uint32_t there = (size_at(packet, at, ROUTING) - 8) // 16, i, found = 0
    if match.b > there or (match.c == ROUTING_ADDRESSES and match.b != there):
        return NO
    for i in range(there):
        if found == match.b:
            break
        if packet_holds(packet, at + 8 + 16 * i, 16) != YES:
            return UNDECIDED
        if is_address(packet, at + 8 + 16 * i, words + 4 * found):
            found += 1
        elif match.c == ROUTING_ADDRESSES:
            return NO
    return found == match.b


cdef uint32_t field_of(const packet_t* packet, uint32_t field, uint8_t proto,
                       uint32_t at) noexcept nogil:
    cdef const uint8_t* header = packet.frame + at
    if field == EXTENSION_SIZE:
        return size_at(packet, at, proto)
    if field == FRAGMENT_ID or field == AUTHENTICATION_SPI:
        return load32(header + 4)
    if field == FRAGMENT_RESERVED:
        return header[1] | (header[3] & 6)
    if field == FRAGMENT_OFFSET:
        return load16(header + 2) >> 3
    if field == FRAGMENT_MORE:
        return header[3] & 1
    if field == ROUTING_TYPE:
        return header[2]
    if field == ROUTING_SEGMENTS_LEFT:
        return header[3]
    if field == AUTHENTICATION_RESERVED:
        return load16(header + 2)
    return 0


cdef int header_match(const walk_t* walk, const match_t* match) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef const uint32_t* words = walk.image.words + match.a
    cdef uint32_t at = 0, value
    cdef int held = find_header(packet, <uint8_t>match.d, &at)
    if held != YES:
        return held
    held = packet_holds(packet, at, fixed_size(<uint8_t>match.d))
    if held != YES:
        return HOTDROP if held == NO else UNDECIDED
    if packet_holds(packet, at, size_at(packet, at, <uint8_t>match.d)) == NO:
        return HOTDROP
    if match.c == EXTENSION_PRESENT:
        return YES
    if match.c == EXTENSION_OPTIONS:
        return options_match(packet, match, words, at)
    if match.c == ROUTING_ADDRESSES or match.c == ROUTING_SOME:
        return addresses_match(packet, match, words, at)
    if match.c == ROUTING_RESERVED:
        held = packet_holds(packet, at + 4, 4)
        return load32(packet.frame + at + 4) == 0 if held == YES else held
    value = field_of(packet, match.c, <uint8_t>match.d, at)
    return (match.a <= value <= match.b) ^ match.invert


# --------------------------------------------------------------------------- other matches


cdef int mobility_match(const packet_t* packet, const match_t* match) noexcept nogil:
    """ip6t_mh.c: a mobility header is followed by nothing."""
    cdef int held
    if not packet.is_first:
        return NO
    held = packet_holds(packet, packet.thoff, 6)
    if held != YES:
        return HOTDROP if held == NO else UNDECIDED
    if packet.frame[packet.thoff] != NO_NEXT_HEADER:
        return HOTDROP
    return (match.a <= packet.frame[packet.thoff + 2] <= match.b) ^ match.invert


cdef inline uint32_t mask_of(uint8_t proto) noexcept nogil:
    if proto == HOP_BY_HOP:
        return 128
    if proto == DESTINATION:
        return 64
    if proto == ROUTING:
        return 32
    return 16 if proto == FRAGMENT else 8


cdef int ipv6header_match(const packet_t* packet, const match_t* match) noexcept nogil:
    """ip6t_ipv6header.c, ipv6header_mt6"""
    cdef uint32_t at = ETHER_SIZE + 40, end = ETHER_SIZE + packet.ip_length, seen = 0, size
    cdef uint8_t proto = packet.frame[ETHER_SIZE + 6]
    cdef int held
    while is_extension(proto):
        held = packet_holds(packet, at, 2)
        if held != YES:
            return held
        size = size_at(packet, at, proto)
        seen |= mask_of(proto)
        proto = packet.frame[at]
        at += size
        if at > end:
            break
    if proto == ESP and at <= end:
        held = packet_holds(packet, at, 2)
        if held != YES:
            return held
        seen |= MASK_ESP
    elif proto == NO_NEXT_HEADER and at <= end:
        seen |= MASK_NONE
    elif proto != ESP and proto != NO_NEXT_HEADER:
        seen |= MASK_PROTO
    if match.flags & 1:
        return ((seen ^ match.a ^ (0xFF if match.invert else 0)) & match.a) == 0
    return (seen == match.a) ^ match.invert


cdef int extension_match(walk_t* walk, const match_t* match) noexcept nogil:
    if walk.packet.family != 6:
        return UNDECIDED
    if match.kind == MATCH_EXTENSION:
        return header_match(walk, match)
    if match.kind == MATCH_MOBILITY:
        return mobility_match(walk.packet, match)
    if match.kind == MATCH_IPV6HEADER:
        return ipv6header_match(walk.packet, match)
    return UNDECIDED
