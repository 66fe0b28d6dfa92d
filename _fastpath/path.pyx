"""A packet's way.  Specified by dataplane.reference.path.

One node, in Linux' order; each name is a function here:

    receive ─┬─ bridge_input ── PREROUTING ─ learn ─┬─ bridge_forward ── FORWARD ─ POSTROUTING ─┐
             │                                      └─ (the bridge's own) ─┐                    │
             └─────────────────────────────────────────────── ip_input ◄───┘                    │
                                                                  │                             │
             PREROUTING ─ route_input ─┬─ ip_forward ─ FORWARD ─ POSTROUTING ─┐                 │
                                       └─ local_in ─ INPUT ─┬─ a process      │                 │
                                                            └─ decapsulate    │                 │
             local_out ─ OUTPUT ─ (route again) ─ POSTROUTING ────────────────┤                 │
                                                                              ▼                 │
                                     ip_output ─ neighbour ─┬─ bridge_output ─┬─ transmit ◄─────┘
                                                            ├─ encapsulate    │      │
                                                            └─────────────────┘      ▼
                                                   another device, a host, or out of the cluster

A function returns what happens next (an Action); run() takes the packet from action to
action until it ends, so neither tunnels nor nodes make the stack deeper.  What happens at a
bridge stands in bridge.pyx, at a tunnel in tunnel.pyx, at a hook in hooks.pyx.
"""

from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memset

from _fastpath.address cimport addr_equal, addr_is_zero, addr_t
from _fastpath.answers cimport arp_answer, icmp_error, no_neighbour, not_routed, redirect, redirect6
from _fastpath.bridge cimport bridge_input, bridge_output, bridge_push
from _fastpath.conntrack cimport conntrack_drop
from _fastpath.cuts cimport NO_MORE, cut, next_fragment
from _fastpath.forwarding cimport (
    goes_back,
    host_lookup,
    output_device,
    route_input,
    route_mtu,
    route_output,
    wire_lookup,
)
from _fastpath.fib_rules cimport flowi_output, flowi_t
from _fastpath.fragments cimport gather
from _fastpath.hooks cimport hooks
from _fastpath.image cimport (
    DEVICE_BRIDGE,
    DEVICE_DUMMY,
    DEVICE_LOOPBACK,
    DEVICE_VXLAN,
    DEVICE_WIRE,
    HOOK_FORWARD,
    HOOK_INPUT,
    HOOK_OUTPUT,
    HOOK_POSTROUTING,
    HOOK_PREROUTING,
    ROUTE_BROADCAST,
    ROUTE_LOCAL,
    ROUTE_UNICAST,
    device_t,
    host_t,
    route_t,
)
from _fastpath.ip_options cimport (
    options_forward,
    options_hop,
    options_read,
    options_set_dst,
    options_strict,
)
from _fastpath.neighbour cimport neighbour_mac, neighbour_see
from _fastpath.packet cimport (
    ETHER_ARP,
    ETHER_IPV4,
    ETHER_IPV6,
    ETHER_SIZE,
    OPTIONS_CHANGED,
    OPTIONS_HIT,
    PROTO_TCP,
    VLAN_SIZE,
    ether_dst,
    ip_options_t,
    is_group_mac,
    packet_parse,
    packet_pull,
    packet_set_ttl,
    packet_t,
    packet_trim,
    store16,
)
from _fastpath.reason cimport (
    ARP_HANDLED,
    CONSUMED,
    DELIVERED,
    DEVICE_DOWN,
    DROPPED,
    FORWARDED,
    FORWARDING_DISABLED,
    FRAGMENTATION_NEEDED,
    FRAME_TOO_SHORT,
    GROUP_ADDRESS,
    HOST,
    HOST_ADDRESS,
    IP_HEADER_INVALID,
    LEFT_BY_DEVICE,
    LOCAL_PROCESS,
    NEIGHBOUR_FAILED,
    NO_ROUTE,
    OTHER_HOST,
    ROUTE_BLACKHOLE,
    ROUTE_PROHIBIT,
    ROUTE_UNREACHABLE,
    SOURCE_ROUTED,
    SOURCE_SCOPE,
    TRACE_FULL,
    TTL_EXPIRED,
    UNHANDLED_PROTOCOL,
    UNKNOWN,
)
from _fastpath.state cimport USER_LOCAL
from _fastpath.realms cimport input_realms, output_realms
from _fastpath.trace cimport (
    EVENT_TTL,
    GENERATED_ICMP_PARAMETER_PROBLEM,
    GENERATED_ICMP_TIME_EXCEEDED,
    GENERATED_ICMP_TOO_BIG,
    GENERATED_ICMP_UNREACHABLE,
    GENERATED_KINDS,
    STEPS_MAX,
    STEP_DEVICE_IN,
    STEP_DEVICE_OUT,
    STEP_GENERATE,
    STEP_LOCAL_IN,
    STEP_LOCAL_OUT,
    STEP_ROUTE,
    trace_step,
    trace_value,
)
from _fastpath.tunnel cimport decapsulate, encapsulate
from _fastpath.vxlan cimport vxlan_of_packet
from _fastpath.walk cimport (
    END,
    GO_ON,
    RECEIVE,
    SEND,
    TRANSMIT,
    answered,
    drop,
    end,
    fits_into,
    here,
    leave_node,
    next_at,
    set_ether_dst,
    set_ether_src,
    tap,
)


