"""What a node says to a packet that goes no further.  Specified by dataplane.reference.answers."""

from _fastpath.address cimport addr_equal, addr_is_zero, addr_t
from _fastpath.choice cimport CHOICE_FRAGMENT_ID, CHOICE_IP_ID, choice_fed, fold
from _fastpath.conntrack_tcp cimport tcp_set_closing
from _fastpath.fib_rules cimport flowi_t, flowi_to
from _fastpath.forwarding cimport (
    address_kind,
    output_device,
    route_mtu,
    route_output,
)
from _fastpath.icmp cimport (
    arp_reply_build,
    arp_request_target,
    icmp_build,
    icmp_may_answer,
    redirect6_build,
    reset_build,
    reset_may_answer,
)
from _fastpath.image cimport (
    REJECT_TCP_RESET,
    ROUTE_BROADCAST,
    ROUTE_LOCAL,
    ROUTE_MULTICAST,
    route_t,
)
from _fastpath.icmp_rate cimport rate_error, rate_redirect, rate_refusal, rate_second
from _fastpath.ip_options cimport echo_t, options_build, options_echo
from _fastpath.packet cimport (
    PROTO_ICMP,
    PROTO_ICMPV6,
    ether_dst,
    ether_src,
    packet_sums_up,
    packet_t,
    store48,
)
from _fastpath.reason cimport (
    NETFILTER_REJECT,
    NO_ROUTE,
    ROUTE_PROHIBIT,
    ROUTE_UNREACHABLE,
    TARGET_UNMODELLED,
)
from _fastpath.neighbour cimport known_mac
from _fastpath.source_address cimport (
    link_local_address,
    select_address,
    select_address6,
    source_address,
)
from _fastpath.state cimport CT_RELATED, CT_RELATED_REPLY, CT_UNTRACKED, PENDING_MAX, connection_t
from _fastpath.trace cimport (
    EVENT_IP_ID,
    GENERATED_ARP_REPLY,
    GENERATED_ICMP_REDIRECT,
    GENERATED_ICMP_UNREACHABLE,
    GENERATED_TCP_RESET,
    trace_value,
)
from _fastpath.walk cimport answered, drop


cdef enum:
    TOS_ERROR = 0xC0            # IPTOS_PREC_INTERNETCONTROL
    SCOPE_LINK = 253
    IPV4_ERROR_MAX = 576        # RFC 1812 4.3.2.3; icmp.c, __icmp_send: room
    DUMMY_ADDRESS = 0xC0000008u     # INADDR_DUMMY: RFC 7600


cdef packet_t* spawn(walk_t* walk) noexcept nogil:
    """Room for one more packet, or NULL: past PENDING_MAX nothing more is made."""
    if walk.pending_count >= PENDING_MAX:
        return NULL
    return &walk.pending[walk.pending_count]


cdef void launch(walk_t* walk, packet_t* made, uint8_t kind) noexcept nogil:
    """The made packet belongs to the connection of the one it answers (nf_ct_attach)."""
    cdef const packet_t* packet = walk.packet
    made.node = packet.node
    made.generated = kind
    if packet.connection >= 0:
        made.connection = packet.connection
        made.is_tracked = 1
        made.direction = 1 - packet.direction
        made.ctinfo = CT_RELATED if packet.direction else CT_RELATED_REPLY
    elif packet.is_tracked and packet.ctinfo == CT_UNTRACKED:
        made.is_occupied = 1
    walk.pending_count += 1


cdef draw_t packet_draw(const walk_t* walk, uint8_t kind) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef draw_t draw
    draw.node = walk.image.nodes[packet.node].identity
    draw.src = packet.src
    draw.dst = packet.dst
    draw.extra = 0
    draw.sport = packet.sport
    draw.dport = packet.dport
    draw.proto = packet.proto
    draw.family = packet.family
    draw.kind = kind
    draw.padding = 0
    return draw


