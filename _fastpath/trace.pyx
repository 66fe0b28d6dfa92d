"""Recording what was decided; see trace.pxd."""

from libc.string cimport memcmp, memcpy

from _fastpath.choice cimport fold


cdef void trace_event(trace_t* trace, uint32_t kind, addr_t before, addr_t after) noexcept nogil:
    cdef event_t* event
    if trace.event_count >= trace.event_max:
        return
    event = &trace.events[trace.event_count]
    trace.event_count += 1
    event.packet = trace.packet
    event.step = <uint16_t>min(trace.count, <uint32_t>0xFFFF)
    event.kind = <uint16_t>kind
    event.before = before
    event.after = after


cdef void trace_value(trace_t* trace, uint32_t kind, uint64_t before,
                      uint64_t after) noexcept nogil:
    if trace.event_max:
        trace_event(trace, kind, addr_t(0, before), addr_t(0, after))


cdef uint64_t hash_steps(const uint32_t* steps, uint32_t count) noexcept nogil:
    # Two steps to a multiplication: one after the other is what this costs.  A path is compared
    # step by step before it is taken for another.  Of a new flow's packet over two nodes,
    # trace_intern took 1,029 instructions with a `fold` for each step, and takes 428.
    cdef uint64_t h = count
    cdef uint32_t i
    for i in range(0, count - count % 2, 2):
        h = (h ^ (steps[i] | <uint64_t>steps[i + 1] << 32)) * <uint64_t>0x9E3779B97F4A7C15u
        h ^= h >> 32
    return fold(h, steps[count - 1] if count % 2 else 0)


cdef uint32_t trace_intern(trace_t* trace) noexcept nogil:
    cdef uint32_t count = min(trace.count, trace.steps_kept)
    if not trace.steps_kept:
        return 0xFFFFFFFFu
    cdef uint64_t h = hash_steps(trace.steps, count)
    cdef uint32_t slot = <uint32_t>h & trace.slot_mask
    cdef uint32_t path
    cdef uint64_t start
    while trace.slots[slot]:
        path = trace.slots[slot] - 1
        start = trace.path_start[path]
        if (trace.path_hash[path] == h and trace.path_start[path + 1] - start == count
                and memcmp(trace.path_steps + start, trace.steps, count * sizeof(uint32_t)) == 0):
            return path
        slot = (slot + 1) & trace.slot_mask
    path = trace.paths
    start = trace.path_start[path]
    memcpy(trace.path_steps + start, trace.steps, count * sizeof(uint32_t))
    trace.path_start[path + 1] = start + count
    trace.path_hash[path] = h
    trace.slots[slot] = path + 1
    trace.paths += 1
    return path


cdef void trace_rehash(trace_t* trace) noexcept nogil:
    cdef uint32_t path, slot
    for path in range(trace.paths):
        slot = <uint32_t>trace.path_hash[path] & trace.slot_mask
        while trace.slots[slot]:
            slot = (slot + 1) & trace.slot_mask
        trace.slots[slot] = path + 1


cdef bint trace_has_room(const trace_t* trace) noexcept nogil:
    # The slots are twice the paths, so probing ends.  Output: see OUTPUT_RESERVE in trace.pxd.
    if trace.paths >= trace.paths_max:
        return False
    if trace.path_steps_max - trace.path_start[trace.paths] < STEPS_MAX:
        return False
    if trace.event_max and trace.event_max - trace.event_count < STEPS_MAX:
        return False
    if trace.tap_max and (trace.tap_max - trace.tap_count < TAPS_RESERVE
                          or trace.output_max - trace.output_size < OUTPUT_RESERVE):
        return False
    return True