cdef enum:
    IPV6_MTU_MIN = 1280
    ARRIVALS_MAX = 600      # of a packet that loops below the IP layer, where no TTL ends it


cdef int receive(walk_t* walk) noexcept nogil:
    """A frame arrives at walk.place: __netif_receive_skb_core."""
    cdef packet_t* packet = walk.packet
    cdef int32_t device = walk.place
    cdef const device_t* dev = &walk.image.devices[device]
    packet.node = dev.node
    if not packet.is_looped:
        packet.refusal = <uint16_t>packet_parse(packet)
        if not dev.is_up:
            return drop(walk, DEVICE_DOWN)
    trace_step(walk.trace, STEP_DEVICE_IN, <uint32_t>device)
    tap(walk, device, False)
    if packet.size < ETHER_SIZE:
        return drop(walk, FRAME_TOO_SHORT)
    if packet.is_looped and packet.family:
        packet.is_looped = packet.is_local = 0
        packet.fragment_max = packet.fragment_df = 0    # ip_rcv_core: IPCB is cleared
        memset(&packet.options, 0, sizeof(ip_options_t))
        packet.in_device, packet.out_device = device, -1
        return END if hooks(walk, HOOK_PREROUTING) == END else local_in(walk, device)
    packet.entered_by = device
    packet.error_device = -1
    packet.is_looped = packet.is_for_port = 0
    if dev.master >= 0:
        return bridge_input(walk, device)
    return layer3_input(walk, device)


cdef int layer3_input(walk_t* walk, int32_t device) noexcept nogil:
    cdef uint16_t ethertype = walk.packet.ethertype
    if ethertype == ETHER_IPV4 or ethertype == ETHER_IPV6:
        return ip_input(walk, device)
    if ethertype == ETHER_ARP:
        return arp_input(walk, device)
    return drop(walk, UNHANDLED_PROTOCOL)


cdef inline bint is_for(const packet_t* packet, const device_t* device) noexcept nogil:
    """The frame is for this device, or for everybody."""
    if not device.is_ether or packet.is_for_port or is_group_mac(ether_dst(packet)):
        return True
    return ether_dst(packet) == device.mac


cdef int arp_input(walk_t* walk, int32_t device) noexcept nogil:
    """arp_rcv"""
    if is_for(walk.packet, &walk.image.devices[device]) or is_group_mac(ether_dst(walk.packet)):
        arp_answer(walk, device)
    return end(walk, CONSUMED, ARP_HANDLED, device)


