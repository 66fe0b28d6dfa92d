"""Connection tracking.  Specified by dataplane.reference.conntrack.

A connection is one entry with two tuples, its original direction's and its reply
direction's.  NAT is nothing but a reply tuple that is not the original's mirror image.
An entry is made at PREROUTING or OUTPUT and entered into the table only when its first
packet leaves the node or reaches a process (confirm): a dropped packet leaves no trace.

      packet ── tuple ── in the table? ── yes ── which direction?  original → NEW, ESTABLISHED
                                │                                  reply    → ESTABLISHED_REPLY
                                no ── protocol's first-packet check ── NEW, unconfirmed
                                                  └── refused ── INVALID, no connection

Not modelled yet: helpers, expectations, zones.
"""

from libc.stdint cimport uint16_t
from libc.string cimport memset

from _fastpath.address cimport addr_equal, addr_t
from _fastpath.choice cimport fold
from _fastpath.conntrack_tcp cimport (
    PACKET_ACCEPT,
    PACKET_INVALID,
    PACKET_REPEAT,
    tcp_header_is_valid,
    tcp_new,
    tcp_packet,
)
from _fastpath.image cimport HOOK_PREROUTING, node_t
from _fastpath.packet cimport (
    CHECKSUM_WRONG,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_TCP,
    PROTO_UDP,
    load16,
    load32,
    load64,
    packet_checksum,
    proto_has_ports,
    skip_extensions,
)
from _fastpath.reason cimport (
    CONNTRACK_CLASH,
    CONNTRACK_FULL,
)
from _fastpath.state cimport (
    CT_ESTABLISHED,
    CT_ESTABLISHED_REPLY,
    CT_INFOS,
    CT_INVALID,
    CT_NEW,
    CT_RELATED,
    CT_RELATED_REPLY,
    CT_UNTRACKED,
    IPS_ASSURED,
    IPS_CONFIRMED,
    IPS_SEEN_REPLY,
    IPS_SRC_NAT_DONE,
    TIMEOUT_GENERIC,
    TIMEOUT_ICMP,
    TIMEOUT_ICMPV6,
    TIMEOUT_UDP,
    TIMEOUT_UDP_STREAM,
    connection_datagram,
    connection_t,
    connection_tuple,
)
from _fastpath.trace cimport STEP_CONNTRACK, trace_step

cdef enum:
    SECOND_NS = 1000000000

# ---------------------------------------------------------------------------------- tuples


cdef uint16_t icmp_answer(uint8_t proto, uint16_t kind) noexcept nogil:
    """type << 8 of what answers this type; 0xFFFF if nothing does (not trackable).

    nf_conntrack_proto_icmp.c and _icmpv6.c, invmap.
    """
    cdef uint16_t type = kind >> 8
    if proto == PROTO_ICMP:
        if type == 8:
            return 0 << 8
        if type == 0:
            return 8 << 8
        if type == 13 or type == 15 or type == 17:
            return (type + 1) << 8
        if type == 14 or type == 16 or type == 18:
            return (type - 1) << 8
        return 0xFFFF
    if type == 128:
        return 129 << 8
    if type == 129:
        return 128 << 8
    if type == 139:
        return 140 << 8
    if type == 140:
        return 139 << 8
    return 0xFFFF


cdef void tuple_invert(tuple_t* to, const tuple_t* source) noexcept nogil:
    to.src = source.dst
    to.dst = source.src
    to.node = source.node
    to.zone = source.zone
    to.proto = source.proto
    to.family = source.family
    if source.proto == PROTO_ICMP or source.proto == PROTO_ICMPV6:
        to.sport = source.sport
        to.dport = <uint16_t>(icmp_answer(source.proto, source.dport) | (source.dport & 0xFF))
    else:
        to.sport = source.dport
        to.dport = source.sport


cdef inline bint tuple_equal(const tuple_t* a, const tuple_t* b) noexcept nogil:
    return (a.sport == b.sport and a.dport == b.dport and a.node == b.node
            and a.zone == b.zone and a.proto == b.proto and a.family == b.family
            and addr_equal(a.src, b.src) and addr_equal(a.dst, b.dst))


cdef inline uint32_t tuple_bucket(const state_t* state, const tuple_t* tuple) noexcept nogil:
    cdef uint64_t h = fold(tuple.src.hi ^ (<uint64_t>tuple.node << 48), tuple.src.lo)
    h = fold(h ^ tuple.dst.hi, tuple.dst.lo)
    h = fold(h, (<uint64_t>tuple.sport << 48) | (<uint64_t>tuple.dport << 32)
             | (<uint64_t>tuple.proto << 8) | tuple.family)
    return <uint32_t>h & state.bucket_mask


