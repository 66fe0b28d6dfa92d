"""Address translation.  Specified by dataplane.reference.nat.

The order in which nf_nat_core.c, get_unique_tuple, looks for a mapping:

  1. the tuple as it is, if the range allows it and no other connection answers to it
  2. the mapping that this source already has, if it is free for this destination
  3. the range's address with the port as it is, if free
  4. a port of the range, searched from a random offset
"""

from libc.stdint cimport int32_t, uint8_t, uint64_t

from _fastpath.address cimport addr_compare, addr_equal, addr_t
from _fastpath.choice cimport (
    CHOICE_NAT_PORT,
    choice_fed,
    choice_key,
    draw_t,
    fold,
)
from _fastpath.checksum cimport checksum_add, checksum_finish, checksum_pseudo
from _fastpath.conntrack_table cimport source_bucket, tuple_taken
from _fastpath.conntrack_tuple cimport quoted_transport, tuple_invert
from _fastpath.image cimport (
    RANGE_MAP_IPS,
    RANGE_PROTO_SPECIFIED,
)
from _fastpath.nat_range cimport best_address
from _fastpath.packet cimport (
    CHECKSUM_UNSEEN,
    CHECKSUM_WRONG,
    ETHER_SIZE,
    PROTO_DCCP,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_TCP,
    load16,
    load32,
    load64,
    packet_checksum,
    packet_t,
    store16,
    packet_set_dport,
    packet_set_dst,
    packet_set_sport,
    packet_set_src,
    proto_has_ports,
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

cdef enum:
    RANGE_ANY_RANDOM = 20   # RANGE_PROTO_RANDOM | RANGE_PROTO_RANDOM_FULLY
    ATTEMPTS_FIRST = 128    # nf_nat_core.c, NF_NAT_MAX_ATTEMPTS
    ATTEMPTS_LAST = 16
    ICMP_REDIRECT = 5


cdef inline bint is_icmp(uint8_t proto) noexcept nogil:
    return proto == PROTO_ICMP or proto == PROTO_ICMPV6


cdef inline bint has_port(const packet_t* packet, const tuple_t* target) noexcept nogil:
    """There is one, and conntrack knows it: Linux forgot about DCCP's with 6.16."""
    return packet.has_ports and (
        packet.proto != PROTO_DCCP or (target.sport | target.dport) != 0)


cdef inline uint16_t get_port(const tuple_t* tuple, uint32_t manip) noexcept nogil:
    """The port, or echo identifier, that this manip may change."""
    return tuple.sport if manip == MANIP_SRC or is_icmp(tuple.proto) else tuple.dport


cdef inline void set_port(tuple_t* tuple, uint32_t manip, uint16_t port) noexcept nogil:
    if manip == MANIP_SRC or is_icmp(tuple.proto):
        tuple.sport = port
    else:
        tuple.dport = port


cdef bint is_used(walk_t* walk, const tuple_t* tuple) noexcept nogil:
    """nf_nat_used_tuple: some other connection's packets would be taken for our replies."""
    cdef tuple_t reply
    tuple_invert(&reply, tuple)
    return tuple_taken(walk, &reply, walk.packet.connection)


cdef bint port_in_range(const tuple_t* tuple, const target_t* range,
                        uint32_t manip) noexcept nogil:
    """l4proto_in_range"""
    cdef uint16_t port = get_port(tuple, manip)
    if not (proto_has_ports(tuple.proto) or is_icmp(tuple.proto)):
        return True
    return range.port_min <= port <= range.port_max


cdef bint in_range(const tuple_t* tuple, const target_t* range) noexcept nogil:
    """nf_in_range, for the source."""
    if range.flags & RANGE_MAP_IPS and (addr_compare(tuple.src, range.address_min) < 0
                                        or addr_compare(tuple.src, range.address_max) > 0):
        return False
    return not range.flags & RANGE_PROTO_SPECIFIED or port_in_range(tuple, range, MANIP_SRC)


cdef bint find_same_source(walk_t* walk, const tuple_t* tuple, tuple_t* result,
                           const target_t* range) noexcept nogil:
    """find_appropriate_src: an earlier connection from this source, and where it was mapped."""
    cdef int32_t here = walk.state.source_buckets[source_bucket(walk.state, tuple)]
    cdef const connection_t* other
    while here >= 0:
        other = &walk.state.connections[here]
        if (other.expires_ns > walk.now_ns
                and other.original.proto == tuple.proto and other.original.node == tuple.node
                and other.original.family == tuple.family
                and other.original.zone == tuple.zone and other.original.sport == tuple.sport
                and addr_equal(other.original.src, tuple.src)):
            result[0] = tuple[0]
            result.src = other.reply.dst
            set_port(result, MANIP_SRC,
                     other.reply.sport if is_icmp(tuple.proto) else other.reply.dport)
            if in_range(result, range):
                return True
        here = other.next_source
    return False


cdef void port_bounds(const tuple_t* tuple, const target_t* range, uint32_t* low,
                      uint32_t* size) noexcept nogil:
    """The ports that may be tried: nf_nat_l4proto_unique_tuple."""
    cdef uint16_t port = tuple.sport
    if range.flags & RANGE_PROTO_SPECIFIED:
        low[0] = range.port_min
        size[0] = <uint32_t>range.port_max - range.port_min + 1
    elif is_icmp(tuple.proto):
        low[0], size[0] = 0, 65536
    elif port >= 1024:
        low[0], size[0] = 1024, 65536 - 1024
    elif port >= 512:
        low[0], size[0] = 600, 1023 - 600 + 1
    else:
        low[0], size[0] = 1, 511


cdef void search_port(walk_t* walk, tuple_t* tuple, const target_t* range,
                      uint32_t manip) noexcept nogil:
    """Step 4.  When every try is taken the last one stays: confirm then finds the clash."""
    cdef const tuple_t* original = &walk.state.connections[walk.packet.connection].original
    cdef draw_t draw = draw_t(walk.image.nodes[original.node].identity, original.src, original.dst,
                              manip, original.sport, original.dport, original.proto,
                              original.family, CHOICE_NAT_PORT, 0)
    cdef uint32_t low = 0, size = 0, attempts, offset, i, fed = 0
    cdef uint64_t key, rounds = 0
    if not (proto_has_ports(tuple.proto) or is_icmp(tuple.proto)):
        return
    if manip == MANIP_DST and not range.flags & RANGE_PROTO_SPECIFIED:
        return                          # a destination keeps its port unless told otherwise
    port_bounds(tuple, range, &low, &size)
    key = choice_key(walk.image.seed, &draw)
    offset = 0
    if manip == MANIP_SRC or range.flags & RANGE_ANY_RANDOM:
        offset = <uint32_t>(fold(key, 0) & 0xFFFF)
        if choice_fed(walk.state, &draw, True, &fed):
            offset = fed - low
    attempts = min(size, <uint32_t>ATTEMPTS_FIRST)
    while True:
        i = 0
        while i < attempts:
            set_port(tuple, manip, <uint16_t>(low + ((offset + i) & 0xFFFF) % size))
            if not is_used(walk, tuple):
                return
            i += 1
        if attempts >= size or attempts < ATTEMPTS_LAST:
            return
        attempts //= 2
        rounds += 1
        offset = <uint32_t>(fold(key, rounds) & 0xFFFF)


cdef addr_t address_from(walk_t* walk, const tuple_t* tuple, const target_t* range,
                         uint32_t manip) noexcept nogil:
    cdef const connection_t* connection = &walk.state.connections[walk.packet.connection]
    if addr_equal(range.address_min, range.address_max):
        return range.address_min
    # nf_ct_zone: one number, whichever directions it holds for.
    return best_address(tuple, range, connection.original.zone | connection.reply.zone,
                        manip == MANIP_DST)


cdef void unique_tuple(walk_t* walk, tuple_t* tuple, const target_t* range,
                       uint32_t manip) noexcept nogil:
    cdef tuple_t found
    cdef bint random = (range.flags & RANGE_ANY_RANDOM) != 0
    if manip == MANIP_SRC and not random:
        if in_range(tuple, range):
            if not is_used(walk, tuple):
                return
        elif find_same_source(walk, &walk.state.connections[walk.packet.connection].original,
                              &found, range):
            found.dst = tuple.dst
            if not is_icmp(tuple.proto):
                found.dport = tuple.dport
            if not is_used(walk, &found):
                tuple[0] = found
                return
    if range.flags & RANGE_MAP_IPS:
        if manip == MANIP_SRC:
            tuple.src = address_from(walk, tuple, range, manip)
        else:
            tuple.dst = address_from(walk, tuple, range, manip)
    if not random:
        if range.flags & RANGE_PROTO_SPECIFIED:
            if port_in_range(tuple, range, manip) and (
                    range.port_min == range.port_max or not is_used(walk, tuple)):
                return
        elif not is_used(walk, tuple):
            return
    search_port(walk, tuple, range, manip)


cdef void nat_setup(walk_t* walk, const target_t* range, uint32_t manip) noexcept nogil:
    cdef int32_t index = walk.packet.connection
    cdef connection_t* connection = &walk.state.connections[index]
    cdef tuple_t current, wanted
    cdef uint32_t bucket
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


cdef void nat_packet(walk_t* walk, uint32_t manip) noexcept nogil:
    cdef packet_t* packet = walk.packet
    cdef connection_t* connection = &walk.state.connections[packet.connection]
    cdef uint32_t bit = IPS_SRC_NAT if manip == MANIP_SRC else IPS_DST_NAT
    cdef tuple_t target
    if packet.direction:
        bit ^= IPS_SRC_NAT | IPS_DST_NAT    # in replies the other side is undone
    if not connection.status & bit:
        return
    # We are aiming to look like the inverse of the other direction.
    tuple_invert(&target, connection_tuple(connection, 1 - packet.direction))
    if not differs(packet, &target, manip):
        return
    trace_step(walk.trace, STEP_NAT, <uint32_t>packet.node * 2 + manip)
    if manip == MANIP_SRC:
        rewrite_source(walk, &target)
    else:
        rewrite_destination(walk, &target)


# ------------------------------------------------------------------------------ ICMP errors


cdef bint quoted_view(const packet_t* packet, packet_t* view) noexcept nogil:
    """The quoted packet as a packet of its own, over the same bytes."""
    cdef uint8_t proto = 0
    cdef uint32_t transport = quoted_transport(packet, &proto)
    cdef const uint8_t* ip = packet.frame + packet.l4 + 8
    if transport == 0 or transport + 8 > packet.size:
        return False                    # tcp_manip_pkt and its like write within eight bytes
    view[0] = packet[0]
    view.frame = packet.frame + packet.l4 + 8 - ETHER_SIZE
    view.size = packet.size - (packet.l4 + 8 - ETHER_SIZE)
    view.l4 = view.thoff = transport - (packet.l4 + 8 - ETHER_SIZE)
    view.proto = proto
    view.has_ports = proto_has_ports(view.proto)
    view.checksum = CHECKSUM_UNSEEN
    view.is_fragment = 0
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


cdef bint checksum_is_quoted(const packet_t* view) noexcept nogil:
    """Eight quoted bytes hold a UDP checksum, but not TCP's."""
    return view.proto != PROTO_TCP or view.l4 + 20 <= view.size


cdef void translate_quoted(packet_t* view, const tuple_t* target, uint32_t manip) noexcept nogil:
    cdef uint16_t port = target.sport if manip == MANIP_SRC else target.dport
    cdef uint8_t proto = view.proto
    if not checksum_is_quoted(view):
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
    if packet_checksum(packet) == CHECKSUM_WRONG:
        return NETFILTER_DROP
    if packet.family == 4 and packet.dport >> 8 == ICMP_REDIRECT and is_bound(connection):
        return NETFILTER_DROP           # it would name a gateway that its receiver cannot use
    if packet.direction:
        bit ^= IPS_SRC_NAT | IPS_DST_NAT
    if not connection.status & bit:
        return 0
    if not quoted_view(packet, &view):
        return NETFILTER_DROP
    if packet.size < ETHER_SIZE + packet.ip_length:
        return CAPTURE_CUT              # its checksum could not be computed anew
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
