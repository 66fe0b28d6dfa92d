"""Walking one iptables base chain.  Specified by dataplane.reference.netfilter.

ip_tables.c, ipt_do_table: the header part of a rule first (addresses, interfaces,
protocol), then its matches in the order in which they were written, each only if all
before it held.  Counters are bumped and the step is recorded when all held, before the
target runs.
"""

from libc.stdint cimport uint8_t, uint64_t

from _fastpath.address cimport addr_in
from _fastpath.image cimport (
    INVERT_DST,
    INVERT_FRAGMENT,
    INVERT_IN,
    INVERT_OUT,
    INVERT_PROTO,
    INVERT_SRC,
    JUMP_DEPTH,
    TARGET_GOTO,
    TARGET_JUMP,
    TARGET_NONE,
    TARGET_RETURN,
    interface_t,
    rule_t,
)
from _fastpath.matches cimport HOTDROP, NO, UNDECIDED, YES, one_match
from _fastpath.packet cimport packet_t
from _fastpath.reason cimport MATCH_UNMODELLED, NETFILTER_DROP, TRACE_FULL
from _fastpath.targets cimport conclude
from _fastpath.trace cimport STEP_RULE, STEPS_MAX, trace_step

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