cdef uint32_t source_bucket(const state_t* state, const tuple_t* tuple) noexcept nogil:
    cdef uint64_t h = fold(tuple.src.hi ^ (<uint64_t>tuple.node << 48), tuple.src.lo)
    return <uint32_t>fold(h, (<uint64_t>tuple.sport << 16) | tuple.proto) & state.bucket_mask


cdef bint packet_tuple(const packet_t* packet, uint16_t node, tuple_t* tuple) noexcept nogil:
    """nf_ct_get_tuple: False when the transport header is not there."""
    tuple.src = packet.src
    tuple.dst = packet.dst
    tuple.node = node
    tuple.zone = 0
    tuple.proto = packet.proto
    tuple.family = packet.family
    tuple.sport = tuple.dport = 0
    if (proto_has_ports(packet.proto) or packet.proto == PROTO_ICMP
            or packet.proto == PROTO_ICMPV6):
        if not packet.has_ports:
            return False
        tuple.sport = packet.sport
        tuple.dport = packet.dport
    return True


# ----------------------------------------------------------------------------------- table


cdef void unlink_one(state_t* state, int32_t index, uint32_t direction) noexcept nogil:
    cdef connection_t* connection = &state.connections[index]
    cdef const tuple_t* tuple = connection_tuple(connection, direction)
    cdef int32_t* link = &state.buckets[tuple_bucket(state, tuple)]
    cdef uint32_t other
    while link[0] >= 0:
        # A chain link names (connection, direction) in one number.
        other = <uint32_t>link[0]
        if other == <uint32_t>index * 2 + direction:
            link[0] = connection.next[direction]
            return
        link = &state.connections[other >> 1].next[other & 1]


cdef void unlink_source(state_t* state, int32_t index) noexcept nogil:
    cdef connection_t* connection = &state.connections[index]
    cdef int32_t* link = &state.source_buckets[source_bucket(state, &connection.original)]
    while link[0] >= 0:
        if link[0] == index:
            link[0] = connection.next_source
            return
        link = &state.connections[link[0]].next_source


cdef void connection_free(state_t* state, int32_t index) noexcept nogil:
    state.connections[index].in_use = 0
    state.free_list[state.free_count] = index
    state.free_count += 1


cdef void connection_kill(state_t* state, int32_t index) noexcept nogil:
    cdef connection_t* connection = &state.connections[index]
    if connection.status & IPS_CONFIRMED:
        unlink_one(state, index, 0)
        unlink_one(state, index, 1)
        state.node_connections[connection.original.node] -= 1
    unlink_source(state, index)
    connection_free(state, index)


cdef int32_t table_find(state_t* state, const tuple_t* tuple, uint64_t now_ns) noexcept nogil:
    """connection * 2 + direction, or -1.  Entries whose time is up are removed on sight."""
    cdef int32_t* link = &state.buckets[tuple_bucket(state, tuple)]
    cdef int32_t here = link[0]
    cdef connection_t* connection
    cdef int32_t after
    while here >= 0:
        connection = &state.connections[here >> 1]
        after = connection.next[here & 1]
        if connection.expires_ns <= now_ns:
            # Both its links may stand in this chain: start again.
            connection_kill(state, here >> 1)
            here = state.buckets[tuple_bucket(state, tuple)]
            continue
        if tuple_equal(connection_tuple(connection, here & 1), tuple):
            return here
        here = after
    return -1


cdef bint tuple_taken(walk_t* walk, const tuple_t* tuple, int32_t ignored) noexcept nogil:
    cdef int32_t found = table_find(walk.state, tuple, walk.now_ns)
    return found >= 0 and (found >> 1) != ignored


cdef uint32_t conntrack_collect(state_t* state, uint64_t now_ns) noexcept nogil:
    """Free every connection whose time is up."""
    cdef uint64_t earliest = ~<uint64_t>0
    cdef connection_t* connection
    cdef uint32_t i, freed = 0
    for i in range(state.connection_max):
        connection = &state.connections[i]
        if not connection.in_use or not connection.status & IPS_CONFIRMED:
            continue
        if connection.expires_ns <= now_ns:
            connection_kill(state, <int32_t>i)
            freed += 1
        else:
            earliest = min(earliest, connection.expires_ns)
    state.next_expiry_ns = earliest
    return freed


cdef void table_link(state_t* state, int32_t index) noexcept nogil:
    cdef connection_t* connection = &state.connections[index]
    cdef uint32_t direction, bucket
    for direction in range(2):
        bucket = tuple_bucket(state, connection_tuple(connection, direction))
        connection.next[direction] = state.buckets[bucket]
        state.buckets[bucket] = index * 2 + <int32_t>direction


