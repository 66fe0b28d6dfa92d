"""Matches that look at the connection.  Specified by dataplane.reference.match_conntrack."""

from libc.stdint cimport uint32_t

from _fastpath.image cimport (
    CTSTATE_DNAT,
    CTSTATE_ESTABLISHED,
    CTSTATE_INVALID,
    CTSTATE_NEW,
    CTSTATE_RELATED,
    CTSTATE_SNAT,
    CTSTATE_UNTRACKED,
    MATCH_CONNTRACK,
)
from _fastpath.matches cimport NO, UNDECIDED, YES
from _fastpath.packet cimport packet_t
from _fastpath.state cimport (
    CT_ESTABLISHED,
    CT_ESTABLISHED_REPLY,
    CT_NEW,
    CT_UNTRACKED,
    IPS_DST_NAT,
    IPS_SRC_NAT,
)


cdef uint32_t state_bits(const walk_t* walk) noexcept nogil:
    """CtState bits of the packet: xt_conntrack.c, conntrack_mt."""
    cdef const packet_t* packet = walk.packet
    cdef uint32_t bits
    cdef uint32_t status
    if packet.ctinfo == CT_UNTRACKED and packet.is_tracked:
        return CTSTATE_UNTRACKED
    if packet.connection < 0:
        return CTSTATE_INVALID
    if packet.ctinfo == CT_NEW:
        bits = CTSTATE_NEW
    elif packet.ctinfo == CT_ESTABLISHED or packet.ctinfo == CT_ESTABLISHED_REPLY:
        bits = CTSTATE_ESTABLISHED
    else:
        bits = CTSTATE_RELATED
    status = walk.state.connections[packet.connection].status
    if status & IPS_SRC_NAT:
        bits |= CTSTATE_SNAT
    if status & IPS_DST_NAT:
        bits |= CTSTATE_DNAT
    return bits


cdef int state_match(const walk_t* walk, const match_t* match) noexcept nogil:
    """a: wanted states, b: wanted IPS_* bits, c: IPS bits asked (0 = none), d: 1 state, 2 status.

    `flags`: bit 0 inverts the state, bit 1 the status; a packet without a connection has
    no status, and matches only by its state.
    """
    cdef uint32_t bits = state_bits(walk)
    if match.d & 1 and ((bits & match.a) != 0) == (match.flags & 1):
        return NO
    if match.d & 2:
        if walk.packet.connection < 0:
            return YES if match.d & 1 else NO       # nothing but its state is looked at
        if status_matches(walk, match.b) == ((match.flags >> 1) & 1):
            return NO
    return YES


cdef bint status_matches(const walk_t* walk, uint32_t wanted) noexcept nogil:
    # NONE is no bit: it never matches.
    return (walk.state.connections[walk.packet.connection].status & wanted) != 0


cdef int conntrack_match(walk_t* walk, const match_t* match) noexcept nogil:
    if match.kind == MATCH_CONNTRACK:
        return state_match(walk, match)
    return UNDECIDED