cdef uint16_t ip_id(walk_t* walk) noexcept nogil:
    cdef draw_t draw = packet_draw(walk, CHOICE_IP_ID)
    cdef uint32_t value = 0
    if not choice_fed(walk.state, &draw, False, &value):
        value = next_ip_id(first_ip_id(walk, walk.packet.node),
                           &walk.state.ip_ids[walk.packet.node])
    trace_value(walk.trace, EVENT_IP_ID, 0, value & 0xFFFF)
    return <uint16_t>value


cdef uint16_t first_ip_id(const walk_t* walk, int32_t node) noexcept nogil:
    return <uint16_t>fold(fold(walk.image.seed, CHOICE_IP_ID), walk.image.nodes[node].identity)


cdef uint32_t fragment_id(walk_t* walk) noexcept nogil:
    cdef draw_t draw = packet_draw(walk, CHOICE_FRAGMENT_ID)
    cdef uint32_t* given = &walk.state.ip_ids[walk.packet.node]
    cdef uint32_t value = 0
    if not choice_fed(walk.state, &draw, False, &value):
        while value == 0:
            value = <uint32_t>(
                fold(fold(walk.image.seed, CHOICE_FRAGMENT_ID), draw.node) + given[0])
            given[0] += 1
    trace_value(walk.trace, EVENT_IP_ID, 0, value)
    return value


cdef bint icmp_error(walk_t* walk, uint8_t kind, uint8_t type, uint8_t code,
                     uint32_t detail) noexcept nogil:
    """icmp_send: an error about walk.packet goes back to its source, if one may."""
    cdef const packet_t* packet = walk.packet
    cdef packet_t* made
    cdef addr_t src = addr_t(0, 0)
    cdef uint8_t kind_of_dst
    cdef uint32_t room = 0
    cdef int32_t back = -1
    cdef echo_t echo
    walk.is_of_flow = 0     # it may be the TTL or the length that is told of
    if not icmp_may_answer(packet):
        return False
    kind_of_dst = address_kind(walk.image, packet.node, packet.family, packet.dst, -1)
    if kind_of_dst == ROUTE_BROADCAST or kind_of_dst == ROUTE_MULTICAST:
        return False
    if not options_echo(walk.image, packet, &echo):
        return False
    if not way_back(walk, type, code, kind_of_dst, &echo, &back, &src):
        return False
    if walk.image.routes[back].kind != ROUTE_LOCAL and not rate_error(
            walk, type, code, packet.src if addr_is_zero(echo.first_hop) else echo.first_hop,
            walk.image.routes[back].prefixlen):
        return False
    if packet.family == 4 and not room_for_quote(walk, back, echo.size, &room):
        return False
    made = spawn(walk)
    if made == NULL:
        return False
    options_build(&echo, src, packet.src, walk.now_ns)
    icmp_build(made, packet, src, type, code, detail,
               walk.image.nodes[packet.node].default_ttl,
               ip_id(walk) if packet.family == 4 else 0, room, &echo)
    launch(walk, made, kind)
    made.route = back
    made.is_routed = 1
    return True


cdef bint room_for_quote(const walk_t* walk, int32_t back, uint32_t options,
                         uint32_t* room) noexcept nogil:
    cdef uint32_t most = route_mtu(walk.image, &walk.image.routes[back], output_device(
        walk.image, walk.packet.node, back))
    room[0] = min(most, <uint32_t>IPV4_ERROR_MAX)
    if room[0] <= 20 + options + 8 + 20:
        return False
    room[0] -= 20 + options + 8
    return True


cdef bint way_back(walk_t* walk, uint8_t type, uint8_t code, uint8_t kind_of_dst,
                   const echo_t* echo, int32_t* back, addr_t* src) noexcept nogil:
    """icmp_route_lookup, icmp6_send: the route of an error and its source, which is the address
    that was asked for, if it is this node's."""
    cdef const packet_t* packet = walk.packet
    cdef addr_t dst = packet.src if addr_is_zero(echo.first_hop) else echo.first_hop
    cdef flowi_t flow = error_flow(walk, dst, type, code)
    if kind_of_dst == ROUTE_LOCAL:
        flow.src = packet.dst
    elif packet.family == 4 and packet.entered_by >= 0 and (
            walk.image.nodes[packet.node].icmp_inbound):
        select_address(walk.image, packet.in_device, packet.src, SCOPE_LINK, &flow.src)
    if route_output(walk.image, walk.state, &flow, packet, back):
        return False
    src[0] = flow.src
    return not addr_is_zero(src[0]) or error_source(walk, dst, back[0], src)