cdef void conntrack_rehash(state_t* state) noexcept nogil:
    cdef connection_t* connection
    cdef uint32_t i, bucket
    for i in range(state.connection_max):
        connection = &state.connections[i]
        if not connection.in_use:
            continue
        if connection.status & IPS_CONFIRMED:
            table_link(state, <int32_t>i)
        if connection.status & IPS_SRC_NAT_DONE:
            bucket = source_bucket(state, &connection.original)
            connection.next_source = state.source_buckets[bucket]
            state.source_buckets[bucket] = <int32_t>i


cdef int32_t connection_new(walk_t* walk, const tuple_t* tuple) noexcept nogil:
    cdef state_t* state = walk.state
    cdef connection_t* connection
    cdef int32_t index
    if state.free_count == 0 and conntrack_collect(state, walk.now_ns) == 0:
        return -1
    state.free_count -= 1
    index = state.free_list[state.free_count]
    connection = &state.connections[index]
    memset(connection, 0, sizeof(connection_t))
    connection.original = tuple[0]
    tuple_invert(&connection.reply, tuple)
    connection.next[0] = connection.next[1] = connection.next_source = -1
    connection.in_use = 1
    return index


# ------------------------------------------------------------------------- other protocols


cdef void udp_packet(walk_t* walk, connection_t* connection) noexcept nogil:
    """nf_conntrack_udp_packet: two seconds after the first reply it is a stream."""
    cdef const node_t* node = &walk.image.nodes[connection.original.node]
    cdef uint32_t timeout = node.timeouts[<int>TIMEOUT_UDP]
    if (connection.status & IPS_SEEN_REPLY
            and walk.now_ns > connection_datagram(connection).stream_ns):
        timeout = node.timeouts[<int>TIMEOUT_UDP_STREAM]
        connection.status |= IPS_ASSURED
    connection.expires_ns = walk.now_ns + <uint64_t>timeout * SECOND_NS


cdef int track_packet(walk_t* walk, int32_t index, uint32_t direction) noexcept nogil:
    cdef connection_t* connection = &walk.state.connections[index]
    cdef uint8_t proto = connection.original.proto
    cdef const node_t* node = &walk.image.nodes[connection.original.node]
    cdef uint32_t timeout = node.timeouts[<int>TIMEOUT_GENERIC]
    if proto == PROTO_TCP:
        return tcp_packet(node, connection, walk.packet, direction, walk.now_ns)
    if proto == PROTO_UDP:
        udp_packet(walk, connection)
        return PACKET_ACCEPT
    if proto == PROTO_ICMP:
        timeout = node.timeouts[<int>TIMEOUT_ICMP]
    elif proto == PROTO_ICMPV6:
        timeout = node.timeouts[<int>TIMEOUT_ICMPV6]
    connection.expires_ns = walk.now_ns + <uint64_t>timeout * SECOND_NS
    return PACKET_ACCEPT


cdef bint opens(const node_t* node, const packet_t* packet,
                connection_t* connection, uint64_t now_ns) noexcept nogil:
    """Whether the protocol lets this packet begin a connection."""
    cdef uint16_t type = packet.dport >> 8
    if packet.proto == PROTO_TCP:
        return tcp_new(node, packet, connection)
    if packet.proto == PROTO_ICMP:
        return type == 8 or type == 13 or type == 15 or type == 17
    if packet.proto == PROTO_ICMPV6:
        return type == 128 or type == 139
    connection_datagram(connection).stream_ns = now_ns + <uint64_t>2 * SECOND_NS
    return True


# ------------------------------------------------------------------------------ ICMP errors


cdef bint is_icmp_error(const packet_t* packet) noexcept nogil:
    cdef uint16_t type = packet.dport >> 8
    if packet.proto == PROTO_ICMP and packet.family == 4:
        return type == 3 or type == 4 or type == 5 or type == 11 or type == 12
    return packet.proto == PROTO_ICMPV6 and packet.family == 6 and type < 128


cdef uint32_t quoted_transport(const packet_t* packet, uint8_t* proto) noexcept nogil:
    cdef uint32_t at = packet.l4 + 8
    cdef const uint8_t* ip = packet.frame + at
    cdef bint is_first = True
    if at + (20 if packet.family == 4 else 40) > packet.size or ip[0] >> 4 != packet.family:
        return 0
    if packet.family == 4:
        if (ip[0] & 15) < 5 or load16(ip + 6) & 0x1FFF:
            return 0
        proto[0] = ip[9]
        at += (ip[0] & 15) * 4
    else:
        proto[0] = ip[6]
        at = skip_extensions(packet.frame, at + 40, packet.size, proto, &is_first)
    # nf_ct_get_tuple: four bytes of ports, but a whole ICMP header.
    return 0 if at == 0 or not is_first or (
        at + (8 if is_icmp(proto[0]) else 4) > packet.size) else at


