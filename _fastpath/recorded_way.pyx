"""Established flows take the recorded way; see recorded_way.pxd.

A walk is recorded when nothing but its flow, and what stays as it is, has decided on it
(walk.is_of_flow): no packet that was made, no fragment, no match or target that remembers or
looks at more than addresses, ports, marks and the state of a connection.  The next packet of
the flow takes the same way if the recording still holds:

    its headers         the same but for what may differ (lengths, sequence numbers …), a TTL that
                        lasts, a length that no MTU on the way stops, a right checksum
    its connections     on every node the same rows with the same status and mark, not expired;
                        a segment of TCP within both windows
    what was learned    by bridges, and of hosts on wires: nothing since (state.epoch)

Then conntrack's duties are done on every node crossed (windows, timeouts, accounting), the
rules of the path are counted, and the output frames are the recorded ones with this packet's
lengths, TTL and checksums.  Specified by the long way: tests/test_recorded_way.py.
"""

from libc.string cimport memcmp, memcpy, memset

from _fastpath.answers cimport next_ip_id
from _fastpath.checksum cimport checksum_add, checksum_finish
from _fastpath.conntrack_datagram cimport datagram_packet
from _fastpath.conntrack_tcp cimport tcp_goes_on, tcp_packet
from _fastpath.image cimport node_t
from _fastpath.packet cimport (
    CHECKSUM_NONE,
    CHECKSUM_RIGHT,
    ETHER_SIZE,
    PROTO_TCP,
    initial_ttl,
    load16,
    load48,
    packet_checksum,
    packet_peek,
    store16,
)
from _fastpath.reason cimport UNKNOWN
from _fastpath.state cimport (
    IPS_ASSURED,
    IPS_SEEN_REPLY,
    connection_datagram,
    connection_t,
    state_t,
)
from _fastpath.trace cimport (
    STEP_DECAPSULATE,
    STEP_ENCAPSULATE,
    STEP_RULE,
    tap_t,
    trace_t,
)
from _fastpath.vxlan cimport VXLAN_OVERHEAD

cdef enum:
    SECOND_NS = 1000000000
    TUNNEL_BYTES = 50           # what a tunnel adds to the length of the IP packet
    IP_HEADER = 20
    IPV6_HEADER = 40
    OUTER_LENGTH = ETHER_SIZE + 2
    OUTER_ID = ETHER_SIZE + 4
    OUTER_CHECK = ETHER_SIZE + 10
    OUTER_UDP_LENGTH = ETHER_SIZE + IP_HEADER + 4
    OUTER_UDP_CHECK = ETHER_SIZE + IP_HEADER + 6


# ------------------------------------------------------------------------------ the packet


cdef inline uint32_t ports_at(uint8_t family) noexcept nogil:
    return ETHER_SIZE + (IP_HEADER if family == 4 else IPV6_HEADER)


cdef inline uint32_t check_at(uint8_t family, uint8_t proto) noexcept nogil:
    return ports_at(family) + (16 if proto == PROTO_TCP else 6)


cdef inline uint8_t entry_ttl(uint8_t ttl, bint is_reply) noexcept nogil:
    """A reply enters as its sender sent it: see turn_round in inject.pyx."""
    return initial_ttl(ttl) if is_reply else ttl


cdef inline bint is_sound(packet_t* packet) noexcept nogil:
    """Its checksum is right, or there is none, or the capture does not hold what it covers."""
    cdef uint8_t checksum = packet_checksum(packet)
    return checksum == CHECKSUM_RIGHT or checksum == CHECKSUM_NONE


cdef inline bint still_holds(const recorded_way_t* way, const packet_t* packet,
                             uint32_t epoch) noexcept nogil:
    return (way.epoch == epoch and way.tos == packet.tos
            and entry_ttl(packet.ttl, way.is_reply) >= way.ttl_least
            and packet.ip_length <= way.ip_length_most
            and way.ether_dst == load48(packet.frame) and way.ether_src == load48(packet.frame + 6))


# ----------------------------------------------------------------------------- connections


cdef inline bint is_as_it_was(const connection_t* connection, const touch_t* touch,
                              uint64_t now_ns) noexcept nogil:
    return (connection.generation == touch.generation and connection.status == touch.status
            and connection.mark == touch.mark and connection.expires_ns > now_ns)


cdef bint may_go_on(const connection_t* connection, const touch_t* touch, const packet_t* packet,
                    uint64_t now_ns) noexcept nogil:
    """Its tracker will let the packet pass, and its status stay."""
    if not is_as_it_was(connection, touch, now_ns):
        return False
    if not touch.is_tunnel and packet.proto == PROTO_TCP:
        return tcp_goes_on(connection, packet, touch.direction)
    return (touch.status & IPS_ASSURED or not touch.status & IPS_SEEN_REPLY
            or now_ns <= connection_datagram(<connection_t*>connection).stream_ns)


