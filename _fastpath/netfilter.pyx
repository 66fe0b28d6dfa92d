"""Walking one iptables base chain.  Specified by dataplane.reference.netfilter.

ip_tables.c, ipt_do_table: the header part of a rule first (addresses, interfaces,
protocol), then its matches in the order in which they were written, each only if all
before it held.  Counters are bumped and the step is recorded when all held, before the
target runs.
"""

from libc.stdint cimport uint8_t, uint64_t

from _fastpath.address cimport addr_in, addr_t
from _fastpath.choice cimport CHOICE_STATISTIC, choice_fed, choice_key, draw_t
from _fastpath.forwarding cimport address_kind
from _fastpath.image cimport (
    ADDRTYPE_INVERT_DEST,
    ADDRTYPE_INVERT_SOURCE,
    ADDRTYPE_LIMIT_IFACE_IN,
    ADDRTYPE_LIMIT_IFACE_OUT,
    CTSTATE_DNAT,
    CTSTATE_ESTABLISHED,
    CTSTATE_INVALID,
    CTSTATE_NEW,
    CTSTATE_RELATED,
    CTSTATE_SNAT,
    CTSTATE_UNTRACKED,
    INVERT_DST,
    INVERT_FRAGMENT,
    INVERT_IN,
    INVERT_OUT,
    INVERT_PROTO,
    INVERT_SRC,
    JUMP_DEPTH,
    MATCH_ADDRTYPE,
    MATCH_CONNTRACK,
    MATCH_ICMP,
    MATCH_MARK,
    MATCH_MULTIPORT,
    MATCH_NEVER,
    MATCH_PORTS,
    MATCH_STATISTIC_NTH,
    MATCH_STATISTIC_RANDOM,
    MATCH_TCP_FLAGS,
    MATCH_TCP_OPTION,
    RANGE_MAP_IPS,
    TARGET_ACCEPT,
    TARGET_DNAT,
    TARGET_DROP,
    TARGET_GOTO,
    TARGET_JUMP,
    TARGET_MARK,
    TARGET_MASQUERADE,
    TARGET_NONE,
    TARGET_NOTRACK,
    TARGET_REJECT,
    TARGET_RETURN,
    TARGET_SNAT,
    TARGET_UNKNOWN,
    interface_t,
    match_t,
    range_t,
    rule_t,
    target_t,
)
from _fastpath.nat cimport MANIP_DST, MANIP_SRC, nat_setup
from _fastpath.packet cimport PROTO_TCP, packet_t
from _fastpath.reason cimport (
    MATCH_UNMODELLED,
    NAT_NO_ADDRESS,
    NETFILTER_DROP,
    NETFILTER_REJECT,
    TARGET_UNMODELLED,
    TRACE_FULL,
)
from _fastpath.forwarding cimport select_address
from _fastpath.state cimport (
    CT_ESTABLISHED,
    CT_ESTABLISHED_REPLY,
    CT_NEW,
    CT_UNTRACKED,
    IPS_DST_NAT,
    IPS_SRC_NAT,
    tuple_t,
)
from _fastpath.trace cimport (
    EVENT_DRAW,
    EVENT_MARK,
    STEP_RULE,
    STEPS_MAX,
    trace_step,
    trace_value,
)

cdef enum Matched:
    NO = 0
    YES = 1
    UNDECIDED = 2       # the match is not modelled
    HOTDROP = 3         # the packet is malformed: dropped where it stands

# ----------------------------------------------------------------------------- the header


cdef bint interface_matches(const walk_t* walk, int32_t pattern, int32_t device) noexcept nogil:
    """ifname_compare_aligned.  No device has a name only the pattern of no bytes matches."""
    cdef const interface_t* wanted = &walk.image.interfaces[pattern]
    cdef uint64_t first = 0, second = 0
    if device >= 0:
        first = walk.image.devices[device].name[0]
        second = walk.image.devices[device].name[1]
    return (((first ^ wanted.name[0]) & wanted.mask[0])
            | ((second ^ wanted.name[1]) & wanted.mask[1])) == 0


