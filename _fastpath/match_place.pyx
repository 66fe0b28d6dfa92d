"""Matches that ask where the packet is.  Specified by dataplane.reference.match_place."""

from libc.stdint cimport int32_t

from _fastpath.forwarding cimport address_kind
from _fastpath.image cimport (
    ADDRTYPE_INVERT_DEST,
    ADDRTYPE_INVERT_SOURCE,
    ADDRTYPE_LIMIT_IFACE_IN,
    ADDRTYPE_LIMIT_IFACE_OUT,
    MATCH_ADDRTYPE,
    MATCH_MARK,
    MATCH_NEVER,
)
from _fastpath.matches cimport NO, UNDECIDED, YES
from _fastpath.packet cimport packet_t


cdef int addrtype_match(const walk_t* walk, const match_t* match) noexcept nogil:
    """xt_addrtype.c, addrtype_mt_v1"""
    cdef const packet_t* packet = walk.packet
    cdef int32_t device = -1
    cdef bint hit
    if match.c & ADDRTYPE_LIMIT_IFACE_IN:
        device = packet.in_device
    elif match.c & ADDRTYPE_LIMIT_IFACE_OUT:
        device = packet.out_device
    if match.a:
        hit = (match.a >> address_kind(walk.image, packet.node, packet.family, packet.src,
                                       device)) & 1
        if hit == ((match.c & ADDRTYPE_INVERT_SOURCE) != 0):
            return NO
    if match.b:
        hit = (match.b >> address_kind(walk.image, packet.node, packet.family, packet.dst,
                                       device)) & 1
        if hit == ((match.c & ADDRTYPE_INVERT_DEST) != 0):
            return NO
    return YES


cdef int place_match(walk_t* walk, const match_t* match) noexcept nogil:
    if match.kind == MATCH_ADDRTYPE:
        return addrtype_match(walk, match)
    if match.kind == MATCH_MARK:
        return ((walk.packet.mark & match.b) == match.a) ^ match.invert
    if match.kind == MATCH_NEVER:
        # Owner and the like: a forwarded packet has no socket; of a local one nothing is known.
        return UNDECIDED if walk.packet.is_local else NO ^ match.invert
    return UNDECIDED
