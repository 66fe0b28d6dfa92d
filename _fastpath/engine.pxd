# The engine: image, state and trace brought together, and one packet or a batch through them.
from libc.stdint cimport int32_t, uint32_t, uint64_t

from _fastpath.image cimport image_t
from _fastpath.packet cimport packet_t
from _fastpath.state cimport cut_t, state_t, walk_t
from _fastpath.trace cimport record_t, trace_t


cdef class Engine:
    cdef image_t image
    cdef state_t state
    cdef trace_t trace
    cdef walk_t walk
    cdef packet_t packet
    cdef packet_t[4] pending        # PENDING_MAX
    cdef cut_t[4] cuts              # CUTS_MAX
    cdef packet_t told
    cdef packet_t copied, copied_told
    cdef readonly object image_arrays, state_arrays
    cdef object kept                # buffers that the pointers point into
    cdef void point_packets(self)

cdef void run_packet(walk_t* walk, uint64_t time_ns, int32_t entry,
                     uint32_t number) noexcept nogil
# Takes what is known before the walk into a record.
cdef void record_begin(record_t* record, const packet_t* packet, uint32_t number) noexcept nogil
# Takes what became of the packet into its record, and interns its path.
cdef void record_end(record_t* record, walk_t* walk) noexcept nogil

# A packet may be walked without growing anything first.
cdef bint engine_has_room(Engine engine) noexcept nogil
