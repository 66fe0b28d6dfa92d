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
action until it ends, so neither tunnels nor nodes make the stack deeper.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from _fastpath.address cimport addr_equal, addr_is_zero, addr_t
from _fastpath.bridge cimport FDB_LOCAL, FDB_NONE, fdb_learn, fdb_lookup, fdb_static
from _fastpath.choice cimport (
    CHOICE_IP_ID,
    CHOICE_VXLAN_PORT,
    choice_fed,
    choice_key,
    draw_t,
    fold,
)
from _fastpath.conntrack cimport conntrack_confirm, conntrack_drop, conntrack_in
from _fastpath.forwarding cimport (
    address_kind,
    fib_lookup,
    host_lookup,
    route_input,
    source_address,
    wire_lookup,
)
from _fastpath.icmp cimport (
    arp_reply_build,
    arp_request_target,
    icmp_build,
    icmp_may_answer,
    reset_build,
    reset_may_answer,
)
from _fastpath.image cimport (
    DEVICE_BRIDGE,
    DEVICE_DUMMY,
    DEVICE_LOOPBACK,
    DEVICE_VXLAN,
    DEVICE_WIRE,
    ENTRY_CONFIRM,
    ENTRY_CONNTRACK,
    ENTRY_NAT,
    ENTRY_TABLE,
    HOOK_FORWARD,
    HOOK_INPUT,
    HOOK_OUTPUT,
    HOOK_POSTROUTING,
    HOOK_PREROUTING,
    HOOKS,
    REJECT_TCP_RESET,
    ROUTE_BROADCAST,
    ROUTE_LOCAL,
    ROUTE_MULTICAST,
    ROUTE_UNICAST,
    device_t,
    hook_t,
    host_t,
    node_t,
    route_t,
    target_t,
    vxlan_t,
)
from _fastpath.image cimport ROUTE_BLACKHOLE as KIND_BLACKHOLE
from _fastpath.image cimport ROUTE_PROHIBIT as KIND_PROHIBIT
from _fastpath.image cimport ROUTE_UNREACHABLE as KIND_UNREACHABLE
from _fastpath.nat cimport (
    MANIP_DST,
    MANIP_SRC,
    nat_icmp_error,
    nat_is_set_up,
    nat_null_binding,
    nat_packet,
)
from _fastpath.neighbour cimport (
    RESOLVED_ENTRY,
    RESOLVED_FAILED,
    RESOLVED_UNKNOWN,
    neighbour_see,
    resolve,
)
from _fastpath.netfilter cimport WALK_ACCEPT, WALK_DROP, WALK_REJECT, table_walk
from _fastpath.packet cimport (
    CHECKSUM_WRONG,
    ETHER_ARP,
    ETHER_IPV4,
    ETHER_IPV6,
    ETHER_SIZE,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_TCP,
    ether_dst,
    ether_src,
    is_group_mac,
    packet_checksum,
    packet_parse,
    packet_scrub,
    packet_set_ttl,
    packet_t,
    packet_trim,
    proto_has_ports,
    store16,
    store48,
)
from _fastpath.reason cimport (
    ADDRESS_LEARNED_LOCAL,
    ARP_HANDLED,
    BRIDGE_LINK_LOCAL,
    BRIDGE_SAME_PORT,
    CONSUMED,
    DELIVERED,
    DEVICE_DOWN,
    DROPPED,
    FLOODED,
    FORWARDED,
    FORWARDING_DISABLED,
    FRAGMENT_UNMODELLED,
    FRAGMENTATION_NEEDED,
    FRAGMENTATION_UNMODELLED,
    FRAME_TOO_SHORT,
    GROUP_ADDRESS,
    HOST,
    HOST_ADDRESS,
    LEFT_BY_DEVICE,
    LOCAL_PROCESS,
    MARTIAN_DESTINATION,
    MARTIAN_SOURCE,
    NEIGHBOUR_FAILED,
    NEIGHBOUR_UNKNOWN,
    NO_ROUTE,
    OTHER_HOST,
    REJECTED,
    REVERSE_PATH,
    ROUTE_BLACKHOLE,
    ROUTE_PROHIBIT,
    ROUTE_UNMODELLED,
    ROUTE_UNREACHABLE,
    TRACE_FULL,
    TTL_EXPIRED,
    TUNNEL_LOOP,
    UNDERLAY_UNMODELLED,
    UNHANDLED_PROTOCOL,
    UNKNOWN,
    VXLAN_NO_REMOTE,
)
from _fastpath.state cimport (
    CT_RELATED,
    CT_RELATED_REPLY,
    PENDING_MAX,
)
from _fastpath.trace cimport (
    EVENT_ETHER_DST,
    EVENT_ETHER_SRC,
    EVENT_IP_ID,
    EVENT_OUTER_SPORT,
    EVENT_TTL,
    GENERATED_ARP_REPLY,
    GENERATED_ICMP_TIME_EXCEEDED,
    GENERATED_ICMP_TOO_BIG,
    GENERATED_ICMP_UNREACHABLE,
    GENERATED_KINDS,
    GENERATED_TCP_RESET,
    STEP_BRIDGE_FLOOD,
    STEP_BRIDGE_LOCAL,
    STEP_BRIDGE_PORT,
    STEP_DECAPSULATE,
    STEP_DEVICE_IN,
    STEP_DEVICE_OUT,
    STEP_ENCAPSULATE,
    STEP_FDB,
    STEP_GENERATE,
    STEP_LOCAL_IN,
    STEP_LOCAL_OUT,
    STEP_NEIGHBOUR,
    STEP_ROUTE,
    STEPS_MAX,
    tap_t,
    trace_step,
    trace_value,
)
from _fastpath.vxlan cimport vxlan_decapsulate, vxlan_encapsulate, vxlan_of_packet

