"""Which tuple a translated connection gets.  Specified by dataplane.reference.nat_tuple.

The order in which nf_nat_core.c, get_unique_tuple, looks for a mapping:

  1. the tuple as it is, if the range allows it and no other connection answers to it
  2. the mapping that this source already has, if it is free for this destination
  3. the range's address with the port as it is, if free
  4. a port of the range, searched from a random offset
"""

from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t

from _fastpath.address cimport addr_compare, addr_equal, addr_t
from _fastpath.choice cimport (
    CHOICE_NAT_PORT,
    choice_fed,
    choice_key,
    draw_t,
    fold,
)
from _fastpath.conntrack_table cimport connection_kill, source_bucket, table_find, tuple_taken
from _fastpath.conntrack_tcp cimport TCP_SYN_SENT, TCP_TIME_WAIT
from _fastpath.conntrack_tuple cimport is_icmp, tuple_invert
from _fastpath.image cimport RANGE_MAP_IPS, RANGE_PROTO_OFFSET, RANGE_PROTO_SPECIFIED
from _fastpath.nat cimport MANIP_DST, MANIP_SRC
from _fastpath.nat_range cimport best_address
from _fastpath.packet cimport (
    PROTO_DCCP,
    PROTO_TCP,
    PROTO_UDP,
    PROTO_UDPLITE,
    proto_has_ports,
)
from _fastpath.state cimport (
    IPS_DST_NAT,
    IPS_DYING,
    IPS_FIXED_TIMEOUT,
    IPS_HW_OFFLOAD,
    IPS_OFFLOAD,
    IPS_SRC_NAT,
    connection_t,
)

cdef enum:
    RANGE_ANY_RANDOM = 20   # RANGE_PROTO_RANDOM | RANGE_PROTO_RANDOM_FULLY
    ATTEMPTS_FIRST = 128    # nf_nat_core.c, NF_NAT_MAX_ATTEMPTS
    ATTEMPTS_LAST = 16
    ATTEMPTS_HARDER = 32    # NF_NAT_HARDER_THRESH


cdef inline uint16_t get_port(const tuple_t* tuple, uint32_t manip) noexcept nogil:
    """The port, or echo identifier, that this manip may change."""
    return tuple.sport if manip == MANIP_SRC or is_icmp(tuple.proto) else tuple.dport


cdef inline void set_port(tuple_t* tuple, uint32_t manip, uint16_t port) noexcept nogil:
    if manip == MANIP_SRC or is_icmp(tuple.proto):
        tuple.sport = port
    else:
        tuple.dport = port


cdef inline bint is_ported(const tuple_t* tuple) noexcept nogil:
    """There is a number to vary, and conntrack knows it: Linux forgot about DCCP's with 6.16."""
    return is_icmp(tuple.proto) or (proto_has_ports(tuple.proto) and (
        tuple.proto != PROTO_DCCP or (tuple.sport | tuple.dport) != 0))


cdef bint is_used(walk_t* walk, const tuple_t* tuple) noexcept nogil:
    """nf_nat_used_tuple: some other connection's packets would be taken for our replies."""
    cdef tuple_t reply
    tuple_invert(&reply, tuple)
    return tuple_taken(walk, &reply, walk.packet.connection)


cdef int32_t find_in_zones(walk_t* walk, const tuple_t* tuple) noexcept nogil:
    """nf_conntrack_find_get, in the zones of the packet's own connection."""
    cdef const connection_t* own = &walk.state.connections[walk.packet.connection]
    cdef uint16_t[2] zones
    cdef tuple_t wanted = tuple[0]
    cdef int32_t found
    zones[0], zones[1] = own.original.zone, own.reply.zone
    wanted.zone = zones[0]
    found = table_find(walk.state, &wanted, &zones[0], walk.now_ns)
    if found < 0:
        wanted.zone = zones[1]
        found = table_find(walk.state, &wanted, &zones[0], walk.now_ns)
    return found


cdef inline bint is_same(const tuple_t* one, const tuple_t* other) noexcept nogil:
    """nf_ct_tuple_equal: in whatever zones."""
    return (one.sport == other.sport and one.dport == other.dport
            and addr_equal(one.src, other.src) and addr_equal(one.dst, other.dst))


cdef bint is_mirrored(walk_t* walk, const tuple_t* tuple) noexcept nogil:
    """nf_nat_used_tuple_new: it clashes with what is its own other direction, in another zone.
    Then it keeps its ports, and the clash is found when it is confirmed."""
    cdef const connection_t* own = &walk.state.connections[walk.packet.connection]
    cdef const connection_t* other
    cdef tuple_t reply
    cdef int32_t found
    if tuple.proto != PROTO_UDP and tuple.proto != PROTO_UDPLITE:
        return False
    found = find_in_zones(walk, tuple)
    if found < 0:
        tuple_invert(&reply, tuple)
        found = find_in_zones(walk, &reply)
    if found < 0:
        return True
    other = &walk.state.connections[found >> 1]
    if other.status & (IPS_SRC_NAT | IPS_DST_NAT):
        return False
    return is_same(&other.original, &own.reply) and is_same(&other.reply, &own.original)


