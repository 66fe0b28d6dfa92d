"""Longest-prefix match.  Specified by dataplane.reference.lpm."""

from libc.stdint cimport uint64_t


cdef int32_t lpm_lookup(const lpm_node_t* nodes, int32_t root, addr_t address,
                        uint8_t family) noexcept nogil:
    cdef int32_t best = nodes[root].value
    cdef int32_t here = root
    cdef int bit = 31 if family == 4 else 127
    cdef uint64_t word
    while bit >= 0:
        word = address.lo if bit < 64 else address.hi
        here = nodes[here].child[(word >> (bit & 63)) & 1]
        if here == 0:
            break
        if nodes[here].value >= 0:
            best = nodes[here].value
        bit -= 1
    return best


def lookup(const lpm_node_t[::1] nodes not None, address, uint8_t family=4, int32_t root=0):
    """Value of the longest prefix that holds the address, or -1.

    nodes    (n,) LPM_NODE, n >= 1, from dataplane.image.lpm
    address  (hi, lo), host byte order
    """
    return lpm_lookup(&nodes[0], root, addr_t(address[0], address[1]), family)


def lookup_many(const lpm_node_t[::1] nodes not None, const uint64_t[::1] addresses not None,
                int32_t[::1] values not None):
    """values[i] = value of IPv4 addresses[i] in the trie at node 0.  Releases the GIL.

    raises  ValueError if the two lengths differ
    """
    cdef Py_ssize_t i
    if addresses.shape[0] != values.shape[0]:
        raise ValueError(f"{addresses.shape[0]} addresses but room for {values.shape[0]} values")
    with nogil:
        for i in range(addresses.shape[0]):
            values[i] = lpm_lookup(&nodes[0], 0, addr_t(0, addresses[i]), 4)