cdef enum Action:
    END = 0
    RECEIVE = 1             # at walk.place
    SEND = 2                # local_out on walk.packet.node
    GO_ON = 3               # from a hook: nothing ended the walk

cdef enum:
    ENCAPSULATIONS_MAX = 3
    ACTIONS_MAX = 600       # a packet that loops below the IP layer, where no TTL ends it


cdef inline int end(walk_t* walk, uint8_t verdict, uint16_t reason, int32_t place) noexcept nogil:
    walk.verdict = verdict
    walk.reason = reason
    walk.place = place
    return END


cdef inline int drop(walk_t* walk, uint16_t reason) noexcept nogil:
    return end(walk, UNKNOWN if reason >= 200 else DROPPED, reason, here(walk))


cdef inline int answered(walk_t* walk, bint is_answered, uint16_t reason) noexcept nogil:
    """The packet goes no further; whether its sender was told says REJECTED or DROPPED."""
    return end(walk, REJECTED if is_answered else DROPPED, reason, here(walk))


cdef inline int32_t here(const walk_t* walk) noexcept nogil:
    """Where a packet is that goes no further: at its node."""
    return ~walk.packet.node


cdef void tap(walk_t* walk, int32_t device, bint outgoing) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef tap_t* row
    if walk.trace.tap_max == 0 or not walk.trace.tap_wanted[device]:
        return
    if (walk.trace.tap_count >= walk.trace.tap_max
            or walk.trace.output_max - walk.trace.output_size < packet.size):
        walk.trace.lost += 1
        return
    row = &walk.trace.taps[walk.trace.tap_count]
    walk.trace.tap_count += 1
    row.time_ns = walk.now_ns
    row.offset = walk.trace.output_size
    row.size = packet.size
    row.length = packet.length
    row.packet = walk.trace.packet
    row.device = device
    row.outgoing = outgoing
    row.generated = packet.is_made
    row.step = <uint16_t>min(walk.trace.count, <uint32_t>STEPS_MAX)
    memcpy(walk.trace.output + row.offset, packet.frame, packet.size)
    walk.trace.output_size += packet.size


# ---------------------------------------------------------------------------------- hooks


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
    """Every entry of a hook, by priority.  GO_ON, or END with the verdict set."""
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


# -------------------------------------------------------------------- packets a node makes


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
    """Identification of a packet made because of walk.packet.  Never 0."""
    cdef draw_t draw = packet_draw(walk, CHOICE_IP_ID)
    cdef uint32_t* given = &walk.state.ip_ids[walk.packet.node]
    cdef uint32_t value = 0
    if not choice_fed(walk.state, &draw, False, &value):
        while value & 0xFFFF == 0:
            value = <uint32_t>(fold(fold(walk.image.seed, CHOICE_IP_ID), draw.node) + given[0])
            given[0] += 1
    trace_value(walk.trace, EVENT_IP_ID, 0, value & 0xFFFF)
    return <uint16_t>value


