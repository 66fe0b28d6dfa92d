"""-m dccp: packet types and options.  Specified by dataplane.reference.match_dccp."""

from libc.stdint cimport uint32_t, uint8_t

from _fastpath.image cimport MATCH_DCCP_TYPES
from _fastpath.matches cimport COUNTED_DROP, HOTDROP, NO, UNDECIDED, YES
from _fastpath.packet cimport packet_holds

cdef enum:
    BASIC_SIZE = 12         # struct dccp_hdr
    DCCP_REQUEST = 0        # RFC 4340 5.1
    DCCP_DATA = 2
    DCCP_ACK = 3
    DCCP_CLOSE = 6
    DCCP_SYNC = 8
    DCCP_SYNCACK = 9


cdef inline uint8_t dccp_type(const packet_t* packet) noexcept nogil:
    return (packet.frame[packet.thoff + 8] >> 1) & 15


cdef uint32_t fixed_size(const packet_t* packet) noexcept nogil:
    """__dccp_hdr_len: of all that stands before the options."""
    cdef uint8_t type = dccp_type(packet)
    cdef uint32_t size = BASIC_SIZE
    if packet.frame[packet.thoff + 8] & 1:  # X: long sequence numbers
        size += 4
    if type == DCCP_DATA:
        return size
    if type == DCCP_REQUEST:
        return size + 4
    if DCCP_ACK <= type <= DCCP_CLOSE or type == DCCP_SYNC or type == DCCP_SYNCACK:
        return size + 8
    return size + 12


cdef int find_option(const match_t* match, const packet_t* packet) noexcept nogil:
    """xt_dccp.c, dccp_find_option"""
    cdef const uint8_t* frame = packet.frame
    cdef uint32_t at = packet.thoff + fixed_size(packet)
    cdef uint32_t end = packet.thoff + 4 * frame[packet.thoff + 4]
    cdef int held
    if end <= at:
        return HOTDROP if end < at else NO
    held = packet_holds(packet, at, end - at)
    if held != YES:
        return HOTDROP if held == NO else UNDECIDED
    while at < end:
        if frame[at] == match.a:
            return YES
        if frame[at] < 2 or at + 1 >= end:
            at += 1
        else:
            at += max(frame[at + 1], 1)
    return NO


cdef int dccp_match(const match_t* match, const packet_t* packet) noexcept nogil:
    cdef int found
    if match.kind == MATCH_DCCP_TYPES:
        return ((match.a >> dccp_type(packet)) & 1) ^ match.invert
    found = find_option(match, packet)
    if found == HOTDROP:
        # dccp_mt turns that answer round as well: the rule counts, and the packet is dropped.
        return COUNTED_DROP if match.d else HOTDROP
    return found if found == UNDECIDED else found ^ match.invert
