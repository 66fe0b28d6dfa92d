# What a packet would be as an element of a set.
from libc.stdint cimport int32_t, uint32_t

from _fastpath.image cimport set_t
from _fastpath.state cimport set_element_t, walk_t

cpdef enum Probe:
    PROBE_NONE = 0      # it has not what the type asks for
    PROBE_MADE = 1
    PROBE_UNKNOWN = 2   # what it has is not known

# Fills `probe`, whose networks are as long as an address can be.
#   sources     bit i: part i is the packet's source, else its destination
cdef int set_probe(const walk_t* walk, const set_t* set, uint32_t sources,
                   set_element_t* probe) noexcept nogil
