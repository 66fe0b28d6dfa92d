"""Policy routing.  Specified by dataplane.reference.fib_rules."""

from libc.string cimport memset

from _fastpath.address cimport addr_equal
from _fastpath.image cimport (
    ROUTE_BLACKHOLE,
    ROUTE_PROHIBIT,
    ROUTE_THROW,
    ROUTE_UNREACHABLE,
    RULE_GOTO,
    RULE_LOOKUP,
    RULE_NOP,
    RULE_ROOT,
    RULE_UNKNOWN,
    fib_rule_t,
    lpm_node_t,
    node_t,
    route_t,
)
from _fastpath.packet cimport ETHER_SIZE, load16

cdef enum:
    PREFIXES_MAX = 129      # that may hold one address
    TOS_BITS = 0x1C         # fib_dscp_masked_match: IPTOS_TOS_MASK without ECN
    DSCP_BITS = 0xFC
    PROTO_ESP = 50
    PROTO_AH = 51


cdef enum Outcome:
    NO = 0
    YES = 1
    MAYBE = 2


# ---------------------------------------------------------------------------------- flows


cdef void read_ports(flowi_t* flow, const packet_t* packet) noexcept nogil:
    """flow_dissector.c, __skb_flow_get_ports: none of a fragment, and an SPI counts as two."""
    cdef uint32_t at = packet.l4
    if packet.is_fragment or packet.l4 == 0:
        return
    if packet.has_ports and packet.proto not in (1, 58):
        flow.sport, flow.dport = packet.sport, packet.dport
        return
    if packet.proto == PROTO_AH:
        at += 4
    elif packet.proto != PROTO_ESP:
        return
    if at + 4 <= packet.size and at + 4 <= ETHER_SIZE + packet.ip_length:
        flow.sport, flow.dport = load16(packet.frame + at), load16(packet.frame + at + 2)


cdef flowi_t flowi_to(const image_t* image, int32_t node, uint8_t family,
                      addr_t dst) noexcept nogil:
    cdef flowi_t flow
    memset(&flow, 0, sizeof(flowi_t))
    flow.dst = dst
    flow.node = node
    flow.family = family
    flow.iif = image.nodes[node].loopback
    flow.oif = flow.link = -1
    return flow


cdef flowi_t flowi_input(const image_t* image, const packet_t* packet,
                         int32_t device) noexcept nogil:
    """ip_route_input_slow, ip6_route_input"""
    cdef flowi_t flow = flowi_to(image, image.devices[device].node, packet.family, packet.dst)
    flow.src = packet.src
    flow.mark = packet.mark
    flow.iif = device
    flow.proto = packet.proto
    flow.tos = packet.tos
    if packet.family == 6 and packet.dst.hi >> 54 == 0x3FA:
        flow.link = device              # rt6_need_strict
    read_ports(&flow, packet)
    return flow


cdef flowi_t flowi_output(const image_t* image, const packet_t* packet, int32_t node,
                          int32_t oif) noexcept nogil:
    """What a socket would ask with."""
    cdef flowi_t flow = flowi_to(image, node, packet.family, packet.dst)
    flow.src = packet.src
    flow.mark = packet.mark
    flow.oif = oif
    flow.proto = packet.proto
    flow.tos = packet.tos
    flow.is_output = not packet.is_made and packet.encapsulations == 0
    read_ports(&flow, packet)
    return flow


# ---------------------------------------------------------------------------------- rules


cdef inline bint is_in(addr_t address, addr_t network, addr_t mask) noexcept nogil:
    return addr_equal(addr_t(address.hi & mask.hi, address.lo & mask.lo), network)


cdef bint flow_matches(const fib_rule_t* rule, const flowi_t* flow) noexcept nogil:
    """fib_rule_match, fib4_rule_match, fib6_rule_match"""
    cdef uint8_t tos = flow.tos & (TOS_BITS if flow.family == 4 else DSCP_BITS)
    if rule.is_never:
        return False
    if rule.iif != -1 and rule.iif != flow.iif:
        return False
    if rule.oif != -1 and rule.oif != flow.oif:
        return False
    if (rule.mark ^ flow.mark) & rule.mark_mask:
        return False
    if not is_in(flow.src, rule.src, rule.src_mask):
        return False
    if not is_in(flow.dst, rule.dst, rule.dst_mask):
        return False
    if rule.tos and rule.tos != tos:
        return False
    if rule.proto and rule.proto != flow.proto:
        return False
    if rule.sport_low and not (rule.sport_low <= flow.sport <= rule.sport_high):
        return False
    return not rule.dport_low or rule.dport_low <= flow.dport <= rule.dport_high


