"""Recordings of what became of a flow's packets; see recorded_way.pxd.

A walk is recorded when nothing but its flow, and what stays as it is, has decided on it
(walk.is_of_flow): no packet that was made, no fragment, no match or target that remembers or
looks at more than addresses, ports, marks and the state of a connection.  When the recording
holds for a later packet, and what is done for it then: established.pyx.

Equal recordings are stored once: a way is made of rules, devices and hosts, and there are few of
them, however many flows there are.
"""

from libc.string cimport memcmp, memcpy, memset

from _fastpath.answers cimport first_ip_id
from _fastpath.edits cimport edit_learn, edit_write
from _fastpath.packet cimport ETHER_SIZE
from _fastpath.peek cimport look
from _fastpath.reason cimport UNKNOWN
from _fastpath.state cimport connection_t, touch_t
from _fastpath.trace cimport tap_t
from _fastpath.vxlan cimport VXLAN_OVERHEAD

cdef enum:
    IP_HEADER = 20
    OUTER_ID = ETHER_SIZE + 4
    OUTER_SPORT = ETHER_SIZE + IP_HEADER
    OUTER_UDP_CHECK = OUTER_SPORT + 6
    AGAIN_MAX = 160             # an output frame of HEAD_MAX bytes, with a tunnel


cdef void way_begin(const walk_t* walk, const packet_t* captured, bint is_reply,
                    before_t* before) noexcept nogil:
    cdef job_t* job = &before.job
    look(job, captured.frame, captured.size, captured.length)
    if not job.can_take:
        return
    before.is_reply, before.ttl = is_reply, entry_ttl(job.ttl, is_reply)
    before.epoch = walk.state.epoch
    before.tap_count, before.lost = walk.trace.tap_count, walk.trace.lost
    memcpy(before.head, job.frame, min(job.size, <uint32_t>HEAD_MAX))
    job.frame = before.head


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


# ------------------------------------------------------------------------------ output frames


cdef inline uint32_t check_end(const job_t* job) noexcept nogil:
    """The bytes of a captured frame up to its transport checksum."""
    return ETHER_SIZE + (20 if job.family == 4 else 40) + (18 if job.proto == 6 else 8)


cdef bint is_made_again(const edit_t* edit, const before_t* before,
                        const uint8_t* frame) noexcept nogil:
    """The edit makes the frame it was learned from; else it is not all that has happened."""
    cdef uint8_t[160] again         # AGAIN_MAX
    cdef job_t job = before.job
    job.size = check_end(&job)
    if edit.tunnel:
        job.outer_id = <uint16_t>(frame[OUTER_ID] << 8 | frame[OUTER_ID + 1])
        memcpy(&job.outer_sport, frame + OUTER_SPORT, 2)
    edit_write(edit, &job, before.ttl, again)
    return memcmp(again, frame, edit.tunnel + job.size) == 0


cdef bint record_edit(edit_t* edit, const tap_t* row, const walk_t* walk,
                      const before_t* before) noexcept nogil:
    """False if the frame is not what a recording can make again."""
    cdef const uint8_t* frame = walk.trace.output + row.offset
    cdef uint32_t length = before.job.length
    memset(edit, 0, sizeof(edit_t))
    if row.generated or row.length < length:
        return False
    if row.length - length not in (0, VXLAN_OVERHEAD):
        return False
    edit.tunnel = <uint8_t>(row.length - length)
    if row.size < edit.tunnel + check_end(&before.job):
        return False
    if edit.tunnel and (frame[ETHER_SIZE] != 0x45 or frame[OUTER_UDP_CHECK]
                        or frame[OUTER_UDP_CHECK + 1]):
        return False
    edit.device, edit.step, edit.outgoing = row.device, row.step, row.outgoing
    edit_learn(edit, before.head, before.job.family, before.ttl, frame)
    return is_made_again(edit, before, frame)


cdef bint record_edits(ways_t* ways, recorded_way_t* way, flow_way_t* flow, const walk_t* walk,
                       const before_t* before) noexcept nogil:
    cdef const tap_t* row
    cdef const uint8_t* sport
    cdef uint32_t count = walk.trace.tap_count - before.tap_count, i
    cdef bint has_tunnel = False
    if count > EDITS_MAX or walk.trace.lost != before.lost:
        return False
    for i in range(count):
        row = &walk.trace.taps[before.tap_count + i]
        if not record_edit(&ways.draft[i], row, walk, before):
            return False
        if not ways.draft[i].tunnel:
            continue
        sport = walk.trace.output + row.offset + OUTER_SPORT
        if has_tunnel and memcmp(&flow.outer_sport, sport, 2) != 0:
            return False                # two tunnels
        memcpy(&flow.outer_sport, sport, 2)
        has_tunnel = True
    way.edit_count = <uint16_t>count
    return True


# ------------------------------------------------------------------------- what is found again


cdef uint64_t bytes_hash(uint64_t h, const void* data, uint64_t size) noexcept nogil:
    cdef const uint8_t* at = <const uint8_t*>data
    cdef uint64_t word, i
    for i in range(0, size & ~<uint64_t>7, 8):
        memcpy(&word, at + i, 8)
        h = (h ^ word) * <uint64_t>0x9E3779B97F4A7C15u
        h ^= h >> 32
    return h


