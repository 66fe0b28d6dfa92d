"""ICMP errors about translated connections.  Specified by dataplane.reference.nat_icmp.

What an error quotes must look as its receiver sent it, and it must come from, or go to, the
address that the receiver knows.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.address cimport addr_equal, addr_t
from _fastpath.checksum cimport checksum_add, checksum_finish, checksum_pseudo
from _fastpath.conntrack_tuple cimport is_icmp, quoted_transport, tuple_invert
from _fastpath.nat cimport MANIP_DST, MANIP_SRC, gre_is_writable, has_port
from _fastpath.packet cimport (
    CHECKSUM_UNSEEN,
    CHECKSUM_WRONG,
    ETHER_SIZE,
    PROTO_DCCP,
    PROTO_GRE,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    load16,
    load32,
    load64,
    packet_checksum,
    packet_finish_sctp,
    packet_pull,
    packet_set_dport,
    packet_set_dst,
    packet_set_sport,
    packet_set_src,
    packet_t,
    proto_has_ports,
    store16,
)
from _fastpath.reason cimport CAPTURE_CUT, NETFILTER_DROP
from _fastpath.state cimport (
    IPS_DST_NAT,
    IPS_DST_NAT_DONE,
    IPS_SRC_NAT,
    IPS_SRC_NAT_DONE,
    connection_t,
    connection_tuple,
    tuple_t,
)
from _fastpath.trace cimport EVENT_DST, EVENT_SRC, STEP_NAT, trace_event, trace_step

cdef enum:
    ICMP_REDIRECT = 5


cdef inline bint is_written(uint8_t proto, bint has_dccp) noexcept nogil:
    """tcp_manip_pkt and its like write within eight bytes."""
    if proto == PROTO_DCCP:
        return has_dccp
    return proto_has_ports(proto) or is_icmp(proto) or proto == PROTO_GRE


cdef bint quoted_view(const packet_t* packet, bint has_dccp, packet_t* view) noexcept nogil:
    """The quoted packet as a packet of its own, over the same bytes."""
    cdef uint8_t proto = 0
    cdef uint32_t transport = quoted_transport(packet, &proto)
    cdef const uint8_t* ip = packet.frame + packet.l4 + 8
    if transport == 0 or (is_written(proto, has_dccp) and transport + 8 > packet.size):
        return False
    view[0] = packet[0]
    view.frame = packet.frame + packet.l4 + 8 - ETHER_SIZE
    view.size = packet.size - (packet.l4 + 8 - ETHER_SIZE)
    view.l4 = view.thoff = transport - (packet.l4 + 8 - ETHER_SIZE)
    view.proto = proto
    view.has_ports = proto_has_ports(view.proto) and transport + 4 <= packet.size and (
        has_dccp or proto != PROTO_DCCP)
    view.checksum = CHECKSUM_UNSEEN
    view.is_fragment = 0
    view.ip_length = <uint16_t>(view.size - ETHER_SIZE)     # as much as is quoted
    if packet.family == 4:
        view.src = addr_t(0, load32(ip + 12))
        view.dst = addr_t(0, load32(ip + 16))
    else:
        view.src = addr_t(load64(ip + 8), load64(ip + 16))
        view.dst = addr_t(load64(ip + 24), load64(ip + 32))
    if view.has_ports:
        view.sport = load16(view.frame + view.l4)
        view.dport = load16(view.frame + view.l4 + 2)
    elif is_icmp(view.proto):
        view.sport = load16(view.frame + view.l4 + 4)
    return True


cdef uint32_t written(const packet_t* view) noexcept nogil:
    """Bytes of the quoted transport header that the manip_pkt of its protocol wants."""
    cdef uint32_t there = view.size - view.l4
    if view.proto == PROTO_TCP and there >= 20:
        return 20
    if view.proto == PROTO_SCTP and there >= 12:
        return 12
    return 8 if is_written(view.proto, view.has_ports) else 0


cdef bint checksum_is_quoted(const packet_t* view) noexcept nogil:
    """Eight quoted bytes hold a UDP checksum, but not TCP's."""
    return view.proto != PROTO_TCP or view.l4 + 20 <= view.size


