"""Address translation.  Specified by dataplane.reference.nat.

A connection is translated once, by what its first packet met (nat_tuple chooses to what); the
packets after it are rewritten to look like the inverse of the other direction's tuple.
"""

from libc.stdint cimport int32_t, uint32_t

from _fastpath.address cimport addr_equal, addr_t
from _fastpath.conntrack_table cimport source_bucket
from _fastpath.conntrack_tuple cimport is_icmp, tuple_invert
from _fastpath.image cimport RANGE_MAP_IPS
from _fastpath.nat_tuple cimport unique_tuple
from _fastpath.packet cimport (
    ETHER_SIZE,
    PROTO_DCCP,
    PROTO_GRE,
    PROTO_SCTP,
    PROTO_TCP,
    packet_finish_sctp,
    packet_pull,
    packet_set_dport,
    packet_set_dst,
    packet_set_sport,
    packet_set_src,
)
from _fastpath.state cimport (
    IPS_CONFIRMED,
    IPS_DST_NAT,
    IPS_DST_NAT_DONE,
    IPS_SRC_NAT,
    IPS_SRC_NAT_DONE,
    connection_t,
    connection_tuple,
)
from _fastpath.trace cimport (
    EVENT_DPORT,
    EVENT_DST,
    EVENT_SPORT,
    EVENT_SRC,
    STEP_NAT,
    trace_event,
    trace_step,
    trace_value,
)


cdef void nat_setup(walk_t* walk, const target_t* range, uint32_t manip) noexcept nogil:
    cdef int32_t index = walk.packet.connection
    cdef connection_t* connection = &walk.state.connections[index]
    cdef tuple_t current, wanted
    cdef uint32_t bucket
    if connection.status & IPS_CONFIRMED:
        return
    tuple_invert(&current, &connection.reply)
    wanted = current
    unique_tuple(walk, &wanted, range, manip)
    if (not addr_equal(wanted.src, current.src) or not addr_equal(wanted.dst, current.dst)
            or wanted.sport != current.sport or wanted.dport != current.dport):
        tuple_invert(&connection.reply, &wanted)
        connection.status |= IPS_SRC_NAT if manip == MANIP_SRC else IPS_DST_NAT
    if manip == MANIP_DST:
        connection.status |= IPS_DST_NAT_DONE
        return
    connection.status |= IPS_SRC_NAT_DONE
    bucket = source_bucket(walk.state, &connection.original)
    connection.next_source = walk.state.source_buckets[bucket]
    walk.state.source_buckets[bucket] = index


cdef void nat_null_binding(walk_t* walk, uint32_t manip) noexcept nogil:
    """alloc_null_binding: bind the side to the address it has."""
    cdef const tuple_t* reply = &walk.state.connections[walk.packet.connection].reply
    cdef addr_t own = reply.dst if manip == MANIP_SRC else reply.src
    cdef target_t range = target_t(own, own, 0, 0, 0, 0, RANGE_MAP_IPS)
    nat_setup(walk, &range, manip)


cdef bint nat_is_set_up(walk_t* walk, uint32_t manip) noexcept nogil:
    cdef uint32_t done = IPS_SRC_NAT_DONE if manip == MANIP_SRC else IPS_DST_NAT_DONE
    return (walk.state.connections[walk.packet.connection].status & done) != 0


cdef void rewrite_source(walk_t* walk, const tuple_t* target) noexcept nogil:
    cdef packet_t* packet = walk.packet
    if not addr_equal(packet.src, target.src):
        trace_event(walk.trace, EVENT_SRC, packet.src, target.src)
        packet_set_src(packet, target.src)
    if has_port(packet, target) and packet.sport != target.sport:
        trace_value(walk.trace, EVENT_SPORT, packet.sport, target.sport)
        packet_set_sport(packet, target.sport)


cdef void rewrite_destination(walk_t* walk, const tuple_t* target) noexcept nogil:
    cdef packet_t* packet = walk.packet
    if not addr_equal(packet.dst, target.dst):
        trace_event(walk.trace, EVENT_DST, packet.dst, target.dst)
        packet_set_dst(packet, target.dst)
        packet.destination_changed = 1
    if not has_port(packet, target):
        return
    if is_icmp(packet.proto):
        if packet.sport != target.sport:
            trace_value(walk.trace, EVENT_SPORT, packet.sport, target.sport)
            packet_set_sport(packet, target.sport)
    elif packet.dport != target.dport:
        trace_value(walk.trace, EVENT_DPORT, packet.dport, target.dport)
        packet_set_dport(packet, target.dport)


cdef inline bint differs(const packet_t* packet, const tuple_t* target,
                         uint32_t manip) noexcept nogil:
    if manip == MANIP_SRC:
        return (not addr_equal(packet.src, target.src)
                or (has_port(packet, target) and packet.sport != target.sport))
    if packet.has_ports and is_icmp(packet.proto) and packet.sport != target.sport:
        return True
    return (not addr_equal(packet.dst, target.dst)
            or (has_port(packet, target)
                and not is_icmp(packet.proto) and packet.dport != target.dport))


cdef inline bint is_unknown(const packet_t* packet, const tuple_t* target) noexcept nogil:
    """Nothing but its addresses is translated: no checksum either."""
    return packet.proto == PROTO_DCCP and not has_port(packet, target)


cdef bint gre_is_writable(const packet_t* packet, uint32_t at, uint32_t end,
                          uint32_t manip) noexcept nogil:
    """gre_manip_pkt: four bytes more than a header may have, and for its receiver a version
    that it knows."""
    if at + 8 > end:
        return False
    return manip == MANIP_SRC or at + 2 > packet.size or packet.frame[at + 1] & 7 < 2


cdef bint is_writable(packet_t* packet, uint32_t manip) noexcept nogil:
    """The manip_pkt of each protocol wants its header."""
    if packet.proto == PROTO_TCP:
        packet_pull(packet, 20)
    elif packet.proto == PROTO_SCTP:
        packet_pull(packet, 12)
    return packet.proto != PROTO_GRE or gre_is_writable(
        packet, packet.thoff, ETHER_SIZE + packet.ip_length, manip)


cdef bint nat_packet(walk_t* walk, uint32_t manip) noexcept nogil:
    cdef packet_t* packet = walk.packet
    cdef connection_t* connection = &walk.state.connections[packet.connection]
    cdef uint32_t bit = IPS_SRC_NAT if manip == MANIP_SRC else IPS_DST_NAT
    cdef uint32_t l4 = packet.l4
    cdef tuple_t target
    if packet.direction:
        bit ^= IPS_SRC_NAT | IPS_DST_NAT    # in replies the other side is undone
    if not connection.status & bit:
        return True
    if not is_writable(packet, manip):
        return False
    # We are aiming to look like the inverse of the other direction.
    tuple_invert(&target, connection_tuple(connection, 1 - packet.direction))
    if not differs(packet, &target, manip):
        if packet.proto == PROTO_SCTP and packet.has_ports:
            packet_finish_sctp(packet)
        return True
    if is_unknown(packet, &target):
        packet.l4 = 0
    trace_step(walk.trace, STEP_NAT, <uint32_t>packet.node * 2 + manip)
    if manip == MANIP_SRC:
        rewrite_source(walk, &target)
    else:
        rewrite_destination(walk, &target)
    packet.l4 = l4
    if packet.proto == PROTO_SCTP and packet.has_ports:
        packet_finish_sctp(packet)      # sctp_manip_pkt: whatever was changed
    return True
