# VXLAN (RFC 7348): writing and reading the outer headers.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint64_t

from _fastpath.address cimport addr_t
from _fastpath.image cimport image_t, vxlan_t
from _fastpath.packet cimport packet_t

cpdef enum:
    VXLAN_HEADER = 8
    VXLAN_OVERHEAD = 50     # outer Ethernet, IPv4, UDP and VXLAN headers
    VXLAN_PORT = 8472       # Linux' default, and flannel's

# Puts Ethernet, IPv4, UDP and VXLAN headers in front of the frame and parses the result.
# The outer MAC addresses are left zero: the neighbour says them later.
cdef int vxlan_encapsulate(packet_t* packet, const vxlan_t* vxlan, addr_t src, addr_t dst,
                           uint8_t ttl, uint16_t sport, uint16_t id) noexcept nogil

# The VXLAN device of `node` that a UDP packet is for; -1 none.  `reason` is not 0 when the
# packet is for a VXLAN port but is refused.
cdef int32_t vxlan_of_packet(const image_t* image, const packet_t* packet,
                             int* reason) noexcept nogil

# Takes the outer headers off.  0 or the Reason why vxlan_rcv drops the inner frame.
cdef int vxlan_decapsulate(packet_t* packet, uint64_t own_mac) noexcept nogil