cdef bint host_has(const walk_t* walk, int32_t row) noexcept nogil:
    """The host behind the device owns the packet's destination address."""
    cdef const host_t* host
    cdef const packet_t* packet = walk.packet
    cdef uint64_t mac = walk.image.hosts[row].mac
    cdef int32_t device = walk.image.hosts[row].device
    cdef uint32_t i = <uint32_t>row
    cdef bint knows = False
    while i < walk.image.host_count:
        host = &walk.image.hosts[i]
        if host.device != device or host.mac != mac:
            break
        if host.has_address and host.family == packet.family:
            knows = True
            if addr_equal(host.address, packet.dst):
                return True
        i += 1
    return not knows


cdef int transmit(walk_t* walk, int32_t device) noexcept nogil:
    """A frame leaves by a device, and arrives wherever that leads: dev_hard_start_xmit."""
    cdef packet_t* packet = walk.packet
    cdef const device_t* dev = &walk.image.devices[device]
    cdef uint64_t mac
    cdef int32_t other, row
    if not dev.is_up:
        return drop(walk, DEVICE_DOWN)
    trace_step(walk.trace, STEP_DEVICE_OUT, <uint32_t>device)
    tap(walk, device, True)
    if dev.peer >= 0:
        leave_node(walk)
        return next_at(walk, RECEIVE, dev.peer)
    mac = ether_dst(packet)
    if is_group_mac(mac):
        return end(walk, CONSUMED, GROUP_ADDRESS, device)
    other = wire_lookup(walk.image, device, mac)
    if other >= 0:
        leave_node(walk)
        return next_at(walk, RECEIVE, other)
    row = host_lookup(walk.image, device, mac)
    if dev.kind == DEVICE_WIRE:
        return end(walk, FORWARDED, LEFT_BY_DEVICE, device)
    if row >= 0:
        if packet.family and not host_has(walk, row):
            return end(walk, DROPPED, HOST_ADDRESS, device)
        return end(walk, DELIVERED, HOST, device)
    if dev.has_hosts:
        return end(walk, DROPPED, OTHER_HOST, device)
    return end(walk, FORWARDED, LEFT_BY_DEVICE, device)


cdef bint is_unheard_of(const packet_t* packet) noexcept nogil:
    """ip6_input.c, ip6_rcv_core: addresses that no IPv6 packet on a link may have."""
    cdef bint to_group = packet.dst.hi >> 56 == 0xFF
    if packet.src.hi >> 56 == 0xFF or (packet.src.hi == 0 and packet.src.lo == 1):
        return True
    return (packet.dst.hi == 0 and packet.dst.lo == 1) or (
        to_group and ((packet.dst.hi >> 48) & 15) < 2)


cdef int ip_input(walk_t* walk, int32_t device) noexcept nogil:
    """ip_rcv, ip_rcv_finish"""
    cdef packet_t* packet = walk.packet
    cdef const device_t* dev = &walk.image.devices[device]
    cdef int32_t route = -1
    cdef int reason
    if not is_for(packet, dev):
        return drop(walk, OTHER_HOST)
    if packet.refusal:
        return drop(walk, packet.refusal)
    if packet.family == 6 and dev.kind != DEVICE_LOOPBACK and is_unheard_of(packet):
        return drop(walk, IP_HEADER_INVALID)
    packet_trim(packet)
    memset(&packet.options, 0, sizeof(ip_options_t))
    if not packet.prerouting_done:
        packet.in_device, packet.out_device = device, -1
        if hooks(walk, HOOK_PREROUTING) == END:
            return END
    packet.prerouting_done = 0
    if packet.proto == PROTO_TCP:
        packet_pull(packet, 20)         # tcp_v4_early_demux
    reason = route_input(walk.image, walk.state, packet, device, &route)
    if route >= 0:
        trace_step(walk.trace, STEP_ROUTE, <uint32_t>route)
    if packet.family == 4 and packet.frame[ETHER_SIZE] & 15 > 5 and (
            reason == 0 or is_unrouted(reason)):
        if options_input(walk, device, &reason, &route) == END:
            return END
    if reason:
        return not_routed(walk, <uint16_t>reason)
    packet.realms = input_realms(walk.image, packet, device, route)
    if route < 0:
        return local_in(walk, device)           # the limited broadcast and groups need no route
    if walk.image.routes[route].kind == ROUTE_LOCAL or (
            walk.image.routes[route].kind == ROUTE_BROADCAST and not dev.bc_forwarding):
        return local_in(walk, device)
    return ip_forward(walk, device, route)


