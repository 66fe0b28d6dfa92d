"""What a packet would be as an element of a set.  Specified by dataplane.reference.set_probe.

The `kadt` functions of ip_set_hash_*.c and ip_set_bitmap_*.c, v6.18.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memset

from _fastpath.address cimport addr_is_zero, addr_t
from _fastpath.image cimport (
    PART_IFACE,
    PART_IP,
    PART_MAC,
    PART_MARK,
    PART_NET,
    PART_NONE,
    PART_PORT,
    SET_BITMAP,
    SET_PARTS,
    SET_REFUSES_ZERO,
)
from _fastpath.packet cimport (
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    PROTO_UDPLITE,
    ether_dst,
    ether_src,
    is_extension,
    packet_t,
)


cdef inline addr_t masked(addr_t address, addr_t mask) noexcept nogil:
    return addr_t(address.hi & mask.hi, address.lo & mask.lo)


cdef bint carries_ports(uint8_t proto) noexcept nogil:
    return (proto == PROTO_TCP or proto == PROTO_UDP or proto == PROTO_SCTP
            or proto == PROTO_UDPLITE)


cdef int port_of(const packet_t* packet, bint source, set_element_t* probe) noexcept nogil:
    """ip_set_get_ip4_port, ip_set_get_ip6_port: ICMP's port is its type and code."""
    cdef bint has_port = carries_ports(packet.proto) or packet.proto == PROTO_ICMP
    if packet.proto == 0 and packet.family == 4:
        return PROBE_NONE
    if packet.proto == PROTO_ICMPV6 and (packet.is_first or packet.family == 6):
        has_port = True
    if packet.family == 6 and (is_extension(packet.proto) or not packet.is_first):
        return PROBE_NONE
    probe.proto = packet.proto
    if not has_port:
        return PROBE_MADE
    if not packet.is_first or not packet.has_ports:
        return PROBE_NONE
    if carries_ports(packet.proto):
        probe.port = packet.sport if source else packet.dport
    else:
        probe.port = packet.dport
    return PROBE_MADE


cdef int bitmap_port_of(const packet_t* packet, const set_t* set, bint source,
                        set_element_t* probe) noexcept nogil:
    """ip_set_get_ip_port: of TCP and UDP, which the set does not tell apart."""
    cdef int made = port_of(packet, source, probe)
    if made != PROBE_MADE or not (packet.proto == PROTO_TCP or packet.proto == PROTO_UDP):
        return PROBE_NONE
    probe.proto = 0
    return PROBE_MADE if set.range_first <= probe.port <= set.range_last else PROBE_NONE


cdef int mac_of(const walk_t* walk, bint source, set_element_t* probe) noexcept nogil:
    """Of a packet that came with an Ethernet header."""
    cdef const packet_t* packet = walk.packet
    if packet.in_device < 0:
        # A forwarded packet still has the header it came with, which is not kept here.
        return PROBE_NONE if packet.is_local else PROBE_UNKNOWN
    if not walk.image.devices[packet.in_device].is_ether:
        return PROBE_NONE
    probe.name[0] = ether_src(packet) if source else ether_dst(packet)
    return PROBE_MADE if probe.name[0] else PROBE_NONE


cdef int device_of(const walk_t* walk, bint source, set_element_t* probe) noexcept nogil:
    cdef int32_t device = walk.packet.in_device if source else walk.packet.out_device
    if device < 0:
        return PROBE_NONE
    probe.name[0] = walk.image.devices[device].name[0]
    probe.name[1] = walk.image.devices[device].name[1]
    return PROBE_MADE


cdef int address_of(const packet_t* packet, const set_t* set, uint8_t part, int at, bint source,
                    set_element_t* probe) noexcept nogil:
    cdef addr_t address = packet.src if source else packet.dst
    cdef uint8_t length = 0
    if part == PART_NET:
        length = 32 if packet.family == 4 else 128
    if at > 0:
        probe.second = masked(address, set.mask) if set.parts[0] == PART_NET and at == 1 else (
            address)
        probe.second_length = length
        return PROBE_MADE
    if set.kind == SET_BITMAP and not (set.range_first <= address.lo <= set.range_last):
        return PROBE_NONE
    probe.first = masked(address, set.mask)
    probe.first_length = length
    if set.flags & SET_REFUSES_ZERO and addr_is_zero(probe.first):
        return PROBE_NONE
    return PROBE_MADE


cdef int set_probe(const walk_t* walk, const set_t* set, uint32_t sources,
                   set_element_t* probe) noexcept nogil:
    cdef int i, made = PROBE_MADE
    cdef uint8_t part
    cdef bint source
    memset(probe, 0, sizeof(set_element_t))
    for i in range(SET_PARTS):
        part = set.parts[i]
        source = (sources >> i) & 1
        if part == PART_NONE:
            break
        if part == PART_IP or part == PART_NET:
            made = address_of(walk.packet, set, part, i, source, probe)
        elif part == PART_PORT and set.kind == SET_BITMAP:
            made = bitmap_port_of(walk.packet, set, source, probe)
        elif part == PART_PORT:
            made = port_of(walk.packet, source, probe)
        elif part == PART_MAC:
            made = mac_of(walk, source, probe)
        elif part == PART_MARK:
            probe.mark = walk.packet.mark & set.mark_mask
        elif part == PART_IFACE:
            made = device_of(walk, source, probe)
        if made != PROBE_MADE:
            return made
    return PROBE_MADE
