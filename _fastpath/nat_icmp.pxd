# ICMP errors about translated connections.
from libc.stdint cimport uint32_t

from _fastpath.state cimport walk_t

# nf_nat_icmp_reply_translation: an ICMP error about a translated connection is translated too,
# outside and inside.  0, or the Reason why it is dropped.
cdef int nat_icmp_error(walk_t* walk, uint32_t manip) noexcept nogil