cdef inline bint is_multicast(const packet_t* packet) noexcept nogil:
    if packet.family == 4:
        return packet.dst.lo >> 28 == 0xE
    return packet.dst.hi >> 56 == 0xFF


cdef inline bint is_unrouted(int reason) noexcept nogil:
    """What ip_error is for: no martians."""
    return reason in (NO_ROUTE, ROUTE_UNREACHABLE, ROUTE_PROHIBIT, ROUTE_BLACKHOLE,
                      FORWARDING_DISABLED)


cdef int options_input(walk_t* walk, int32_t device, int* reason,
                       int32_t* route) noexcept nogil:
    """ip_rcv_options: the options are read, and a source route may lead elsewhere."""
    cdef packet_t* packet = walk.packet
    cdef uint32_t wrong
    if reason[0]:
        wrong = options_read(walk.image, packet, device, -1, walk.now_ns)
    else:
        wrong = options_read(walk.image, packet, device, route[0], walk.now_ns)
    if wrong:
        return parameter_problem(walk, wrong, IP_HEADER_INVALID)
    if not packet.options.source_at:
        return GO_ON
    if not walk.image.devices[device].source_route or reason[0] or route[0] < 0:
        return drop(walk, SOURCE_ROUTED)
    return follow_source_route(walk, device, route)


cdef int parameter_problem(walk_t* walk, uint32_t at, uint16_t reason) noexcept nogil:
    return answered(walk, icmp_error(
        walk, GENERATED_ICMP_PARAMETER_PROBLEM, 12, 0, at << 24), reason)


cdef int follow_source_route(walk_t* walk, int32_t device, int32_t* route) noexcept nogil:
    """ip_options_rcv_srr"""
    cdef packet_t* packet = walk.packet
    cdef uint8_t kind = walk.image.routes[route[0]].kind
    cdef int32_t found = -1
    cdef uint32_t at = 0
    cdef addr_t before, hop
    cdef int reason, left
    if walk.image.devices[device].is_ether and is_group_mac(ether_dst(packet)):
        return drop(walk, SOURCE_ROUTED)
    if kind == ROUTE_UNICAST:
        return parameter_problem(walk, 16, SOURCE_ROUTED) if options_strict(packet) else GO_ON
    if kind != ROUTE_LOCAL:
        return drop(walk, SOURCE_ROUTED)
    left = options_hop(packet, &at, &hop)
    while left == 1:
        before = packet.dst
        options_set_dst(packet, hop)
        reason = route_input(walk.image, walk.state, packet, device, &found)
        if reason or found < 0 or walk.image.routes[found].kind not in (
                ROUTE_UNICAST, ROUTE_LOCAL):
            options_set_dst(packet, before)
            return drop(walk, SOURCE_ROUTED)
        packet.options.flags |= OPTIONS_CHANGED
        if walk.image.routes[found].kind == ROUTE_UNICAST:
            options_set_dst(packet, before)         # it changes where the packet leaves
            packet.options.next_hop = hop
            packet.options.flags |= OPTIONS_HIT
            route[0] = found
            trace_step(walk.trace, STEP_ROUTE, <uint32_t>found)
            return GO_ON
        left = options_hop(packet, &at, &hop)
    if left == 2:
        return parameter_problem(walk, packet.options.source_at + 2, SOURCE_ROUTED)
    return GO_ON


