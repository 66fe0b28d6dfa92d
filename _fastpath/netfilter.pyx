"""Walking one iptables base chain.  Specified by dataplane.reference.netfilter.

ip_tables.c, ipt_do_table: the header part of a rule first (addresses, interfaces,
protocol), then its matches in the order in which they were written, each only if all
before it held.  Counters are bumped and the step is recorded when all held, before the
target runs.
"""

from libc.stdint cimport uint8_t, uint64_t

from _fastpath.address cimport addr_in, addr_t
from _fastpath.classifier cimport cursor_t, next_candidate
from _fastpath.image cimport (
    DROPS_CUT_HEADERS,
    INVERT_DST,
    INVERT_FRAGMENT,
    INVERT_IN,
    INVERT_OUT,
    INVERT_PROTO,
    INVERT_SRC,
    TARGET_GOTO,
    TARGET_JUMP,
    TARGET_NONE,
    TARGET_RETURN,
    interface_t,
    match_t,
)
from _fastpath.match_memory cimport is_kept_out
from _fastpath.matches cimport COUNTED_DROP, HOTDROP, NO, UNDECIDED, UNDECIDED_DROP, YES, one_match
from _fastpath.packet cimport is_extension, packet_t
from _fastpath.reason cimport NETFILTER_DROP, TRACE_FULL
from _fastpath.targets cimport conclude
from _fastpath.trace cimport STEP_HOTDROP, STEP_RULE, STEPS_MAX, trace_step
from _fastpath.ways cimport either_way, follow, way_t

cdef enum:
    AUTHENTICATION = 51     # RFC 4302

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


cdef int header_matches(const walk_t* walk, const rule_t* rule) noexcept nogil:
    """ip_packet_match"""
    cdef const packet_t* packet = walk.packet
    cdef const addr_t* masks = walk.image.masks
    cdef uint8_t invert = rule.invert
    if addr_in(packet.src, rule.src, masks[rule.src_mask]) == ((invert & INVERT_SRC) != 0):
        return NO
    if addr_in(packet.dst, rule.dst, masks[rule.dst_mask]) == ((invert & INVERT_DST) != 0):
        return NO
    if rule.in_interface >= 0 and interface_matches(
            walk, rule.in_interface, packet.in_device) == ((invert & INVERT_IN) != 0):
        return NO
    if rule.out_interface >= 0 and interface_matches(
            walk, rule.out_interface, packet.out_device) == ((invert & INVERT_OUT) != 0):
        return NO
    if rule.proto and packet.has_authentication and not invert & DROPS_CUT_HEADERS:
        # nft_set_pktinfo_ipv6 stops at it.
        return (rule.proto == AUTHENTICATION) ^ ((invert & INVERT_PROTO) != 0)
    if rule.proto and packet.family == 6 and is_extension(packet.proto):
        # Cut short, or the middle of it: ipv6_find_hdr finds no protocol.
        return HOTDROP if invert & DROPS_CUT_HEADERS else NO
    if rule.proto and (rule.proto == packet.proto) == ((invert & INVERT_PROTO) != 0):
        return NO
    if rule.fragment and packet.is_first == ((invert & INVERT_FRAGMENT) == 0):
        return NO
    return YES


cdef int rule_matches(walk_t* walk, const rule_t* rule, bint is_asked) noexcept nogil:
    """What remembers is not asked where it is not known whether Linux would ask it."""
    cdef const match_t* match
    cdef bint is_decided = True, is_dropped = False, is_certain = False
    cdef uint32_t i
    cdef int outcome
    outcome = header_matches(walk, rule)
    if outcome != YES:
        return outcome
    for i in range(rule.match_start, rule.match_start + rule.match_count):
        match = &walk.image.matches[i]
        if not (is_asked and is_decided) and is_kept_out(walk, match):
            outcome = UNDECIDED
        else:
            outcome = one_match(walk, match)
        if outcome == HOTDROP or (outcome == NO and is_dropped):
            return HOTDROP if is_decided or is_certain else UNDECIDED_DROP
        if outcome == NO:
            return NO
        if outcome == COUNTED_DROP:
            is_dropped, is_certain = True, is_certain or is_decided
        else:
            is_decided = is_decided and outcome == YES
    if is_dropped:
        return COUNTED_DROP if is_decided else UNDECIDED_DROP
    return YES if is_decided else UNDECIDED


# ------------------------------------------------------------------------------- the walk


cdef inline void count(walk_t* walk, uint32_t index) noexcept nogil:
    walk.state.counters[2 * index] += 1
    walk.state.counters[2 * index + 1] += walk.packet.ip_length
    trace_step(walk.trace, STEP_RULE, index)


cdef int dropped_after(walk_t* walk, const rule_t* rule) noexcept nogil:
    """ipt_do_table: the target runs, and then the packet is dropped."""
    cdef int outcome
    if rule.kind not in (TARGET_NONE, TARGET_RETURN, TARGET_JUMP, TARGET_GOTO):
        outcome = conclude(walk, rule)
        if outcome == WALK_REJECT or outcome == WALK_UNKNOWN:
            return outcome
    walk.reason = NETFILTER_DROP
    return WALK_DROP


cdef int table_walk(walk_t* walk, const hook_t* hook, uint32_t* rule) noexcept nogil:
    cdef const rule_t* rules = walk.image.rules
    cdef way_t way
    cdef cursor_t cursor        # no target changes addresses or ports and goes on
    cdef int outcome
    cursor.number = 0
    way.depth = 0
    way.at = hook.entry
    while True:
        way.at = next_candidate(walk, &cursor, way.at)
        rule[0] = way.at
        outcome = YES
        if not rules[way.at].is_policy:
            outcome = rule_matches(walk, &rules[way.at], True)
        if outcome == NO:
            way.at += 1
            continue
        if outcome == HOTDROP:
            trace_step(walk.trace, STEP_HOTDROP, way.at)
            walk.reason = NETFILTER_DROP
            return WALK_DROP
        if walk.trace.count > STEPS_MAX:
            # 64 chains that each jump twice into the next make 2^64 ways through them.
            walk.reason = TRACE_FULL
            return WALK_UNKNOWN
        if outcome == COUNTED_DROP:
            count(walk, way.at)
            return dropped_after(walk, &rules[way.at])
        if outcome != YES:
            outcome = either_way(walk, hook, &way, outcome, rule)
            if outcome >= 0:
                return outcome
            continue
        if rules[way.at].is_visible:
            count(walk, way.at)
        if follow(rules, hook, &way):
            continue
        outcome = conclude(walk, &rules[way.at])
        if outcome >= 0:
            return outcome
        way.at += 1
