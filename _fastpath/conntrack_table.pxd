# The table of connections: finding, linking, forgetting.
from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t

from _fastpath.address cimport addr_equal
from _fastpath.image cimport node_t
from _fastpath.state cimport state_t, tuple_t, walk_t

# The same ends in the same zone.
cdef inline bint tuple_equal(const tuple_t* a, const tuple_t* b) noexcept nogil:
    return (a.sport == b.sport and a.dport == b.dport and a.node == b.node
            and a.zone == b.zone and a.proto == b.proto and a.family == b.family
            and addr_equal(a.src, b.src) and addr_equal(a.dst, b.dst))

cpdef enum:
    CONNECTIONS_RESERVE = 256   # free entries that must be there before a packet is begun

# connection * 2 + direction, or -1, of a tuple in its own zone.  `zones` are those of the two
# directions: what is found in a direction must be in that one's (nf_ct_key_equal).
# Entries whose time is up are passed over.
cdef int32_t table_find(const state_t* state, const tuple_t* tuple, const uint16_t* zones,
                        uint64_t now_ns) noexcept nogil
# nf_conntrack_tuple_taken: another connection than `ignored` has this tuple already.  Two that
# begin as one flow do not take from each other.
cdef bint tuple_taken(walk_t* walk, const tuple_t* tuple, int32_t ignored) noexcept nogil
cdef uint32_t source_bucket(const state_t* state, const tuple_t* tuple) noexcept nogil
# An unconfirmed connection; -1 when there is no room.
cdef int32_t connection_new(walk_t* walk, const tuple_t* tuple, uint16_t reply_zone) noexcept nogil
# One that was never confirmed is forgotten.
cdef void connection_free(state_t* state, int32_t index) noexcept nogil
# Any is.
cdef void connection_kill(state_t* state, int32_t index) noexcept nogil
cdef void unlink_source(state_t* state, int32_t index) noexcept nogil
cdef void table_link(state_t* state, int32_t index) noexcept nogil

# A full table may forget this one; it is the newest of those.
cdef void connection_offer(state_t* state, int32_t index) noexcept nogil
# It may not, any more.
cdef void connection_keep(state_t* state, int32_t index) noexcept nogil
# early_drop: room is made on a full node.  Linux takes those of eight buckets of its hash table;
# here it is the oldest that is not assured.
cdef bint early_drop(state_t* state, const node_t* node, uint16_t number) noexcept nogil

# Frees every connection whose time is up; how many.
cdef uint32_t conntrack_collect(state_t* state, uint64_t now_ns) noexcept nogil
# Links every connection anew, into empty buckets: after the arrays have grown.
cdef void conntrack_rehash(state_t* state) noexcept nogil