cdef bint icmp_error(walk_t* walk, uint8_t kind, uint8_t type, uint8_t code,
                     uint32_t detail) noexcept nogil:
    """icmp_send: an error about walk.packet goes back to its source, if one may."""
    cdef packet_t* packet = walk.packet
    cdef packet_t* made
    cdef addr_t src = packet.dst
    cdef uint8_t kind_of_dst
    cdef int32_t back
    if not icmp_may_answer(packet):
        return False
    back = fib_lookup(walk.image, packet.node, packet.family, packet.src)
    if output_refusal(walk, back):
        return False
    kind_of_dst = address_kind(walk.image, packet.node, packet.family, packet.dst, -1)
    if kind_of_dst == ROUTE_BROADCAST or kind_of_dst == ROUTE_MULTICAST:
        return False
    if kind_of_dst != ROUTE_LOCAL:
        if not source_address(walk.image, back, packet.src, &src):
            return False
    made = spawn(walk)
    if made == NULL:
        return False
    icmp_build(made, packet, src, type, code, detail,
               walk.image.nodes[packet.node].default_ttl,
               ip_id(walk) if packet.family == 4 else 0)
    launch(walk, made, kind)
    return True


cdef bint reject(walk_t* walk, const target_t* target) noexcept nogil:
    """ipt_REJECT.c, reject_tg: whether an answer was sent."""
    cdef packet_t* packet = walk.packet
    cdef packet_t* made
    cdef uint8_t kind = GENERATED_ICMP_UNREACHABLE
    if target.a != REJECT_TCP_RESET:
        # nf_reject_ipv4.c, nf_send_unreach: not about a packet that was damaged.
        if packet_checksum(packet) == CHECKSUM_WRONG:
            return False
        return icmp_error(walk, kind, <uint8_t>(target.b >> 8), <uint8_t>target.b, 0)
    if not reset_may_answer(packet) or address_kind(
            walk.image, packet.node, packet.family, packet.dst, -1) in (
            ROUTE_BROADCAST, ROUTE_MULTICAST):
        return False
    made = spawn(walk)
    if made == NULL:
        return False
    reset_build(made, packet, walk.image.nodes[packet.node].default_ttl)
    launch(walk, made, GENERATED_TCP_RESET)
    if packet.bridge_port >= 0:
        # nf_send_reset: on a bridge the reset leaves by the port the segment came in by,
        # with its MAC addresses turned round, past every hook.
        store48(made.frame, ether_src(packet))
        store48(made.frame + 6, ether_dst(packet))
        made.send_raw = 1
        made.out_device = packet.bridge_port
    return True


# --------------------------------------------------------------------------------- devices


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
        packet.in_device, packet.out_device = device, -1
        return END if hooks(walk, HOOK_PREROUTING) == END else local_in(walk, device)
    packet.entered_by = device
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
    """arp_process: the node answers for the addresses that are local to it."""
    cdef packet_t* packet = walk.packet
    cdef packet_t* made
    cdef addr_t target
    if arp_request_target(packet, &target) and is_for(
            packet, &walk.image.devices[device]) and address_kind(
            walk.image, packet.node, 4, target, -1) == ROUTE_LOCAL:
        made = spawn(walk)
        if made != NULL and arp_reply_build(made, packet, walk.image.devices[device].mac):
            launch(walk, made, GENERATED_ARP_REPLY)
            made.send_raw = 1
            made.out_device = device
    return end(walk, CONSUMED, ARP_HANDLED, device)


cdef void leave_node(walk_t* walk) noexcept nogil:
    """Nothing of a node's own goes with the frame."""
    if not walk.packet.is_made:
        conntrack_drop(walk, walk.packet.connection)
    packet_scrub(walk.packet)


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
        walk.place = dev.peer
        return RECEIVE
    mac = ether_dst(packet)
    if is_group_mac(mac):
        return end(walk, CONSUMED, GROUP_ADDRESS, device)
    other = wire_lookup(walk.image, device, mac)
    if other >= 0:
        leave_node(walk)
        walk.place = other
        return RECEIVE
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


# --------------------------------------------------------------------------------- bridges


cdef bint meets_bridge_netfilter(const walk_t* walk) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    if packet.ethertype == ETHER_IPV4:
        return walk.image.nodes[packet.node].bridge_nf[0]
    if packet.ethertype == ETHER_IPV6:
        return walk.image.nodes[packet.node].bridge_nf[1]
    return False


