"""Connection tracking.  Specified by dataplane.reference.conntrack.

A connection is one entry with two tuples, its original direction's and its reply
direction's.  NAT is nothing but a reply tuple that is not the original's mirror image.
An entry is made at PREROUTING or OUTPUT and entered into the table only when its first
packet leaves the node or reaches a process (confirm): a dropped packet leaves no trace.

      packet ── tuple ── in the table? ── yes ── which direction?  original → NEW, ESTABLISHED
                                │                                  reply    → ESTABLISHED_REPLY
                                no ── protocol's first-packet check ── NEW, unconfirmed
                                                  └── refused ── INVALID, no connection

Not modelled: helpers, and so expectations.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from _fastpath.conntrack_datagram cimport (
    datagram_begin,
    datagram_packet,
    udp_header_is_valid,
    udplite_is_broken,
    udplite_header_is_valid,
)
from _fastpath.conntrack_icmp cimport (
    find_in_zones,
    is_icmp_error,
    is_icmp_query,
    is_neighbour_discovery,
    relate,
)
from _fastpath.conntrack_sctp cimport sctp_is_broken, sctp_packet
from _fastpath.conntrack_table cimport (
    conntrack_collect,
    connection_free,
    connection_keep,
    connection_kill,
    connection_new,
    connection_offer,
    early_drop,
    table_find,
    table_link,
    unlink_source,
)
from _fastpath.conntrack_tcp cimport (
    PACKET_ACCEPT,
    PACKET_IGNORE,
    PACKET_INVALID,
    PACKET_REPEAT,
    tcp_header_is_valid,
    tcp_new,
    tcp_packet,
)
from _fastpath.conntrack_tuple cimport icmp_answer, is_icmp, packet_tuple
from _fastpath.image cimport HOOK_PREROUTING, node_t
from _fastpath.packet cimport (
    CHECKSUM_WRONG,
    PROTO_GRE,
    PROTO_ICMP,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    PROTO_UDPLITE,
    packet_checksum,
    packet_t,
)
from _fastpath.reason cimport CONNTRACK_CLASH, CONNTRACK_FULL
from _fastpath.state cimport (
    TOUCHES_MAX,
    CT_ESTABLISHED,
    CT_ESTABLISHED_REPLY,
    CT_INFOS,
    CT_INVALID,
    CT_NEW,
    CT_UNTRACKED,
    IPS_ASSURED,
    IPS_CONFIRMED,
    IPS_IN_USE,
    IPS_SEEN_REPLY,
    TIMEOUT_GENERIC,
    TIMEOUT_ICMP,
    TIMEOUT_ICMPV6,
    connection_t,
    connection_tuple,
    state_t,
    touch_t,
    tuple_t,
)
from _fastpath.trace cimport STEP_CONNTRACK, trace_step

cdef enum:
    SECOND_NS = 1000000000
    NOTHING = -1            # no connection may begin so
    FULL = -2


cdef inline bint is_datagram(uint8_t proto) noexcept nogil:
    return proto == PROTO_UDP or proto == PROTO_UDPLITE or proto == PROTO_GRE


cdef int track_packet(walk_t* walk, int32_t index, uint32_t direction) noexcept nogil:
    """nf_conntrack_handle_packet"""
    cdef connection_t* connection = &walk.state.connections[index]
    cdef uint8_t proto = connection.original.proto
    cdef const node_t* node = &walk.image.nodes[connection.original.node]
    cdef uint64_t timeout = node.timeouts[<int>TIMEOUT_GENERIC]
    if proto == PROTO_TCP:
        return tcp_packet(node, connection, walk.packet, direction, walk.now_ns)
    if proto == PROTO_SCTP:
        return sctp_packet(walk, connection, direction)
    if is_datagram(proto):
        timeout = datagram_packet(node, connection, walk.now_ns)
    elif is_icmp(proto):
        timeout = node.timeouts[
            <int>TIMEOUT_ICMP if proto == PROTO_ICMP else <int>TIMEOUT_ICMPV6]
    connection.expires_ns = walk.now_ns + timeout * SECOND_NS
    return PACKET_ACCEPT


cdef bint opens(const node_t* node, const packet_t* packet,
                connection_t* connection, uint64_t now_ns) noexcept nogil:
    """Whether the protocol lets this packet begin a connection."""
    if packet.proto == PROTO_TCP:
        return tcp_new(node, packet, connection)
    if is_icmp(packet.proto):
        return is_icmp_query(packet)
    if is_datagram(packet.proto):
        datagram_begin(node, connection, now_ns)
    return True


cdef inline bint is_verified(uint8_t proto) noexcept nogil:
    """Whose checksums conntrack looks at; the others' trackers do not."""
    return (proto == PROTO_TCP or proto == PROTO_UDP or is_icmp(proto) or proto == PROTO_SCTP
            or proto == PROTO_UDPLITE)


