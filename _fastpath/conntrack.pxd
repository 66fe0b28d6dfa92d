# Connection tracking: nf_conntrack_core.c and its protocol trackers.
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from _fastpath.packet cimport packet_t
from _fastpath.state cimport state_t, tuple_t, walk_t

# nf_conntrack_in: finds or makes the packet's connection and sets its ctinfo.
# Returns 0, or the Reason why the packet is dropped or cannot be followed.
cdef int conntrack_in(walk_t* walk, uint32_t hook) noexcept nogil
# nf_confirm: the packet of a new connection leaves (or reaches a process): it is entered.
cdef int conntrack_confirm(walk_t* walk) noexcept nogil
# A dropped packet's unconfirmed connection vanishes with it.
cdef void conntrack_drop(walk_t* walk, int32_t index) noexcept nogil
# Where the transport header of the packet that an ICMP error quotes begins, and its protocol;
# 0 if it, or eight bytes of it, are not there.
cdef uint32_t quoted_transport(const packet_t* packet, uint8_t* proto) noexcept nogil

cdef void tuple_invert(tuple_t* to, const tuple_t* source) noexcept nogil
# Another connection than `ignored` has this tuple already.
cdef bint tuple_taken(walk_t* walk, const tuple_t* tuple, int32_t ignored) noexcept nogil
cdef uint32_t source_bucket(const state_t* state, const tuple_t* tuple) noexcept nogil

cpdef enum:
    CONNECTIONS_RESERVE = 256   # free entries that must be there before a packet is begun

# Frees every connection whose time is up; how many.
cdef uint32_t conntrack_collect(state_t* state, uint64_t now_ns) noexcept nogil
# Links every connection anew, into empty buckets: after the arrays have grown.
cdef void conntrack_rehash(state_t* state) noexcept nogil
