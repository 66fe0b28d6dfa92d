"""Matches that depend on what the rule remembers, on chance or on the time.

Specified by dataplane.reference.match_memory.
"""

from libc.stdint cimport uint32_t, uint64_t

from _fastpath.choice cimport CHOICE_STATISTIC, choice_fed, choice_key, draw_t
from _fastpath.image cimport MATCH_STATISTIC_NTH, MATCH_STATISTIC_RANDOM
from _fastpath.matches cimport NO, UNDECIDED, YES
from _fastpath.packet cimport packet_t
from _fastpath.state cimport tuple_t
from _fastpath.trace cimport EVENT_DRAW, trace_value


cdef void flow_draw(const walk_t* walk, draw_t* draw, uint64_t extra) noexcept nogil:
    """What a rule's chance depends on: the connection as it began, or the packet itself."""
    cdef const packet_t* packet = walk.packet
    cdef const tuple_t* original
    draw.node = walk.image.nodes[packet.node].identity
    draw.kind = CHOICE_STATISTIC
    draw.extra = extra
    draw.padding = 0
    draw.family = packet.family
    draw.proto = packet.proto
    if packet.connection >= 0:
        original = &walk.state.connections[packet.connection].original
        draw.src = original.src
        draw.dst = original.dst
        draw.sport = original.sport
        draw.dport = original.dport
    else:
        draw.src = packet.src
        draw.dst = packet.dst
        draw.sport = packet.sport
        draw.dport = packet.dport


cdef int random_match(walk_t* walk, const match_t* match, const rule_t* rule) noexcept nogil:
    cdef draw_t draw
    cdef uint32_t drawn, fed = 0
    flow_draw(walk, &draw, rule.identity)
    drawn = <uint32_t>(choice_key(walk.image.seed, &draw) >> 33)
    if choice_fed(walk.state, &draw, True, &fed):
        # The value fed in says what the match answered, `!` and all.
        trace_value(walk.trace, EVENT_DRAW, 0 if fed else 0x7FFFFFFF, match.a)
        return YES if fed else NO
    trace_value(walk.trace, EVENT_DRAW, drawn, match.a)
    return (drawn < match.a) ^ match.invert


cdef int nth_match(walk_t* walk, const match_t* match) noexcept nogil:
    """xt_statistic.c: evaluations number packet, packet + every, … match; counting from 0."""
    cdef uint32_t* count = &walk.state.nth[match.c]
    cdef bint hit = count[0] == match.b
    count[0] = count[0] + 1 if count[0] + 1 < match.a else 0
    return hit ^ match.invert


cdef int memory_match(walk_t* walk, const match_t* match, const rule_t* rule) noexcept nogil:
    if match.kind == MATCH_STATISTIC_RANDOM:
        return random_match(walk, match, rule)
    if match.kind == MATCH_STATISTIC_NTH:
        return nth_match(walk, match)
    return UNDECIDED
