"""What a rule's target does.  Specified by dataplane.reference.targets."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from _fastpath.address cimport addr_t
from _fastpath.duplicate cimport duplicate
from _fastpath.image cimport (
    HOOK_INPUT,
    HOOK_POSTROUTING,
    RANGE_MAP_IPS,
    TARGET_ACCEPT,
    TARGET_CT,
    TARGET_DNAT,
    TARGET_DROP,
    TARGET_HMARK,
    TARGET_MARK,
    TARGET_MASQUERADE,
    TARGET_NETMAP,
    TARGET_NOTRACK,
    TARGET_BYPASS,
    TARGET_QUEUE,
    TARGET_REJECT,
    TARGET_SET,
    TARGET_SNAT,
    TARGET_STRIP,
    TARGET_TEE,
    TARGET_TPROXY,
    TARGET_TTL,
    TARGET_UNKNOWN,
    target_t,
)
from _fastpath.nat cimport MANIP_DST, MANIP_SRC, nat_setup
from _fastpath.nat_range cimport mapped_address
from _fastpath.netfilter cimport WALK_ACCEPT, WALK_DROP, WALK_REJECT, WALK_UNKNOWN
from _fastpath.packet cimport packet_holds, packet_t
from _fastpath.reason cimport (
    NAT_NO_ADDRESS,
    NETFILTER_DROP,
    NETFILTER_REJECT,
    QUEUED,
    SOCKET_UNKNOWN,
    TARGET_UNMODELLED,
)
from _fastpath.sets cimport set_target
from _fastpath.state cimport CT_UNTRACKED
from _fastpath.source_address cimport redirect_address, select_address, select_address6
from _fastpath.target_edit cimport edit
from _fastpath.target_hash cimport set_hash_mark
from _fastpath.trace cimport EVENT_MARK, trace_value

cdef enum:
    PORTS_SIZE = 8          # of struct udphdr


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
    if rule.kind == TARGET_NETMAP:
        return map_network(walk, target)
    if rule.kind == TARGET_MASQUERADE:
        if packet.family == 4 and walk.state.connections[packet.connection].original.src.lo == 0:
            return WALK_ACCEPT          # who has no address yet
        if packet.out_device < 0 or not masquerade_address(walk, &address):
            walk.reason = NAT_NO_ADDRESS
            return WALK_DROP
        walk.state.connections[packet.connection].masquerade = packet.out_device + 1
    elif packet.in_device < 0:
        # REDIRECT at OUTPUT: to the loopback address.
        address = addr_t(0, 0x7F000001) if packet.family == 4 else addr_t(0, 1)
    elif not redirect_address(walk.image, packet.in_device, packet.family, packet.dst, &address):
        walk.reason = NAT_NO_ADDRESS
        return WALK_DROP
    own.address_min = own.address_max = address
    own.flags |= RANGE_MAP_IPS
    nat_setup(walk, &own, MANIP_SRC if rule.kind == TARGET_MASQUERADE else MANIP_DST)
    return WALK_ACCEPT


cdef bint masquerade_address(const walk_t* walk, addr_t* address) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    if packet.family == 6:
        return select_address6(walk.image, packet.node, packet.out_device, packet.dst, address)
    return select_address(walk.image, packet.out_device, next_hop_of(walk), 0, address)


cdef int map_network(walk_t* walk, const target_t* target) noexcept nogil:
    """xt_NETMAP.c: at PREROUTING and OUTPUT the destination, else the source."""
    cdef target_t own = target[0]
    cdef bint is_source = walk.hook == HOOK_POSTROUTING or walk.hook == HOOK_INPUT
    cdef addr_t address = walk.packet.src if is_source else walk.packet.dst
    own.address_min = own.address_max = mapped_address(address, target)
    nat_setup(walk, &own, MANIP_SRC if is_source else MANIP_DST)
    return WALK_ACCEPT


cdef addr_t next_hop_of(const walk_t* walk) noexcept nogil:
    """rt_nexthop: the gateway of the packet's route, else its destination."""
    if walk.packet.route >= 0 and (
            walk.image.routes[walk.packet.route].gateway_family == walk.packet.family):
        if (walk.image.routes[walk.packet.route].gateway.hi
                | walk.image.routes[walk.packet.route].gateway.lo):
            return walk.image.routes[walk.packet.route].gateway
    return walk.packet.dst


cdef void set_mark(walk_t* walk, const target_t* target) noexcept nogil:
    cdef uint32_t mark = (walk.packet.mark & ~target.b) ^ target.a
    if mark != walk.packet.mark:
        trace_value(walk.trace, EVENT_MARK, walk.packet.mark, mark)
    walk.packet.mark = mark


cdef int redirect_to_socket(walk_t* walk) noexcept nogil:
    """xt_TPROXY.c: without a transparent socket it drops, and nothing is known of sockets."""
    cdef packet_t* packet = walk.packet
    if packet.is_first and packet_holds(packet, packet.thoff, PORTS_SIZE) == 0:
        walk.reason = NETFILTER_DROP
        return WALK_DROP
    walk.reason = SOCKET_UNKNOWN
    return WALK_UNKNOWN


cdef void set_template(packet_t* packet, const target_t* target) noexcept nogil:
    """xt_CT.c, xt_ct_target: the first word counts."""
    if packet.is_tracked or packet.has_template or packet.is_occupied:
        return
    packet.has_template = 1
    packet.zone = <uint16_t>target.a
    packet.zone_directions = <uint8_t>target.b
    packet.zone_is_mark = <uint8_t>(target.flags & 1)


cdef int conclude(walk_t* walk, const rule_t* rule) noexcept nogil:
    cdef const target_t* target = &walk.image.targets[rule.target]
    if rule.kind == TARGET_ACCEPT or rule.kind == TARGET_BYPASS:
        return WALK_ACCEPT
    if rule.kind == TARGET_DROP:
        walk.reason = NETFILTER_DROP
        return WALK_DROP
    if rule.kind == TARGET_MARK:
        set_mark(walk, target)
        return -1
    if rule.kind != TARGET_NOTRACK and rule.kind != TARGET_CT:
        walk.is_of_flow = 0
    if rule.kind == TARGET_REJECT:
        walk.reason = NETFILTER_REJECT
        return WALK_REJECT
    if rule.kind == TARGET_CT:
        set_template(walk.packet, target)
        return -1
    if rule.kind == TARGET_NOTRACK:
        if not (walk.packet.is_tracked or walk.packet.has_template or walk.packet.is_occupied):
            walk.packet.is_tracked = 1
            walk.packet.ctinfo = CT_UNTRACKED
        return -1
    if rule.kind == TARGET_QUEUE:
        walk.reason = QUEUED
        return WALK_UNKNOWN
    if rule.kind == TARGET_TPROXY:
        return redirect_to_socket(walk)
    if rule.kind == TARGET_HMARK:
        return set_hash_mark(walk, target)
    if rule.kind >= TARGET_TTL and rule.kind <= TARGET_STRIP:
        return edit(walk, rule, target)
    if rule.kind == TARGET_TEE:
        return duplicate(walk, target)
    if rule.kind == TARGET_SET:
        return set_target(walk, target)
    if rule.kind == TARGET_UNKNOWN:
        walk.reason = TARGET_UNMODELLED
        return WALK_UNKNOWN
    if walk.packet.connection < 0:
        return WALK_ACCEPT          # a NAT target where there is no connection to bind
    return translate(walk, rule, target)
