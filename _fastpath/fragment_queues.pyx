"""What has come of packets whose fragments wait.  Specified by dataplane.reference.fragment_queues.

A slot holds the head of a packet's first fragment, its payload, and three maps with a bit for
every eight bytes:

    covered     came
    runs        a run begins here: fragments that came one after the other, in order
    pieces      a fragment begins here

inet_fragment.c, v6.12.
"""

from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from _fastpath.address cimport addr_equal
from _fastpath.image cimport node_t
from _fastpath.packet cimport packet_t
from _fastpath.reason cimport FRAGMENT_MEMORY, FRAGMENT_UNMODELLED
from _fastpath.state cimport (
    FRAGMENT_CONNTRACK6,
    FRAGMENT_DATA,
    FRAGMENT_HEAD,
    FRAGMENT_IPV4,
    FRAGMENT_IPV6,
    FRAGMENT_MAP,
    FRAGMENT_QUEUES,
    FRAGMENT_SLOT,
    USER_LOCAL,
    state_t,
)

cdef enum:
    SECOND_NS = 1000000000

# ------------------------------------------------------------------------------------ slots


cdef uint8_t* queue_head(state_t* state, const fragment_queue_t* queue) noexcept nogil:
    return state.fragment_bytes + <uint64_t>(queue - state.fragments) * FRAGMENT_SLOT


cdef uint8_t* queue_data(state_t* state, const fragment_queue_t* queue) noexcept nogil:
    return queue_head(state, queue) + FRAGMENT_HEAD


cdef inline uint8_t* covered(state_t* state, const fragment_queue_t* queue) noexcept nogil:
    return queue_data(state, queue) + FRAGMENT_DATA


cdef inline uint8_t* runs(state_t* state, const fragment_queue_t* queue) noexcept nogil:
    return covered(state, queue) + FRAGMENT_MAP


cdef uint8_t* queue_pieces(state_t* state, const fragment_queue_t* queue) noexcept nogil:
    return covered(state, queue) + 2 * FRAGMENT_MAP


cdef inline bint bit(const uint8_t* map, uint32_t at) noexcept nogil:
    return (map[at >> 3] >> (at & 7)) & 1


cdef inline void set_bit(uint8_t* map, uint32_t at) noexcept nogil:
    map[at >> 3] |= <uint8_t>(1 << (at & 7))


cdef inline uint8_t class_of(const packet_t* packet, uint8_t user) noexcept nogil:
    if packet.family == 4:
        return FRAGMENT_IPV4
    return FRAGMENT_IPV6 if user == USER_LOCAL else FRAGMENT_CONNTRACK6


cdef int32_t key_device(const packet_t* packet) noexcept nogil:
    """Of groups and link-local addresses the device is part of who they are."""
    if packet.family == 6 and (packet.dst.hi >> 56 == 0xFF or packet.dst.hi >> 54 == 0x3FA):
        return packet.in_device
    return -1


cdef bint is_of(const fragment_queue_t* queue, const packet_t* packet, const piece_t* piece,
                uint8_t user) noexcept nogil:
    return (queue.id == piece.id and queue.node == packet.node and queue.user == user
            and queue.family == packet.family and addr_equal(queue.src, packet.src)
            and addr_equal(queue.dst, packet.dst)
            and (packet.family == 6 or queue.proto == packet.proto)
            and queue.device == key_device(packet))


cdef void queue_clear(state_t* state, fragment_queue_t* queue) noexcept nogil:
    queue.length = queue.tail = queue.received = 0
    queue.flags = queue.ecn = queue.is_cut = 0
    memset(covered(state, queue), 0, 3 * FRAGMENT_MAP)


cdef fragment_queue_t* queue_new(walk_t* walk, const piece_t* piece, uint8_t user,
                                 fragment_queue_t* queue) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    memset(queue, 0, sizeof(fragment_queue_t))
    queue.src = packet.src
    queue.dst = packet.dst
    queue.id = piece.id
    queue.node = packet.node
    queue.family = packet.family
    queue.proto = packet.proto
    queue.user = user
    queue.device = key_device(packet)
    queue.expires_ns = queue_expiry(walk, user)
    queue_clear(walk.state, queue)
    return queue


cdef uint64_t queue_expiry(const walk_t* walk, uint8_t user) noexcept nogil:
    cdef const node_t* node = &walk.image.nodes[walk.packet.node]
    return walk.now_ns + <uint64_t>node.fragment_times[class_of(walk.packet, user)] * SECOND_NS


cdef uint16_t queue_none(const walk_t* walk, uint8_t user) noexcept nogil:
    """Why there is no queue."""
    if walk.image.nodes[walk.packet.node].fragment_memory[class_of(walk.packet, user)]:
        return FRAGMENT_UNMODELLED
    return FRAGMENT_MEMORY


cdef fragment_queue_t* queue_find(walk_t* walk, const piece_t* piece,
                                  uint8_t user) noexcept nogil:
    """The packet's queue, if need be a new one; NULL when there is no room for one."""
    cdef fragment_queue_t* queue
    cdef fragment_queue_t* free = NULL
    cdef fragment_queue_t* found = NULL
    cdef int i
    if queue_none(walk, user) != <int>FRAGMENT_UNMODELLED:
        return NULL
    for i in range(FRAGMENT_QUEUES):
        queue = &walk.state.fragments[i]
        if queue.expires_ns <= walk.now_ns:
            queue.expires_ns = 0            # its time is up: it vanishes (ip_expire)
        if queue.expires_ns == 0:
            free = queue
            continue
        if is_of(queue, walk.packet, piece, user):
            found = queue
        if (queue.family == 4 and queue.node == walk.packet.node
                and addr_equal(queue.src, walk.packet.src)):
            queue.distance += 1             # struct inet_peer: rid
    if found != NULL:
        return found
    return queue_new(walk, piece, user, free) if free != NULL else NULL


# ----------------------------------------------------------------------------------- insert


cdef int queue_insert(state_t* state, fragment_queue_t* queue, uint32_t offset,
                      uint32_t stop) noexcept nogil:
    """inet_frag_queue_insert.  `offset` is below `stop`."""
    cdef uint8_t* map = covered(state, queue)
    cdef uint32_t first = offset >> 3, last = (stop + 7) >> 3
    cdef uint32_t at, met = 0, begun = 0
    for at in range(first, last):
        met += bit(map, at)
        begun += at > first and bit(runs(state, queue), at)
    if met:
        return DUPLICATE if met == last - first and begun == 0 else OVERLAP
    for at in range(first, last):
        set_bit(map, at)
    if queue.received == 0 or offset != queue.tail:
        set_bit(runs(state, queue), first)
    set_bit(queue_pieces(state, queue), first)
    queue.tail = max(queue.tail, stop)
    queue.received += stop - offset
    return INSERTED


cdef void queue_keep(walk_t* walk, fragment_queue_t* queue, const piece_t* piece) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef uint8_t* head = queue_head(walk.state, queue)
    cdef uint32_t size = piece.end - piece.offset
    if piece.data + size > packet.size:
        queue.is_cut = 1
        size = packet.size - piece.data if packet.size > piece.data else 0
    if piece.offset < FRAGMENT_DATA:
        memcpy(queue_data(walk.state, queue) + piece.offset, packet.frame + piece.data,
               min(size, FRAGMENT_DATA - piece.offset))
    if piece.offset == 0:
        queue.head_size = piece.data
        queue.mark = packet.mark
        memcpy(head, packet.frame, piece.data)