cdef bint exceeds(const packet_t* packet, uint32_t mtu) noexcept nogil:
    """ip_exceeds_mtu, ip6_pkt_too_big: it is told to the sender, whose packets must not be cut."""
    if packet.ip_length <= mtu or not packet.dont_fragment:
        return False
    return packet.fragment_max > mtu or not (packet.ignore_df or packet.is_gso)


cdef int too_big(walk_t* walk, uint32_t mtu) noexcept nogil:
    cdef bint is_ipv6 = walk.packet.family == 6
    return answered(walk, icmp_error(
        walk, GENERATED_ICMP_TOO_BIG, 2 if is_ipv6 else 3, 0 if is_ipv6 else 4, mtu),
        FRAGMENTATION_NEEDED)


cdef inline bint may_leave_link(const packet_t* packet) noexcept nogil:
    """ip6_forward: the source is a host, and can be told from those of other links."""
    return (packet.src.hi | packet.src.lo) != 0 and packet.src.hi >> 54 != 0x3FA


cdef int beyond_scope(walk_t* walk) noexcept nogil:
    if (walk.packet.src.hi | walk.packet.src.lo) == 0:
        return drop(walk, SOURCE_SCOPE)
    return answered(walk, icmp_error(walk, GENERATED_ICMP_UNREACHABLE, 1, 2, 0), SOURCE_SCOPE)


cdef int ip_forward(walk_t* walk, int32_t device, int32_t route) noexcept nogil:
    """ip_forward, ip6_forward: the TTL is decremented before FORWARD sees the packet."""
    cdef packet_t* packet = walk.packet
    cdef const route_t* way = &walk.image.routes[route]
    cdef bint is_ipv6 = packet.family == 6
    cdef uint32_t mtu = route_mtu(walk.image, way, way.device)
    packet.route = route
    fits_into(walk, min(mtu, walk.image.devices[device].mtu))
    if walk.image.devices[device].is_ether and is_group_mac(ether_dst(packet)):
        return drop(walk, OTHER_HOST)           # pkt_type: not for this host alone
    if packet.ttl <= 1:
        return answered(walk, icmp_error(
            walk, GENERATED_ICMP_TIME_EXCEEDED, 3 if is_ipv6 else 11, 0, 0), TTL_EXPIRED)
    if not is_ipv6 and options_strict(packet) and not addr_is_zero(way.gateway):
        return answered(walk, icmp_error(
            walk, GENERATED_ICMP_UNREACHABLE, 3, 5, 0), SOURCE_ROUTED)
    if (packet.proto == PROTO_TCP and not packet.ignore_df
            and packet.ip_length > walk.image.devices[device].mtu + VLAN_SIZE):
        # Longer than the device it came by takes, even as a tagged frame (is_skb_forwardable):
        # it was never one frame.  The capture shows it before its sender's device cut it up
        # (GSO), and Linux lets it pass whole.
        packet.is_gso = 1
    if is_ipv6:
        if device == way.device:
            redirect6(walk, device, route)
        elif not may_leave_link(packet):
            return beyond_scope(walk)
    if is_ipv6:         # the route's own is asked only when the packet leaves
        mtu = max(walk.image.devices[way.device].mtu6, <uint32_t>IPV6_MTU_MIN)
        fits_into(walk, mtu)
    if exceeds(packet, mtu):
        return too_big(walk, mtu)
    trace_value(walk.trace, EVENT_TTL, packet.ttl, packet.ttl - 1)
    packet_set_ttl(packet, packet.ttl - 1)
    packet.in_device, packet.out_device = device, way.device
    if not is_ipv6 and not packet.options.source_at and goes_back(
            walk.image, packet, device, route):
        redirect(walk, route)
    if hooks(walk, HOOK_FORWARD) == END:
        return END
    if not is_ipv6 and packet.frame[ETHER_SIZE] & 15 > 5:
        options_forward(walk.image, packet, device, route)
    if hooks(walk, HOOK_POSTROUTING) == END:
        return END
    return ip_output(walk)


