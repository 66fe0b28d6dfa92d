"""The order of things at a VXLAN device.  Specified by dataplane.reference.tunnel."""

from libc.stdint cimport uint16_t, uint32_t

from _fastpath.address cimport addr_equal, addr_is_zero, addr_t
from _fastpath.answers cimport ip_id, packet_draw
from _fastpath.choice cimport CHOICE_VXLAN_PORT, choice_fed, choice_key, draw_t
from _fastpath.conntrack cimport conntrack_drop
from _fastpath.fdb cimport fdb_static
from _fastpath.fib_rules cimport flowi_t, flowi_to
from _fastpath.forwarding cimport route_output
from _fastpath.image cimport device_t, node_t
from _fastpath.packet cimport PROTO_UDP, ether_dst, packet_scrub, packet_t, proto_has_ports
from _fastpath.reason cimport (
    DEVICE_DOWN,
    NO_ROUTE,
    TUNNEL_LOOP,
    UNDERLAY_UNMODELLED,
    VXLAN_NO_REMOTE,
)
from _fastpath.source_address cimport source_address
from _fastpath.trace cimport (
    EVENT_OUTER_SPORT,
    STEP_DECAPSULATE,
    STEP_DEVICE_OUT,
    STEP_ENCAPSULATE,
    STEP_FDB,
    trace_step,
    trace_value,
)
from _fastpath.vxlan cimport vxlan_decapsulate, vxlan_encapsulate
from _fastpath.walk cimport RECEIVE, SEND, drop, leave_node, next_at, tap


cdef enum:
    ENCAPSULATIONS_MAX = 3


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
    cdef const vxlan_t* vxlan
    cdef const node_t* node = &walk.image.nodes[dev.node]
    cdef addr_t remote, local
    cdef int32_t row, route
    cdef flowi_t flow
    cdef uint32_t mark = packet.mark
    cdef uint16_t sport, id
    cdef int reason
    if not dev.is_up:
        return drop(walk, DEVICE_DOWN)
    trace_step(walk.trace, STEP_DEVICE_OUT, <uint32_t>device)
    tap(walk, device, True)
    if dev.vxlan < 0:
        return drop(walk, UNDERLAY_UNMODELLED)      # its settings are not modelled
    vxlan = &walk.image.vxlans[dev.vxlan]
    remote, local = vxlan.remote, vxlan.local
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
        flow = flowi_to(walk.image, dev.node, 4, remote)
        flow.oif, flow.proto, flow.dport = vxlan.link, PROTO_UDP, vxlan.port
        if (route_output(walk.image, walk.state, &flow, NULL, &route)
                or not source_address(walk.image, dev.node, route, remote, &local)):
            return drop(walk, NO_ROUTE)
    trace_step(walk.trace, STEP_ENCAPSULATE, <uint32_t>device)
    if packet.encapsulations or walk.tunnel_node >= 0 or vxlan.df == 2 or vxlan.udp_csum:
        walk.is_of_flow = 0             # not the flow's alone, or more than a recording keeps
    walk.tunnel_node = dev.node
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
    cdef int reason = vxlan_decapsulate(walk.packet, walk.image.devices[vxlan.device].mac)
    if reason:
        return drop(walk, <uint16_t>reason)
    trace_step(walk.trace, STEP_DECAPSULATE, <uint32_t>vxlan.device)
    if walk.packet.encapsulations:
        walk.packet.encapsulations -= 1
    else:
        walk.is_of_flow = 0             # it came in as the tunnel's packet
    leave_node(walk)
    return next_at(walk, RECEIVE, vxlan.device)
