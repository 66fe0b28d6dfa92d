"""TEE: a copy of the packet goes to a gateway.  Specified by dataplane.reference.duplicate."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.checksum cimport checksum_replace
from _fastpath.fib_rules cimport flowi_t, flowi_to
from _fastpath.forwarding cimport route_output
from _fastpath.image cimport HOOK_INPUT, HOOK_PREROUTING, device_t, node_t
from _fastpath.netfilter cimport WALK_UNKNOWN
from _fastpath.packet cimport (
    ETHER_SIZE,
    load16,
    packet_copy,
    packet_set_ttl,
    packet_t,
    store16,
)
from _fastpath.path cimport send_copy
from _fastpath.realms cimport output_realms
from _fastpath.reason cimport TARGET_UNMODELLED, TRACE_FULL
from _fastpath.state cimport CT_UNTRACKED, PENDING_MAX
from _fastpath.trace cimport (
    GENERATED_COPY,
    GENERATED_KINDS,
    STEP_GENERATE,
    STEP_RESUME,
    trace_step,
)
from _fastpath.walk cimport RECEIVE

cdef enum:
    DONT_FRAGMENT = 0x4000


cdef int32_t device_by_name(const walk_t* walk, const uint32_t* words) noexcept nogil:
    """-1 if the node has none: then the copy may leave by any."""
    cdef const node_t* node = &walk.image.nodes[walk.packet.node]
    cdef const device_t* device
    cdef uint64_t first = (<uint64_t>words[0] << 32) | words[1]
    cdef uint64_t second = (<uint64_t>words[2] << 32) | words[3]
    cdef uint32_t i
    for i in range(node.device_start, node.device_start + node.device_count):
        device = &walk.image.devices[i]
        if device.name[0] == first and device.name[1] == second:
            return <int32_t>i
    return -1


cdef int gateway_route(walk_t* walk, const target_t* target, int32_t* route) noexcept nogil:
    """nf_dup_ipv4_route, nf_dup_ipv6_route: with no source and no mark."""
    cdef const packet_t* packet = walk.packet
    cdef flowi_t flow = flowi_to(walk.image, packet.node, packet.family, target.address_min)
    cdef int reason
    if packet.family == 4:
        flow.tos = packet.tos
    if target.a:
        flow.oif = device_by_name(walk, walk.image.words + target.a - 1)
    reason = route_output(walk.image, walk.state, &flow, NULL, route)
    if reason == 0:
        walk.copied.realms = output_realms(walk.image, &flow, route[0])
    return reason


cdef void forbid_fragments(packet_t* copy) noexcept nogil:
    """So that the packet's source learns of a smaller MTU on the copy's way."""
    cdef uint8_t* ip = copy.frame + ETHER_SIZE
    cdef uint16_t old = load16(ip + 6)
    store16(ip + 10, checksum_replace(load16(ip + 10), old, old | DONT_FRAGMENT))
    store16(ip + 6, old | DONT_FRAGMENT)
    copy.dont_fragment = 1


cdef void make_copy(walk_t* walk, packet_t* copy, int32_t route,
                    const target_t* target) noexcept nogil:
    cdef uint32_t realms = copy.realms
    packet_copy(copy, walk.packet)
    copy.realms = realms
    copy.connection = -1
    copy.is_tracked = 1
    copy.ctinfo = CT_UNTRACKED
    copy.direction = copy.has_template = copy.is_occupied = 0
    copy.zone_directions = copy.zone_is_mark = 0
    copy.zone = 0
    copy.is_made = copy.is_routed = 1
    copy.generated = GENERATED_COPY
    copy.is_copy = 1
    copy.must_leave_by = -1
    copy.is_listed = 0      # shared with the packet: it is cut as any other (ip_do_fragment)
    copy.route = route
    copy.next_hop = target.address_min
    if copy.family == 4:
        forbid_fragments(copy)
    if walk.hook == HOOK_PREROUTING or walk.hook == HOOK_INPUT:
        packet_set_ttl(copy, <uint8_t>(copy.ttl - 1))


cdef int wait(walk_t* walk, const packet_t* copy, int32_t device) noexcept nogil:
    """It arrives there when the packet has ended."""
    cdef packet_t* made
    if walk.pending_count >= PENDING_MAX:
        walk.reason = TRACE_FULL
        return WALK_UNKNOWN
    made = &walk.pending[walk.pending_count]
    packet_copy(made, copy)
    made.is_arriving = 1
    made.out_device = device
    walk.pending_count += 1
    return -1


cdef int duplicate(walk_t* walk, const target_t* target) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef int32_t route = -1
    cdef int action
    cdef walk_t own
    if walk.is_copying:
        return -1
    if gateway_route(walk, target, &route):
        if packet.family == 6 or not target.a or device_by_name(
                walk, walk.image.words + target.a - 1) < 0:
            return -1
        # ip_route_output_key_hash_rcu: "Apparently, routing tables are wrong", it is on that link.
        walk.reason = TARGET_UNMODELLED
        return WALK_UNKNOWN
    if packet.family == 6 and packet.bridge_port >= 0 and packet.fragment_max:
        # nf_bridge_info's frag_max_size is the copy's too: its fragments are cut once more.
        walk.reason = TARGET_UNMODELLED
        return WALK_UNKNOWN
    trace_step(walk.trace, STEP_GENERATE, <uint32_t>packet.node * GENERATED_KINDS + GENERATED_COPY)
    make_copy(walk, walk.copied, route, target)
    own = walk[0]
    own.packet = walk.copied
    own.is_copying = 1
    own.cuts += walk.cut_count
    own.cut_max -= walk.cut_count
    own.told = walk.copied_told
    action = send_copy(&own)
    walk.pending_count = own.pending_count
    trace_step(walk.trace, STEP_RESUME, <uint32_t>packet.node)
    return wait(walk, walk.copied, own.place) if action == RECEIVE else -1