cdef int local_in(walk_t* walk, int32_t device) noexcept nogil:
    """ip_local_deliver"""
    cdef packet_t* packet = walk.packet
    cdef int32_t tunnel
    cdef int reason = 0
    packet.in_device, packet.out_device = device, -1
    if packet.family == 4 and gather(walk, USER_LOCAL) == END:
        return END
    if hooks(walk, HOOK_INPUT) == END:
        return END
    # IPv6's fragment header is a header like others: INPUT saw the fragments.
    if packet.family == 6 and gather(walk, USER_LOCAL) == END:
        return END
    trace_step(walk.trace, STEP_LOCAL_IN, <uint32_t>packet.node)
    tunnel = vxlan_of_packet(walk.image, packet, &reason)
    if reason:
        return drop(walk, <uint16_t>reason)
    if tunnel < 0:
        return end(walk, DELIVERED, LOCAL_PROCESS, here(walk))
    return decapsulate(walk, &walk.image.vxlans[tunnel])


cdef int local_out(walk_t* walk) noexcept nogil:
    """ip_local_out, with the routing that came before it."""
    cdef packet_t* packet = walk.packet
    cdef flowi_t flow = flowi_output(walk.image, packet, packet.node, packet.must_leave_by)
    cdef int32_t route = -1
    cdef int reason = 0
    if packet.is_routed:
        route = packet.route
    else:
        if packet.encapsulations:
            flow.mark = 0           # udp_tunnel_dst_lookup
        elif packet.is_made and packet.family == 4:
            flow.proto = flow.sport = flow.dport = 0    # nf_send_reset, ip_route_me_harder
        reason = route_output(walk.image, walk.state, &flow, NULL, &route)
    trace_step(walk.trace, STEP_LOCAL_OUT, <uint32_t>packet.node)
    if reason:
        return drop(walk, <uint16_t>reason)
    trace_step(walk.trace, STEP_ROUTE, <uint32_t>route)
    packet.route = route
    if not packet.is_copy:
        packet.realms = output_realms(walk.image, &flow, route)
    packet.is_routed = 0
    packet.is_local = not packet.is_copy        # which no socket has sent
    packet.entered_by = -1
    if not packet.is_copy:      # whose nf_bridge_info is that of its packet
        packet.bridge_port = -1
    packet.in_device, packet.out_device = -1, output_device(walk.image, packet.node, route)
    if hooks(walk, HOOK_OUTPUT) == END:
        return END
    packet.out_device = output_device(walk.image, packet.node, packet.route)
    if hooks(walk, HOOK_POSTROUTING) == END:
        return END
    return ip_output(walk)


cdef uint64_t group_mac(const packet_t* packet) noexcept nogil:
    """MAC address of a multicast or broadcast destination: RFC 1112 6.4, RFC 2464 7."""
    if packet.family == 6:
        return <uint64_t>0x333300000000u | (packet.dst.lo & 0xFFFFFFFFu)
    if packet.dst.lo >> 28 == 0xE:
        return <uint64_t>0x01005E000000u | (packet.dst.lo & 0x7FFFFF)
    return <uint64_t>0xFFFFFFFFFFFFu


cdef int ip_output(walk_t* walk) noexcept nogil:
    """ip_finish_output, ip6_finish_output"""
    return END if fit(walk) == END else link_output(walk)


