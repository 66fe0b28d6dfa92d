# Frames of captures on their way in (as Ethernet) and out (as pcap records).
from cpython.buffer cimport Py_buffer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.capture cimport frame_t

cpdef enum:
    MAX_GROWTH = 14     # bytes by which an Ethernet form can be longer than the frame

# Copy a frame as Ethernet to `out`, which has room for frame.captured + MAX_GROWTH bytes.
# `data` is the frame's first byte.  Cooked and raw frames get a header with zero addresses.
# Number of bytes written; -1 when the frame is too short for its link type, or the link type
# has no Ethernet form.
cdef int32_t frame_to_ethernet(const frame_t* frame, const uint8_t* data,
                               uint8_t* out) noexcept nogil

# Length on the wire that the Ethernet form would have.
cdef uint32_t frame_ethernet_length(const frame_t* frame) noexcept nogil

# The bytes of several captures, held in place as long as this object lives.
cdef class Buffers:
    cdef Py_buffer* views
    cdef readonly uint32_t count

# First byte of a frame in buffer `source`; NULL if it does not lie within it.
cdef const uint8_t* frame_bytes(const Py_buffer* views, uint32_t count, uint32_t source,
                                const frame_t* frame) noexcept nogil
