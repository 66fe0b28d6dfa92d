"""The table of connections.  Specified by dataplane.reference.conntrack_table.

A connection stands in two chains of the hash table, one for each of its tuples; in a third, by
its original source, once NAT has chosen for it; and, as long as it is not assured, in its node's
list of those that a full table may forget.
"""

from libc.string cimport memset

from _fastpath.choice cimport fold
from _fastpath.conntrack_tuple cimport tuple_invert
from _fastpath.state cimport (
    IPS_CONFIRMED,
    IPS_EVICTABLE,
    IPS_IN_USE,
    IPS_SRC_NAT_DONE,
    connection_t,
    connection_tuple,
)


cdef inline uint32_t tuple_bucket(const state_t* state, const tuple_t* tuple) noexcept nogil:
    cdef uint64_t h = fold(tuple.src.hi ^ (<uint64_t>tuple.node << 48), tuple.src.lo)
    h = fold(h ^ tuple.dst.hi, tuple.dst.lo)
    h = fold(h, (<uint64_t>tuple.sport << 48) | (<uint64_t>tuple.dport << 32)
             | (<uint64_t>tuple.proto << 8) | tuple.family)
    return <uint32_t>h & state.bucket_mask


cdef uint32_t source_bucket(const state_t* state, const tuple_t* tuple) noexcept nogil:
    cdef uint64_t h = fold(tuple.src.hi ^ (<uint64_t>tuple.node << 48), tuple.src.lo)
    return <uint32_t>fold(h, (<uint64_t>tuple.sport << 16) | tuple.proto) & state.bucket_mask


cdef void unlink_one(state_t* state, int32_t index, uint32_t direction) noexcept nogil:
    cdef connection_t* connection = &state.connections[index]
    cdef const tuple_t* tuple = connection_tuple(connection, direction)
    cdef int32_t* link = &state.buckets[tuple_bucket(state, tuple)]
    cdef uint32_t other
    while link[0] >= 0:
        # A chain link names (connection, direction) in one number.
        other = <uint32_t>link[0]
        if other == <uint32_t>index * 2 + direction:
            link[0] = tuple.next
            return
        link = &connection_tuple(&state.connections[other >> 1], other & 1).next


cdef void unlink_source(state_t* state, int32_t index) noexcept nogil:
    cdef connection_t* connection = &state.connections[index]
    cdef int32_t* link = &state.source_buckets[source_bucket(state, &connection.original)]
    while link[0] >= 0:
        if link[0] == index:
            link[0] = connection.next_source
            return
        link = &state.connections[link[0]].next_source


cdef void connection_free(state_t* state, int32_t index) noexcept nogil:
    state.connections[index].status = 0
    state.connections[index].generation += 1
    state.free_list[state.free_count] = index
    state.free_count += 1


cdef void connection_kill(state_t* state, int32_t index) noexcept nogil:
    cdef connection_t* connection = &state.connections[index]
    if connection.status & IPS_CONFIRMED:
        unlink_one(state, index, 0)
        unlink_one(state, index, 1)
        state.node_connections[connection.original.node] -= 1
        connection_keep(state, index)
    unlink_source(state, index)
    connection_free(state, index)


cdef int32_t table_find(const state_t* state, const tuple_t* tuple, const uint16_t* zones,
                        uint64_t now_ns) noexcept nogil:
    """What has expired is passed over, not freed: a packet on its way may still hold it."""
    cdef int32_t here = state.buckets[tuple_bucket(state, tuple)]
    cdef connection_t* connection
    while here >= 0:
        connection = &state.connections[here >> 1]
        if (connection.expires_ns > now_ns and tuple.zone == zones[here & 1]
                and tuple_equal(connection_tuple(connection, here & 1), tuple)):
            return here
        here = connection_tuple(connection, here & 1).next
    return -1


cdef bint tuple_taken(walk_t* walk, const tuple_t* tuple, int32_t ignored) noexcept nogil:
    cdef const connection_t* own = &walk.state.connections[ignored]
    cdef connection_t* other
    cdef int32_t here = walk.state.buckets[tuple_bucket(walk.state, tuple)]
    while here >= 0:
        other = &walk.state.connections[here >> 1]
        if (other.expires_ns > walk.now_ns and tuple_equal(connection_tuple(other, here & 1), tuple)
                and tuple.zone == connection_tuple(
                    &walk.state.connections[ignored], here & 1).zone
                and not tuple_equal(&other.original, &own.original)):
            return True
        here = connection_tuple(other, here & 1).next
    return False