cdef bint quoted_tuple(const packet_t* packet, uint16_t node, tuple_t* tuple) noexcept nogil:
    """The tuple of the packet that an ICMP error quotes."""
    cdef const uint8_t* ip = packet.frame + packet.l4 + 8
    cdef const uint8_t* transport
    cdef uint32_t at = quoted_transport(packet, &tuple.proto)
    if at == 0:
        return False
    transport = packet.frame + at
    tuple.node = node
    tuple.zone = 0
    tuple.family = packet.family
    tuple.sport = tuple.dport = 0
    if packet.family == 4:
        tuple.src = addr_t(0, load32(ip + 12))
        tuple.dst = addr_t(0, load32(ip + 16))
    else:
        tuple.src = addr_t(load64(ip + 8), load64(ip + 16))
        tuple.dst = addr_t(load64(ip + 24), load64(ip + 32))
    if tuple.proto == PROTO_ICMP or tuple.proto == PROTO_ICMPV6:
        tuple.sport = load16(transport + 4)
        tuple.dport = load16(transport)
    elif proto_has_ports(tuple.proto):
        tuple.sport = load16(transport)
        tuple.dport = load16(transport + 2)
    return True


cdef int related(walk_t* walk, uint16_t node) noexcept nogil:
    """nf_conntrack_inet_error: an error belongs to the flow it quotes, or is INVALID."""
    cdef packet_t* packet = walk.packet
    cdef tuple_t quoted, sought
    cdef int32_t found
    packet.ctinfo = CT_INVALID
    if not quoted_tuple(packet, node, &quoted):
        return 0
    tuple_invert(&sought, &quoted)
    if (quoted.proto == PROTO_ICMP or quoted.proto == PROTO_ICMPV6) and (
            icmp_answer(quoted.proto, quoted.dport) == 0xFFFF):
        return 0
    found = table_find(walk.state, &sought, walk.now_ns)
    if found < 0:
        return 0
    if not addr_equal(packet.dst,
                      connection_tuple(&walk.state.connections[found >> 1], found & 1).dst):
        return 0                # told to somebody who never sent what it quotes
    packet.connection = found >> 1
    # The error travels against the packet it quotes.
    packet.direction = <uint8_t>(found & 1)
    packet.ctinfo = CT_RELATED if found & 1 == 0 else CT_RELATED_REPLY
    return 0


# ------------------------------------------------------------------------------------- door


cdef inline bint is_verified(uint8_t proto) noexcept nogil:
    """Whose checksums conntrack looks at; the others' trackers do not."""
    return (proto == PROTO_TCP or proto == PROTO_UDP or proto == PROTO_ICMP
            or proto == PROTO_ICMPV6)


cdef inline bint is_neighbour_discovery(const packet_t* packet) noexcept nogil:
    """nf_conntrack_proto_icmpv6.c, noct_valid_new: 130-136 and 143 are never tracked."""
    cdef uint16_t type = packet.dport >> 8
    return packet.proto == PROTO_ICMPV6 and packet.has_ports and (
            130 <= type <= 136 or type == 143)


cdef inline bint is_icmp(uint8_t proto) noexcept nogil:
    return proto == PROTO_ICMP or proto == PROTO_ICMPV6


cdef bint has_room(walk_t* walk, const tuple_t* tuple) noexcept nogil:
    """The tuple has its connection already, or nf_conntrack_max allows one more."""
    cdef const node_t* node = &walk.image.nodes[tuple.node]
    if not node.conntrack_max or walk.state.node_connections[tuple.node] < node.conntrack_max:
        return True
    if walk.now_ns >= walk.state.next_expiry_ns:    # else a full table would be searched in vain
        conntrack_collect(walk.state, walk.now_ns)
    return (walk.state.node_connections[tuple.node] < node.conntrack_max
            or table_find(walk.state, tuple, walk.now_ns) >= 0)


cdef bint refused(const packet_t* packet) noexcept nogil:
    """tcp_error, udp_error, icmp_error: damaged packets belong to no connection."""
    if packet.proto == PROTO_TCP and not tcp_header_is_valid(packet):
        return True
    if packet.proto == PROTO_UDP and (
            load16(packet.frame + packet.l4 + 4) < 8
            or packet.l4 + load16(packet.frame + packet.l4 + 4) > packet.length):
        return True
    return False


