"""What stands at a netfilter hook.  Specified by dataplane.reference.hooks.

defragmentation -400 · raw -300 · conntrack -200 · mangle -150 · destination NAT -100
· filter 0 · security 50 · source NAT 100 · conntrack's confirmation, last
"""

from libc.stdint cimport int32_t, uint16_t, uint32_t, uint8_t

from _fastpath.address cimport addr_equal, addr_t
from _fastpath.answers cimport reject
from _fastpath.conntrack cimport conntrack_confirm, conntrack_in
from _fastpath.conntrack_table cimport connection_kill
from _fastpath.fib_rules cimport flowi_output, flowi_t
from _fastpath.forwarding cimport address_kind, route_output
from _fastpath.fragments cimport gather
from _fastpath.image cimport (
    ENTRY_CONFIRM,
    ENTRY_CONNTRACK,
    ENTRY_NAT,
    ENTRY_TABLE,
    HOOKS,
    HOOK_INPUT,
    HOOK_OUTPUT,
    HOOK_POSTROUTING,
    ROUTE_LOCAL,
    TARGET_BYPASS,
    ROUTE_UNICAST,
    hook_t,
    node_t,
)
from _fastpath.nat cimport (
    MANIP_DST,
    MANIP_SRC,
    nat_is_set_up,
    nat_null_binding,
    nat_packet,
)
from _fastpath.nat_icmp cimport nat_icmp_error
from _fastpath.netfilter cimport WALK_ACCEPT, WALK_DROP, WALK_REJECT, table_walk
from _fastpath.packet cimport PROTO_ICMP, PROTO_ICMPV6, PROTO_SCTP, packet_pull, packet_t
from _fastpath.realms cimport output_realms
from _fastpath.reason cimport NETFILTER_DROP
from _fastpath.state cimport (
    CT_NEW,
    CT_RELATED,
    CT_RELATED_REPLY,
    IPS_CONFIRMED,
    USER_BRIDGE_IN,
    USER_CONNTRACK_IN,
    USER_CONNTRACK_OUT,
    connection_t,
)
from _fastpath.trace cimport STEP_ROUTE, trace_step
from _fastpath.walk cimport END, GO_ON, drop


cdef enum:
    TABLE_MANGLE = 1


cdef inline bint packet_begins(const packet_t* packet) noexcept nogil:
    return packet.ctinfo in (CT_NEW, CT_RELATED, CT_RELATED_REPLY)


cdef bint has_moved(const packet_t* packet, const connection_t* connection,
                    uint32_t hook) noexcept nogil:
    """nf_nat_oif_changed: it leaves by another device than the one whose address it was given."""
    return (hook == HOOK_POSTROUTING and packet.direction == 0 and connection.masquerade != 0
            and connection.masquerade != packet.out_device + 1
            and (connection.status & IPS_CONFIRMED) != 0)


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
    if packet_begins(walk.packet) and not nat_is_set_up(walk, manip):
        if entry.entry != 0xFFFFFFFFu:
            outcome = table_walk(walk, entry, &rule)
            if outcome != WALK_ACCEPT:
                return outcome
            if walk.image.rules[rule].kind == TARGET_BYPASS:
                return WALK_ACCEPT      # nf_nat_inet_fn hears NF_QUEUE: nothing is set up
        if not nat_is_set_up(walk, manip):
            nat_null_binding(walk, manip)
    elif has_moved(packet, &walk.state.connections[packet.connection], hook):
        connection_kill(walk.state, packet.connection)
        packet.connection = -1
        walk.reason = NETFILTER_DROP
        return WALK_DROP
    if not nat_packet(walk, manip):
        walk.reason = NETFILTER_DROP
        return WALK_DROP
    return WALK_ACCEPT


# What a packet's route was asked with.
cdef struct asked_t:
    addr_t src, dst
    uint32_t mark
    uint8_t tos, ttl


