# A bridge's forwarding database: static entries of the image, learned ones of the state.
from libc.stdint cimport int32_t, uint64_t

from _fastpath.image cimport image_t
from _fastpath.state cimport state_t

cpdef enum:
    FDB_NONE = -1       # no entry: flood
    FDB_LOCAL = -2      # the bridge's own

# Port for a MAC address, or FDB_NONE, or FDB_LOCAL.
cdef int32_t fdb_lookup(const image_t* image, const state_t* state, int32_t bridge,
                        uint64_t mac) noexcept nogil
# Row of a device's static entry; -1 if none.  A VXLAN device's row says the remote.
cdef int32_t fdb_static(const image_t* image, int32_t device, uint64_t mac) noexcept nogil
# br_fdb_update: the frame's source is behind that port.  A full table forgets nothing and
# learns nothing; frames for what it could not learn are flooded.
cdef void fdb_learn(const image_t* image, state_t* state, int32_t bridge, int32_t port,
                    uint64_t mac) noexcept nogil