cdef bint header_matches(const walk_t* walk, const rule_t* rule) noexcept nogil:
    """ip_packet_match"""
    cdef const packet_t* packet = walk.packet
    cdef uint8_t invert = rule.invert
    if addr_in(packet.src, rule.src, rule.src_mask) == ((invert & INVERT_SRC) != 0):
        return False
    if addr_in(packet.dst, rule.dst, rule.dst_mask) == ((invert & INVERT_DST) != 0):
        return False
    if rule.in_interface >= 0 and interface_matches(
            walk, rule.in_interface, packet.in_device) == ((invert & INVERT_IN) != 0):
        return False
    if rule.out_interface >= 0 and interface_matches(
            walk, rule.out_interface, packet.out_device) == ((invert & INVERT_OUT) != 0):
        return False
    if rule.proto and (rule.proto == packet.proto) == ((invert & INVERT_PROTO) != 0):
        return False
    if rule.fragment and packet.is_first == ((invert & INVERT_FRAGMENT) == 0):
        return False
    return True


# ---------------------------------------------------------------------------- the matches


cdef inline int ports_match(const match_t* match, const packet_t* packet) noexcept nogil:
    if not packet.is_first:
        # xt_tcpudp.c: only tcp_mt suspects a header that was split.
        return HOTDROP if packet.fragment_offset == 1 and packet.proto == PROTO_TCP else NO
    if not packet.has_ports:
        return HOTDROP
    return (((match.a <= packet.sport <= match.b) ^ (match.invert & 1))
            and ((match.c <= packet.dport <= match.d) ^ ((match.invert >> 1) & 1)))


cdef int tcp_option_match(const match_t* match, const packet_t* packet) noexcept nogil:
    """xt_tcpudp.c, tcp_find_option"""
    cdef uint32_t at, end
    if not packet.has_ports:
        return HOTDROP
    at = packet.l4 + 20
    end = packet.l4 + (packet.frame[packet.l4 + 12] >> 4) * 4
    if end < at or end > packet.length:
        return HOTDROP
    if end > packet.size:
        return UNDECIDED
    while at < end:
        if packet.frame[at] == match.a:
            return YES ^ match.invert
        if packet.frame[at] < 2 or at + 1 >= end:
            at += 1
        else:
            at += max(packet.frame[at + 1], 1)
    return NO ^ match.invert


cdef inline int icmp_match(const match_t* match, const packet_t* packet) noexcept nogil:
    cdef bint hit
    if not packet.is_first:
        return NO
    if not packet.has_ports:
        return HOTDROP
    hit = match.a == 255 or (packet.dport >> 8 == match.a
                             and match.b <= (packet.dport & 0xFF) <= match.c)
    return hit ^ match.invert


cdef int multiport_match(const walk_t* walk, const match_t* match) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef const range_t* ports
    cdef uint32_t i
    cdef bint hit = False
    if not packet.is_first:
        return NO
    if not packet.has_ports:
        return HOTDROP
    for i in range(match.a, match.a + match.b):
        ports = &walk.image.ranges[i]
        if ((match.c & 1 and ports.low <= packet.sport <= ports.high)
                or (match.c & 2 and ports.low <= packet.dport <= ports.high)):
            hit = True
            break
    return hit ^ match.invert


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


cdef int conntrack_match(const walk_t* walk, const match_t* match) noexcept nogil:
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


cdef int addrtype_match(const walk_t* walk, const match_t* match) noexcept nogil:
    """xt_addrtype.c, addrtype_mt_v1"""
    cdef const packet_t* packet = walk.packet
    cdef int32_t device = -1
    cdef bint hit
    if match.c & ADDRTYPE_LIMIT_IFACE_IN:
        device = packet.in_device
    elif match.c & ADDRTYPE_LIMIT_IFACE_OUT:
        device = packet.out_device
    if match.a:
        hit = (match.a >> address_kind(walk.image, packet.node, packet.family, packet.src,
                                       device)) & 1
        if hit == ((match.c & ADDRTYPE_INVERT_SOURCE) != 0):
            return NO
    if match.b:
        hit = (match.b >> address_kind(walk.image, packet.node, packet.family, packet.dst,
                                       device)) & 1
        if hit == ((match.c & ADDRTYPE_INVERT_DEST) != 0):
            return NO
    return YES