cdef bint is_broken(packet_t* packet) noexcept nogil:
    if packet.proto == PROTO_SCTP:
        return sctp_is_broken(packet)
    if packet.proto == PROTO_UDPLITE:
        return udplite_is_broken(packet)
    return packet_checksum(packet) == CHECKSUM_WRONG


cdef bint has_room(walk_t* walk, tuple_t* tuple, const uint16_t* zones) noexcept nogil:
    """The tuple has its connection already, or nf_conntrack_max allows one more."""
    cdef const node_t* node = &walk.image.nodes[tuple.node]
    cdef const uint32_t* count = &walk.state.node_connections[tuple.node]
    if not node.conntrack_max or count[0] < node.conntrack_max:
        return True
    if walk.now_ns >= walk.state.next_expiry_ns:    # else a full table would be searched in vain
        conntrack_collect(walk.state, walk.now_ns)
    if count[0] < node.conntrack_max or find_in_zones(walk, tuple, zones) >= 0:
        return True
    return early_drop(walk.state, node, tuple.node)


cdef bint refused(const packet_t* packet) noexcept nogil:
    """tcp_error, udp_error, udplite_error: damaged packets belong to no connection."""
    if packet.proto == PROTO_TCP:
        return not tcp_header_is_valid(packet)
    if packet.proto == PROTO_UDP:
        return not udp_header_is_valid(packet)
    return packet.proto == PROTO_UDPLITE and not udplite_header_is_valid(packet)


cdef int find_or_make(walk_t* walk, tuple_t* tuple, const uint16_t* zones) noexcept nogil:
    """The connection of a tuple: index * 2 + direction; or NOTHING, or FULL."""
    cdef packet_t* packet = walk.packet
    cdef const node_t* node = &walk.image.nodes[tuple.node]
    cdef int32_t found = find_in_zones(walk, tuple, zones)
    if found >= 0:
        return found
    if is_icmp(packet.proto) and icmp_answer(packet.proto, packet.dport) == 0xFFFF:
        return NOTHING
    if is_icmp(packet.proto) and not has_room(walk, tuple, zones):
        return FULL                     # of others conntrack_in has asked
    found = connection_new(walk, tuple, zones[1])
    if found < 0:
        return FULL
    if not opens(node, packet, &walk.state.connections[found], walk.now_ns):
        connection_free(walk.state, found)
        return NOTHING
    return found * 2


cdef void zones_of(const packet_t* packet, uint16_t* zones) noexcept nogil:
    """nf_ct_zone_tmpl: what a CT rule said, by direction."""
    cdef uint16_t zone = <uint16_t>packet.mark if packet.zone_is_mark else packet.zone
    zones[0] = zone if packet.zone_directions & 1 else 0
    zones[1] = zone if packet.zone_directions & 2 else 0


cdef int conntrack_in(walk_t* walk, uint32_t hook) noexcept nogil:
    cdef packet_t* packet = walk.packet
    cdef uint16_t node = <uint16_t>packet.node
    cdef const node_t* here = &walk.image.nodes[node]
    cdef tuple_t tuple
    cdef uint16_t zones[2]
    cdef int outcome = 0
    if packet.is_tracked:
        return 0                        # looped back, or untracked by a rule
    packet.is_tracked = 1
    packet.ctinfo = CT_INVALID
    zones_of(packet, &zones[0])
    if not packet_tuple(packet, node, here.has_dccp != 0, &tuple):
        pass
    elif not is_icmp(packet.proto) and not has_room(walk, &tuple, &zones[0]):
        outcome = CONNTRACK_FULL        # init_conntrack comes before the trackers' checks
    elif refused(packet):
        pass
    elif (here.conntrack_checksum and hook == HOOK_PREROUTING and is_verified(packet.proto)
            and is_broken(packet)):
        pass
    elif is_neighbour_discovery(packet):        # nf_conntrack_icmpv6_error: if it is whole
        packet.ctinfo = CT_UNTRACKED
    elif is_icmp_error(packet):
        relate(walk, node, &zones[0])
    else:
        outcome = track(walk, &tuple, &zones[0])
    if packet.connection < 0:
        walk.is_of_flow = 0             # what it is hangs on the packet
    if outcome == 0:
        trace_step(walk.trace, STEP_CONNTRACK, <uint32_t>node * CT_INFOS + packet.ctinfo)
    return outcome