cdef int flood(walk_t* walk, int32_t bridge, int32_t except_port) noexcept nogil:
    cdef const device_t* dev = &walk.image.devices[bridge]
    cdef int32_t port
    cdef uint32_t i
    trace_step(walk.trace, STEP_BRIDGE_FLOOD, <uint32_t>bridge)
    for i in range(dev.port_start, dev.port_start + dev.port_count):
        port = walk.image.bridge_ports[i]
        if not walk.image.devices[port].is_up:
            continue
        if port == except_port and not walk.image.devices[port].hairpin:
            continue
        trace_step(walk.trace, STEP_DEVICE_OUT, <uint32_t>port)
        tap(walk, port, True)
    if is_group_mac(ether_dst(walk.packet)):
        return end(walk, CONSUMED, GROUP_ADDRESS, bridge)
    return end(walk, CONSUMED, FLOODED, bridge)


cdef inline bint is_martian(int reason) noexcept nogil:
    return (reason == MARTIAN_SOURCE or reason == MARTIAN_DESTINATION or reason == REVERSE_PATH
            or reason == ROUTE_UNMODELLED)


cdef int redirected(walk_t* walk, int32_t bridge) noexcept nogil:
    """br_nf_pre_routing_finish, when PREROUTING changed the destination address."""
    cdef packet_t* packet = walk.packet
    cdef int32_t route = -1, entry = -1
    cdef const route_t* way
    cdef uint64_t mac = walk.image.devices[bridge].mac
    cdef addr_t next_hop
    cdef int reason = route_input(walk.image, packet, bridge, &route)
    cdef bint is_bridged = (route >= 0 and walk.image.routes[route].device == bridge
                            and walk.image.routes[route].kind == ROUTE_UNICAST)
    if packet.family == 6 and reason == FORWARDING_DISABLED and route >= 0:
        reason = 0                      # ip6_forward asks for it, later
    if reason and (packet.family == 6 or is_martian(reason)):
        return drop(walk, <uint16_t>reason)
    # An IPv4 packet that is not routed is for ip_error, which stands above the bridge.
    if is_bridged and reason == 0:
        way = &walk.image.routes[route]
        # Bridged DNAT: the frame stays on the bridge, with the new next hop's MAC address
        # (br_nf_pre_routing_finish_bridge).  Source MAC and TTL are left as they were.
        packet.route = route
        trace_step(walk.trace, STEP_ROUTE, <uint32_t>route)
        next_hop = packet.dst if addr_is_zero(way.gateway) else way.gateway
        reason = neighbour(walk, bridge, next_hop, &mac, &entry)
        if reason:
            return drop(walk, <uint16_t>reason)
    set_ether_dst(walk, mac)
    return GO_ON


cdef int bridge_input(walk_t* walk, int32_t port) noexcept nogil:
    """br_handle_frame and br_handle_frame_finish"""
    cdef packet_t* packet = walk.packet
    cdef int32_t bridge = walk.image.devices[port].master
    cdef int32_t to
    if is_group_mac(ether_src(packet)) or ether_src(packet) == 0:
        return drop(walk, ADDRESS_LEARNED_LOCAL)
    if ether_dst(packet) >> 4 == <uint64_t>0x0180C200000u:
        return drop(walk, BRIDGE_LINK_LOCAL)
    if not walk.image.devices[bridge].is_up:
        return drop(walk, DEVICE_DOWN)
    if meets_bridge_netfilter(walk):
        if packet.refusal:
            return drop(walk, packet.refusal)
        packet_trim(packet)
        packet.bridge_port = port
        packet.prerouting_done = 1
        packet.destination_changed = 0
        packet.in_device, packet.out_device = bridge, -1
        if hooks(walk, HOOK_PREROUTING) == END:
            return END
        if packet.destination_changed and redirected(walk, bridge) == END:
            return END
    fdb_learn(walk.image, walk.state, bridge, port, ether_src(packet))
    if is_group_mac(ether_dst(packet)):
        tap(walk, bridge, False)
        if flood(walk, bridge, port) == END and packet.ethertype == ETHER_ARP:
            return arp_input(walk, bridge)
        return END
    to = fdb_lookup(walk.image, walk.state, bridge, ether_dst(packet))
    if to == FDB_NONE:
        return flood(walk, bridge, port)
    if to == FDB_LOCAL:
        trace_step(walk.trace, STEP_BRIDGE_LOCAL, <uint32_t>bridge)
        tap(walk, bridge, False)
        # eth_type_trans at the port: a frame for the port's own address is the node's too.
        packet.is_for_port = ether_dst(packet) == walk.image.devices[port].mac
        return layer3_input(walk, bridge)
    return bridge_forward(walk, bridge, port, to)


