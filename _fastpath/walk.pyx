"""How a packet ends, and what is seen of it at a device; see walk.pxd."""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from _fastpath.conntrack cimport conntrack_drop
from _fastpath.packet cimport ether_dst, ether_src, packet_scrub, packet_t, store48
from _fastpath.reason cimport DROPPED, REJECTED, UNKNOWN
from _fastpath.trace cimport (
    EVENT_ETHER_DST,
    EVENT_ETHER_SRC,
    REASONS,
    STEP_UNKNOWN,
    STEPS_MAX,
    tap_t,
    trace_step,
    trace_value,
)
from _fastpath.vxlan cimport VXLAN_OVERHEAD


cdef int end(walk_t* walk, uint8_t verdict, uint16_t reason, int32_t place) noexcept nogil:
    walk.verdict = verdict
    walk.reason = reason
    walk.place = place
    if verdict == UNKNOWN and (walk.is_aside or walk.is_copying):
        trace_step(walk.trace, STEP_UNKNOWN, <uint32_t>walk.packet.node * REASONS + reason)
    return END


cdef int drop(walk_t* walk, uint16_t reason) noexcept nogil:
    return end(walk, UNKNOWN if reason >= 200 else DROPPED, reason, here(walk))


cdef int answered(walk_t* walk, bint is_answered, uint16_t reason) noexcept nogil:
    return end(walk, REJECTED if is_answered else DROPPED, reason, here(walk))


cdef int32_t here(const walk_t* walk) noexcept nogil:
    return ~walk.packet.node


cdef int next_at(walk_t* walk, int action, int32_t device) noexcept nogil:
    walk.place = device
    return action


cdef void fits_into(walk_t* walk, uint32_t mtu) noexcept nogil:
    # In a tunnel the packet is longer than it came in.
    cdef uint32_t more = walk.packet.encapsulations * <uint32_t>VXLAN_OVERHEAD
    walk.ip_length_most = min(walk.ip_length_most, max(mtu, more) - more)


cdef void tap(walk_t* walk, int32_t device, bint outgoing) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef tap_t* row
    if walk.trace.tap_max == 0 or not walk.trace.tap_wanted[device]:
        return
    if (walk.trace.tap_count >= walk.trace.tap_end
            or walk.trace.output_end - walk.trace.output_size < packet.size):
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


cdef void leave_node(walk_t* walk) noexcept nogil:
    if not walk.packet.is_made:
        conntrack_drop(walk, walk.packet.connection)
    packet_scrub(walk.packet)


cdef void set_ether_dst(walk_t* walk, uint64_t mac) noexcept nogil:
    if ether_dst(walk.packet) != mac:
        trace_value(walk.trace, EVENT_ETHER_DST, ether_dst(walk.packet), mac)
    store48(walk.packet.frame, mac)


cdef void set_ether_src(walk_t* walk, uint64_t mac) noexcept nogil:
    if ether_src(walk.packet) != mac:
        trace_value(walk.trace, EVENT_ETHER_SRC, ether_src(walk.packet), mac)
    store48(walk.packet.frame + 6, mac)
