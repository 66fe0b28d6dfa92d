# Packets that a node makes itself: ICMP errors, TCP resets, ARP replies.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.address cimport addr_t
from _fastpath.ip_options cimport echo_t
from _fastpath.packet cimport packet_t

# icmp_send's own conditions: no error about errors, further fragments, or to nobody.  (None
# about what was sent to everybody either: the caller knows the destination's kind.)
cdef bint icmp_may_answer(const packet_t* packet) noexcept nogil

# An ICMP (ICMPv6) error about `about`, to its source.  `detail` is the MTU of 3/4; an IPv4 one
# quotes at most `room` bytes, and has the options of `echo`.
cdef void icmp_build(packet_t* packet, const packet_t* about, addr_t src, uint8_t type,
                     uint8_t code, uint32_t detail, uint8_t ttl, uint16_t id, uint32_t room,
                     const echo_t* echo) noexcept nogil

# RFC 4861 4.5: a redirect about `about`, from `src`.  `mac`: of the target; 0 = not known.
cdef void redirect6_build(packet_t* packet, const packet_t* about, addr_t src, addr_t target,
                          uint64_t mac) noexcept nogil

# nf_reject_ipv4.c: may a reset answer this segment?
cdef bint reset_may_answer(packet_t* packet, uint32_t hook) noexcept nogil
cdef void reset_build(packet_t* packet, const packet_t* about, uint8_t ttl) noexcept nogil

# An ARP reply to the request in `about`, from `mac`.  False if it is no request.
cdef bint arp_reply_build(packet_t* packet, const packet_t* about, uint64_t mac) noexcept nogil
cdef bint arp_request_target(const packet_t* packet, addr_t* target) noexcept nogil
