"""The order of things at a bridge.  Specified by dataplane.reference.bridge.

    port in -> [PREROUTING -> where did the destination go?] -> learn -> look up
                                            local: up to the bridge device's own IP
                                            port:  [FORWARD -> POSTROUTING] -> port out
                                            else:  all ports

The hooks in brackets run for IP where `bridge-nf-call-iptables` says so; to them both ports
are the bridge.  br_input.c, br_forward.c, br_netfilter_hooks.c.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from _fastpath.address cimport addr_is_zero, addr_t
from _fastpath.cuts cimport cut
from _fastpath.fdb cimport FDB_LOCAL, FDB_NONE, fdb_learn, fdb_lookup
from _fastpath.forwarding cimport route_input
from _fastpath.hooks cimport hooks
from _fastpath.image cimport (
    HOOK_FORWARD,
    HOOK_POSTROUTING,
    HOOK_PREROUTING,
    ROUTE_UNICAST,
    device_t,
    route_t,
)
from _fastpath.neighbour cimport neighbour_mac
from _fastpath.packet cimport (
    ETHER_ARP,
    ETHER_IPV4,
    ETHER_IPV6,
    ETHER_SIZE,
    PROTO_TCP,
    VLAN_SIZE,
    ether_dst,
    ether_src,
    is_group_mac,
    packet_t,
    packet_trim,
)
from _fastpath.realms cimport input_realms
from _fastpath.reason cimport (
    ADDRESS_LEARNED_LOCAL,
    BRIDGE_LINK_LOCAL,
    BRIDGE_SAME_PORT,
    CONSUMED,
    DEVICE_DOWN,
    FLOODED,
    FRAGMENTATION_NEEDED,
    FRAGMENTATION_UNMODELLED,
    FORWARDING_DISABLED,
    GROUP_ADDRESS,
    MARTIAN_DESTINATION,
    MARTIAN_SOURCE,
    OTHER_HOST,
    REVERSE_PATH,
    ROUTE_UNMODELLED,
)
from _fastpath.trace cimport (
    STEP_BRIDGE_FLOOD,
    STEP_BRIDGE_LOCAL,
    STEP_BRIDGE_PORT,
    STEP_DEVICE_OUT,
    STEP_ROUTE,
    trace_step,
)
from _fastpath.walk cimport (
    END,
    GO_ON,
    PASS_UP,
    TRANSMIT,
    drop,
    end,
    fits_into,
    next_at,
    set_ether_dst,
    tap,
)


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
    if walk.packet.ignore_df:
        return drop(walk, FRAGMENTATION_UNMODELLED)     # each port's copy is cut anew
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
    cdef int32_t route = -1
    cdef const route_t* way
    cdef uint64_t mac = walk.image.devices[bridge].mac
    cdef addr_t next_hop
    cdef int reason = route_input(walk.image, walk.state, packet, bridge, &route)
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
        packet.realms = input_realms(walk.image, packet, bridge, route)
        trace_step(walk.trace, STEP_ROUTE, <uint32_t>route)
        next_hop = packet.dst if addr_is_zero(way.gateway) else way.gateway
        reason = neighbour_mac(walk, bridge, way.gateway_family, next_hop, &mac)
        if reason:
            return drop(walk, <uint16_t>reason)
    elif route >= 0:
        packet.error_device = walk.image.routes[route].device   # ip6_rcv_core: a route is known
    set_ether_dst(walk, mac)
    return GO_ON


cdef int bridge_forward(walk_t* walk, int32_t bridge, int32_t port, int32_t to) noexcept nogil:
    """br_forward: netfilter sees the bridge as both interfaces."""
    cdef packet_t* packet = walk.packet
    if to == port and not walk.image.devices[port].hairpin:
        return drop(walk, BRIDGE_SAME_PORT)
    fits_into(walk, walk.image.devices[port].mtu)
    if meets_bridge_netfilter(walk):
        packet.in_device = packet.out_device = bridge
        packet.bridge_port_out = to
        if hooks(walk, HOOK_FORWARD) == END or hooks(walk, HOOK_POSTROUTING) == END:
            return END
    trace_step(walk.trace, STEP_BRIDGE_PORT, <uint32_t>to)
    if (packet.proto == PROTO_TCP and not packet.ignore_df
            and packet.ip_length > walk.image.devices[port].mtu + VLAN_SIZE):
        packet.is_gso = 1               # see ip_forward
    if meets_bridge_netfilter(walk) and fit(walk, bridge, to) == END:
        return END
    return bridge_push(walk, to)


cdef int bridge_push(walk_t* walk, int32_t to) noexcept nogil:
    # is_skb_forwardable: with room for a VLAN tag.
    cdef uint32_t most = walk.image.devices[to].mtu + ETHER_SIZE + VLAN_SIZE
    fits_into(walk, walk.image.devices[to].mtu)
    if walk.packet.length > most and not walk.packet.is_gso:
        return drop(walk, FRAGMENTATION_NEEDED)
    return next_at(walk, TRANSMIT, to)


cdef int fit(walk_t* walk, int32_t bridge, int32_t to) noexcept nogil:
    """br_nf_dev_queue_xmit: what was put together for the rules is cut again."""
    cdef packet_t* packet = walk.packet
    cdef uint32_t mtu = walk.image.devices[bridge].mtu
    cdef uint32_t limit = packet.fragment_max if packet.fragment_max else mtu
    fits_into(walk, min(mtu, walk.image.devices[to].mtu))
    if packet.is_gso or packet.ip_length <= walk.image.devices[to].mtu and (
            packet.ip_length <= packet.fragment_max or not packet.fragment_max):
        return GO_ON
    if packet.family == 4:
        # br_nf_ip_fragment
        if (packet.dont_fragment and not packet.ignore_df) or packet.fragment_max > mtu:
            return drop(walk, FRAGMENTATION_NEEDED)
        return cut(walk, min(limit, mtu), to)
    if packet.fragment_max > mtu or (packet.ip_length > mtu and not packet.ignore_df):
        return drop(walk, FRAGMENTATION_UNMODELLED)     # an error may be sent, or not
    return cut(walk, max(limit, <uint32_t>1280) if packet.fragment_max else mtu, to)


cdef int bridge_input(walk_t* walk, int32_t port) noexcept nogil:
    # br_handle_frame, br_handle_frame_finish
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
        packet.error_device = -1
        packet.in_device, packet.out_device = bridge, -1
        if hooks(walk, HOOK_PREROUTING) == END:
            return END
        if packet.destination_changed and redirected(walk, bridge) == END:
            return END
    fdb_learn(walk.image, walk.state, bridge, port, ether_src(packet))
    if is_group_mac(ether_dst(packet)):
        tap(walk, bridge, False)
        flood(walk, bridge, port)
        return next_at(walk, PASS_UP, bridge) if packet.ethertype == ETHER_ARP else END
    to = fdb_lookup(walk.image, walk.state, bridge, ether_dst(packet))
    if to == FDB_NONE:
        return flood(walk, bridge, port)
    if to == FDB_LOCAL:
        trace_step(walk.trace, STEP_BRIDGE_LOCAL, <uint32_t>bridge)
        packet.fragment_max = packet.fragment_df = 0    # ip_rcv_core: IPCB is cleared
        tap(walk, bridge, False)
        # eth_type_trans at the port: a frame for the port's own address is the node's too.
        packet.is_for_port = ether_dst(packet) == walk.image.devices[port].mac
        return next_at(walk, PASS_UP, bridge)
    return bridge_forward(walk, bridge, port, to)


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
    if walk.packet.bridge_port_out >= 0:
        return bridge_copy(walk, bridge, to)
    trace_step(walk.trace, STEP_BRIDGE_PORT, <uint32_t>to)
    return next_at(walk, TRANSMIT, to)


cdef int bridge_copy(walk_t* walk, int32_t bridge, int32_t to) noexcept nogil:
    """br_nf_post_routing: a copy of what was bridged (TEE) seems to be bridged too."""
    walk.packet.in_device, walk.packet.out_device = -1, bridge
    if hooks(walk, HOOK_POSTROUTING) == END:
        return END
    trace_step(walk.trace, STEP_BRIDGE_PORT, <uint32_t>to)
    return END if fit(walk, bridge, to) == END else bridge_push(walk, to)
