# What has come of packets whose fragments wait for each other.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.state cimport fragment_queue_t, state_t, walk_t

# What a fragment says of itself.
cdef struct piece_t:
    uint32_t id
    uint32_t offset, end    # of the payload, in bytes
    uint32_t data           # where its part of the payload begins, from the frame's first byte
    uint32_t size           # whole, from the IP header on
    uint8_t more            # more fragments follow
    uint8_t has_df

cdef enum Insertion:
    INSERTED = 0
    DUPLICATE = 1
    OVERLAP = 2

# The queue of walk.packet, if need be a new one, for a FragmentUser; NULL: queue_none says why.
# Queues whose time is up vanish.
cdef fragment_queue_t* queue_find(walk_t* walk, const piece_t* piece, uint8_t user) noexcept nogil
cdef uint16_t queue_none(const walk_t* walk, uint8_t user) noexcept nogil
# When a queue ends that begins now.
cdef uint64_t queue_expiry(const walk_t* walk, uint8_t user) noexcept nogil
# Nothing has come yet; the longest sizes stay.
cdef void queue_clear(state_t* state, fragment_queue_t* queue) noexcept nogil

# A fragment wholly within a run is a duplicate; what overlaps otherwise is an overlap (RFC 5722).
cdef int queue_insert(state_t* state, fragment_queue_t* queue, uint32_t offset,
                      uint32_t stop) noexcept nogil
# The bytes of walk.packet; those of a first fragment with its head.
cdef void queue_keep(walk_t* walk, fragment_queue_t* queue, const piece_t* piece) noexcept nogil

cdef uint8_t* queue_head(state_t* state, const fragment_queue_t* queue) noexcept nogil
cdef uint8_t* queue_data(state_t* state, const fragment_queue_t* queue) noexcept nogil
# See packet_boundaries.
cdef uint8_t* queue_pieces(state_t* state, const fragment_queue_t* queue) noexcept nogil
