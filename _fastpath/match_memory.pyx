"""Matches that depend on what the rule remembers, on chance or on the time.

Specified by dataplane.reference.match_memory.
"""

from libc.stdint cimport uint32_t, uint64_t

from _fastpath.choice cimport CHOICE_STATISTIC, choice_fed, choice_key, draw_t
from _fastpath.image cimport (
    MATCH_HASHLIMIT,
    MATCH_CONNLIMIT,
    MATCH_LIMIT,
    MATCH_LIMIT_NFT,
    MATCH_QUOTA,
    MATCH_RECENT,
    MATCH_SET,
    MATCH_STATISTIC_NTH,
    MATCH_STATISTIC_RANDOM,
    MATCH_TIME,
    TICK_NS,
)
from _fastpath.match_connlimit cimport connlimit_match
from _fastpath.match_hashlimit cimport hashlimit_match
from _fastpath.match_recent cimport recent_match
from _fastpath.match_time cimport time_match
from _fastpath.matches cimport NO, UNDECIDED, YES
from _fastpath.packet cimport packet_t
from _fastpath.sets cimport set_is_kept_out
from _fastpath.state cimport memory_t, tuple_t
from _fastpath.trace cimport EVENT_DRAW, trace_value

cdef enum:
    CREDITS_PER_TICK = 128      # xt_limit.c, CREDITS_PER_JIFFY with 250 ticks a second


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


cdef int random_match(walk_t* walk, const match_t* match) noexcept nogil:
    cdef draw_t draw
    cdef uint32_t drawn, fed = 0
    flow_draw(walk, &draw, <uint64_t>match.c << 32 | match.b)
    drawn = <uint32_t>(choice_key(walk.image.seed, &draw) >> 33)
    if choice_fed(walk.state, &draw, True, &fed):
        # The value fed in says what the match answered, `!` and all.
        trace_value(walk.trace, EVENT_DRAW, 0 if fed else 0x7FFFFFFF, match.a)
        return YES if fed else NO
    trace_value(walk.trace, EVENT_DRAW, drawn, match.a)
    return (drawn < match.a) ^ match.invert


cdef int nth_match(walk_t* walk, const match_t* match) noexcept nogil:
    """xt_statistic.c: evaluations number packet, packet + every, … match; counting from 0."""
    cdef uint64_t* count = &walk.state.memory[match.c].credit
    cdef bint hit = count[0] == match.b
    count[0] = count[0] + 1 if count[0] + 1 < match.a else 0
    return hit ^ match.invert


cdef int limit_match(walk_t* walk, const match_t* match) noexcept nogil:
    """xt_limit.c, limit_mt: 32 bits of credit, which wrap after a day and a half of silence."""
    cdef memory_t* memory = &walk.state.memory[match.c]
    cdef uint64_t now = walk.now_ns // TICK_NS
    cdef uint32_t credit = <uint32_t>memory.credit
    if memory.previous:
        credit += <uint32_t>((now + 1 - memory.previous) * CREDITS_PER_TICK)
    credit = min(credit, match.b)
    memory.previous = now + 1
    memory.credit = credit
    if credit < match.a:
        return NO
    memory.credit = credit - match.a
    return YES


cdef int nft_limit_match(walk_t* walk, const match_t* match) noexcept nogil:
    """nft_limit.c, nft_limit_eval: time itself is what is spent."""
    cdef memory_t* memory = &walk.state.memory[match.c]
    cdef const uint32_t* words = walk.image.words + match.a
    cdef uint64_t cost = words[0] | (<uint64_t>words[1] << 32)
    cdef uint64_t most = words[2] | (<uint64_t>words[3] << 32)
    if memory.previous:
        memory.credit += walk.now_ns + 1 - memory.previous
    memory.credit = min(memory.credit, most)
    memory.previous = walk.now_ns + 1
    if memory.credit < cost:
        return NO
    memory.credit -= cost
    return YES


cdef int quota_match(walk_t* walk, const match_t* match) noexcept nogil:
    """xt_quota.c: after the first packet that is too long, none."""
    cdef memory_t* memory = &walk.state.memory[match.c]
    if memory.credit >= walk.packet.ip_length:
        memory.credit -= walk.packet.ip_length
        return YES ^ match.invert
    memory.credit = 0
    return NO ^ match.invert


cdef bint remembers(const match_t* match) noexcept nogil:
    return (MATCH_STATISTIC_NTH <= match.kind <= MATCH_HASHLIMIT
            or match.kind == MATCH_LIMIT_NFT or match.kind == MATCH_CONNLIMIT)


cdef bint is_kept_out(walk_t* walk, const match_t* match) noexcept nogil:
    if remembers(match):
        walk.state.memory[match.c].is_uncertain = 1
        return True
    if match.kind == MATCH_SET:
        return set_is_kept_out(walk, match)
    return match.kind == MATCH_STATISTIC_RANDOM     # a value fed in would be used up


cdef int memory_match(walk_t* walk, const match_t* match) noexcept nogil:
    if remembers(match) and walk.state.memory[match.c].is_uncertain:
        return UNDECIDED
    if match.kind == MATCH_STATISTIC_RANDOM:
        return random_match(walk, match)
    if match.kind == MATCH_STATISTIC_NTH:
        return nth_match(walk, match)
    if match.kind == MATCH_LIMIT:
        return limit_match(walk, match)
    if match.kind == MATCH_LIMIT_NFT:
        return nft_limit_match(walk, match)
    if match.kind == MATCH_QUOTA:
        return quota_match(walk, match)
    if match.kind == MATCH_RECENT:
        return recent_match(walk, match)
    if match.kind == MATCH_HASHLIMIT:
        return hashlimit_match(walk, match)
    if match.kind == MATCH_CONNLIMIT:
        return connlimit_match(walk, match)
    if match.kind == MATCH_TIME:
        return time_match(walk, match)
    return UNDECIDED