cdef bint connections_may_go_on(const recorded_way_t* way, const walk_t* walk,
                                const packet_t* packet) noexcept nogil:
    cdef const touch_t* touch
    cdef uint32_t i
    for i in range(way.touch_count):
        touch = &way.touches[i]
        if not may_go_on(&walk.state.connections[touch.connection], touch, packet, walk.now_ns):
            return False
    return True


cdef void connections_go_on(const recorded_way_t* way, walk_t* walk,
                            const packet_t* packet) noexcept nogil:
    """nf_conntrack_handle_packet, nf_ct_acct_update: on every node."""
    cdef state_t* state = walk.state
    cdef const touch_t* touch
    cdef connection_t* connection
    cdef const node_t* node
    cdef uint64_t* accounting
    cdef uint32_t i
    for i in range(way.touch_count):
        touch = &way.touches[i]
        connection = &state.connections[touch.connection]
        node = &walk.image.nodes[connection.original.node]
        if not touch.is_tunnel and packet.proto == PROTO_TCP:
            tcp_packet(node, connection, packet, touch.direction, walk.now_ns)
        else:
            connection.expires_ns = walk.now_ns + SECOND_NS * datagram_packet(
                node, connection, walk.now_ns)
        state.next_expiry_ns = min(state.next_expiry_ns, connection.expires_ns)
        if state.accounting != NULL:
            accounting = &state.accounting[
                (<uint64_t>touch.connection * 2 + touch.direction) * 2]
            accounting[0] += 1
            accounting[1] += packet.ip_length + TUNNEL_BYTES * touch.is_tunnel


# --------------------------------------------------------------------------- output frames


cdef inline uint16_t add_delta(uint16_t check, uint32_t delta) noexcept nogil:
    """RFC 1624, equation 3.  A delta that is not 0 leaves a sum that is not 0 either, as every
    single update of a checksum does."""
    cdef uint32_t sum = <uint16_t>~check + delta
    sum = (sum & 0xFFFF) + (sum >> 16)
    return <uint16_t>~(sum + (sum >> 16)) if delta else check


cdef inline uint32_t word_delta(uint16_t before, uint16_t after) noexcept nogil:
    return <uint16_t>~before + <uint32_t>after if before != after else 0


cdef inline void write_ipv4(const edit_t* edit, const uint8_t* frame, uint8_t ttl,
                            uint8_t* to) noexcept nogil:
    memcpy(to + 16, frame + 16, 6)      # total length, identification, flags
    to[22] = ttl
    store16(to + 24, add_delta(load16(frame + 24), edit.ip_delta + word_delta(
        load16(frame + 22), <uint16_t>(ttl << 8) | frame[23])))


cdef inline void write_ipv6(const uint8_t* frame, uint8_t ttl, uint8_t* to) noexcept nogil:
    memcpy(to + 14, frame + 14, 6)      # flow label, payload length; the class is the way's
    to[21] = ttl


cdef inline void write_check(const edit_t* edit, const uint8_t* frame, uint32_t at, uint8_t proto,
                             uint8_t* to) noexcept nogil:
    cdef uint16_t sum = load16(frame + at)
    if proto == PROTO_TCP:
        store16(to + at, add_delta(sum, edit.l4_delta))
    elif sum and edit.l4_delta:         # RFC 768: 0 is no checksum, and stays none
        sum = add_delta(sum, edit.l4_delta)
        store16(to + at, sum if sum else 0xFFFF)


cdef inline void write_tunnel(uint32_t length, uint16_t id, uint8_t* to) noexcept nogil:
    length += VXLAN_OVERHEAD - ETHER_SIZE
    store16(to + OUTER_LENGTH, <uint16_t>length)
    store16(to + OUTER_ID, id)
    store16(to + OUTER_CHECK, 0)
    store16(to + OUTER_CHECK, checksum_finish(checksum_add(0, to + ETHER_SIZE, IP_HEADER)))
    store16(to + OUTER_UDP_LENGTH, <uint16_t>(length - IP_HEADER))


