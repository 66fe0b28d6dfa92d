"""Matches that ask where the packet is.  Specified by dataplane.reference.match_place."""

from _fastpath.image cimport (
    MATCH_ADDRTYPE,
    MATCH_MARK,
    MATCH_NEVER,
    MATCH_NO,
    MATCH_PHYSDEV,
    MATCH_REALM,
    MATCH_RPFILTER,
)
from _fastpath.match_device cimport physdev_match
from _fastpath.conntrack_tuple cimport is_icmp
from _fastpath.match_route cimport route_match
from _fastpath.matches cimport NO, UNDECIDED


cdef int place_match(walk_t* walk, const match_t* match) noexcept nogil:
    if match.kind in (MATCH_ADDRTYPE, MATCH_REALM, MATCH_RPFILTER):
        return route_match(walk, match)
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