cdef int bridge_forward(walk_t* walk, int32_t bridge, int32_t port, int32_t to) noexcept nogil:
    """br_forward: netfilter sees the bridge as both interfaces."""
    cdef packet_t* packet = walk.packet
    if to == port and not walk.image.devices[port].hairpin:
        return drop(walk, BRIDGE_SAME_PORT)
    if meets_bridge_netfilter(walk):
        packet.in_device = packet.out_device = bridge
        if hooks(walk, HOOK_FORWARD) == END or hooks(walk, HOOK_POSTROUTING) == END:
            return END
    trace_step(walk.trace, STEP_BRIDGE_PORT, <uint32_t>to)
    return transmit(walk, to)


cdef int bridge_output(walk_t* walk, int32_t bridge) noexcept nogil:
    """br_dev_xmit: the node itself sends through the bridge."""
    cdef int32_t to
    if not walk.image.devices[bridge].is_up:
        return drop(walk, DEVICE_DOWN)
    trace_step(walk.trace, STEP_DEVICE_OUT, <uint32_t>bridge)
    tap(walk, bridge, True)
    if is_group_mac(ether_dst(walk.packet)):
        return flood(walk, bridge, -1)
    to = fdb_lookup(walk.image, walk.state, bridge, ether_dst(walk.packet))
    if to == FDB_NONE:
        return flood(walk, bridge, -1)
    if to == FDB_LOCAL:
        return drop(walk, OTHER_HOST)
    trace_step(walk.trace, STEP_BRIDGE_PORT, <uint32_t>to)
    return transmit(walk, to)


# -------------------------------------------------------------------------------------- IP


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
    packet_trim(packet)
    if not packet.prerouting_done:
        packet.in_device, packet.out_device = device, -1
        if hooks(walk, HOOK_PREROUTING) == END:
            return END
    packet.prerouting_done = 0
    if is_multicast(packet):
        return end(walk, CONSUMED, GROUP_ADDRESS, device)
    reason = route_input(walk.image, packet, device, &route)
    if route >= 0:
        trace_step(walk.trace, STEP_ROUTE, <uint32_t>route)
    if reason:
        return not_routed(walk, <uint16_t>reason)
    if route < 0:
        return local_in(walk, device)           # the limited broadcast needs no route
    if walk.image.routes[route].kind in (ROUTE_LOCAL, ROUTE_BROADCAST):
        return local_in(walk, device)
    return ip_forward(walk, device, route)


cdef inline bint is_multicast(const packet_t* packet) noexcept nogil:
    if packet.family == 4:
        return packet.dst.lo >> 28 == 0xE
    return packet.dst.hi >> 56 == 0xFF


cdef int not_routed(walk_t* walk, uint16_t reason) noexcept nogil:
    """ip_error, ip6_pkt_drop: what is told to the sender."""
    cdef const packet_t* packet = walk.packet
    cdef bint is_ipv6 = packet.family == 6
    if reason == NO_ROUTE or reason == ROUTE_UNREACHABLE:
        return answered(walk, icmp_error(
            walk, GENERATED_ICMP_UNREACHABLE, 1 if is_ipv6 else 3,
            1 if reason == ROUTE_UNREACHABLE and not is_ipv6 else 0, 0), reason)
    if reason == ROUTE_PROHIBIT:
        return answered(walk, icmp_error(
            walk, GENERATED_ICMP_UNREACHABLE, 1 if is_ipv6 else 3,
            1 if is_ipv6 else 13, 0), reason)
    return drop(walk, reason)


cdef inline bint is_too_long(const packet_t* packet, uint32_t mtu) noexcept nogil:
    return packet.ip_length > mtu and not packet.is_gso