cdef flowi_t error_flow(const walk_t* walk, addr_t dst, uint8_t type,
                        uint8_t code) noexcept nogil:
    """What the way back is asked with."""
    cdef const packet_t* packet = walk.packet
    cdef flowi_t flow = flowi_to(walk.image, packet.node, packet.family, dst)
    flow.proto = PROTO_ICMP if packet.family == 4 else PROTO_ICMPV6
    flow.dport = <uint16_t>(type << 8) | code      # fl4_icmp_type shares the port's place
    if packet.family == 4:
        flow.tos = packet.tos | TOS_ERROR
    elif packet.src.hi >> 54 == 0x3FA and packet.entered_by >= 0:
        flow.oif = packet.in_device
    return flow


cdef bint error_source(const walk_t* walk, addr_t dst, int32_t back, addr_t* src) noexcept nogil:
    """The address that an error comes from, when not the one that was asked for."""
    cdef const packet_t* packet = walk.packet
    cdef int32_t device
    if packet.family == 6 and packet.entered_by >= 0 and addr_is_zero(
            walk.image.routes[back].prefsrc):
        device = packet.error_device if packet.error_device >= 0 else packet.in_device
        return select_address6(walk.image, packet.node, device, dst, src)
    if source_address(walk.image, packet.node, back, dst, src):
        return True
    if packet.family == 4:
        src[0] = addr_t(0, DUMMY_ADDRESS)
    return packet.family == 4


cdef void redirect(walk_t* walk, int32_t route) noexcept nogil:
    """ip_rt_send_redirect"""
    cdef const route_t* way = &walk.image.routes[route]
    cdef addr_t next_hop = walk.packet.dst
    if way.gateway_family == 4 and not addr_is_zero(way.gateway):
        next_hop = way.gateway
    if rate_redirect(walk):
        icmp_error(walk, GENERATED_ICMP_REDIRECT, 5, 1, <uint32_t>next_hop.lo)


cdef void redirect6(walk_t* walk, int32_t device, int32_t route) noexcept nogil:
    """ndisc_send_redirect"""
    cdef const packet_t* packet = walk.packet
    cdef const route_t* way = &walk.image.routes[route]
    cdef addr_t target = packet.dst if addr_is_zero(way.gateway) else way.gateway
    cdef addr_t src
    cdef flowi_t flow
    cdef int32_t back = -1
    cdef packet_t* made
    if not rate_second(walk, packet.dst):
        return
    if not link_local_address(walk.image, device, &src):
        return
    if not addr_equal(packet.dst, target) and target.hi >> 54 != 0x3FA:
        return
    flow = flowi_to(walk.image, packet.node, 6, packet.src)
    flow.src, flow.oif, flow.proto = src, device, PROTO_ICMPV6
    flow.dport = 137 << 8
    flow.oif_is_wish = packet.src.hi >> 54 != 0x3FA
    if route_output(walk.image, walk.state, &flow, NULL, &back):
        return
    if not addr_is_zero(walk.image.routes[back].gateway) or walk.pending_count >= PENDING_MAX:
        return
    if not rate_second(walk, packet.src):
        return
    made = spawn(walk)
    redirect6_build(made, packet, src, target, known_mac(walk.image, device, 6, target))
    made.node = packet.node
    made.generated = GENERATED_ICMP_REDIRECT
    made.route = back
    made.is_routed = 1
    walk.pending_count += 1


cdef int no_neighbour(walk_t* walk, uint16_t reason) noexcept nogil:
    """arp_error_report, ndisc_error_report"""
    cdef bint is_ipv6 = walk.packet.family == 6
    return answered(walk, icmp_error(
        walk, GENERATED_ICMP_UNREACHABLE, 1 if is_ipv6 else 3, 3 if is_ipv6 else 1, 0), reason)


