# -m dccp: what a DCCP header says beyond its ports (RFC 4340 5.1).
from _fastpath.image cimport match_t
from _fastpath.packet cimport packet_t

# Matched; a later fragment and a header that is cut short were refused with the ports.
cdef int dccp_match(const match_t* match, const packet_t* packet) noexcept nogil
