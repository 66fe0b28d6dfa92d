# How often a node may send ICMP errors and redirects, on virtual time.
from libc.stdint cimport int32_t, uint8_t, uint32_t

from _fastpath.address cimport addr_t
from _fastpath.state cimport walk_t

cpdef enum:
    PEERS_MAX = 8192        # that all nodes together remember; more are not limited

# An error of that type to `dst`, of a node's budget and of what this destination has saved up.
# `prefixlen`: of the route back.
cdef bint rate_error(walk_t* walk, uint8_t type, uint8_t code, addr_t dst,
                     uint32_t prefixlen) noexcept nogil
# ip_error's own bucket, by the source of walk.packet.
cdef bint rate_refusal(walk_t* walk) noexcept nogil
# ip_rt_send_redirect: a redirect to the source of walk.packet.
cdef bint rate_redirect(walk_t* walk) noexcept nogil
# One a second to (or because of) that address.
cdef bint rate_second(walk_t* walk, addr_t address) noexcept nogil
