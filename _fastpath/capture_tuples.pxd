# Who speaks to whom in each frame of a capture, read a batch at a time.
from libc.stdint cimport uint8_t, uint16_t

from _fastpath.address cimport addr_t
from _fastpath.capture cimport frame_t

# What the headers of one frame say; all zero for a packet that is refused, or not IP.
cdef struct five_tuple_t:
    addr_t src, dst
    uint16_t sport, dport   # ICMP: identifier, type << 8 | code
    uint8_t family          # 4, 6; 0 = not IP
    uint8_t proto
    uint8_t tcp_flags
    uint8_t is_fragment

# `frame` is in Ethernet form, and `data` its first byte.
cdef void frame_five_tuple(const frame_t* frame, const uint8_t* data,
                           five_tuple_t* found) noexcept nogil