cdef void translate_quoted(packet_t* view, const tuple_t* target, uint32_t manip) noexcept nogil:
    cdef uint16_t port = target.sport if manip == MANIP_SRC else target.dport
    cdef uint8_t proto = view.proto
    if view.proto == PROTO_DCCP and not has_port(view, target):
        view.l4 = 0                     # nothing but its addresses is translated
    elif not checksum_is_quoted(view):
        # Nothing but the ports is there: write them, and no checksum.
        if manip == MANIP_SRC:
            store16(view.frame + view.l4, port)
        else:
            store16(view.frame + view.l4 + 2, port)
        view.l4 = 0
    if manip == MANIP_SRC:
        packet_set_src(view, target.src)
    else:
        packet_set_dst(view, target.dst)
    if is_icmp(proto):
        packet_set_sport(view, target.sport)
    elif has_port(view, target) and manip == MANIP_SRC:
        packet_set_sport(view, port)
    elif has_port(view, target):
        packet_set_dport(view, port)
    if proto == PROTO_SCTP:
        packet_finish_sctp(view)


cdef void finish_icmp(packet_t* packet) noexcept nogil:
    """The ICMP checksum anew, over all that is there."""
    cdef uint8_t* icmp = packet.frame + packet.l4
    cdef uint32_t size = packet.size - packet.l4
    cdef uint64_t sum = 0
    if packet.family == 6:
        sum = checksum_pseudo(packet.src, packet.dst, PROTO_ICMPV6, size)
    store16(icmp + 2, 0)
    store16(icmp + 2, checksum_finish(checksum_add(sum, icmp, size)))


cdef bint is_bound(const connection_t* connection) noexcept nogil:
    """Translated, or not yet decided."""
    return (connection.status & (IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE) != (
                IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE)
            or connection.status & (IPS_SRC_NAT | IPS_DST_NAT) != 0)


cdef int nat_icmp_error(walk_t* walk, uint32_t manip) noexcept nogil:
    cdef packet_t* packet = walk.packet
    cdef connection_t* connection = &walk.state.connections[packet.connection]
    cdef uint32_t bit = IPS_SRC_NAT if manip == MANIP_SRC else IPS_DST_NAT
    cdef packet_t view
    cdef tuple_t target
    packet_pull(packet, 28 if packet.family == 4 else 48)
    if packet_checksum(packet) == CHECKSUM_WRONG:
        return NETFILTER_DROP
    if packet.family == 4 and packet.dport >> 8 == ICMP_REDIRECT and is_bound(connection):
        return NETFILTER_DROP           # it would name a gateway that its receiver cannot use
    if packet.direction:
        bit ^= IPS_SRC_NAT | IPS_DST_NAT
    if not connection.status & bit:
        return 0
    if not quoted_view(packet, walk.image.nodes[packet.node].has_dccp != 0, &view):
        return NETFILTER_DROP
    if view.proto == PROTO_GRE and not gre_is_writable(&view, view.l4, view.size, 1 - manip):
        return NETFILTER_DROP
    if packet.size < ETHER_SIZE + packet.ip_length:
        return CAPTURE_CUT              # its checksum could not be computed anew
    packet_pull(packet, view.frame + view.l4 + written(&view) - packet.frame - packet.thoff)
    trace_step(walk.trace, STEP_NAT, <uint32_t>packet.node * 2 + manip)
    translate_quoted(&view, connection_tuple(connection, 1 - packet.direction), 1 - manip)
    tuple_invert(&target, connection_tuple(connection, 1 - packet.direction))
    if manip == MANIP_SRC and not addr_equal(packet.src, target.src):
        trace_event(walk.trace, EVENT_SRC, packet.src, target.src)
        packet_set_src(packet, target.src)
    elif manip == MANIP_DST and not addr_equal(packet.dst, target.dst):
        trace_event(walk.trace, EVENT_DST, packet.dst, target.dst)
        packet_set_dst(packet, target.dst)
        packet.destination_changed = 1
    finish_icmp(packet)
    return 0
