"""Chance as a function.  Specified by dataplane.reference.choice."""


cdef uint64_t choice_key(uint64_t seed, const draw_t* draw) noexcept nogil:
    cdef uint64_t h = fold(seed, draw.kind)
    h = fold(h, draw.node)
    h = fold(h, draw.src.hi)
    h = fold(h, draw.src.lo)
    h = fold(h, draw.dst.hi)
    h = fold(h, draw.dst.lo)
    h = fold(h, (<uint64_t>draw.sport << 48) | (<uint64_t>draw.dport << 32)
             | (<uint64_t>draw.proto << 8) | draw.family)
    return fold(h, draw.extra)


cdef bint choice_fed(state_t* state, const draw_t* draw, bint sticky,
                     uint32_t* value) noexcept nogil:
    cdef uint64_t key
    cdef uint32_t low = 0, high = state.choice_count, middle, used
    if high == 0:
        return False
    key = choice_key(0, draw)
    while low < high:
        middle = (low + high) >> 1
        if state.choices[middle].key < key:
            low = middle + 1
        else:
            high = middle
    if low == state.choice_count or state.choices[low].key != key:
        return False
    used = state.choice_used[low]
    if used >= state.choices[low].count:
        if not sticky:
            return False
        used = state.choices[low].count - 1
    else:
        state.choice_used[low] = used + 1
    value[0] = state.choice_values[state.choices[low].start + used]
    return True


def key(uint64_t seed, uint8_t kind, uint64_t node, uint8_t family, uint8_t proto,
        src, uint16_t sport, dst, uint16_t dport, uint64_t extra):
    """The 64-bit key of one draw; addresses are (hi, lo) pairs, host order.  See choice_key."""
    cdef draw_t draw = draw_t(node, addr_t(src[0], src[1]), addr_t(dst[0], dst[1]), extra,
                              sport, dport, proto, family, kind, 0)
    return choice_key(seed, &draw)
