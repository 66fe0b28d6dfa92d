# Where an IP packet goes: routing tables, source addresses, hosts and wires.
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from _fastpath.address cimport addr_t
from _fastpath.image cimport host_t, image_t, node_t, route_t
from _fastpath.fib_rules cimport flowi_t
from _fastpath.packet cimport packet_t
from _fastpath.state cimport state_t

# 0 or the Reason why a packet that arrived on `device` is not routed (ip_route_input_slow);
# `route` is -1 when there is none.
cdef int route_input(const image_t* image, state_t* state, const packet_t* packet,
                     int32_t device, int32_t* route) noexcept nogil

# 0 or the Reason why the node does not send by these (ip_route_output_key): the route it takes,
# -1 when there is none.  `packet`: see fib_select.
cdef int route_output(const image_t* image, state_t* state, const flowi_t* flow,
                      const packet_t* packet, int32_t* route) noexcept nogil

# ip_dst_mtu_maybe_forward, ip6_mtu: what fits through a route that leaves by `device`.
cdef uint32_t route_mtu(const image_t* image, const route_t* way, int32_t device) noexcept nogil

# Device by which the node's own packets leave.
cdef int32_t output_device(const image_t* image, int32_t node, int32_t route) noexcept nogil

# RouteKind of an address by the local table alone (inet_addr_type); UNICAST if it is not there.
cdef uint8_t address_kind(const image_t* image, int32_t node, uint8_t family,
                          addr_t address, int32_t device) noexcept nogil

# With what __fib_validate_source asks for the way back.  `out_device`: by which it would be
# forwarded; -1 = it is not.
cdef flowi_t reverse_flow(const image_t* image, const packet_t* packet, int32_t device,
                          int32_t out_device, bint to_everybody) noexcept nogil
# fib_info_nh_uses_dev
cdef bint uses_device(const image_t* image, int32_t route, int32_t device) noexcept nogil
# Whether the sender of an IPv4 packet that leaves by the device it came by could have sent it there
# itself (__mkroute_input).
cdef bint goes_back(const image_t* image, const packet_t* packet, int32_t device,
                    int32_t route) noexcept nogil

# Order of (device, family, address) keys: -1, 0, 1.
cdef int compare_key(int32_t device, uint8_t family, addr_t address, int32_t other_device,
                     uint8_t other_family, addr_t other) noexcept nogil

# First host row behind `device` with `mac`; -1 if none.  Rows of one host follow each other.
cdef int32_t host_lookup(const image_t* image, int32_t device, uint64_t mac) noexcept nogil
# The host row of an address, whichever device it is behind; -1 if none.
cdef int32_t host_of_address(const image_t* image, uint8_t family, addr_t address) noexcept nogil
# Device on the same wire as `device` that has this MAC address; -1 if none.
cdef int32_t wire_lookup(const image_t* image, int32_t device, uint64_t mac) noexcept nogil
# Device on the same wire that has this IP address; -1 if none.
cdef int32_t wire_address(const image_t* image, int32_t device, uint8_t family,
                          addr_t address) noexcept nogil
