"""What stands at a netfilter hook.  Specified by dataplane.reference.hooks.

defragmentation -400 · raw -300 · conntrack -200 · mangle -150 · destination NAT -100
· filter 0 · security 50 · source NAT 100 · conntrack's confirmation, last
"""

from libc.stdint cimport uint16_t

from _fastpath.answers cimport reject
from _fastpath.conntrack cimport conntrack_confirm, conntrack_in
from _fastpath.image cimport (
    ENTRY_CONFIRM,
    ENTRY_CONNTRACK,
    ENTRY_NAT,
    ENTRY_TABLE,
    HOOKS,
    HOOK_INPUT,
    HOOK_POSTROUTING,
    hook_t,
    node_t,
)
from _fastpath.nat cimport (
    MANIP_DST,
    MANIP_SRC,
    nat_icmp_error,
    nat_is_set_up,
    nat_null_binding,
    nat_packet,
)
from _fastpath.netfilter cimport WALK_ACCEPT, WALK_DROP, WALK_REJECT, table_walk
from _fastpath.packet cimport PROTO_ICMP, PROTO_ICMPV6, packet_t
from _fastpath.reason cimport FRAGMENT_UNMODELLED
from _fastpath.state cimport CT_RELATED, CT_RELATED_REPLY
from _fastpath.walk cimport GO_ON, answered, drop


cdef int nat_hook(walk_t* walk, const hook_t* entry, uint32_t hook) noexcept nogil:
    """nf_nat_inet_fn"""
    cdef packet_t* packet = walk.packet
    cdef uint32_t manip = MANIP_SRC if hook in (HOOK_POSTROUTING, HOOK_INPUT) else MANIP_DST
    cdef uint32_t rule = 0
    cdef int outcome, reason
    if packet.connection < 0:
        return WALK_ACCEPT
    if packet.ctinfo == CT_RELATED or packet.ctinfo == CT_RELATED_REPLY:
        if packet.proto == PROTO_ICMP or packet.proto == PROTO_ICMPV6:
            reason = nat_icmp_error(walk, manip)
            if reason == 0:
                return WALK_ACCEPT
            walk.reason = <uint16_t>reason
            return WALK_DROP
    if not nat_is_set_up(walk, manip):
        if entry.entry != 0xFFFFFFFFu:
            outcome = table_walk(walk, entry, &rule)
            if outcome != WALK_ACCEPT:
                return outcome
        if not nat_is_set_up(walk, manip):
            nat_null_binding(walk, manip)
    nat_packet(walk, manip)
    return WALK_ACCEPT


cdef int hooks(walk_t* walk, uint32_t hook) noexcept nogil:
    cdef const node_t* node = &walk.image.nodes[walk.packet.node]
    cdef uint32_t column = (HOOKS if walk.packet.family == 6 else 0) + hook
    cdef const hook_t* entry
    cdef uint32_t i, rule = 0
    cdef int outcome, reason
    for i in range(node.hook_start[column], node.hook_start[column] + node.hook_count[column]):
        entry = &walk.image.hooks[i]
        outcome = WALK_ACCEPT
        if entry.kind == ENTRY_TABLE:
            outcome = table_walk(walk, entry, &rule)
        elif entry.kind == ENTRY_NAT:
            outcome = nat_hook(walk, entry, hook)
        else:
            if entry.kind == ENTRY_CONNTRACK:
                reason = conntrack_in(walk, hook)
            elif entry.kind == ENTRY_CONFIRM:
                reason = conntrack_confirm(walk)
            else:
                reason = FRAGMENT_UNMODELLED if walk.packet.is_fragment else 0
            if reason:
                return drop(walk, <uint16_t>reason)
        if outcome == WALK_ACCEPT:
            continue
        if outcome == WALK_REJECT:
            return answered(walk, reject(
                walk, &walk.image.targets[walk.image.rules[rule].target]), walk.reason)
        return drop(walk, walk.reason)
    return GO_ON
