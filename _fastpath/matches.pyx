"""One match of a rule, by what it looks at.  Specified by dataplane.reference.matches.

    match_packet        its transport header
    match_header        its network header and the link layer's
    match_bytes         any of its bytes
    match_extension     its IPv6 extension headers
    match_place         where the packet is, and how its addresses would be routed
    match_conntrack     its connection
    match_memory        what the rule remembers, chance and the time
    sets                sets of addresses and ports
"""

from libc.stdint cimport uint16_t

from _fastpath.image cimport (
    MATCH_BYTES_FIRST,
    MATCH_CONNMARK,
    MATCH_CONNTRACK,
    MATCH_CONNTRACK_FIRST,
    MATCH_CTDIR,
    MATCH_CTPORT,
    MATCH_DSFIELD,
    MATCH_EXTENSION_FIRST,
    MATCH_HEADER_FIRST,
    MATCH_ICMP,
    MATCH_IPRANGE,
    MATCH_MAC,
    MATCH_MEMORY_FIRST,
    MATCH_MULTIPORT,
    MATCH_PKTTYPE,
    MATCH_PLACE_FIRST,
    MATCH_PORTS,
    MATCH_RPFILTER,
    MATCH_SET_FIRST,
    MATCH_TCP_FLAGS,
    MATCH_UNKNOWN,
)
from _fastpath.match_bytes cimport bytes_match
from _fastpath.match_conntrack cimport conntrack_match
from _fastpath.match_extension cimport extension_match
from _fastpath.match_header cimport header_match
from _fastpath.match_memory cimport memory_match
from _fastpath.match_packet cimport packet_match
from _fastpath.match_place cimport place_match
from _fastpath.packet cimport TCP_PSH
from _fastpath.sets cimport set_match


cdef inline bint is_of_flow(const match_t* match) noexcept nogil:
    """Of all packets of an established flow it says the same, as long as what it asks stays: see
    recorded_way.pyx, which is about segments with ACK, and PSH or not."""
    cdef uint16_t kind = match.kind
    if kind == MATCH_TCP_FLAGS:
        return not match.a & TCP_PSH
    return (kind in (MATCH_PORTS, MATCH_MULTIPORT, MATCH_ICMP, MATCH_IPRANGE, MATCH_MAC,
                     MATCH_DSFIELD, MATCH_PKTTYPE, MATCH_CONNMARK, MATCH_CTDIR)
            or MATCH_PLACE_FIRST <= kind <= MATCH_RPFILTER
            or MATCH_CONNTRACK <= kind <= MATCH_CTPORT)


cdef int one_match(walk_t* walk, const match_t* match) noexcept nogil:
    if not is_of_flow(match):
        walk.is_of_flow = 0
    if match.kind == MATCH_UNKNOWN:
        return UNDECIDED
    if match.kind < MATCH_HEADER_FIRST:
        return packet_match(walk, match)
    if match.kind < MATCH_BYTES_FIRST:
        return header_match(walk, match)
    if match.kind < MATCH_EXTENSION_FIRST:
        return bytes_match(walk, match)
    if match.kind < MATCH_PLACE_FIRST:
        return extension_match(walk, match)
    if match.kind < MATCH_CONNTRACK_FIRST:
        return place_match(walk, match)
    if match.kind < MATCH_MEMORY_FIRST:
        return conntrack_match(walk, match)
    if match.kind < MATCH_SET_FIRST:
        return memory_match(walk, match)
    return set_match(walk, match)