cdef uint32_t write_frame(const edit_t* edit, const uint8_t* frame, uint32_t size,
                          uint32_t length, uint8_t family, uint8_t proto, uint8_t ttl, uint16_t id,
                          uint8_t* to) noexcept nogil:
    """One output frame of a packet, captured as `frame` and entered with `ttl`; its size."""
    cdef uint32_t head = ports_at(family) + 4
    cdef uint8_t* inner = to + edit.tunnel
    memcpy(to, edit.head, edit.tunnel + head)
    memcpy(inner + head, frame + head, size - head)
    if family == 4:
        write_ipv4(edit, frame, ttl - edit.ttl_less, inner)
    else:
        write_ipv6(frame, ttl - edit.ttl_less, inner)
    write_check(edit, frame, check_at(family, proto), proto, inner)
    if edit.tunnel:
        write_tunnel(length, id, to)
    return size + edit.tunnel


cdef void put_out(const ways_t* ways, const recorded_way_t* way, walk_t* walk,
                  const packet_t* packet, uint32_t number, uint8_t ttl, uint16_t id) noexcept nogil:
    cdef const edit_t* edit
    cdef tap_t* row
    cdef uint32_t i
    for i in range(way.edit_count):
        edit = &ways.edits[way.edit_start + i]
        row = &walk.trace.taps[walk.trace.tap_count]
        walk.trace.tap_count += 1
        row.time_ns = walk.now_ns
        row.offset = walk.trace.output_size
        row.length = packet.length + edit.tunnel
        row.packet = number
        row.device = edit.device
        row.outgoing = edit.outgoing
        row.generated = 0
        row.step = edit.step
        row.size = write_frame(edit, packet.frame, packet.size, packet.length, packet.family,
                               packet.proto, ttl, id, walk.trace.output + row.offset)
        walk.trace.output_size += row.size


# -------------------------------------------------------------------------------- the way


cdef bint way_take(const ways_t* ways, const recorded_way_t* way, walk_t* walk, packet_t* packet,
                   record_t* record) noexcept nogil:
    cdef uint8_t ttl
    cdef uint16_t id = 0
    if not still_holds(way, packet, walk.state.epoch) or not is_sound(packet):
        return False
    if not connections_may_go_on(way, walk, packet):
        return False
    connections_go_on(way, walk, packet)
    count_path(walk.trace, way.path, packet.ip_length)
    ttl = entry_ttl(packet.ttl, way.is_reply)
    if way.tunnel_node >= 0:
        id = next_ip_id(walk, way.tunnel_node)
    if way.edit_count:
        put_out(ways, way, walk, packet, record.packet, ttl, id)
    put_down(way, packet, ttl, record)
    return True


cdef void put_down(const recorded_way_t* way, const packet_t* packet, uint8_t ttl,
                   record_t* record) noexcept nogil:
    record.path = way.path
    record.place, record.entry = way.place, way.entry
    record.reason, record.verdict = way.reason, way.verdict
    record.reply = way.is_reply
    record.family, record.proto = packet.family, packet.proto
    record.sport, record.dport = packet.sport, packet.dport
    record.end_sport, record.end_dport = way.end_sport, way.end_dport
    record.end_ttl = way.end_ttl if way.is_in_tunnel else ttl - way.ttl_less
    record.tcp_flags = packet.tcp_flags
    record.end_family = way.end_family
    record.length = packet.length
    record.src, record.dst = packet.src, packet.dst
    record.end_src, record.end_dst = way.end_src, way.end_dst


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


# ------------------------------------------------------------------------------ recording


cdef void way_begin(const walk_t* walk, const packet_t* captured, bint is_reply,
                    before_t* before) noexcept nogil:
    cdef packet_t packet
    cdef recorded_way_t* way = &before.way
    packet.is_fragment, packet.is_first, packet.has_ports = 0, 1, 1
    before.can_record = packet_peek(&packet, captured.frame, captured.size, captured.length)
    if not before.can_record:
        return
    memset(way, 0, sizeof(recorded_way_t))
    way.ether_dst, way.ether_src = load48(packet.frame), load48(packet.frame + 6)
    way.family, way.tos = packet.family, packet.tos
    way.is_reply, way.epoch = is_reply, walk.state.epoch
    before.proto, before.ttl = packet.proto, entry_ttl(packet.ttl, is_reply)
    before.ip_length = packet.ip_length
    before.tap_count, before.lost = walk.trace.tap_count, walk.trace.lost
    memcpy(before.head, packet.frame, min(packet.size, <uint32_t>HEAD_MAX))


cdef bint has_stayed(const walk_t* walk) noexcept nogil:
    """The connections are what they were when they were found."""
    cdef const touch_t* touch
    cdef const connection_t* connection
    cdef uint32_t i
    for i in range(walk.touch_count):
        touch = &walk.touches[i]
        connection = &walk.state.connections[touch.connection]
        if (connection.generation != touch.generation or connection.status != touch.status
                or connection.mark != touch.mark):
            return False
    return True


