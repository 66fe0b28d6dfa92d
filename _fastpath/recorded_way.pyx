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

from _fastpath.address cimport addr_equal
from _fastpath.answers cimport next_ip_id
from _fastpath.checksum cimport checksum_add, checksum_finish
from _fastpath.conntrack_datagram cimport datagram_packet, udp_header_is_valid
from _fastpath.conntrack_tcp cimport tcp_goes_on, tcp_header_is_valid, tcp_packet
from _fastpath.image cimport node_t
from _fastpath.packet cimport (
    CHECKSUM_NONE,
    CHECKSUM_RIGHT,
    ETHER_SIZE,
    PROTO_TCP,
    PROTO_UDP,
    TCP_ACK,
    TCP_PSH,
    ether_dst,
    ether_src,
    load16,
    packet_checksum,
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


cdef bint is_plain(const packet_t* packet) noexcept nogil:
    """Data of an established connection: a whole packet whose headers are all there, without
    options, and nothing in its frame behind it."""
    if packet.refusal or packet.is_fragment or packet.length != packet.ip_length + ETHER_SIZE:
        return False
    if packet.l4 == 0 or packet.l4 != ports_at(packet.family) or not packet.has_ports:
        return False
    if packet.proto == PROTO_UDP:
        return udp_header_is_valid(packet) and load16(
            packet.frame + packet.l4 + 4) == packet.ip_length + ETHER_SIZE - packet.l4
    if packet.proto != PROTO_TCP or packet.tcp_flags & ~<uint8_t>TCP_PSH != TCP_ACK:
        return False
    return tcp_header_is_valid(packet) and packet.size >= packet.l4 + (
        packet.frame[packet.l4 + 12] >> 4) * 4


cdef inline bint is_sound(packet_t* packet) noexcept nogil:
    """Its checksum is right, or there is none, or the capture does not hold what it covers."""
    cdef uint8_t checksum = packet_checksum(packet)
    return checksum == CHECKSUM_RIGHT or checksum == CHECKSUM_NONE


cdef inline bint is_of_way(const recorded_way_t* way, const packet_t* packet, int32_t entry,
                           uint32_t epoch) noexcept nogil:
    return (way.family == packet.family and way.proto == packet.proto and way.entry == entry
            and way.epoch == epoch and way.tos == packet.tos and packet.ttl >= way.ttl_least
            and packet.ip_length <= way.ip_length_most
            and way.sport == packet.sport and way.dport == packet.dport
            and addr_equal(way.src, packet.src) and addr_equal(way.dst, packet.dst)
            and way.ether_dst == ether_dst(packet) and way.ether_src == ether_src(packet))


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


cdef bint connections_may_go_on(const recorded_way_t* way, const walk_t* walk) noexcept nogil:
    cdef const touch_t* touch
    cdef uint32_t i
    for i in range(way.touch_count):
        touch = &way.touches[i]
        if not may_go_on(&walk.state.connections[touch.connection], touch, walk.packet,
                         walk.now_ns):
            return False
    return True


cdef void connections_go_on(const recorded_way_t* way, walk_t* walk) noexcept nogil:
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
        if not touch.is_tunnel and walk.packet.proto == PROTO_TCP:
            tcp_packet(node, connection, walk.packet, touch.direction, walk.now_ns)
        else:
            connection.expires_ns = walk.now_ns + SECOND_NS * datagram_packet(
                node, connection, walk.now_ns)
        state.next_expiry_ns = min(state.next_expiry_ns, connection.expires_ns)
        if state.accounting != NULL:
            accounting = &state.accounting[
                (<uint64_t>touch.connection * 2 + touch.direction) * 2]
            accounting[0] += 1
            accounting[1] += walk.packet.ip_length + TUNNEL_BYTES * touch.is_tunnel


# --------------------------------------------------------------------------- output frames


cdef inline uint16_t add_delta(uint16_t check, uint16_t delta) noexcept nogil:
    """RFC 1624, equation 3.  A delta that is not 0 leaves a sum that is not 0 either, as every
    single update of a checksum does."""
    cdef uint32_t sum = <uint16_t>~check + <uint32_t>delta
    return <uint16_t>~(sum + (sum >> 16)) if delta else check


cdef uint32_t write_frame(const edit_t* edit, const uint8_t* frame, uint32_t size,
                          uint32_t length, uint8_t family, uint8_t proto, uint16_t id,
                          uint8_t* to) noexcept nogil:
    """One output frame of a packet; its size.  `frame` is as it came in, and plain."""
    cdef uint32_t head = ports_at(family) + 4, check = check_at(family, proto)
    cdef uint8_t* inner = to + edit.tunnel
    cdef uint16_t sum
    memcpy(to, edit.head, edit.tunnel + head)
    memcpy(inner + head, frame + head, size - head)
    if family == 4:
        memcpy(inner + 16, frame + 16, 6)       # total length, identification, flags
        inner[22] = frame[22] - edit.ttl_less
        store16(inner + 24, add_delta(load16(frame + 24), edit.ip_delta))
    else:
        memcpy(inner + 14, frame + 14, 6)       # flow label, payload length; the class is the way's
        inner[21] = frame[21] - edit.ttl_less
    sum = load16(frame + check)
    if proto == PROTO_TCP:
        store16(inner + check, add_delta(sum, edit.l4_delta))
    elif sum and edit.l4_delta:
        sum = add_delta(sum, edit.l4_delta)
        store16(inner + check, sum if sum else 0xFFFF)
    if edit.tunnel:
        store16(to + OUTER_LENGTH, <uint16_t>(length + VXLAN_OVERHEAD - ETHER_SIZE))
        store16(to + OUTER_ID, id)
        store16(to + OUTER_CHECK, 0)
        store16(to + OUTER_CHECK, checksum_finish(checksum_add(0, to + ETHER_SIZE, IP_HEADER)))
        store16(to + OUTER_UDP_LENGTH, <uint16_t>(length + VXLAN_OVERHEAD - ETHER_SIZE - IP_HEADER))
    return size + edit.tunnel


cdef void put_out(const ways_t* ways, const recorded_way_t* way, walk_t* walk, uint32_t number,
                  uint16_t id) noexcept nogil:
    cdef const packet_t* packet = walk.packet
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
                               packet.proto, id, walk.trace.output + row.offset)
        walk.trace.output_size += row.size