cdef inline uint64_t compared_size() noexcept nogil:
    cdef recorded_way_t way
    return <uint64_t>(<uint8_t*>&way.edit_start - <uint8_t*>&way)


cdef bint is_same(const ways_t* ways, const recorded_way_t* one,
                  const recorded_way_t* way) noexcept nogil:
    return (one.hash == way.hash and memcmp(one, way, compared_size()) == 0
            and memcmp(&ways.edits[one.edit_start], ways.draft,
                       way.edit_count * sizeof(edit_t)) == 0)


cdef uint32_t way_keep(ways_t* ways, recorded_way_t* way) noexcept nogil:
    """Its number + 1, and that of its draft; 0 if there is no room for it."""
    cdef uint32_t slot
    way.hash = bytes_hash(bytes_hash(0, way, compared_size()), ways.draft,
                          way.edit_count * sizeof(edit_t))
    slot = <uint32_t>way.hash & ways.slot_mask
    while ways.slots[slot]:
        if is_same(ways, &ways.ways[ways.slots[slot] - 1], way):
            return ways.slots[slot]
        slot = (slot + 1) & ways.slot_mask
    if ways.way_count == ways.way_max or way.edit_count > ways.edit_max - ways.edit_count:
        return 0
    way.edit_start = ways.edit_count
    memcpy(&ways.edits[way.edit_start], ways.draft, way.edit_count * sizeof(edit_t))
    ways.ways[ways.way_count] = way[0]
    ways.edit_count += way.edit_count
    ways.way_count += 1
    ways.slots[slot] = ways.way_count
    return ways.way_count


cdef void ways_rehash(ways_t* ways) noexcept nogil:
    cdef uint32_t number, slot
    for number in range(ways.way_count):
        slot = <uint32_t>ways.ways[number].hash & ways.slot_mask
        while ways.slots[slot]:
            slot = (slot + 1) & ways.slot_mask
        ways.slots[slot] = number + 1


# ---------------------------------------------------------------------------------- recording


cdef void record_conditions(recorded_way_t* way, const walk_t* walk,
                            const before_t* before) noexcept nogil:
    cdef const touch_t* touch
    cdef uint32_t i
    memcpy(&way.ether_addresses, before.head, 8)
    memcpy(&way.ether_rest, before.head + 8, 4)
    way.family, way.tos, way.is_reply = before.job.family, before.job.tos, before.is_reply
    way.ip_length_most = walk.ip_length_most
    way.touch_count = walk.touch_count
    for i in range(walk.touch_count):
        touch = &walk.touches[i]
        way.met[i].status, way.met[i].mark = touch.status, touch.mark
        way.met[i].node = walk.state.connections[touch.connection].original.node
        way.met[i].direction, way.met[i].is_tunnel = touch.direction, touch.is_tunnel


cdef inline bint is_equal(addr_t one, addr_t other) noexcept nogil:
    return one.hi == other.hi and one.lo == other.lo


cdef void record_end(recorded_way_t* way, const walk_t* walk, const before_t* before,
                     const record_t* record) noexcept nogil:
    way.is_in_tunnel = walk.packet.encapsulations != 0
    way.ttl_less = 0 if way.is_in_tunnel else before.ttl - record.end_ttl
    way.end_ttl = record.end_ttl if way.is_in_tunnel else 0
    way.ttl_least = way.ttl_less + 1
    way.tunnel_node = walk.tunnel_node
    if walk.tunnel_node >= 0:
        way.first_id = first_ip_id(walk, walk.tunnel_node)
    way.path, way.place, way.entry = record.path, record.place, record.entry
    way.verdict, way.reason = record.verdict, record.reason
    way.end_family = record.end_family
    way.is_src_kept = is_equal(record.end_src, record.src)
    way.is_dst_kept = is_equal(record.end_dst, record.dst)
    way.is_sport_kept = record.end_sport == record.sport
    way.is_dport_kept = record.end_dport == record.dport
    if not way.is_src_kept:
        way.end_src = record.end_src
    if not way.is_dst_kept:
        way.end_dst = record.end_dst
    if not way.is_sport_kept:
        way.end_sport = record.end_sport
    if not way.is_dport_kept:
        way.end_dport = record.end_dport


cdef void way_record(ways_t* ways, flow_way_t* flow, const walk_t* walk, const before_t* before,
                     const record_t* record) noexcept nogil:
    cdef recorded_way_t way
    cdef uint32_t i
    flow.way = 0
    if (not before.job.can_take or not walk.is_of_flow or walk.pending_count
            or not walk.trace.steps_kept):
        return
    # It may be its length that has decided.
    if before.job.length - ETHER_SIZE > walk.ip_length_most:
        return
    if walk.verdict == UNKNOWN or before.epoch != walk.state.epoch or not has_stayed(walk):
        return
    memset(&way, 0, sizeof(recorded_way_t))
    record_conditions(&way, walk, before)
    record_end(&way, walk, before, record)
    if not record_edits(ways, &way, flow, walk, before):
        return
    flow.way = way_keep(ways, &way)
    flow.epoch = before.epoch
    for i in range(walk.touch_count):
        flow.connections[i] = walk.touches[i].connection
        flow.generations[i] = walk.touches[i].generation