cdef inline uint16_t delta_of(const uint8_t* before, const uint8_t* after,
                              uint32_t size) noexcept nogil:
    """Ones' complement sum of what is there less what was there; 0 only if nothing changed."""
    cdef uint64_t sum = 0
    cdef uint32_t i
    for i in range(0, size, 2):
        if load16(before + i) != load16(after + i):
            sum += <uint16_t>~load16(before + i) + <uint64_t>load16(after + i)
    while sum >> 16:
        sum = (sum & 0xFFFF) + (sum >> 16)
    return <uint16_t>sum


cdef bint record_edit(edit_t* edit, const tap_t* row, const walk_t* walk, const before_t* before,
                      const recorded_way_t* way) noexcept nogil:
    """False if the frame is not what a recording can make again."""
    cdef const uint8_t* frame = walk.trace.output + row.offset
    cdef const uint8_t* inner
    cdef uint8_t[256] again         # EDIT_HEAD, and the transport checksum
    cdef uint32_t head = ports_at(way.family) + 4, check = check_at(way.family, before.proto)
    cdef uint32_t length = ETHER_SIZE + before.ip_length
    if row.generated or row.length < length:
        return False
    edit.tunnel = <uint8_t>(row.length - length)
    if row.length - length not in (0, VXLAN_OVERHEAD) or row.size < edit.tunnel + check + 2:
        return False
    inner = frame + edit.tunnel
    if edit.tunnel and (frame[ETHER_SIZE] != 0x45 or load16(frame + OUTER_UDP_CHECK)):
        return False
    edit.device, edit.step, edit.outgoing = row.device, row.step, row.outgoing
    edit.padding = 0
    memcpy(edit.head, frame, edit.tunnel + head)
    edit.ttl_less = before.ttl - inner[22 if way.family == 4 else 21]
    edit.ip_delta = edit.l4_delta = 0
    if way.family == 4:
        edit.ip_delta = delta_of(before.head + 26, inner + 26, 8)
        edit.l4_delta = delta_of(before.head + 26, inner + 26, 12)
    else:
        edit.l4_delta = delta_of(before.head + 22, inner + 22, 36)
    write_frame(edit, before.head, check + 2, length, way.family, before.proto, before.ttl,
                load16(frame + OUTER_ID), again)
    return memcmp(again, frame, edit.tunnel + check + 2) == 0


cdef bint record_edits(ways_t* ways, recorded_way_t* way, const walk_t* walk,
                       const before_t* before) noexcept nogil:
    cdef uint32_t count = walk.trace.tap_count - before.tap_count, i
    if count > EDITS_MAX or walk.trace.lost != before.lost:
        return False
    if count > way.edit_room:
        if ways.edit_count + count > ways.edit_max:
            return False
        way.edit_start, way.edit_room = ways.edit_count, <uint8_t>count
        ways.edit_count += count
    for i in range(count):
        if not record_edit(&ways.edits[way.edit_start + i],
                           &walk.trace.taps[before.tap_count + i], walk, before, way):
            return False
    way.edit_count = <uint8_t>count
    return True


cdef void way_record(ways_t* ways, recorded_way_t* way, const walk_t* walk, const before_t* before,
                     const record_t* record) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef uint32_t edit_start = way.edit_start
    cdef uint8_t edit_room = way.edit_room
    way.family = 0
    if (not before.can_record or not walk.is_of_flow or walk.pending_count
            or not walk.trace.steps_kept):
        return
    if before.ip_length > walk.ip_length_most:      # it may be its length that has decided
        return
    if walk.verdict == UNKNOWN or before.way.epoch != walk.state.epoch or not has_stayed(walk):
        return
    way[0] = before.way
    way.edit_start, way.edit_room = edit_start, edit_room
    way.is_in_tunnel = packet.encapsulations != 0
    way.end_ttl = record.end_ttl
    way.ttl_less = 0 if way.is_in_tunnel else before.ttl - record.end_ttl
    way.ttl_least = way.ttl_less + 1
    way.ip_length_most = walk.ip_length_most
    way.tunnel_node = walk.tunnel_node
    way.path, way.place, way.entry = record.path, record.place, record.entry
    way.verdict, way.reason = record.verdict, record.reason
    way.end_family = record.end_family
    way.end_src, way.end_dst = record.end_src, record.end_dst
    way.end_sport, way.end_dport = record.end_sport, record.end_dport
    way.touch_count = walk.touch_count
    memcpy(way.touches, walk.touches, sizeof(walk.touches))
    if not record_edits(ways, way, walk, before):
        way.family = 0
