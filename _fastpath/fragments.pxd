# Fragments wait until their packet is whole: nf_defrag_ipv4, nf_defrag_ipv6, and before a
# process of the node.
from libc.stdint cimport uint8_t

from _fastpath.state cimport walk_t

# walk.packet if it is a fragment, for a FragmentUser.  GO_ON: it is none, or it completed its
# packet and is that packet now, or (IPv6) it is passed as it stands.  END: it waits, or it is
# dropped.
cdef int gather(walk_t* walk, uint8_t user) noexcept nogil
