# The order of things at a VXLAN device: what is sent into it, what comes out of it.
from libc.stdint cimport int32_t

from _fastpath.image cimport vxlan_t
from _fastpath.state cimport walk_t

# vxlan_xmit: the outer packet begins a way of its own, as if the node had sent it.
cdef int encapsulate(walk_t* walk, int32_t device) noexcept nogil
# vxlan_rcv: the inner frame arrives at the VXLAN device.
cdef int decapsulate(walk_t* walk, const vxlan_t* vxlan) noexcept nogil
