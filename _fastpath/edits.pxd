# Output frames made from captured ones: what is put before them, and what is written over.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.peek cimport job_t

cpdef enum:
    LINK_MAX = 64           # what an output frame has before its (inner) IP header: with a tunnel

# Addresses and ports, as frames have them (in this machine's order of bytes): what of those that
# came in stays, and what is put there.  IPv4: both addresses are the first word.
cdef struct rewrite_t:
    uint64_t[4] addresses_kept
    uint64_t[4] addresses
    uint32_t ports_kept, ports

# One output frame of a way: what the next packet's will differ by.
cdef struct edit_t:
    int32_t device
    uint16_t step           # of tap_t
    uint8_t outgoing
    uint8_t tunnel          # bytes before the frame that came in: 0, or VXLAN_OVERHEAD
    uint8_t ttl_less        # than the one it entered with
    uint8_t padding
    uint16_t ip_delta       # ones' complement: what the IP header's checksum gains by addresses
    uint16_t l4_delta
    uint16_t outer_sum      # of the outer IP header but its length, identification and checksum
    rewrite_t rewrite
    uint8_t[64] link        # LINK_MAX; in a tunnel, the source port of the outer header is 0

# The edit that made `after` of `before`, two frames of one packet, `after` in a tunnel or not
# (edit.tunnel), which it entered with `ttl`.  A Frame of another packet of the flow is then made by
# edit_write.
cdef void edit_learn(edit_t* edit, const uint8_t* before, uint8_t family, uint8_t ttl,
                     const uint8_t* after) noexcept nogil
# The frame of a packet that entered with `ttl`; how many bytes it has: those of the captured frame
# and the tunnel's.  At least 42 bytes must be present: see peek.pxd.
cdef uint32_t edit_write(const edit_t* edit, const job_t* job, uint8_t ttl,
                         uint8_t* to) noexcept nogil
