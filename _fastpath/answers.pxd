# What a node says to a packet that goes no further: ICMP errors, resets, ARP replies.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

from _fastpath.choice cimport draw_t
from _fastpath.image cimport target_t
from _fastpath.state cimport walk_t

# icmp_send: an error about walk.packet goes back to its source, if one may.
cdef bint icmp_error(walk_t* walk, uint8_t kind, uint8_t type, uint8_t code,
                     uint32_t detail) noexcept nogil
# ip_error: the packet has no route, and its sender is told as the reason wants it.
cdef int not_routed(walk_t* walk, uint16_t reason) noexcept nogil
# A packet that goes back where it came from: its sender is told the shorter way, and it goes on
# (ip_rt_send_redirect, ndisc_send_redirect).
cdef void redirect(walk_t* walk, int32_t route) noexcept nogil
cdef void redirect6(walk_t* walk, int32_t device, int32_t route) noexcept nogil
# The next hop does not answer: the end of the packet.
cdef int no_neighbour(walk_t* walk, uint16_t reason) noexcept nogil
# The REJECT target: the end of the packet.
cdef int reject(walk_t* walk, const target_t* target) noexcept nogil
# arp_process: the node answers for the addresses that are local to it.
cdef void arp_answer(walk_t* walk, int32_t device) noexcept nogil

# What a draw about walk.packet depends on.
cdef draw_t packet_draw(const walk_t* walk, uint8_t kind) noexcept nogil
# Identification of a packet made because of walk.packet.  Never 0.
cdef uint16_t ip_id(walk_t* walk) noexcept nogil
# A node's first, and what follows when `given` were given, where no choice is fed in.
cdef uint16_t first_ip_id(const walk_t* walk, int32_t node) noexcept nogil

cdef inline uint16_t next_ip_id(uint16_t first, uint32_t* given) noexcept nogil:
    cdef uint16_t value = 0
    while value == 0:
        value = <uint16_t>(first + given[0])
        given[0] += 1
    return value

# Identification of the fragments of an IPv6 packet (ipv6_select_ident).
cdef uint32_t fragment_id(walk_t* walk) noexcept nogil
