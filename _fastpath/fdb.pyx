"""A bridge's forwarding database.  Specified by dataplane.reference.fdb."""

from libc.stdint cimport uint32_t

from _fastpath.choice cimport fold
from _fastpath.image cimport fdb_t
from _fastpath.state cimport learned_t


cdef int32_t fdb_static(const image_t* image, int32_t device, uint64_t mac) noexcept nogil:
    cdef uint32_t low = 0, high = image.fdb_count, middle
    cdef const fdb_t* entry
    while low < high:
        middle = (low + high) >> 1
        entry = &image.fdb[middle]
        if entry.device < device or (entry.device == device and entry.mac < mac):
            low = middle + 1
        else:
            high = middle
    if low < image.fdb_count and image.fdb[low].device == device and image.fdb[low].mac == mac:
        return <int32_t>low
    return -1


cdef learned_t* learned_slot(const state_t* state, int32_t bridge, uint64_t mac) noexcept nogil:
    """Its entry, or the free one where it would go, or NULL when the table is full."""
    cdef uint32_t slot = <uint32_t>fold(mac, <uint64_t>bridge) & state.learned_mask
    cdef uint32_t _tries
    cdef learned_t* entry
    for _tries in range(state.learned_mask + 1):
        entry = &state.learned[slot]
        if entry.mac == 0 or (entry.mac == mac and entry.bridge == bridge):
            return entry
        slot = (slot + 1) & state.learned_mask
    return NULL


cdef int32_t fdb_lookup(const image_t* image, const state_t* state, int32_t bridge,
                        uint64_t mac) noexcept nogil:
    cdef int32_t row = fdb_static(image, bridge, mac)
    cdef learned_t* entry
    if row >= 0:
        return FDB_LOCAL if image.fdb[row].port == bridge else image.fdb[row].port
    entry = learned_slot(state, bridge, mac)
    if entry == NULL or entry.mac == 0:
        return FDB_NONE
    return entry.port


cdef void fdb_learn(const image_t* image, state_t* state, int32_t bridge, int32_t port,
                    uint64_t mac) noexcept nogil:
    cdef learned_t* entry
    if mac == 0 or fdb_static(image, bridge, mac) >= 0:
        return
    entry = learned_slot(state, bridge, mac)
    if entry != NULL and (entry.mac != mac or entry.port != port):
        state.epoch += 1
        entry.mac = mac
        entry.bridge = bridge
        entry.port = port