cdef uint32_t conntrack_collect(state_t* state, uint64_t now_ns) noexcept nogil:
    """Free every connection whose time is up."""
    cdef uint64_t earliest = ~<uint64_t>0
    cdef connection_t* connection
    cdef uint32_t i, freed = 0
    for i in range(state.connection_max):
        connection = &state.connections[i]
        if not connection.status & IPS_CONFIRMED:
            continue
        if connection.expires_ns <= now_ns:
            connection_kill(state, <int32_t>i)
            freed += 1
        else:
            earliest = min(earliest, connection.expires_ns)
    state.next_expiry_ns = earliest
    return freed


cdef void table_link(state_t* state, int32_t index) noexcept nogil:
    cdef connection_t* connection = &state.connections[index]
    cdef tuple_t* tuple
    cdef uint32_t direction, bucket
    for direction in range(2):
        tuple = connection_tuple(connection, direction)
        bucket = tuple_bucket(state, tuple)
        tuple.next = state.buckets[bucket]
        state.buckets[bucket] = index * 2 + <int32_t>direction


cdef void conntrack_rehash(state_t* state) noexcept nogil:
    cdef connection_t* connection
    cdef uint32_t i, bucket
    for i in range(state.connection_max):
        connection = &state.connections[i]
        if connection.status & IPS_CONFIRMED:
            table_link(state, <int32_t>i)
        if connection.status & IPS_SRC_NAT_DONE:
            bucket = source_bucket(state, &connection.original)
            connection.next_source = state.source_buckets[bucket]
            state.source_buckets[bucket] = <int32_t>i


cdef int32_t connection_new(walk_t* walk, const tuple_t* tuple, uint16_t reply_zone) noexcept nogil:
    cdef state_t* state = walk.state
    cdef connection_t* connection
    cdef int32_t index
    cdef uint32_t generation
    if state.free_count == 0 and conntrack_collect(state, walk.now_ns) == 0:
        return -1
    state.free_count -= 1
    index = state.free_list[state.free_count]
    connection = &state.connections[index]
    generation = connection.generation
    memset(connection, 0, sizeof(connection_t))
    connection.generation = generation
    connection.original = tuple[0]
    tuple_invert(&connection.reply, tuple)
    connection.reply.zone = reply_zone
    connection.original.next = connection.reply.next = connection.next_source = -1
    connection.status = IPS_IN_USE
    if state.accounting != NULL:
        memset(&state.accounting[<uint64_t>index * 4], 0, 4 * sizeof(uint64_t))
    return index


# -------------------------------------------------------------------------------- early drop


cdef void connection_offer(state_t* state, int32_t index) noexcept nogil:
    cdef connection_t* connection = &state.connections[index]
    cdef uint16_t node = connection.original.node
    connection.status |= IPS_EVICTABLE
    connection.newer = -1
    connection.older = state.node_newest[node]
    if connection.older >= 0:
        state.connections[connection.older].newer = index
    else:
        state.node_oldest[node] = index
    state.node_newest[node] = index


cdef void connection_keep(state_t* state, int32_t index) noexcept nogil:
    cdef connection_t* connection = &state.connections[index]
    cdef uint16_t node = connection.original.node
    if not connection.status & IPS_EVICTABLE:
        return
    connection.status &= ~<uint32_t>IPS_EVICTABLE
    if connection.older >= 0:
        state.connections[connection.older].newer = connection.newer
    else:
        state.node_oldest[node] = connection.newer
    if connection.newer >= 0:
        state.connections[connection.newer].older = connection.older
    else:
        state.node_newest[node] = connection.older


cdef bint early_drop(state_t* state, const node_t* node, uint16_t number) noexcept nogil:
    cdef int32_t victim = state.node_oldest[number]
    # Linux looks through eight buckets; of a sparse table they are empty.
    if victim < 0 or <uint64_t>node.conntrack_max * 16 < node.conntrack_buckets:
        return False
    connection_kill(state, victim)
    return True