cdef int ip_forward(walk_t* walk, int32_t device, int32_t route) noexcept nogil:
    """ip_forward, ip6_forward: the TTL is decremented before FORWARD sees the packet."""
    cdef packet_t* packet = walk.packet
    cdef const route_t* way = &walk.image.routes[route]
    cdef bint is_ipv6 = packet.family == 6
    cdef uint32_t mtu = walk.image.devices[way.device].mtu
    packet.route = route
    if packet.ttl <= 1:
        return answered(walk, icmp_error(
            walk, GENERATED_ICMP_TIME_EXCEEDED, 3 if is_ipv6 else 11, 0, 0), TTL_EXPIRED)
    if packet.proto == PROTO_TCP and packet.ip_length > walk.image.devices[device].mtu:
        # Longer than the device it came by takes: it was never one frame.  The capture shows
        # it before its sender's device cut it up (GSO), and Linux lets it pass whole.
        packet.is_gso = 1
    if is_too_long(packet, mtu) and packet.dont_fragment:
        return answered(walk, icmp_error(
            walk, GENERATED_ICMP_TOO_BIG, 2 if is_ipv6 else 3, 0 if is_ipv6 else 4, mtu),
            FRAGMENTATION_NEEDED)
    trace_value(walk.trace, EVENT_TTL, packet.ttl, packet.ttl - 1)
    packet_set_ttl(packet, packet.ttl - 1)
    packet.in_device, packet.out_device = device, way.device
    if hooks(walk, HOOK_FORWARD) == END:
        return END
    if hooks(walk, HOOK_POSTROUTING) == END:
        return END
    return ip_output(walk)


cdef int local_in(walk_t* walk, int32_t device) noexcept nogil:
    """ip_local_deliver"""
    cdef packet_t* packet = walk.packet
    cdef int32_t tunnel
    cdef int reason = 0
    packet.in_device, packet.out_device = device, -1
    if hooks(walk, HOOK_INPUT) == END:
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
    cdef int32_t route = fib_lookup(walk.image, packet.node, packet.family, packet.dst)
    cdef int reason = output_refusal(walk, route)
    if reason == 0 and packet.must_leave_by >= 0 and (
            walk.image.routes[route].device != packet.must_leave_by):
        reason = ROUTE_UNMODELLED       # another route by the tunnel's own device may exist
    trace_step(walk.trace, STEP_LOCAL_OUT, <uint32_t>packet.node)
    if reason:
        return drop(walk, <uint16_t>reason)
    trace_step(walk.trace, STEP_ROUTE, <uint32_t>route)
    packet.route = route
    packet.is_local = 1
    packet.entered_by = packet.bridge_port = -1
    packet.destination_changed = 0
    packet.in_device, packet.out_device = -1, output_device(walk, route)
    if hooks(walk, HOOK_OUTPUT) == END:
        return END
    if packet.destination_changed:
        # ip_route_me_harder
        route = fib_lookup(walk.image, packet.node, packet.family, packet.dst)
        reason = output_refusal(walk, route)
        if reason:
            return drop(walk, <uint16_t>reason)
        trace_step(walk.trace, STEP_ROUTE, <uint32_t>route)
        packet.route = route
        packet.out_device = output_device(walk, route)
    if hooks(walk, HOOK_POSTROUTING) == END:
        return END
    return ip_output(walk)


cdef inline int32_t output_device(const walk_t* walk, int32_t route) noexcept nogil:
    if walk.image.routes[route].kind == ROUTE_LOCAL:
        return walk.image.nodes[walk.packet.node].loopback
    return walk.image.routes[route].device


cdef int output_refusal(const walk_t* walk, int32_t route) noexcept nogil:
    cdef uint8_t kind
    if route < 0:
        return NO_ROUTE
    kind = walk.image.routes[route].kind
    if kind == KIND_BLACKHOLE:
        return ROUTE_BLACKHOLE
    if kind == KIND_UNREACHABLE:
        return ROUTE_UNREACHABLE
    if kind == KIND_PROHIBIT:
        return ROUTE_PROHIBIT
    if kind not in (ROUTE_UNICAST, ROUTE_LOCAL, ROUTE_BROADCAST):
        return ROUTE_UNMODELLED
    if output_device(walk, route) < 0:
        return ROUTE_UNMODELLED
    return 0


# -------------------------------------------------------------------------- to the device


cdef void set_ether_dst(walk_t* walk, uint64_t mac) noexcept nogil:
    if ether_dst(walk.packet) != mac:
        trace_value(walk.trace, EVENT_ETHER_DST, ether_dst(walk.packet), mac)
    store48(walk.packet.frame, mac)


cdef void set_ether_src(walk_t* walk, uint64_t mac) noexcept nogil:
    if ether_src(walk.packet) != mac:
        trace_value(walk.trace, EVENT_ETHER_SRC, ether_src(walk.packet), mac)
    store48(walk.packet.frame + 6, mac)


