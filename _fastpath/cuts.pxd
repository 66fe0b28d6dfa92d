# Packets that leave in fragments: ip_fragment, ip6_fragment.
#
# A packet that is cut is laid aside, and its fragments are walked one after the other, each to
# its end, before the packet's own way is at an end: what becomes of the packet is told by the
# first fragment that fared worst.
from libc.stdint cimport int32_t, uint32_t

from _fastpath.state cimport walk_t

# Lays walk.packet aside; walk.packet is its first fragment then.  GO_ON, or END: it cannot be.
#
# mtu    most bytes of one fragment, IP header included
# port   bridge port by which the fragments leave, with the Ethernet header as it stands; -1 = by
#        the packet's route
cdef int cut(walk_t* walk, uint32_t mtu, int32_t port) noexcept nogil
# A fragment has ended: walk.packet is the next one, and its port (-1 = by its route) is
# returned; NO_MORE when there is none, and what was told of the packet is walk's end.
cdef int32_t next_fragment(walk_t* walk) noexcept nogil

cdef enum:
    NO_MORE = -2