cdef int not_routed(walk_t* walk, uint16_t reason) noexcept nogil:
    """ip_error, ip6_pkt_drop: what is told to the sender."""
    cdef const packet_t* packet = walk.packet
    cdef bint is_ipv6 = packet.family == 6
    if not is_ipv6 and reason in (NO_ROUTE, ROUTE_UNREACHABLE, ROUTE_PROHIBIT) and (
            not rate_refusal(walk)):
        return drop(walk, reason)
    if reason == NO_ROUTE or reason == ROUTE_UNREACHABLE:
        return answered(walk, icmp_error(
            walk, GENERATED_ICMP_UNREACHABLE, 1 if is_ipv6 else 3,
            1 if reason == ROUTE_UNREACHABLE and not is_ipv6 else 0, 0), reason)
    if reason == ROUTE_PROHIBIT:
        return answered(walk, icmp_error(
            walk, GENERATED_ICMP_UNREACHABLE, 1 if is_ipv6 else 3,
            1 if is_ipv6 else 13, 0), reason)
    return drop(walk, reason)


cdef int reject(walk_t* walk, const target_t* target) noexcept nogil:
    """ipt_REJECT.c, reject_tg."""
    cdef packet_t* packet = walk.packet
    if target.a == REJECT_TCP_RESET:
        if not reset_may_answer(packet, walk.hook) or address_kind(
                walk.image, packet.node, packet.family, packet.dst, -1) in (
                ROUTE_BROADCAST, ROUTE_MULTICAST):
            return drop(walk, NETFILTER_REJECT)
        if packet.is_copy and packet.bridge_port >= 0:
            # It would take the copy's Ethernet header, which pskb_copy leaves as the memory was.
            return drop(walk, TARGET_UNMODELLED)
        return answered(walk, reset(walk), NETFILTER_REJECT)
    if not packet_sums_up(packet, walk.image.nodes[packet.node].has_dccp != 0):
        return drop(walk, NETFILTER_REJECT)     # nf_send_unreach: nothing about a damaged packet
    return answered(walk, icmp_error(walk, GENERATED_ICMP_UNREACHABLE, <uint8_t>(target.b >> 8),
                                     <uint8_t>target.b, 0), NETFILTER_REJECT)


cdef bint reset(walk_t* walk) noexcept nogil:
    """nf_send_reset: whether one was sent."""
    cdef packet_t* packet = walk.packet
    cdef packet_t* made
    cdef connection_t* connection
    made = spawn(walk)
    if made == NULL:
        return False
    reset_build(made, packet, walk.image.nodes[packet.node].default_ttl)
    launch(walk, made, GENERATED_TCP_RESET)
    if packet.connection >= 0:
        connection = &walk.state.connections[packet.connection]
        tcp_set_closing(&walk.image.nodes[packet.node], connection, walk.now_ns)
        walk.state.next_expiry_ns = min(walk.state.next_expiry_ns, connection.expires_ns)
    if packet.bridge_port >= 0:
        # nf_send_reset: on a bridge the reset leaves by the port the segment came in by,
        # with its MAC addresses turned round, past every hook.
        store48(made.frame, ether_src(packet))
        store48(made.frame + 6, ether_dst(packet))
        made.send_raw = 1
        made.out_device = packet.bridge_port
    return True


cdef void arp_answer(walk_t* walk, int32_t device) noexcept nogil:
    cdef packet_t* packet = walk.packet
    cdef packet_t* made
    cdef addr_t target
    if not arp_request_target(packet, &target) or address_kind(
            walk.image, packet.node, 4, target, -1) != ROUTE_LOCAL:
        return
    made = spawn(walk)
    if made != NULL and arp_reply_build(made, packet, walk.image.devices[device].mac):
        launch(walk, made, GENERATED_ARP_REPLY)
        made.send_raw = 1
        made.out_device = device
