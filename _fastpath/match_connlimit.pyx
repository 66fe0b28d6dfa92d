"""-m connlimit: lists of connections by masked address, each rule its own.

Specified by dataplane.reference.match_connlimit.  Lists and what is on them are rows of one array;
a list is found by its rule, address and zone, and once begun it stays.
"""

from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from _fastpath.address cimport addr_equal, addr_t
from _fastpath.choice cimport fold
from _fastpath.conntrack_tcp cimport TCP_CLOSE, TCP_TIME_WAIT
from _fastpath.conntrack_table cimport table_find
from _fastpath.conntrack_tuple cimport is_icmp, packet_tuple
from _fastpath.image cimport CONNLIMIT_DESTINATION, TICK_NS
from _fastpath.match_hashlimit cimport shortened
from _fastpath.matches cimport HOTDROP, NO, UNDECIDED, YES
from _fastpath.packet cimport (
    PROTO_TCP,
    load16,
    packet_holds,
    packet_t,
    proto_has_ports,
)
from _fastpath.state cimport (
    IPS_ASSURED,
    IPS_CONFIRMED,
    connection_t,
    counted_t,
    state_t,
    tuple_t,
)

cdef enum:
    COLLECT_MAX = 64        # nf_conncount.c, CONNCOUNT_GC_MAX_COLLECT


# What is counted.
cdef struct asked_t:
    tuple_t tuple           # in its own zone
    uint16_t zones[2]       # by direction
    uint16_t zone           # of the key
    uint32_t status         # of its connection; 0 = not confirmed


# ------------------------------------------------------------------------- the connection


cdef void ask_connection(const state_t* state, int32_t index, asked_t* asked) noexcept nogil:
    cdef const connection_t* connection = &state.connections[index]
    asked.tuple = connection.original
    asked.zones[0], asked.zones[1] = connection.original.zone, connection.reply.zone
    asked.status = connection.status if connection.status & IPS_CONFIRMED else 0


cdef int read_tuple(const walk_t* walk, tuple_t* tuple) noexcept nogil:
    """nf_ct_get_tuplepr: YES, HOTDROP if it has none, UNDECIDED.  Ports are four bytes, whether or
    not the rest of their header is there."""
    cdef const packet_t* packet = walk.packet
    cdef int held
    if not packet.is_first:
        return HOTDROP
    if packet_tuple(packet, <uint16_t>packet.node, walk.image.nodes[packet.node].has_dccp, tuple):
        return YES
    if not proto_has_ports(packet.proto) and not is_icmp(packet.proto):
        return HOTDROP
    held = packet_holds(packet, packet.thoff, 8 if is_icmp(packet.proto) else 4)
    if held == YES:
        tuple.sport = load16(packet.frame + packet.thoff)
        tuple.dport = load16(packet.frame + packet.thoff + 2)
        return YES
    return HOTDROP if held == NO else UNDECIDED


cdef int ask(walk_t* walk, asked_t* asked) noexcept nogil:
    """get_ct_or_tuple_from_skb: YES, HOTDROP, UNDECIDED"""
    cdef const packet_t* packet = walk.packet
    cdef int32_t found
    cdef int outcome
    memset(asked, 0, sizeof(asked_t))
    if packet.connection >= 0:
        ask_connection(walk.state, packet.connection, asked)
        asked.zone = asked.zones[0] if asked.zones[0] else asked.zones[1]
        return YES
    outcome = read_tuple(walk, &asked.tuple)
    if outcome != YES:
        return outcome
    if packet.has_template and not packet.is_tracked and not packet.zone_is_mark:
        asked.zone = packet.zone
        asked.zones[0] = packet.zone if packet.zone_directions & 1 else 0
        asked.zones[1] = packet.zone if packet.zone_directions & 2 else 0
    found = find(walk, &asked.tuple, asked.zones)
    if found >= 0:      # as it looks from here: an answer counts for itself (6.18)
        asked.status = walk.state.connections[found].status
    return YES


cdef int32_t find(walk_t* walk, tuple_t* tuple, const uint16_t* zones) noexcept nogil:
    """nf_conntrack_find_get: a connection, or -1."""
    cdef int32_t found
    cdef uint32_t i
    for i in range(2):
        tuple.zone = zones[i]
        found = table_find(walk.state, tuple, zones, walk.now_ns)
        if found >= 0:
            return found // 2
        if zones[0] == zones[1]:
            break
    return -1


# ------------------------------------------------------------------------------ the lists


cdef inline uint32_t bucket_of(const state_t* state, uint32_t memory, addr_t key,
                               uint16_t zone) noexcept nogil:
    cdef uint64_t h = fold(fold(fold(memory, key.hi), key.lo), zone)
    return <uint32_t>(h & state.counted_bucket_mask)


cdef uint32_t take(state_t* state) noexcept nogil:
    """A free row + 1; 0 if there is none."""
    cdef uint32_t row = state.counted_free[0]
    if row:
        state.counted_free[0] = state.counted[row - 1].next
    elif state.counted_free[1] < state.counted_max:
        state.counted_free[1] += 1
        row = state.counted_free[1]
    else:
        return 0
    memset(&state.counted[row - 1], 0, sizeof(counted_t))
    return row


cdef counted_t* find_list(state_t* state, uint32_t memory, addr_t key,
                          uint16_t zone) noexcept nogil:
    cdef uint32_t at = state.counted_buckets[bucket_of(state, memory, key, zone)]
    cdef counted_t* row
    while at:
        row = &state.counted[at - 1]
        if row.memory == memory and row.zones[0] == zone and addr_equal(row.src, key):
            return row
        at = row.next
    return NULL


