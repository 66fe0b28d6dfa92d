"""Matches that look anywhere in the packet's bytes.  Specified by dataplane.reference.match_bytes.

Offsets count from the IP header.  A program of u32 is laid out in words:

    tests, then for each:   numbers, (operator, number) …   ranges, (low, high) …
"""

from libc.stdint cimport uint8_t, uint32_t

from _fastpath.image cimport (
    MATCH_STRING,
    MATCH_U32,
    U32_AND,
    U32_AT,
    U32_LEFT,
    U32_RIGHT,
)
from _fastpath.matches cimport NO, UNDECIDED, YES
from _fastpath.packet cimport ETHER_SIZE, load32, packet_t


cdef int u32_load(const packet_t* packet, uint32_t at, uint32_t* value) noexcept nogil:
    """A word at an offset, if the packet has it and the capture holds it.  A Matched."""
    if packet.ip_length < 4 or at > packet.ip_length - 4:
        return NO
    if ETHER_SIZE + at + 4 > packet.size:
        return UNDECIDED
    value[0] = load32(packet.frame + ETHER_SIZE + at)
    return YES


cdef int u32_location(const packet_t* packet, const uint32_t* words, uint32_t count,
                      uint32_t* value) noexcept nogil:
    """xt_u32.c, u32_match_it: one location's value."""
    cdef uint32_t at = 0, i, number
    cdef int outcome = u32_load(packet, words[1], value)
    if outcome != YES:
        return outcome
    for i in range(1, count):
        number = words[2 * i + 1]
        if words[2 * i] == U32_AND:
            value[0] &= number
        elif words[2 * i] == U32_LEFT:
            value[0] = value[0] << number if number < 32 else 0
        elif words[2 * i] == U32_RIGHT:
            value[0] = value[0] >> number if number < 32 else 0
        elif words[2 * i] == U32_AT:
            if at + value[0] < at or at + value[0] + number < number:
                return NO
            at += value[0]
            outcome = u32_load(packet, at + number, value)
            if outcome != YES:
                return outcome
    return YES


cdef int u32_match(const walk_t* walk, const match_t* match) noexcept nogil:
    cdef const uint32_t* words = walk.image.words + match.a
    cdef uint32_t tests = words[0], ranges, i, value = 0
    cdef bint hit
    cdef int outcome
    words += 1
    while tests:
        outcome = u32_location(walk.packet, words + 1, words[0], &value)
        if outcome == UNDECIDED:
            return UNDECIDED
        if outcome == NO:
            return NO ^ match.invert
        words += 1 + 2 * words[0]
        ranges = words[0]
        hit = False
        for i in range(ranges):
            hit |= words[1 + 2 * i] <= value <= words[2 + 2 * i]
        if not hit:
            return NO ^ match.invert
        words += 1 + 2 * ranges
        tests -= 1
    return YES ^ match.invert


cdef inline uint8_t upper(uint8_t letter) noexcept nogil:
    return letter - 32 if 97 <= letter <= 122 else letter


cdef int string_match(const walk_t* walk, const match_t* match) noexcept nogil:
    """xt_string.c, skb_find_text: a: words, one byte each; b: how many; c to d; flags: 1 icase,
    2 bm.  The whole of the pattern lies between the two offsets."""
    cdef const packet_t* packet = walk.packet
    cdef const uint32_t* pattern = walk.image.words + match.a
    cdef const uint8_t* data = packet.frame + ETHER_SIZE
    cdef uint32_t end = min(match.d, packet.ip_length)
    cdef uint32_t held = min(end, packet.size - ETHER_SIZE)
    cdef uint32_t at = match.c, i
    while at + match.b <= held:
        i = 0
        while i < match.b and pattern[i] == (upper(data[at + i]) if match.flags & 1
                                             else data[at + i]):
            i += 1
        if i == match.b and match.flags & 2 and packet.ignore_df:
            return UNDECIDED            # bm does not look across fragments
        if i == match.b:
            return YES ^ match.invert
        at += 1
    # What the capture does not hold may hold it.
    return NO ^ match.invert if held == end else UNDECIDED


cdef int bytes_match(walk_t* walk, const match_t* match) noexcept nogil:
    if match.kind == MATCH_U32:
        return u32_match(walk, match)
    if match.kind == MATCH_STRING:
        return string_match(walk, match)
    return UNDECIDED
