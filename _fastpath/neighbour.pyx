"""Who has an IP address on a link.  Specified by dataplane.reference.neighbour."""

from libc.stdint cimport uint32_t

from _fastpath.address cimport addr_equal, addr_in
from _fastpath.choice cimport fold
from _fastpath.forwarding cimport compare_key, host_of_address, wire_address
from _fastpath.image cimport DEVICE_WIRE, address_t, device_t, neighbour_t
from _fastpath.packet cimport ether_src
from _fastpath.reason cimport NEIGHBOUR_FAILED, NEIGHBOUR_UNKNOWN
from _fastpath.state cimport seen_t
from _fastpath.trace cimport STEP_NEIGHBOUR, trace_step


cdef int32_t find_neighbour(const image_t* image, int32_t device, uint8_t family,
                            addr_t address) noexcept nogil:
    cdef uint32_t low = 0, high = image.neighbour_count, middle
    cdef const neighbour_t* entry
    cdef int order
    while low < high:
        middle = (low + high) >> 1
        entry = &image.neighbours[middle]
        order = compare_key(entry.device, entry.family, entry.address, device, family, address)
        if order == 0:
            return <int32_t>middle
        if order < 0:
            low = middle + 1
        else:
            high = middle
    return -1


cdef seen_t* seen_slot(const state_t* state, int32_t segment, uint8_t family,
                       addr_t address) noexcept nogil:
    """Its entry, or the free one where it would go, or NULL when the table is full."""
    cdef uint64_t h = fold(fold(address.hi, address.lo), <uint64_t>segment)
    cdef uint32_t slot = <uint32_t>h & state.seen_mask
    cdef uint32_t _tries
    cdef seen_t* entry
    for _tries in range(state.seen_mask + 1):
        entry = &state.seen[slot]
        if entry.mac == 0 or (entry.segment == segment and entry.family == family
                              and addr_equal(entry.address, address)):
            return entry
        slot = (slot + 1) & state.seen_mask
    return NULL


cdef int resolve(const image_t* image, const state_t* state, int32_t device, uint8_t family,
                 addr_t next_hop, uint64_t* mac, int32_t* entry) noexcept nogil:
    cdef int32_t asked
    cdef const seen_t* seen
    entry[0] = find_neighbour(image, device, family, next_hop)
    if entry[0] >= 0 and image.neighbours[entry[0]].state == 1:
        mac[0] = image.neighbours[entry[0]].mac
        return RESOLVED_ENTRY
    if entry[0] >= 0 and image.neighbours[entry[0]].state == 2:
        return RESOLVED_FAILED
    entry[0] = -1
    asked = wire_address(image, device, family, next_hop)
    if asked >= 0:
        mac[0] = image.devices[asked].mac
        return RESOLVED_ASKED
    asked = host_of_address(image, family, next_hop)
    if asked >= 0 and image.hosts[asked].device == device:
        mac[0] = image.hosts[asked].mac
        return RESOLVED_ASKED
    if image.devices[device].segment >= 0:
        seen = seen_slot(state, image.devices[device].segment, family, next_hop)
        if seen != NULL and seen.mac:
            mac[0] = seen.mac
            return RESOLVED_ASKED
    return RESOLVED_UNKNOWN


cdef bint is_on_link(const image_t* image, int32_t device, uint8_t family,
                     addr_t address) noexcept nogil:
    cdef const device_t* dev = &image.devices[device]
    cdef const address_t* own
    cdef uint32_t i
    for i in range(dev.address_start, dev.address_start + dev.address_count):
        own = &image.addresses[i]
        if own.family == family and addr_in(
                address, addr_t(own.address.hi & own.mask.hi, own.address.lo & own.mask.lo),
                own.mask):
            return True
    return False


cdef void neighbour_see(const image_t* image, state_t* state, int32_t device,
                        const packet_t* packet) noexcept nogil:
    cdef seen_t* entry
    if packet.family == 0 or image.devices[device].kind != DEVICE_WIRE:
        return
    if image.devices[device].segment < 0 or ether_src(packet) == 0:
        return
    if not is_on_link(image, device, packet.family, packet.src):
        return
    entry = seen_slot(state, image.devices[device].segment, packet.family, packet.src)
    if entry != NULL and entry.mac != ether_src(packet):
        state.epoch += 1
        entry.address = packet.src
        entry.mac = ether_src(packet)
        entry.segment = image.devices[device].segment
        entry.family = packet.family


cdef int neighbour_mac(walk_t* walk, int32_t device, uint8_t family, addr_t next_hop,
                       uint64_t* mac) noexcept nogil:
    cdef int32_t entry = -1
    cdef int found = resolve(walk.image, walk.state, device, family, next_hop, mac, &entry)
    if found == RESOLVED_ENTRY:
        trace_step(walk.trace, STEP_NEIGHBOUR, <uint32_t>entry)
    elif found == RESOLVED_FAILED:
        return NEIGHBOUR_FAILED
    elif found == RESOLVED_UNKNOWN:
        return NEIGHBOUR_UNKNOWN
    return 0


cdef uint64_t known_mac(const image_t* image, int32_t device, uint8_t family,
                        addr_t address) noexcept nogil:
    cdef int32_t entry = find_neighbour(image, device, family, address)
    return image.neighbours[entry].mac if entry >= 0 and image.neighbours[entry].state == 1 else 0
