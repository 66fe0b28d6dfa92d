# Which of its addresses a node speaks with.
from libc.stdint cimport int32_t, uint8_t

from _fastpath.address cimport addr_t
from _fastpath.image cimport image_t
from _fastpath.packet cimport packet_t

# All leave `address` alone, and return False, where there is none.

# Of the packets that the node itself sends by the route.
cdef bint source_address(const image_t* image, int32_t node, int32_t route, addr_t destination,
                         addr_t* address) noexcept nogil

# IPv4, for what leaves by `device` towards `next_hop` (inet_select_addr), of scope at most `scope`.
cdef bint select_address(const image_t* image, int32_t device, addr_t next_hop, uint8_t scope,
                         addr_t* address) noexcept nogil
# IPv6, for what leaves by `device` (-1 = any) to `dst` (ipv6_dev_get_saddr).
cdef bint select_address6(const image_t* image, int32_t node, int32_t device, addr_t dst,
                          addr_t* address) noexcept nogil
# The device's last link-local one (ipv6_get_lladdr).
cdef bint link_local_address(const image_t* image, int32_t device, addr_t* address) noexcept nogil
# What REDIRECT takes: the device's first of all; of IPv6, whose scope suits the destination.
cdef bint redirect_address(const image_t* image, int32_t device, uint8_t family,
                           addr_t destination, addr_t* address) noexcept nogil

# What an IPv4 packet that came by `device`, and goes by `route` (-1 = by none), calls this node
# (fib_compute_spec_dst), and what it does where it leaves (ip_rt_get_source).
cdef bint recorded_address(const image_t* image, const packet_t* packet, int32_t device,
                           int32_t route, addr_t* address) noexcept nogil
cdef bint leaving_address(const image_t* image, const packet_t* packet, int32_t device,
                          int32_t route, addr_t* address) noexcept nogil