cdef int find_or_make(walk_t* walk, const tuple_t* tuple) noexcept nogil:
    """The connection of a tuple: index * 2 + direction; -1 none may be made; -2 table full."""
    cdef packet_t* packet = walk.packet
    cdef const node_t* node = &walk.image.nodes[tuple.node]
    cdef int32_t found = table_find(walk.state, tuple, walk.now_ns)
    if found >= 0:
        return found
    if (packet.proto == PROTO_ICMP or packet.proto == PROTO_ICMPV6) and (
            icmp_answer(packet.proto, packet.dport) == 0xFFFF):
        return -1
    if not has_room(walk, tuple):
        return -2
    found = connection_new(walk, tuple)
    if found < 0:
        return -2
    if not opens(node, packet, &walk.state.connections[found], walk.now_ns):
        connection_free(walk.state, found)
        return -1
    return found * 2


cdef int conntrack_in(walk_t* walk, uint32_t hook) noexcept nogil:
    cdef packet_t* packet = walk.packet
    cdef uint16_t node = <uint16_t>packet.node
    cdef const node_t* here = &walk.image.nodes[node]
    cdef tuple_t tuple
    cdef int outcome = 0
    if packet.is_tracked:
        return 0                        # looped back, or untracked by a rule
    packet.is_tracked = 1
    packet.ctinfo = CT_INVALID
    if not packet_tuple(packet, node, &tuple):
        pass
    elif not is_icmp(packet.proto) and not has_room(walk, &tuple):
        outcome = CONNTRACK_FULL        # init_conntrack comes before the trackers' checks
    elif refused(packet):
        pass
    elif is_neighbour_discovery(packet):
        packet.ctinfo = CT_UNTRACKED
    elif (here.conntrack_checksum and hook == HOOK_PREROUTING and is_verified(packet.proto)
            and packet_checksum(packet) == CHECKSUM_WRONG):
        pass
    elif is_icmp_error(packet):
        outcome = related(walk, node)
    else:
        outcome = track(walk, &tuple)
    if outcome == 0:
        trace_step(walk.trace, STEP_CONNTRACK, <uint32_t>node * CT_INFOS + packet.ctinfo)
    return outcome


cdef int track(walk_t* walk, const tuple_t* tuple) noexcept nogil:
    """resolve_normal_ct and the protocol's tracker.  Sets connection, direction and ctinfo."""
    cdef packet_t* packet = walk.packet
    cdef connection_t* connection
    cdef int32_t found
    cdef int outcome = PACKET_REPEAT
    while outcome == PACKET_REPEAT:
        found = find_or_make(walk, tuple)
        if found == -2:
            return CONNTRACK_FULL
        if found < 0:
            return 0
        connection = &walk.state.connections[found >> 1]
        outcome = track_packet(walk, found >> 1, found & 1)
        if outcome == PACKET_REPEAT:
            connection_kill(walk.state, found >> 1)
    walk.state.next_expiry_ns = min(walk.state.next_expiry_ns, connection.expires_ns)
    if outcome == PACKET_INVALID:
        if not connection.status & IPS_CONFIRMED:
            connection_free(walk.state, found >> 1)
        return 0
    packet.connection = found >> 1
    packet.direction = <uint8_t>(found & 1)
    if found & 1:
        packet.ctinfo = CT_ESTABLISHED_REPLY
        connection.status |= IPS_SEEN_REPLY
    elif connection.status & IPS_SEEN_REPLY:
        packet.ctinfo = CT_ESTABLISHED
    else:
        packet.ctinfo = CT_NEW
    return 0


cdef int conntrack_confirm(walk_t* walk) noexcept nogil:
    cdef state_t* state = walk.state
    cdef connection_t* connection
    cdef int32_t index = walk.packet.connection
    cdef uint32_t direction
    # A reset or an error that answers an unconfirmed packet confirms nothing.
    if index < 0 or walk.packet.direction or state.connections[index].status & IPS_CONFIRMED:
        return 0
    connection = &state.connections[index]
    for direction in range(2):
        if table_find(state, connection_tuple(connection, direction), walk.now_ns) >= 0:
            return CONNTRACK_CLASH
    table_link(state, index)
    connection.status |= IPS_CONFIRMED
    state.node_connections[connection.original.node] += 1
    return 0


cdef void conntrack_drop(walk_t* walk, int32_t index) noexcept nogil:
    cdef connection_t* connection
    if index < 0:
        return
    connection = &walk.state.connections[index]
    if connection.in_use and not connection.status & IPS_CONFIRMED:
        unlink_source(walk.state, index)
        connection_free(walk.state, index)
