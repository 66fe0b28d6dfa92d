"""-m physdev: bridge ports behind a bridge.  Specified by dataplane.reference.match_device."""

from libc.stdint cimport int32_t, uint32_t, uint64_t

from _fastpath.image cimport (
    PHYSDEV_BRIDGED,
    PHYSDEV_IN,
    PHYSDEV_IS_IN,
    PHYSDEV_IS_OUT,
    PHYSDEV_OUT,
    device_t,
)
from _fastpath.matches cimport NO, YES
from _fastpath.packet cimport packet_t


cdef inline uint64_t word64(const uint32_t* words) noexcept nogil:
    return words[0] | (<uint64_t>words[1] << 32)


cdef bint name_matches(const walk_t* walk, uint32_t words, int32_t device) noexcept nogil:
    """ifname_compare_aligned: a name and the bytes of it that must be equal."""
    cdef const uint32_t* wanted = walk.image.words + words
    cdef const device_t* dev = &walk.image.devices[device]
    return (((dev.name[0] ^ word64(wanted)) & word64(wanted + 4))
            | ((dev.name[1] ^ word64(wanted + 2)) & word64(wanted + 6))) == 0


cdef inline bint differs(const match_t* match, uint32_t flag, bint holds) noexcept nogil:
    """The rule asks for it, and does not find what it wants."""
    return match.flags & flag and holds == ((match.d & flag) != 0)


cdef int physdev_match(const walk_t* walk, const match_t* match) noexcept nogil:
    """xt_physdev.c, physdev_mt: a port that is not known is no port, but `--physdev-in` of a
    packet whose port is not known holds."""
    cdef const packet_t* packet = walk.packet
    cdef int32_t port = packet.bridge_port, out = packet.bridge_port_out
    if port < 0:
        return YES if (match.flags & ~match.d) == 0 else NO
    if differs(match, PHYSDEV_BRIDGED, out >= 0):
        return NO
    if differs(match, PHYSDEV_IS_IN, True) or differs(match, PHYSDEV_IS_OUT, out >= 0):
        return NO
    if match.flags & PHYSDEV_IN and differs(match, PHYSDEV_IN, name_matches(walk, match.a, port)):
        return NO
    if match.flags & PHYSDEV_OUT == 0:
        return YES
    if out < 0:
        return NO
    return NO if differs(match, PHYSDEV_OUT, name_matches(walk, match.b, out)) else YES