cdef int neighbour(walk_t* walk, int32_t device, addr_t next_hop, uint64_t* mac,
                   int32_t* entry) noexcept nogil:
    """0, or the Reason why the next hop's MAC address is not to be had."""
    cdef int found = resolve(walk.image, walk.state, device, walk.packet.family, next_hop, mac,
                             entry)
    if found == RESOLVED_ENTRY:
        trace_step(walk.trace, STEP_NEIGHBOUR, <uint32_t>entry[0])
    elif found == RESOLVED_FAILED:
        return NEIGHBOUR_FAILED
    elif found == RESOLVED_UNKNOWN:
        return NEIGHBOUR_UNKNOWN
    return 0


cdef uint64_t group_mac(const packet_t* packet) noexcept nogil:
    """MAC address of a multicast or broadcast destination: RFC 1112 6.4, RFC 2464 7."""
    if packet.family == 6:
        return <uint64_t>0x333300000000u | (packet.dst.lo & 0xFFFFFFFFu)
    if packet.dst.lo >> 28 == 0xE:
        return <uint64_t>0x01005E000000u | (packet.dst.lo & 0x7FFFFF)
    return <uint64_t>0xFFFFFFFFFFFFu


cdef int ip_output(walk_t* walk) noexcept nogil:
    """ip_finish_output2, dev_queue_xmit"""
    cdef packet_t* packet = walk.packet
    cdef const route_t* way = &walk.image.routes[packet.route]
    cdef int32_t device = output_device(walk, packet.route)
    cdef const device_t* dev = &walk.image.devices[device]
    cdef uint64_t mac = 0
    cdef int32_t entry = -1
    cdef int reason
    if is_too_long(packet, dev.mtu) and not (packet.is_local and packet.proto == PROTO_TCP):
        # What the node's own TCP hands down is cut to size by its device.
        return drop(walk, FRAGMENTATION_NEEDED if packet.is_local and packet.family == 4
                    and packet.dont_fragment else FRAGMENTATION_UNMODELLED)
    if dev.is_ether:
        if (is_multicast(packet) or way.kind == ROUTE_BROADCAST
                or (packet.family == 4 and packet.dst.lo == 0xFFFFFFFFu)):
            mac = group_mac(packet)
        else:
            reason = neighbour(walk, device, packet.dst if addr_is_zero(way.gateway)
                               else way.gateway, &mac, &entry)
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
        walk.place = device
        walk.packet.is_looped = 1
        return RECEIVE
    if dev.kind == DEVICE_DUMMY:
        trace_step(walk.trace, STEP_DEVICE_OUT, <uint32_t>device)
        tap(walk, device, True)
        return end(walk, CONSUMED, LEFT_BY_DEVICE, device)
    return transmit(walk, device)


# --------------------------------------------------------------------------------- tunnels


cdef uint16_t outer_sport(walk_t* walk, const vxlan_t* vxlan) noexcept nogil:
    """udp_flow_src_port: a hash of the inner flow, the same in both directions."""
    cdef const packet_t* packet = walk.packet
    cdef const node_t* node = &walk.image.nodes[packet.node]
    cdef draw_t draw = packet_draw(walk, CHOICE_VXLAN_PORT)
    cdef uint32_t low = vxlan.port_low, high = vxlan.port_high, value = 0
    if packet.family == 0 or not (proto_has_ports(packet.proto) and packet.has_ports):
        draw.sport = draw.dport = 0
    if packet.family == 0:
        draw.proto = 0
    order_draw(&draw)
    if low >= high:
        low, high = node.port_low, node.port_high
    if not choice_fed(walk.state, &draw, True, &value):
        value = low + <uint32_t>(
            ((choice_key(walk.image.seed, &draw) >> 32) * (high - low)) >> 32)
    trace_value(walk.trace, EVENT_OUTER_SPORT, 0, value & 0xFFFF)
    return <uint16_t>value


cdef void order_draw(draw_t* draw) noexcept nogil:
    """One draw for both directions: the lower end first."""
    cdef addr_t address = draw.src
    cdef uint16_t port = draw.sport
    if draw.src.hi < draw.dst.hi or (draw.src.hi == draw.dst.hi and draw.src.lo < draw.dst.lo):
        return
    if addr_equal(draw.src, draw.dst) and draw.sport <= draw.dport:
        return
    draw.src, draw.dst = draw.dst, address
    draw.sport, draw.dport = draw.dport, port