cdef void flow_draw(const walk_t* walk, draw_t* draw, uint64_t extra) noexcept nogil:
    """What a rule's chance depends on: the connection as it began, or the packet itself."""
    cdef const packet_t* packet = walk.packet
    cdef const tuple_t* original
    draw.node = walk.image.nodes[packet.node].identity
    draw.kind = CHOICE_STATISTIC
    draw.extra = extra
    draw.padding = 0
    draw.family = packet.family
    draw.proto = packet.proto
    if packet.connection >= 0:
        original = &walk.state.connections[packet.connection].original
        draw.src = original.src
        draw.dst = original.dst
        draw.sport = original.sport
        draw.dport = original.dport
    else:
        draw.src = packet.src
        draw.dst = packet.dst
        draw.sport = packet.sport
        draw.dport = packet.dport


cdef int random_match(walk_t* walk, const match_t* match, const rule_t* rule) noexcept nogil:
    cdef draw_t draw
    cdef uint32_t drawn, fed = 0
    flow_draw(walk, &draw, rule.identity)
    drawn = <uint32_t>(choice_key(walk.image.seed, &draw) >> 33)
    if choice_fed(walk.state, &draw, True, &fed):
        # The value fed in says what the match answered, `!` and all.
        trace_value(walk.trace, EVENT_DRAW, 0 if fed else 0x7FFFFFFF, match.a)
        return YES if fed else NO
    trace_value(walk.trace, EVENT_DRAW, drawn, match.a)
    return (drawn < match.a) ^ match.invert


cdef int nth_match(walk_t* walk, const match_t* match) noexcept nogil:
    """xt_statistic.c: evaluations number packet, packet + every, … match; counting from 0."""
    cdef uint32_t* count = &walk.state.nth[match.c]
    cdef bint hit = count[0] == match.b
    count[0] = count[0] + 1 if count[0] + 1 < match.a else 0
    return hit ^ match.invert


cdef int one_match(walk_t* walk, const match_t* match, const rule_t* rule) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    if match.kind == MATCH_PORTS:
        return ports_match(match, packet)
    if match.kind == MATCH_CONNTRACK:
        return conntrack_match(walk, match)
    if match.kind == MATCH_MARK:
        return ((packet.mark & match.b) == match.a) ^ match.invert
    if match.kind == MATCH_ADDRTYPE:
        return addrtype_match(walk, match)
    if match.kind == MATCH_STATISTIC_RANDOM:
        return random_match(walk, match, rule)
    if match.kind == MATCH_STATISTIC_NTH:
        return nth_match(walk, match)
    if match.kind == MATCH_MULTIPORT:
        return multiport_match(walk, match)
    if match.kind == MATCH_TCP_FLAGS:
        if not packet.is_first:
            return NO
        if not packet.has_ports:
            return HOTDROP
        return ((packet.tcp_flags & match.a) == match.b) ^ match.invert
    if match.kind == MATCH_TCP_OPTION:
        return tcp_option_match(match, packet)
    if match.kind == MATCH_ICMP:
        return icmp_match(match, packet)
    if match.kind == MATCH_NEVER:
        # Owner and the like: a forwarded packet has no socket; of a local one nothing is known.
        return UNDECIDED if packet.is_local else NO ^ match.invert
    return UNDECIDED


cdef int rule_matches(walk_t* walk, const rule_t* rule) noexcept nogil:
    cdef uint32_t i
    cdef int outcome
    if not header_matches(walk, rule):
        return NO
    for i in range(rule.match_start, rule.match_start + rule.match_count):
        outcome = one_match(walk, &walk.image.matches[i], rule)
        if outcome != YES:
            return outcome
    return YES


# ---------------------------------------------------------------------------- the targets


cdef int translate(walk_t* walk, const rule_t* rule, const target_t* target) noexcept nogil:
    """xt_nat.c, xt_MASQUERADE.c, xt_REDIRECT.c"""
    cdef packet_t* packet = walk.packet
    cdef target_t own = target[0]
    cdef addr_t address = addr_t(0, 0)
    if rule.kind == TARGET_DNAT:
        nat_setup(walk, target, MANIP_DST)
        return WALK_ACCEPT
    if rule.kind == TARGET_SNAT:
        nat_setup(walk, target, MANIP_SRC)
        return WALK_ACCEPT
    if rule.kind == TARGET_MASQUERADE:
        if packet.out_device < 0 or not select_address(
                walk.image, packet.out_device, packet.family, next_hop_of(walk), &address):
            walk.reason = NAT_NO_ADDRESS
            return WALK_DROP
    elif packet.in_device < 0:
        # REDIRECT at OUTPUT: to the loopback address.
        address = addr_t(0, 0x7F000001) if packet.family == 4 else addr_t(0, 1)
    elif not select_address(walk.image, packet.in_device, packet.family, addr_t(0, 0), &address):
        walk.reason = NAT_NO_ADDRESS
        return WALK_DROP
    own.address_min = own.address_max = address
    own.flags |= RANGE_MAP_IPS
    nat_setup(walk, &own, MANIP_SRC if rule.kind == TARGET_MASQUERADE else MANIP_DST)
    return WALK_ACCEPT


