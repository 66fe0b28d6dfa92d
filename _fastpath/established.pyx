"""Established flows take the recorded way; see established.pxd, and recorded_way.pyx for what is
recorded.  A packet takes the way of the one before it if

    its headers         are the same but for what may differ (lengths, sequence numbers …), with a
                        TTL that lasts, a length that no MTU on the way stops, a right checksum
    its connections     on every node are the same rows with the same status and mark, not expired;
                        a segment of TCP within both windows
    what was learned    by bridges, and of hosts on wires, is the same (state.epoch)

Then conntrack's duties are done on every node crossed (windows, timeouts, accounting), the
rules of the path are counted, and the output frames are the recorded ones with this packet's
lengths, TTL and checksums.  Specified by the long way: tests/test_recorded_way.py.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

from _fastpath.address cimport addr_t
from _fastpath.answers cimport next_ip_id
from _fastpath.conntrack_datagram cimport udp_timeout
from _fastpath.conntrack_tcp cimport tcp_go_on, tcp_goes_on
from _fastpath.conntrack_window cimport segment_read, segment_t
from _fastpath.edits cimport edit_t, edit_write
from _fastpath.image cimport node_t
from _fastpath.packet cimport ETHER_SIZE, PROTO_TCP, load16, load32, load64
from _fastpath.prefetch cimport prefetch
from _fastpath.recorded_way cimport entry_ttl, met_t, recorded_way_t
from _fastpath.state cimport (
    IPS_ASSURED,
    IPS_SEEN_REPLY,
    connection_datagram,
    connection_t,
    state_t,
)
from _fastpath.trace cimport STEP_DECAPSULATE, STEP_ENCAPSULATE, STEP_RULE, tap_t

cdef enum:
    SECOND_NS = 1000000000
    TUNNEL_BYTES = 50           # what a tunnel adds to the length of the IP packet
    IP_HEADER = 20
    IPV6_HEADER = 40
    CONNECTIONS_CACHED = 8192   # so many are in a cache anyway


cdef inline uint32_t transport_at(uint8_t family) noexcept nogil:
    return ETHER_SIZE + (IP_HEADER if family == 4 else IPV6_HEADER)


cdef inline uint32_t ip_length(const job_t* job) noexcept nogil:
    return job.length - ETHER_SIZE


cdef inline bint is_same_link(const recorded_way_t* way, const uint8_t* frame) noexcept nogil:
    cdef uint64_t addresses
    cdef uint32_t rest
    memcpy(&addresses, frame, 8)
    memcpy(&rest, frame + 8, 4)
    return (addresses == way.ether_addresses) & (rest == way.ether_rest)


cdef inline bint still_holds(const recorded_way_t* way, const job_t* job) noexcept nogil:
    return (job.is_sound & (way.tos == job.tos)
            & (entry_ttl(job.ttl, way.is_reply) >= way.ttl_least)
            & (ip_length(job) <= way.ip_length_most) & is_same_link(way, job.frame))


# ----------------------------------------------------------------------------- connections


cdef inline bint may_go_on(const connection_t* connection, const met_t* met, uint32_t generation,
                           const job_t* job, const segment_t* segment,
                           uint64_t now_ns) noexcept nogil:
    """Its tracker will let the packet pass, and its status stay."""
    if not ((connection.generation == generation) & (connection.status == met.status)
            & (connection.mark == met.mark) & (connection.expires_ns > now_ns)):
        return False
    if job.proto == PROTO_TCP and not met.is_tunnel:
        return tcp_goes_on(connection, segment, met.direction)
    return (met.status & IPS_ASSURED or not met.status & IPS_SEEN_REPLY
            or now_ns <= connection_datagram(<connection_t*>connection).stream_ns)


cdef inline bint all_may_go_on(const recorded_way_t* way, const flow_way_t* flow,
                               const walk_t* walk, const job_t* job,
                               const segment_t* segment) noexcept nogil:
    cdef uint32_t i
    for i in range(way.touch_count):
        if not may_go_on(&walk.state.connections[flow.connections[i]], &way.met[i],
                         flow.generations[i], job, segment, job.time_ns):
            return False
    return True


cdef inline void go_on(connection_t* connection, const met_t* met, const node_t* node,
                       const job_t* job, const segment_t* segment) noexcept nogil:
    if job.proto == PROTO_TCP and not met.is_tunnel:
        tcp_go_on(node, connection, segment, met.direction, job.time_ns)
    else:
        connection.expires_ns = job.time_ns + SECOND_NS * udp_timeout(
            node, connection, job.time_ns)


cdef inline void all_go_on(const recorded_way_t* way, const flow_way_t* flow, walk_t* walk,
                           const job_t* job, const segment_t* segment) noexcept nogil:
    """nf_conntrack_handle_packet, nf_ct_acct_update: on every node."""
    cdef state_t* state = walk.state
    cdef const met_t* met
    cdef connection_t* connection
    cdef uint64_t* accounting
    cdef uint64_t earliest = state.next_expiry_ns
    cdef uint32_t i
    for i in range(way.touch_count):
        met = &way.met[i]
        connection = &state.connections[flow.connections[i]]
        go_on(connection, met, &walk.image.nodes[met.node], job, segment)
        earliest = min(earliest, connection.expires_ns)
        if state.accounting != NULL:
            accounting = &state.accounting[
                (<uint64_t>flow.connections[i] * 2 + met.direction) * 2]
            accounting[0] += 1
            accounting[1] += ip_length(job) + TUNNEL_BYTES * met.is_tunnel
    state.next_expiry_ns = earliest


# --------------------------------------------------------------------------------- deciding


cdef void foresee(const ways_t* ways, const flow_way_t* flow, const walk_t* walk) noexcept nogil:
    # Connections of many flows are in no cache: asked for a batch at a time, their ways through
    # memory overlap.
    cdef const recorded_way_t* way
    cdef const uint8_t* connection
    cdef uint32_t i
    if flow.way == 0 or walk.state.connection_max < CONNECTIONS_CACHED:
        return
    way = &ways.ways[flow.way - 1]
    for i in range(way.touch_count):
        connection = <const uint8_t*>&walk.state.connections[flow.connections[i]]
        prefetch(connection)
        if flow.proto == PROTO_TCP and not way.met[i].is_tunnel:
            prefetch(connection + 64)


cdef bint decide(const ways_t* ways, flow_way_t* flow, walk_t* walk, job_t* job) noexcept nogil:
    cdef const recorded_way_t* way
    cdef segment_t segment
    cdef uint32_t at = transport_at(job.family)
    if flow.way == 0 or flow.epoch != walk.state.epoch:
        return False
    way = &ways.ways[flow.way - 1]
    memset(&segment, 0, sizeof(segment_t))
    if job.proto == PROTO_TCP:
        segment_read(job.frame, at, job.size, job.length, &segment)
    if not still_holds(way, job) or not all_may_go_on(way, flow, walk, job, &segment):
        return False
    all_go_on(way, flow, walk, job, &segment)
    count_path(walk.trace, way.path, ip_length(job))
    flow.packets += 1
    job.way, job.outer_sport = flow.way - 1, flow.outer_sport
    if way.tunnel_node >= 0:
        job.outer_id = next_ip_id(way.first_id, &walk.state.ip_ids[way.tunnel_node])
    if way.edit_count:
        make_place(ways, way, walk.trace, job)
    return True


cdef inline void make_place(const ways_t* ways, const recorded_way_t* way, trace_t* trace,
                            job_t* job) noexcept nogil:
    cdef uint32_t i
    job.tap, job.output = trace.tap_count, trace.output_size
    trace.tap_count += way.edit_count
    for i in range(way.edit_start, way.edit_start + way.edit_count):
        trace.output_size += job.size + ways.edits[i].tunnel


# ------------------------------------------------------------------- records and output frames


cdef inline addr_t source(const job_t* job) noexcept nogil:
    if job.family == 4:
        return addr_t(0, load32(job.frame + ETHER_SIZE + 12))
    return addr_t(load64(job.frame + ETHER_SIZE + 8), load64(job.frame + ETHER_SIZE + 16))


cdef inline addr_t destination(const job_t* job) noexcept nogil:
    if job.family == 4:
        return addr_t(0, load32(job.frame + ETHER_SIZE + 16))
    return addr_t(load64(job.frame + ETHER_SIZE + 24), load64(job.frame + ETHER_SIZE + 32))


cdef inline void put_record(const recorded_way_t* way, const job_t* job, uint8_t ttl,
                            uint32_t number, record_t* record) noexcept nogil:
    cdef const uint8_t* ports = job.frame + transport_at(job.family)
    record.time_ns = job.time_ns
    record.packet, record.flow = number, job.flow >> 1
    record.path, record.place, record.entry = way.path, way.place, way.entry
    record.reason, record.verdict = way.reason, way.verdict
    record.reply = way.is_reply
    record.family, record.proto = job.family, job.proto
    record.sport, record.dport = load16(ports), load16(ports + 2)
    record.end_sport = record.sport if way.is_sport_kept else way.end_sport
    record.end_dport = record.dport if way.is_dport_kept else way.end_dport
    record.end_ttl = way.end_ttl if way.is_in_tunnel else ttl - way.ttl_less
    record.tcp_flags = job.tcp_flags
    record.end_family = way.end_family
    record.padding[0] = record.padding[1] = record.padding[2] = 0
    record.length = job.length
    record.src, record.dst = source(job), destination(job)
    record.end_src = record.src if way.is_src_kept else way.end_src
    record.end_dst = record.dst if way.is_dst_kept else way.end_dst


cdef inline void put_frames(const ways_t* ways, const recorded_way_t* way, const trace_t* trace,
                            const job_t* job, uint8_t ttl, uint32_t number) noexcept nogil:
    cdef const edit_t* edit
    cdef tap_t* row
    cdef uint64_t offset = job.output
    cdef uint32_t i
    for i in range(way.edit_count):
        edit = &ways.edits[way.edit_start + i]
        row = &trace.taps[job.tap + i]
        row.time_ns = job.time_ns
        row.offset = offset
        row.length = job.length + edit.tunnel
        row.packet = number
        row.device = edit.device
        row.outgoing = edit.outgoing
        row.generated = 0
        row.step = edit.step
        row.size = edit_write(edit, job, ttl, trace.output + offset)
        offset += row.size


cdef void put(const ways_t* ways, const trace_t* trace, const job_t* job, uint32_t number,
              record_t* record) noexcept nogil:
    cdef const recorded_way_t* way = &ways.ways[job.way]
    cdef uint8_t ttl = entry_ttl(job.ttl, way.is_reply)
    put_record(way, job, ttl, number, record)
    if way.edit_count:
        put_frames(ways, way, trace, job, ttl, number)


# ------------------------------------------------------------------------------- counters


cdef inline void count_path(trace_t* trace, uint32_t path, uint32_t bytes) noexcept nogil:
    if trace.path_packets[path] == 0:
        trace.dirty[trace.dirty_count] = path
        trace.dirty_count += 1
    trace.path_packets[path] += 1
    trace.path_bytes[path] += bytes


cdef void ways_settle(walk_t* walk) noexcept nogil:
    cdef trace_t* trace = walk.trace
    cdef uint32_t i
    for i in range(trace.dirty_count):
        settle(walk, trace.dirty[i])
        trace.path_packets[trace.dirty[i]] = trace.path_bytes[trace.dirty[i]] = 0
    trace.dirty_count = 0


cdef void settle(walk_t* walk, uint32_t path) noexcept nogil:
    """Every rule of the path, as often as it was taken; in a tunnel packets are longer."""
    cdef const uint32_t* base = walk.trace.base
    cdef uint64_t packets = walk.trace.path_packets[path], bytes = walk.trace.path_bytes[path], at
    cdef uint32_t step
    for at in range(walk.trace.path_start[path], walk.trace.path_start[path + 1]):
        step = walk.trace.path_steps[at]
        if base[<int>STEP_RULE] <= step < base[<int>STEP_RULE] + walk.image.rule_count:
            walk.state.counters[2 * (step - base[<int>STEP_RULE])] += packets
            walk.state.counters[2 * (step - base[<int>STEP_RULE]) + 1] += bytes
        elif base[<int>STEP_ENCAPSULATE] <= step < (
                base[<int>STEP_ENCAPSULATE] + walk.image.device_count):
            bytes += packets * TUNNEL_BYTES
        elif base[<int>STEP_DECAPSULATE] <= step < (
                base[<int>STEP_DECAPSULATE] + walk.image.device_count):
            bytes -= packets * TUNNEL_BYTES