cdef int track(walk_t* walk, tuple_t* tuple, const uint16_t* zones) noexcept nogil:
    """resolve_normal_ct and the protocol's tracker.  Sets connection, direction and ctinfo."""
    cdef packet_t* packet = walk.packet
    cdef connection_t* connection
    cdef int32_t found
    cdef uint32_t status
    cdef int outcome = PACKET_REPEAT
    while outcome == PACKET_REPEAT:
        found = find_or_make(walk, tuple, zones)
        if found == FULL:
            return CONNTRACK_FULL
        if found == NOTHING:
            return 0
        connection = &walk.state.connections[found >> 1]
        status = connection.status
        outcome = track_packet(walk, found >> 1, found & 1)
        if outcome == PACKET_REPEAT:
            connection_kill(walk.state, found >> 1)
    walk.state.next_expiry_ns = min(walk.state.next_expiry_ns, connection.expires_ns)
    if outcome == PACKET_INVALID:
        if not connection.status & IPS_CONFIRMED:
            connection_free(walk.state, found >> 1)
        return 0
    if outcome != PACKET_IGNORE and walk.state.accounting != NULL:
        account(walk.state, found, packet)
    if connection.status & IPS_ASSURED:
        connection_keep(walk.state, found >> 1)
    packet.connection = found >> 1
    packet.direction = <uint8_t>(found & 1)
    if found & 1:
        packet.ctinfo = CT_ESTABLISHED_REPLY
        connection.status |= IPS_SEEN_REPLY
    elif connection.status & IPS_SEEN_REPLY:
        packet.ctinfo = CT_ESTABLISHED
    else:
        packet.ctinfo = CT_NEW
    note_touch(walk, connection, status)
    return 0


cdef void note_touch(walk_t* walk, const connection_t* connection, uint32_t before) noexcept nogil:
    """Of a walk that may be recorded."""
    cdef touch_t* touch
    if walk.touch_count >= TOUCHES_MAX or connection.status != before:
        walk.is_of_flow = 0
        return
    touch = &walk.touches[walk.touch_count]
    touch.connection = walk.packet.connection
    touch.generation = connection.generation
    touch.status = connection.status
    touch.mark = connection.mark
    touch.direction = walk.packet.direction
    touch.is_tunnel = walk.packet.encapsulations != 0
    walk.touch_count += 1


cdef void account(state_t* state, int32_t found, const packet_t* packet) noexcept nogil:
    """nf_ct_acct_update: packets and bytes of the direction, as IP counts them."""
    state.accounting[<uint64_t>found * 2] += 1
    state.accounting[<uint64_t>found * 2 + 1] += packet.ip_length


cdef int conntrack_confirm(walk_t* walk) noexcept nogil:
    cdef state_t* state = walk.state
    cdef connection_t* connection
    cdef int32_t index = walk.packet.connection
    cdef uint32_t direction
    cdef uint16_t zones[2]
    # A reset or an error that answers an unconfirmed packet confirms nothing.
    if index < 0 or walk.packet.direction or state.connections[index].status & IPS_CONFIRMED:
        return 0
    connection = &state.connections[index]
    zones[0], zones[1] = connection.original.zone, connection.reply.zone
    for direction in range(2):
        if table_find(state, connection_tuple(connection, direction), &zones[0],
                      walk.now_ns) >= 0:
            return CONNTRACK_CLASH
    table_link(state, index)
    connection.status |= IPS_CONFIRMED
    state.node_connections[connection.original.node] += 1
    if not connection.status & IPS_ASSURED:
        connection_offer(state, index)
    return 0


cdef void conntrack_drop(walk_t* walk, int32_t index) noexcept nogil:
    cdef uint32_t status
    if index < 0:
        return
    status = walk.state.connections[index].status
    if status & IPS_IN_USE and not status & IPS_CONFIRMED:
        unlink_source(walk.state, index)
        connection_free(walk.state, index)