cdef int rule_outcome(const fib_rule_t* rule, const flowi_t* flow) noexcept nogil:
    cdef bint hit = flow_matches(rule, flow)
    if hit and rule.selector:
        if flow.is_output or rule.selector == RULE_UNKNOWN:
            return MAYBE
        hit = rule.selector == RULE_ROOT    # to whom what is forwarded belongs: sock_net_uid
    return YES if hit != rule.invert else NO


# --------------------------------------------------------------------------------- tables


cdef inline bint leaves_by(const image_t* image, const route_t* way, int32_t oif) noexcept nogil:
    cdef uint32_t i
    if way.device == oif:
        return True
    for i in range(way.leg_start, way.leg_start + way.leg_count):
        if image.routes[i].device == oif:
            return True
    return False


cdef inline bint is_error(uint8_t kind) noexcept nogil:
    return kind in (ROUTE_BLACKHOLE, ROUTE_UNREACHABLE, ROUTE_PROHIBIT, ROUTE_THROW)


cdef inline bint fits(const image_t* image, const route_t* way,
                      const flowi_t* flow) noexcept nogil:
    """fib_table_lookup, rt6_score_route: a route of its prefix that the flow may take.  Refusals
    of IPv6 lead out by the loopback."""
    if way.tos and way.tos != flow.tos & TOS_BITS:
        return False
    if flow.link >= 0 and not leaves_by(image, way, flow.link):
        return False
    if flow.oif < 0 or leaves_by(image, way, flow.oif):
        return True
    return flow.family == 4 and is_error(way.kind)


cdef int32_t wished(const image_t* image, int32_t first, const flowi_t* flow) noexcept nogil:
    """rt6_device_match: of one prefix."""
    cdef int32_t route = first
    while route >= 0:
        if leaves_by(image, &image.routes[route], flow.oif):
            return route
        route = image.routes[route].next
    return first


cdef int32_t table_lookup(const image_t* image, int32_t root,
                          const flowi_t* flow) noexcept nogil:
    """The first that fits, from the longest prefix to the shortest."""
    cdef int32_t held[PREFIXES_MAX]
    cdef int count = 0
    cdef int bit = 31 if flow.family == 4 else 127
    cdef int32_t here = root, route
    cdef const lpm_node_t* nodes = image.lpm
    while True:
        if nodes[here].value >= 0:
            held[count] = nodes[here].value
            count += 1
        if bit < 0:
            break
        here = nodes[here].child[((flow.dst.lo if bit < 64 else flow.dst.hi) >> (bit & 63)) & 1]
        if here == 0:
            break
        bit -= 1
    if flow.oif_is_wish and count:
        return wished(image, held[count - 1], flow)
    while count:
        count -= 1
        route = held[count]
        while route >= 0:
            if fits(image, &image.routes[route], flow):
                return route
            route = image.routes[route].next
    return -1


cdef bint is_suppressed(const fib_rule_t* rule, const route_t* way) noexcept nogil:
    """fib4_rule_suppress: only what leads somewhere can be too short."""
    return not is_error(way.kind) and <int32_t>way.prefixlen <= rule.suppress_prefixlen


cdef int32_t fib_lookup(const image_t* image, const flowi_t* flow) noexcept nogil:
    cdef int32_t answering = -1
    return fib_lookup_by(image, flow, &answering)


cdef int32_t fib_lookup_by(const image_t* image, const flowi_t* flow,
                           int32_t* answering) noexcept nogil:
    """fib_rules_lookup.  A jump leads forward, as was checked, so this ends."""
    cdef const node_t* node = &image.nodes[flow.node]
    cdef uint32_t column = 1 if flow.family == 6 else 0
    cdef uint32_t i = node.fib_start[column], last = i + node.fib_count[column]
    cdef const fib_rule_t* rule
    cdef int outcome
    cdef int32_t route
    while i < last:
        rule = &image.fib_rules[i]
        answering[0] = <int32_t>i
        i += 1
        outcome = rule_outcome(rule, flow)
        if outcome == MAYBE:
            return rule.unknown
        if outcome == NO or rule.action == RULE_NOP:
            continue
        if rule.action == RULE_GOTO:
            if rule.target >= 0:
                i = <uint32_t>rule.target
            continue
        if rule.action != RULE_LOOKUP:
            return rule.route
        route = table_lookup(image, rule.table, flow) if rule.table >= 0 else -1
        if route < 0 or image.routes[route].kind == ROUTE_THROW:
            continue
        if is_suppressed(rule, &image.routes[route]):
            continue
        if rule.suppress_group and not is_error(image.routes[route].kind):
            return rule.unknown
        return route
    answering[0] = -1
    return -1