cdef counted_t* new_list(state_t* state, uint32_t memory, addr_t key, uint16_t zone,
                         uint64_t now) noexcept nogil:
    cdef uint32_t bucket = bucket_of(state, memory, key, zone)
    cdef uint32_t at = take(state)
    cdef counted_t* row
    if at == 0:
        return NULL
    row = &state.counted[at - 1]
    row.memory, row.src, row.collected = memory, key, now
    row.zones[0] = zone
    row.next = state.counted_buckets[bucket]
    state.counted_buckets[bucket] = at
    return row


cdef bint append(state_t* state, counted_t* held, const asked_t* asked) noexcept nogil:
    cdef uint32_t at = take(state)
    cdef counted_t* row
    if at == 0:
        return False
    row = &state.counted[at - 1]
    row.src, row.dst = asked.tuple.src, asked.tuple.dst
    row.sport, row.dport = asked.tuple.sport, asked.tuple.dport
    row.proto, row.family, row.node = (
        asked.tuple.proto, asked.tuple.family, asked.tuple.node)
    row.zones[0], row.zones[1] = asked.zones[0], asked.zones[1]
    if held.last:
        state.counted[held.last - 1].next = at
    else:
        held.first = at
    held.last = at
    held.count += 1
    return True


cdef uint32_t remove(state_t* state, counted_t* held, uint32_t before,
                     uint32_t at) noexcept nogil:
    """Takes a row off its list; the one after it."""
    cdef uint32_t following = state.counted[at - 1].next
    if before:
        state.counted[before - 1].next = following
    else:
        held.first = following
    if held.last == at:
        held.last = before
    held.count -= 1
    state.counted[at - 1].next = state.counted_free[0]
    state.counted_free[0] = at
    return following


cdef int32_t connection_of(walk_t* walk, const counted_t* row) noexcept nogil:
    cdef tuple_t tuple
    memset(&tuple, 0, sizeof(tuple_t))
    tuple.src, tuple.dst, tuple.sport, tuple.dport = row.src, row.dst, row.sport, row.dport
    tuple.proto, tuple.family, tuple.node = row.proto, row.family, row.node
    return find(walk, &tuple, row.zones)


cdef inline bint is_closed(const connection_t* connection) noexcept nogil:
    """already_closed"""
    return connection.original.proto == PROTO_TCP and (
        connection.tcp.state == TCP_TIME_WAIT or connection.tcp.state == TCP_CLOSE)


cdef inline bint is_same(const counted_t* row, const connection_t* connection,
                         const asked_t* asked) noexcept nogil:
    return (addr_equal(row.src, asked.tuple.src) and addr_equal(row.dst, asked.tuple.dst)
            and row.sport == asked.tuple.sport and row.dport == asked.tuple.dport
            and row.proto == asked.tuple.proto
            and connection.original.zone == asked.zones[0])


cdef bint collect(walk_t* walk, counted_t* held, const asked_t* wanted) noexcept nogil:
    """Forgets connections that are gone or closed, some at a time.  `wanted`: whether it is there
    (__nf_conncount_add); without it, all that are (__nf_conncount_gc_list)."""
    cdef state_t* state = walk.state
    cdef uint32_t at = held.first, before = 0, collected = 0
    cdef int32_t found
    while at:
        if wanted != NULL and collected > COLLECT_MAX:
            break
        found = connection_of(walk, &state.counted[at - 1])
        if found >= 0 and wanted != NULL and is_same(
                &state.counted[at - 1], &state.connections[found], wanted):
            return True
        if found < 0 or is_closed(&state.connections[found]):
            at = remove(state, held, before, at)
            collected += 1
            continue
        if wanted == NULL and collected > COLLECT_MAX:
            break
        before, at = at, state.counted[at - 1].next
    held.collected = walk.now_ns // TICK_NS
    held.collected_count = held.count
    return False


# ------------------------------------------------------------------------------- counting


cdef bint is_added(walk_t* walk, counted_t* held, const asked_t* asked) noexcept nogil:
    """__nf_conncount_add; False: no room."""
    cdef uint64_t now = walk.now_ns // TICK_NS
    if asked.status & IPS_ASSURED:
        if held.count and held.collected != now:
            collect(walk, held, NULL)
        return True
    if (asked.status or held.collected != now
            or held.count - held.collected_count >= COLLECT_MAX):
        if collect(walk, held, asked):
            return True
    return append(walk.state, held, asked)


cdef int connlimit_match(walk_t* walk, const match_t* match) noexcept nogil:
    """xt_connlimit.c, connlimit_mt; a count of 0 drops the packet."""
    cdef const packet_t* packet = walk.packet
    cdef addr_t key = packet.dst if match.flags & CONNLIMIT_DESTINATION else packet.src
    cdef asked_t asked
    cdef counted_t* held
    cdef bint has_room
    cdef int outcome = ask(walk, &asked)
    if outcome != YES:
        if outcome == UNDECIDED:
            walk.state.memory[match.c].is_uncertain = 1
        return outcome
    key = shortened(key, match.b, packet.family)
    held = find_list(walk.state, match.c, key, asked.zone)
    if held == NULL:
        held = new_list(walk.state, match.c, key, asked.zone, walk.now_ns // TICK_NS)
        has_room = held != NULL and append(walk.state, held, &asked)
    else:
        has_room = is_added(walk, held, &asked)
    if not has_room:
        walk.state.memory[match.c].is_uncertain = 1
        return UNDECIDED
    if held.count == 0:
        return HOTDROP
    return (YES if held.count > match.a else NO) ^ match.invert