cdef int fit(walk_t* walk) noexcept nogil:
    """ip_fragment, ip6_fragment: in fragments if the packet is too long, or came in such."""
    cdef packet_t* packet = walk.packet
    cdef const route_t* way = &walk.image.routes[packet.route]
    cdef uint32_t mtu = route_mtu(
        walk.image, way, output_device(walk.image, packet.node, packet.route))
    cdef uint32_t limit = packet.fragment_max if packet.fragment_max else mtu
    fits_into(walk, mtu)
    if packet.is_gso or (packet.is_local and packet.proto == PROTO_TCP and not packet.ignore_df):
        return GO_ON                    # the node's own TCP: its device cuts it to size
    if packet.family == 4:
        if packet.ip_length <= mtu and not packet.fragment_max:
            return GO_ON
        if packet.dont_fragment and (not packet.ignore_df or limit > mtu):
            return refused_by_size(walk, mtu)
        return cut(walk, min(limit, mtu), -1)
    if packet.ip_length <= min(limit, mtu):
        return GO_ON
    if limit > mtu or not (packet.ignore_df or packet.is_local):
        return refused_by_size(walk, mtu)
    return cut(walk, max(limit, <uint32_t>IPV6_MTU_MIN) if packet.fragment_max else mtu, -1)


cdef int refused_by_size(walk_t* walk, uint32_t mtu) noexcept nogil:
    """A process of the node is told without a packet (EMSGSIZE)."""
    return drop(walk, FRAGMENTATION_NEEDED) if walk.packet.is_local else too_big(walk, mtu)


cdef int link_output(walk_t* walk) noexcept nogil:
    """ip_finish_output2, dev_queue_xmit"""
    cdef packet_t* packet = walk.packet
    cdef const route_t* way = &walk.image.routes[packet.route]
    cdef int32_t device = output_device(walk.image, packet.node, packet.route)
    cdef const device_t* dev = &walk.image.devices[device]
    cdef addr_t next_hop = way.gateway
    cdef uint64_t mac = 0
    cdef int reason
    if addr_is_zero(next_hop):
        next_hop = packet.dst if addr_is_zero(packet.next_hop) else packet.next_hop
    if dev.is_ether:
        if way.kind == ROUTE_BROADCAST or (addr_is_zero(packet.next_hop) and (
                is_multicast(packet)
                or (packet.family == 4 and packet.dst.lo == 0xFFFFFFFFu))):
            mac = group_mac(packet)
        else:
            reason = neighbour_mac(walk, device, way.gateway_family, next_hop, &mac)
            if reason == NEIGHBOUR_FAILED:
                return no_neighbour(walk, NEIGHBOUR_FAILED)
            if reason:
                return drop(walk, <uint16_t>reason)
    set_ether_src(walk, dev.mac)
    set_ether_dst(walk, mac)
    store16(packet.frame + 12, packet.ethertype)
    return device_output(walk, device)


cdef int device_output(walk_t* walk, int32_t device) noexcept nogil:
    cdef const device_t* dev = &walk.image.devices[device]
    if dev.kind == DEVICE_BRIDGE:
        return bridge_output(walk, device)
    if dev.kind == DEVICE_VXLAN:
        return encapsulate(walk, device)
    if dev.kind == DEVICE_LOOPBACK:
        # loopback_xmit: received where it was sent, with its route and its connection.
        walk.packet.is_looped = 1
        return next_at(walk, RECEIVE, device)
    if dev.kind == DEVICE_DUMMY:
        trace_step(walk.trace, STEP_DEVICE_OUT, <uint32_t>device)
        tap(walk, device, True)
        return end(walk, CONSUMED, LEFT_BY_DEVICE, device)
    return transmit(walk, device)


cdef void run(walk_t* walk, int action) noexcept nogil:
    """walk.packet to its end; in fragments, if it is cut on its way."""
    walk.cut_count = walk.told_rank = 0
    follow(walk, action)
    if walk.cut_count:
        send_fragments(walk)


cdef void send_fragments(walk_t* walk) noexcept nogil:
    cdef int32_t port = next_fragment(walk)
    while port != NO_MORE:
        follow(walk, link_output(walk) if port < 0 else bridge_push(walk, port))
        port = next_fragment(walk)


