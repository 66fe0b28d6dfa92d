# Options of the IPv4 header (RFC 791): what a router reads of them and writes into them.
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from _fastpath.address cimport addr_t
from _fastpath.image cimport image_t
from _fastpath.packet cimport ip_options_t, packet_t

cdef enum:
    OPTIONS_MAX = 40        # bytes

# The options of an error about a packet, and where it goes first.
cdef struct echo_t:
    uint8_t data[40]        # OPTIONS_MAX; of a whole number of words
    uint32_t size
    ip_options_t options    # where they are, and what they want
    addr_t first_hop        # zero: straight to its destination

# ip_options_compile: fills packet.options and writes into the header, not into its checksum.
# 0, or where in the IP header something is wrong.  `route`: by which the packet goes; -1 = none.
cdef uint32_t options_read(const image_t* image, packet_t* packet, int32_t device, int32_t route,
                           uint64_t now_ns) noexcept nogil

# The next address of a source route that is left, from the IP header's byte at[0] on: 1; 0 = there
# is none, 2 = it is cut short.
cdef int options_hop(const packet_t* packet, uint32_t* at, addr_t* address) noexcept nogil
cdef bint options_strict(const packet_t* packet) noexcept nogil
# The header's destination, without its checksum or the transport's.
cdef void options_set_dst(packet_t* packet, addr_t address) noexcept nogil

# ip_forward_options: what is written where the packet leaves; its checksum is right after.
cdef void options_forward(const image_t* image, packet_t* packet, int32_t device,
                          int32_t route) noexcept nogil

# __ip_options_echo: False if nothing may be answered.
cdef bint options_echo(const image_t* image, const packet_t* packet, echo_t* echo) noexcept nogil
# ip_options_build: what a packet from `src` to `dst` says in them.
cdef void options_build(echo_t* echo, addr_t src, addr_t dst, uint64_t now_ns) noexcept nogil