cdef addr_t next_hop_of(const walk_t* walk) noexcept nogil:
    """rt_nexthop: the gateway of the packet's route, else its destination."""
    if walk.packet.route >= 0:
        if (walk.image.routes[walk.packet.route].gateway.hi
                | walk.image.routes[walk.packet.route].gateway.lo):
            return walk.image.routes[walk.packet.route].gateway
    return walk.packet.dst


cdef void set_mark(walk_t* walk, const target_t* target) noexcept nogil:
    cdef uint32_t mark = (walk.packet.mark & ~target.b) ^ target.a
    if mark != walk.packet.mark:
        trace_value(walk.trace, EVENT_MARK, walk.packet.mark, mark)
    walk.packet.mark = mark


cdef int conclude(walk_t* walk, const rule_t* rule) noexcept nogil:
    """A target that ends the walk: its WalkVerdict.  -1: the walk goes on with the next rule."""
    cdef const target_t* target = &walk.image.targets[rule.target]
    if rule.kind == TARGET_ACCEPT:
        return WALK_ACCEPT
    if rule.kind == TARGET_DROP:
        walk.reason = NETFILTER_DROP
        return WALK_DROP
    if rule.kind == TARGET_MARK:
        set_mark(walk, target)
        return -1
    if rule.kind == TARGET_REJECT:
        walk.reason = NETFILTER_REJECT
        return WALK_REJECT
    if rule.kind == TARGET_NOTRACK:
        if not walk.packet.is_tracked:
            walk.packet.is_tracked = 1
            walk.packet.ctinfo = CT_UNTRACKED
        return -1
    if rule.kind == TARGET_UNKNOWN:
        walk.reason = TARGET_UNMODELLED
        return WALK_UNKNOWN
    if walk.packet.connection < 0:
        return WALK_ACCEPT          # a NAT target where there is no connection to bind
    return translate(walk, rule, target)


# ------------------------------------------------------------------------------- the walk


cdef inline void count(walk_t* walk, uint32_t index) noexcept nogil:
    walk.state.counters[2 * index] += 1
    walk.state.counters[2 * index + 1] += walk.packet.ip_length
    trace_step(walk.trace, STEP_RULE, index)


cdef int table_walk(walk_t* walk, const hook_t* hook, uint32_t* rule) noexcept nogil:
    cdef const rule_t* rules = walk.image.rules
    cdef uint32_t[JUMP_DEPTH] callers
    cdef uint32_t depth = 0
    cdef uint32_t i = hook.entry
    cdef int outcome
    while True:
        rule[0] = i
        if not rules[i].is_policy:
            outcome = rule_matches(walk, &rules[i])
            if outcome == NO:
                i += 1
                continue
            if outcome == HOTDROP:
                walk.reason = NETFILTER_DROP
                return WALK_DROP
            if outcome == UNDECIDED:
                trace_step(walk.trace, STEP_RULE, i)
                walk.reason = MATCH_UNMODELLED
                return WALK_UNKNOWN
        if rules[i].is_visible:
            count(walk, i)
            if walk.trace.count > STEPS_MAX:
                # 64 chains that each jump twice into the next make 2^64 ways through them.
                walk.reason = TRACE_FULL
                return WALK_UNKNOWN
        if rules[i].kind == TARGET_NONE:
            i += 1
        elif rules[i].kind == TARGET_JUMP:
            callers[depth] = i + 1
            depth += 1
            i = rules[i].jump
        elif rules[i].kind == TARGET_GOTO:      # leaves no way back to this chain
            i = rules[i].jump
        elif rules[i].kind == TARGET_RETURN:
            if depth == 0:
                i = hook.underflow
            else:
                depth -= 1
                i = callers[depth]
        else:
            outcome = conclude(walk, &rules[i])
            if outcome >= 0:
                return outcome
            i += 1
