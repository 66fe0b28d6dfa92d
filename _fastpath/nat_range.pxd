# Which address of a range a translation takes.
from libc.stdint cimport uint32_t

from _fastpath.address cimport addr_t
from _fastpath.image cimport target_t
from _fastpath.state cimport tuple_t

# jhash2 of include/linux/jhash.h, over words of the host's order.
cdef uint32_t jhash2(const uint32_t* words, uint32_t count, uint32_t initial) noexcept nogil
# find_best_ips_proto: always the same for the same tuple in the same zone.
# `is_destination`: which side is chosen.
cdef addr_t best_address(const tuple_t* tuple, const target_t* wanted,
                         uint32_t zone, bint is_destination) noexcept nogil
# netmap_tg: the network's bits from the target, the host's from the address.
cdef addr_t mapped_address(addr_t address, const target_t* wanted) noexcept nogil
