"""Matches that ask where the packet is.  Specified by dataplane.reference.match_place."""

from libc.stdint cimport int32_t, uint32_t

from _fastpath.address cimport addr_is_zero, addr_t
from _fastpath.forwarding cimport address_kind
from _fastpath.image cimport (
    ADDRTYPE_INVERT_DEST,
    ADDRTYPE_INVERT_SOURCE,
    ADDRTYPE_LIMIT_IFACE_IN,
    ADDRTYPE_LIMIT_IFACE_OUT,
    MATCH_ADDRTYPE,
    MATCH_MARK,
    MATCH_NEVER,
    MATCH_NO,
    MATCH_PHYSDEV,
    ROUTE_LOCAL,
    ROUTE_MULTICAST,
    ROUTE_UNICAST,
)
from _fastpath.match_device cimport physdev_match
from _fastpath.matches cimport NO, UNDECIDED, YES
from _fastpath.conntrack_tuple cimport is_icmp
from _fastpath.packet cimport packet_t


cdef bint has_type(const walk_t* walk, addr_t address, uint32_t types,
                   int32_t device) noexcept nogil:
    """match_type and match_type6: of an IPv6 address, all that is asked for must hold."""
    cdef const packet_t* packet = walk.packet
    cdef bint is_multicast = address.hi >> 56 == 0xFF
    if packet.family == 4:
        return (types >> address_kind(walk.image, packet.node, 4, address, device)) & 1
    if types >> <int>ROUTE_MULTICAST & 1 and not is_multicast:
        return False
    if types >> <int>ROUTE_UNICAST & 1 and (is_multicast or addr_is_zero(address)):
        return False
    if types >> <int>ROUTE_LOCAL & 1:
        return address_kind(walk.image, packet.node, 6, address, device) == ROUTE_LOCAL
    return True


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
        hit = has_type(walk, packet.src, match.a, device)
        if hit == ((match.c & ADDRTYPE_INVERT_SOURCE) != 0):
            return NO
    if match.b:
        hit = has_type(walk, packet.dst, match.b, device)
        if hit == ((match.c & ADDRTYPE_INVERT_DEST) != 0):
            return NO
    return YES


cdef int place_match(walk_t* walk, const match_t* match) noexcept nogil:
    if match.kind == MATCH_ADDRTYPE:
        return addrtype_match(walk, match)
    if match.kind == MATCH_MARK:
        return ((walk.packet.mark & match.b) == match.a) ^ match.invert
    if match.kind == MATCH_NEVER:
        # Owner: a forwarded packet has no socket, nor has a reset that the node makes; its ICMP
        # errors have one, that no file stands for; of what a process sends nothing is known.
        if walk.packet.is_local and not walk.packet.is_made:
            return UNDECIDED
        if walk.packet.is_local and is_icmp(walk.packet.proto):
            return match.a != 0
        return NO ^ match.invert
    if match.kind == MATCH_PHYSDEV:
        return physdev_match(walk, match)
    if match.kind == MATCH_NO:
        return NO
    return UNDECIDED