cdef inline void note(const packet_t* packet, asked_t* asked) noexcept nogil:
    asked.src, asked.dst = packet.src, packet.dst
    asked.mark, asked.tos, asked.ttl = packet.mark, packet.tos, packet.ttl


cdef bint is_rerouted(const packet_t* packet, const asked_t* before,
                      const hook_t* entry) noexcept nogil:
    """ipt_mangle_out, ip6t_mangle_out, nf_nat_ipv4_local_fn"""
    if entry.kind == ENTRY_NAT:
        return not addr_equal(packet.dst, before.dst)
    if entry.kind != ENTRY_TABLE or entry.table != TABLE_MANGLE:
        return False
    if packet.mark != before.mark or packet.tos != before.tos:
        return True
    if packet.family == 6 and packet.ttl != before.ttl:
        return True
    return not (addr_equal(packet.dst, before.dst) and addr_equal(packet.src, before.src))


cdef int route_again(walk_t* walk) noexcept nogil:
    """ip_route_me_harder, ip6_route_me_harder.  IPv4's asks for no protocol, and with no source
    that is neither this node's nor a host's."""
    cdef packet_t* packet = walk.packet
    cdef flowi_t flow = flowi_output(walk.image, packet, packet.node, -1)
    cdef int32_t route = -1
    cdef int reason
    flow.proto = flow.sport = flow.dport = 0
    if packet.family == 6:
        flow.tos = 0
    elif address_kind(walk.image, packet.node, 4, packet.src, -1) not in (
            ROUTE_LOCAL, ROUTE_UNICAST):
        flow.src = addr_t(0, 0)
    reason = route_output(walk.image, walk.state, &flow, packet, &route)
    if reason == 0:
        trace_step(walk.trace, STEP_ROUTE, <uint32_t>route)
        packet.route = route
        packet.realms = output_realms(walk.image, &flow, route)
        packet.next_hop = addr_t(0, 0)
    return reason


cdef uint8_t fragment_user(const packet_t* packet, uint32_t hook) noexcept nogil:
    """nf_ct_defrag_user"""
    if hook == HOOK_OUTPUT:
        return USER_CONNTRACK_OUT
    return USER_BRIDGE_IN if packet.bridge_port >= 0 else USER_CONNTRACK_IN


cdef int hooks(walk_t* walk, uint32_t hook) noexcept nogil:
    cdef const node_t* node = &walk.image.nodes[walk.packet.node]
    cdef uint32_t column = (HOOKS if walk.packet.family == 6 else 0) + hook
    cdef const hook_t* entry
    cdef uint32_t i, rule = 0
    cdef int outcome, reason
    cdef asked_t before
    walk.hook = <uint8_t>hook
    for i in range(node.hook_start[column], node.hook_start[column] + node.hook_count[column]):
        entry = &walk.image.hooks[i]
        outcome = WALK_ACCEPT
        note(walk.packet, &before)
        if entry.kind == ENTRY_TABLE:
            outcome = table_walk(walk, entry, &rule)
        elif entry.kind == ENTRY_NAT:
            outcome = nat_hook(walk, entry, hook)
        else:
            if entry.kind == ENTRY_CONNTRACK:
                if not walk.packet.is_tracked and walk.packet.proto == PROTO_SCTP:
                    packet_pull(walk.packet, 12)        # sctp_error
                reason = conntrack_in(walk, hook)
            elif entry.kind == ENTRY_CONFIRM:
                reason = conntrack_confirm(walk)
            elif gather(walk, fragment_user(walk.packet, hook)) == END:
                return END
            else:
                reason = 0
            if reason:
                return drop(walk, <uint16_t>reason)
        if outcome == WALK_ACCEPT:
            if hook == HOOK_OUTPUT and is_rerouted(walk.packet, &before, entry):
                reason = route_again(walk)
                if reason:
                    return drop(walk, <uint16_t>reason)
            continue
        if outcome == WALK_REJECT:
            return reject(walk, &walk.image.targets[walk.image.rules[rule].target])
        return drop(walk, walk.reason)
    return GO_ON