cdef int encapsulate(walk_t* walk, int32_t device) noexcept nogil:
    """vxlan_xmit, vxlan_xmit_one.  The mark goes with the outer packet, the connection does not."""
    cdef packet_t* packet = walk.packet
    cdef const device_t* dev = &walk.image.devices[device]
    cdef const vxlan_t* vxlan = &walk.image.vxlans[dev.vxlan]
    cdef const node_t* node = &walk.image.nodes[dev.node]
    cdef addr_t remote = vxlan.remote, local = vxlan.local
    cdef int32_t row, route
    cdef uint32_t mark = packet.mark
    cdef uint16_t sport, id
    cdef int reason
    if not dev.is_up:
        return drop(walk, DEVICE_DOWN)
    trace_step(walk.trace, STEP_DEVICE_OUT, <uint32_t>device)
    tap(walk, device, True)
    row = fdb_static(walk.image, device, ether_dst(packet))
    if row >= 0:
        trace_step(walk.trace, STEP_FDB, <uint32_t>row)
        remote = walk.image.fdb[row].remote
    if addr_is_zero(remote):
        return drop(walk, VXLAN_NO_REMOTE)
    if remote.hi or local.hi:
        return drop(walk, UNDERLAY_UNMODELLED)
    if packet.encapsulations >= ENCAPSULATIONS_MAX:
        return drop(walk, TUNNEL_LOOP)
    if addr_is_zero(local):
        route = fib_lookup(walk.image, dev.node, 4, remote)
        if route < 0 or not source_address(walk.image, route, remote, &local):
            return drop(walk, NO_ROUTE)
    trace_step(walk.trace, STEP_ENCAPSULATE, <uint32_t>device)
    sport = outer_sport(walk, vxlan)
    id = ip_id(walk)
    if not packet.is_made:
        conntrack_drop(walk, packet.connection)
    packet_scrub(packet)
    packet.mark = mark
    packet.must_leave_by = vxlan.link
    packet.encapsulations += 1
    reason = vxlan_encapsulate(packet, vxlan, local, remote,
                               vxlan.ttl if vxlan.ttl else node.default_ttl, sport, id)
    if reason:
        return drop(walk, <uint16_t>reason)
    return SEND


cdef int decapsulate(walk_t* walk, const vxlan_t* vxlan) noexcept nogil:
    """vxlan_rcv: the inner frame arrives at the VXLAN device."""
    cdef int reason = vxlan_decapsulate(walk.packet, walk.image.devices[vxlan.device].mac)
    if reason:
        return drop(walk, <uint16_t>reason)
    trace_step(walk.trace, STEP_DECAPSULATE, <uint32_t>vxlan.device)
    leave_node(walk)
    walk.place = vxlan.device
    return RECEIVE


# ------------------------------------------------------------------------------- the walk


cdef void run(walk_t* walk, int action) noexcept nogil:
    cdef uint32_t actions = 0
    while action != END:
        if actions >= ACTIONS_MAX:
            drop(walk, TRACE_FULL)
            return
        actions += 1
        action = receive(walk) if action == RECEIVE else local_out(walk)


cdef void run_pending(walk_t* walk, int32_t held) noexcept nogil:
    """The packets made on the way, each to its end.  Their verdicts are nobody's."""
    cdef packet_t* made
    cdef uint32_t i = 0
    while i < walk.pending_count:
        made = &walk.pending[i]
        walk.packet = made
        trace_step(walk.trace, STEP_GENERATE,
                   <uint32_t>made.node * GENERATED_KINDS + made.generated)
        if not made.send_raw:
            run(walk, SEND)
        else:
            run(walk, device_output(walk, made.out_device))
        if made.connection != held:
            conntrack_drop(walk, made.connection)
        i += 1


cdef void walk_packet(walk_t* walk, int action) noexcept nogil:
    cdef packet_t* packet = walk.packet
    cdef uint8_t verdict
    cdef uint16_t reason
    cdef int32_t place
    walk.pending_count = 0
    walk.reason = 0
    run(walk, action)
    verdict, reason, place = walk.verdict, walk.reason, walk.place
    if walk.pending_count:
        run_pending(walk, packet.connection)
        walk.packet = packet
    # A connection that was never confirmed vanishes with its packet.
    conntrack_drop(walk, packet.connection)
    if walk.trace.count > STEPS_MAX:
        verdict, reason = UNKNOWN, TRACE_FULL
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