cdef bint may_evict(const connection_t* old, const connection_t* own) noexcept nogil:
    """nf_nat_may_kill, nf_seq_has_advanced: a closed connection whose late segments would be out
    of the window of the new one."""
    if old.tcp.state < TCP_TIME_WAIT or old.status & (IPS_FIXED_TIMEOUT | IPS_DYING):
        return False
    return (old.status & IPS_SRC_NAT) != 0 and (
        <int32_t>(own.tcp.seen[0].end - old.tcp.seen[0].end) > 0)


cdef bint is_used_harder(walk_t* walk, const tuple_t* tuple,
                         uint32_t attempts_left) noexcept nogil:
    """nf_nat_used_tuple_harder: in its last attempts a new TCP connection takes the place of a
    closed one."""
    cdef const connection_t* own = &walk.state.connections[walk.packet.connection]
    cdef tuple_t reply
    cdef int32_t found
    cdef uint32_t status
    if (attempts_left > ATTEMPTS_HARDER or tuple.proto != PROTO_TCP
            or own.tcp.state != TCP_SYN_SENT):
        return is_used(walk, tuple)
    tuple_invert(&reply, tuple)
    found = find_in_zones(walk, &reply)
    if found < 0:
        return False
    if not found & 1 or not may_evict(&walk.state.connections[found >> 1], own):
        return True
    status = walk.state.connections[found >> 1].status
    connection_kill(walk.state, found >> 1)
    return (status & (IPS_OFFLOAD | IPS_HW_OFFLOAD)) != 0


cdef bint port_in_range(const tuple_t* tuple, const target_t* range,
                        uint32_t manip) noexcept nogil:
    """l4proto_in_range"""
    cdef uint16_t port = get_port(tuple, manip)
    if not is_ported(tuple):
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


cdef inline bint is_drawn(const target_t* range, uint32_t manip) noexcept nogil:
    """Where the search begins is chance's: find_free_id."""
    return not range.flags & RANGE_PROTO_OFFSET and (
        manip == MANIP_SRC or (range.flags & RANGE_ANY_RANDOM) != 0)


cdef uint32_t first_offset(walk_t* walk, const tuple_t* tuple, const target_t* range,
                           uint32_t manip, const draw_t* draw, uint32_t low) noexcept nogil:
    cdef uint32_t fed = 0
    if not is_drawn(range, manip):
        return <uint16_t>(get_port(tuple, manip) - range.a) if (
            range.flags & RANGE_PROTO_OFFSET) else 0
    if choice_fed(walk.state, draw, True, &fed):
        return fed - low
    return <uint32_t>(fold(choice_key(walk.image.seed, draw), 0) & 0xFFFF)


cdef void search_port(walk_t* walk, tuple_t* tuple, const target_t* range,
                      uint32_t manip) noexcept nogil:
    """nf_nat_l4proto_unique_tuple.  When every try is taken the last one stays: confirm then
    finds the clash."""
    cdef const tuple_t* original = &walk.state.connections[walk.packet.connection].original
    cdef draw_t draw = draw_t(walk.image.nodes[original.node].identity, original.src, original.dst,
                              manip, original.sport, original.dport, original.proto,
                              original.family, CHOICE_NAT_PORT, 0)
    cdef uint32_t low = 0, size = 0, attempts, offset, i
    cdef uint64_t rounds = 0
    if not is_ported(tuple):
        return
    if manip == MANIP_DST and not range.flags & RANGE_PROTO_SPECIFIED and not is_icmp(tuple.proto):
        return                          # a destination keeps its port unless told otherwise
    port_bounds(tuple, range, &low, &size)
    offset = first_offset(walk, tuple, range, manip, &draw, low)
    attempts = min(size, <uint32_t>ATTEMPTS_FIRST)
    while True:
        i = 0
        while i < attempts:
            set_port(tuple, manip, <uint16_t>(low + ((offset + i) & 0xFFFF) % size))
            if not is_used_harder(walk, tuple, attempts - i):
                return
            i += 1
        if attempts >= size and is_drawn(range, manip):
            # Linux is left with the port before the offset.  Both are chance's, and here the
            # draw says with which one it ends.
            set_port(tuple, manip, <uint16_t>(low + (offset & 0xFFFF) % size))
        if attempts >= size or attempts < ATTEMPTS_LAST:
            return
        attempts //= 2
        rounds += 1
        offset = <uint32_t>(fold(choice_key(walk.image.seed, &draw), rounds) & 0xFFFF)


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
            if not is_used(walk, tuple) or is_mirrored(walk, tuple):
                return
        elif find_same_source(walk, &walk.state.connections[walk.packet.connection].original,
                              &found, range):
            found.dst, found.zone = tuple.dst, tuple.zone
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
            if not range.flags & RANGE_PROTO_OFFSET and port_in_range(tuple, range, manip) and (
                    range.port_min == range.port_max or not is_used(walk, tuple)):
                return
        elif not is_used(walk, tuple):
            return
    search_port(walk, tuple, range, manip)
