"""Matches that look at the connection.  Specified by dataplane.reference.match_conntrack."""

from libc.stdint cimport uint32_t, uint64_t

from _fastpath.address cimport addr_in, addr_t

from _fastpath.image cimport (
    CONNBYTES_AVERAGE,
    CONNBYTES_BYTES,
    CTSTATE_DNAT,
    CTSTATE_ESTABLISHED,
    CTSTATE_INVALID,
    CTSTATE_NEW,
    CTSTATE_RELATED,
    CTSTATE_SNAT,
    CTSTATE_UNTRACKED,
    CT_REPLY_SRC,
    MATCH_CONNBYTES,
    MATCH_CONNMARK,
    MATCH_CONNTRACK,
    MATCH_CTADDRESS,
    MATCH_CTDIR,
    MATCH_CTEXPIRE,
    MATCH_CTPORT,
    MATCH_CTPROTO,
)
from _fastpath.matches cimport NO, UNDECIDED, YES
from _fastpath.packet cimport packet_t
from _fastpath.state cimport (
    CT_ESTABLISHED,
    CT_ESTABLISHED_REPLY,
    CT_NEW,
    CT_UNTRACKED,
    IPS_CONFIRMED,
    IPS_DST_NAT,
    IPS_SRC_NAT,
    connection_t,
    tuple_t,
)


cdef uint32_t state_bits(const walk_t* walk) noexcept nogil:
    """CtState bits of the packet: xt_conntrack.c, conntrack_mt."""
    cdef const packet_t* packet = walk.packet
    cdef uint32_t bits
    cdef uint32_t status
    if packet.ctinfo == CT_UNTRACKED and packet.is_tracked:
        return CTSTATE_UNTRACKED
    if packet.connection < 0:
        # A CT rule's template counts as one.
        return CTSTATE_NEW if packet.has_template and not packet.is_tracked else CTSTATE_INVALID
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
        if walk.packet.connection < 0 and bits & CTSTATE_NEW:
            return UNDECIDED                        # the status of a template
        if walk.packet.connection < 0:
            return YES if match.d & 1 else NO       # nothing but its state is looked at
        if status_matches(walk, match.b) == ((match.flags >> 1) & 1):
            return NO
    return YES


cdef bint status_matches(const walk_t* walk, uint32_t wanted) noexcept nogil:
    # NONE is no bit: it never matches.
    return (walk.state.connections[walk.packet.connection].status & wanted) != 0


cdef addr_t side_address(const connection_t* connection, uint32_t side) noexcept nogil:
    cdef const tuple_t* tuple = &connection.original if side < CT_REPLY_SRC else &connection.reply
    return tuple.dst if side & 1 else tuple.src


cdef uint32_t side_port(const connection_t* connection, uint32_t side) noexcept nogil:
    cdef const tuple_t* tuple = &connection.original if side < CT_REPLY_SRC else &connection.reply
    return tuple.dport if side & 1 else tuple.sport


cdef addr_t words_address(const uint32_t* words) noexcept nogil:
    return addr_t(<uint64_t>words[0] << 32 | words[1], <uint64_t>words[2] << 32 | words[3])


cdef uint64_t seconds_left(const walk_t* walk, const connection_t* connection) noexcept nogil:
    """nf_ct_expires; what is not confirmed has none left (before 99 days of uptime)."""
    if not connection.status & IPS_CONFIRMED or connection.expires_ns <= walk.now_ns:
        return 0
    return (connection.expires_ns - walk.now_ns) // 1000000000


cdef bint property_matches(const walk_t* walk, const match_t* match,
                           const connection_t* connection) noexcept nogil:
    cdef const uint32_t* words
    if match.kind == MATCH_CTPROTO:
        return connection.original.proto == match.a
    if match.kind == MATCH_CTADDRESS:
        words = walk.image.words + match.a
        return addr_in(side_address(connection, match.b), words_address(words),
                       words_address(words + 4))
    if match.kind == MATCH_CTPORT:
        return match.a <= side_port(connection, match.c) <= match.b
    if match.kind == MATCH_CTEXPIRE:
        return match.a <= seconds_left(walk, connection) <= match.b
    return walk.packet.direction == match.a


cdef int connmark_match(const walk_t* walk, const match_t* match) noexcept nogil:
    if walk.packet.connection < 0:
        return NO
    return ((walk.state.connections[walk.packet.connection].mark & match.b)
            == match.a) != match.invert


cdef int connbytes_match(const walk_t* walk, const match_t* match) noexcept nogil:
    """xt_connbytes.c, connbytes_mt"""
    cdef const uint32_t* words = walk.image.words + match.a
    cdef const uint64_t* counts
    cdef uint64_t packets = 0, octets = 0, value
    cdef uint32_t direction
    if walk.packet.connection < 0 or walk.state.accounting == NULL:
        return NO
    counts = walk.state.accounting + <uint64_t>walk.packet.connection * 4
    for direction in range(2):
        if match.c & 1 << direction:
            packets += counts[2 * direction]
            octets += counts[2 * direction + 1]
    value = octets if match.b == CONNBYTES_BYTES else packets
    if match.b == CONNBYTES_AVERAGE:
        value = octets // packets if packets else 0
    return ((<uint64_t>words[0] << 32 | words[1]) <= value
            <= (<uint64_t>words[2] << 32 | words[3])) != match.invert


cdef int conntrack_match(walk_t* walk, const match_t* match) noexcept nogil:
    if match.kind == MATCH_CONNTRACK:
        return state_match(walk, match)
    if match.kind == MATCH_CONNBYTES:
        return connbytes_match(walk, match)         # false of a template: it counts nothing
    if walk.packet.connection < 0 and walk.packet.has_template and not walk.packet.is_tracked:
        return UNDECIDED            # what a CT rule made is none, but counts as one
    if match.kind == MATCH_CONNMARK:
        return connmark_match(walk, match)
    if match.kind > MATCH_CTDIR:
        return UNDECIDED
    if walk.packet.connection < 0:
        return YES if match.flags & 1 else NO       # nothing but its state is looked at
    return property_matches(
        walk, match, &walk.state.connections[walk.packet.connection]) != match.invert