# -------------------------------------------------------------------------------- the way


cdef bint way_take(const ways_t* ways, const recorded_way_t* way, walk_t* walk, record_t* record,
                   uint32_t number) noexcept nogil:
    cdef packet_t* packet = walk.packet
    cdef uint16_t id = 0
    if not is_of_way(way, packet, record.entry, walk.state.epoch) or not is_plain(packet):
        return False
    if not is_sound(packet) or not connections_may_go_on(way, walk):
        return False
    connections_go_on(way, walk)
    count_path(walk.trace, way.path, packet.ip_length)
    if way.tunnel_node >= 0:
        id = next_ip_id(walk, way.tunnel_node)
    put_out(ways, way, walk, number, id)
    record.path = way.path
    record.place = way.place
    record.reason = way.reason
    record.verdict = way.verdict
    record.end_family = way.end_family
    record.end_src = way.end_src
    record.end_dst = way.end_dst
    record.end_sport = way.end_sport
    record.end_dport = way.end_dport
    record.end_ttl = way.end_ttl if way.is_in_tunnel else packet.ttl - way.ttl_less
    return True


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


cdef void way_begin(const walk_t* walk, int32_t entry, before_t* before) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef recorded_way_t* way = &before.way
    before.can_record = is_plain(packet)
    if not before.can_record:
        return
    memset(way, 0, sizeof(recorded_way_t))
    way.src, way.dst = packet.src, packet.dst
    way.sport, way.dport = packet.sport, packet.dport
    way.family, way.proto, way.tos = packet.family, packet.proto, packet.tos
    way.ether_dst, way.ether_src = ether_dst(packet), ether_src(packet)
    way.entry, way.epoch = entry, walk.state.epoch
    before.ttl = packet.ttl
    before.ip_length = packet.ip_length
    before.tap_count = walk.trace.tap_count
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
    cdef uint32_t head = ports_at(way.family) + 4, check = check_at(way.family, way.proto)
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
        edit.ip_delta = delta_of(before.head + 22, inner + 22, 2)
        edit.ip_delta = sum_of(edit.ip_delta, delta_of(before.head + 26, inner + 26, 8))
        edit.l4_delta = delta_of(before.head + 26, inner + 26, 12)
    else:
        edit.l4_delta = delta_of(before.head + 22, inner + 22, 36)
    write_frame(edit, before.head, check + 2, length, way.family, way.proto,
                load16(frame + OUTER_ID), again)
    return memcmp(again, frame, edit.tunnel + check + 2) == 0


cdef inline uint16_t sum_of(uint16_t a, uint16_t b) noexcept nogil:
    cdef uint32_t sum = <uint32_t>a + b
    return <uint16_t>(sum + (sum >> 16))


cdef bint record_edits(ways_t* ways, recorded_way_t* way, const walk_t* walk,
                       const before_t* before) noexcept nogil:
    cdef uint32_t count = walk.trace.tap_count - before.tap_count, i
    if count > EDITS_MAX or walk.trace.lost:
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
    if not before.can_record or not walk.is_of_flow or walk.pending_count:
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
    way.path, way.place = record.path, record.place
    way.verdict, way.reason = record.verdict, record.reason
    way.end_family = record.end_family
    way.end_src, way.end_dst = record.end_src, record.end_dst
    way.end_sport, way.end_dport = record.end_sport, record.end_dport
    way.touch_count = walk.touch_count
    memcpy(way.touches, walk.touches, sizeof(walk.touches))
    if not record_edits(ways, way, walk, before):
        way.family = 0
