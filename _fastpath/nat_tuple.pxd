# Which tuple a translated connection gets: nf_nat_core.c, get_unique_tuple.
from libc.stdint cimport uint32_t

from _fastpath.image cimport target_t
from _fastpath.state cimport tuple_t, walk_t

# `tuple` is what walk.packet's connection looks like now, seen from its initiator; changed where
# the range or another connection's replies ask for it.
cdef void unique_tuple(walk_t* walk, tuple_t* tuple, const target_t* range,
                       uint32_t manip) noexcept nogil