cdef void follow(walk_t* walk, int action) noexcept nogil:
    cdef uint32_t arrivals = 0
    while action != END:
        if action == RECEIVE:
            arrivals += 1
            if arrivals > ARRIVALS_MAX:
                drop(walk, TRACE_FULL)
                return
            action = receive(walk)
        else:
            action = go_on(walk, action)


cdef int go_on(walk_t* walk, int action) noexcept nogil:
    if action == SEND:
        return local_out(walk)
    return transmit(walk, walk.place) if action == TRANSMIT else layer3_input(walk, walk.place)


cdef int send_copy(walk_t* walk) noexcept nogil:
    cdef int action = SEND
    cdef uint32_t made = walk.pending_count
    cdef int32_t place
    walk.cut_count = walk.told_rank = walk.was_cut = 0
    while action != END and action != RECEIVE:
        action = go_on(walk, action)
    if walk.was_cut:
        follow(walk, action)            # each fragment to its end
        if walk.cut_count:
            send_fragments(walk)
        action = END
    place = walk.place
    if walk.pending_count > made:
        run_pending(walk, -1, made)     # what its source is told
        walk.pending_count = made
    walk.place = place
    return action


cdef void run_pending(walk_t* walk, int32_t held, uint32_t first) noexcept nogil:
    """The packets made on the way, each to its end.  Their verdicts are nobody's."""
    cdef packet_t* made
    cdef uint32_t i = first
    cdef uint8_t was_aside = walk.is_aside
    walk.is_aside = 1
    while i < walk.pending_count:
        made = &walk.pending[i]
        walk.packet = made
        trace_step(walk.trace, STEP_GENERATE,
                   <uint32_t>made.node * GENERATED_KINDS + made.generated)
        if made.is_arriving:
            made.is_arriving = 0
            run(walk, next_at(walk, RECEIVE, made.out_device))
            i += 1
            continue
        if not made.send_raw:
            run(walk, SEND)
        else:
            run(walk, device_output(walk, made.out_device))
        if made.connection != held:
            conntrack_drop(walk, made.connection)
        i += 1
    walk.is_aside = was_aside


cdef void walk_packet(walk_t* walk, int action) noexcept nogil:
    cdef packet_t* packet = walk.packet
    cdef uint8_t verdict
    cdef uint16_t reason
    cdef int32_t place
    walk.pending_count = 0
    walk.is_aside = 0
    walk.is_of_flow = 1
    walk.touch_count = 0
    walk.ip_length_most = 0xFFFF
    walk.tunnel_node = -1
    walk.reason = 0
    run(walk, action)
    verdict, reason, place = walk.verdict, walk.reason, walk.place
    if walk.pending_count:
        run_pending(walk, packet.connection, 0)
        walk.packet = packet
    # A connection that was never confirmed vanishes with its packet.
    conntrack_drop(walk, packet.connection)
    if walk.trace.count > STEPS_MAX:
        verdict, reason, place = UNKNOWN, TRACE_FULL, here(walk)
    walk.verdict, walk.reason, walk.place = verdict, reason, place


cdef void walk_from_device(walk_t* walk, int32_t device) noexcept nogil:
    walk.place = device
    walk.packet.node = walk.image.devices[device].node
    neighbour_see(walk.image, walk.state, device, walk.packet)
    walk_packet(walk, RECEIVE)


cdef void walk_from_node(walk_t* walk, int32_t node) noexcept nogil:
    walk.packet.node = node
    walk.place = ~node
    walk.packet.refusal = <uint16_t>packet_parse(walk.packet)
    if walk.packet.refusal or walk.packet.family == 0:
        drop(walk, walk.packet.refusal if walk.packet.refusal else UNHANDLED_PROTOCOL)
        return
    packet_trim(walk.packet)
    walk_packet(walk, SEND)
