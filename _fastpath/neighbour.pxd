# Who has an IP address on a link: the neighbour table, and what ARP would find.
from libc.stdint cimport int32_t, uint8_t, uint64_t

from _fastpath.address cimport addr_t
from _fastpath.image cimport image_t
from _fastpath.packet cimport packet_t
from _fastpath.state cimport state_t, walk_t

cpdef enum Resolved:
    RESOLVED_ENTRY = 0      # by a neighbour entry
    RESOLVED_ASKED = 1      # no entry, but ARP would have found the one that has the address
    RESOLVED_FAILED = 2     # the entry says that nobody answers
    RESOLVED_UNKNOWN = 3    # nothing given says who has it

# MAC address of a next hop on a device; `entry` is the neighbour entry that says so, or -1.
cdef int resolve(const image_t* image, const state_t* state, int32_t device, uint8_t family,
                 addr_t next_hop, uint64_t* mac, int32_t* entry) noexcept nogil

# A frame came in from outside by a wire: its sender would answer ARP for its address.
# A full table learns nothing more; what it could not learn stays unknown.
cdef void neighbour_see(const image_t* image, state_t* state, int32_t device,
                        const packet_t* packet) noexcept nogil

# The same for walk.packet, with the step.  0, or the Reason why the address is not to be had.
cdef int neighbour_mac(walk_t* walk, int32_t device, uint8_t family, addr_t next_hop,
                       uint64_t* mac) noexcept nogil

# What the neighbour table says of an address; 0 = nothing.
cdef uint64_t known_mac(const image_t* image, int32_t device, uint8_t family,
                        addr_t address) noexcept nogil
