"""VXLAN.  Specified by dataplane.reference.vxlan.

drivers/net/vxlan/vxlan_core.c, vxlan_xmit_one and vxlan_rcv; include/net/inet_ecn.h.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memset

from _fastpath.address cimport addr_t
from _fastpath.checksum cimport checksum_add, checksum_finish, checksum_pseudo
from _fastpath.packet cimport (
    BUFFER_SIZE,
    CHECKSUM_PARTIAL,
    ETHER_IPV4,
    ETHER_IPV6,
    ETHER_SIZE,
    PROTO_UDP,
    load16,
    load32,
    load48,
    packet_load,
    packet_parse,
    packet_set_tos,
    store16,
    store32,
)
from _fastpath.reason cimport (
    ADDRESS_LEARNED_LOCAL,
    CAPTURE_CUT,
    TUNNEL_LOOP,
    VXLAN_INVALID,
    VXLAN_UNKNOWN_VNI,
)

cdef enum:
    ECN_MASK = 3
    ECN_CE = 3
    ECN_ECT0 = 2
    FLAG_VNI = 0x08000000       # the I flag, RFC 7348 section 5


cdef inline uint8_t ecn_encapsulate(uint8_t outer, uint8_t inner) noexcept nogil:
    """INET_ECN_encapsulate: the inner ECN field is copied, but CE becomes ECT(0)."""
    cdef uint8_t ecn = inner & ECN_MASK
    if ecn == ECN_CE:
        ecn = ECN_ECT0
    return (outer & <uint8_t>~ECN_MASK) | ecn


cdef inline uint8_t outer_tos(const packet_t* packet, const vxlan_t* vxlan) noexcept nogil:
    cdef uint8_t inner = packet.tos if packet.family else 0
    return ecn_encapsulate(inner if vxlan.tos_inherit else vxlan.tos, inner)


cdef inline bint outer_df(const packet_t* packet, const vxlan_t* vxlan) noexcept nogil:
    if vxlan.df == 2:
        return packet.family == 6 or (packet.family == 4 and packet.dont_fragment)
    return vxlan.df == 1


cdef uint64_t inner_sum(const packet_t* packet, const uint8_t* frame, uint32_t size) noexcept nogil:
    """Sum of the inner frame's bytes, as udp_set_csum sees it.

    Local checksum offload: where the inner transport checksum is partial, everything it
    will cover sums to the complement of what its field holds now.
    """
    cdef uint64_t sum
    cdef uint32_t l4 = packet.l4
    cdef uint32_t field
    if packet.checksum != CHECKSUM_PARTIAL:
        return checksum_add(0, frame, size)
    field = l4 + (16 if packet.proto == 6 else 6)
    sum = checksum_add(0, frame, l4)
    return sum + <uint16_t>~load16(frame + field)


cdef int vxlan_encapsulate(packet_t* packet, const vxlan_t* vxlan, addr_t src, addr_t dst,
                           uint8_t ttl, uint16_t sport, uint16_t id) noexcept nogil:
    cdef uint32_t inner_size = packet.size, inner_length = packet.length
    cdef uint8_t tos = outer_tos(packet, vxlan)
    cdef bint df = outer_df(packet, vxlan)
    cdef uint64_t sum = 0
    cdef uint8_t* outer
    cdef uint8_t* udp
    cdef uint16_t check
    if (packet.frame - packet.buffer < VXLAN_OVERHEAD
            or inner_length + VXLAN_OVERHEAD - ETHER_SIZE > 0xFFFF):
        return TUNNEL_LOOP
    if vxlan.udp_csum and inner_size < inner_length and packet.checksum != CHECKSUM_PARTIAL:
        return CAPTURE_CUT              # the checksum covers bytes that are not there
    if vxlan.udp_csum:
        sum = inner_sum(packet, packet.frame, inner_size)
    packet.frame -= VXLAN_OVERHEAD
    packet.size += VXLAN_OVERHEAD
    packet.length += VXLAN_OVERHEAD
    outer = packet.frame
    memset(outer, 0, VXLAN_OVERHEAD)
    store16(outer + 12, ETHER_IPV4)
    outer += ETHER_SIZE
    outer[0] = 0x45
    outer[1] = tos
    store16(outer + 2, <uint16_t>(inner_length + 36))
    store16(outer + 4, id)
    store16(outer + 6, 0x4000 if df else 0)
    outer[8] = ttl
    outer[9] = PROTO_UDP
    store32(outer + 12, <uint32_t>src.lo)
    store32(outer + 16, <uint32_t>dst.lo)
    store16(outer + 10, checksum_finish(checksum_add(0, outer, 20)))
    udp = outer + 20
    store16(udp, sport)
    store16(udp + 2, vxlan.port)
    store16(udp + 4, <uint16_t>(inner_length + 16))
    store32(udp + 8, FLAG_VNI)
    store32(udp + 12, vxlan.vni << 8)
    if vxlan.udp_csum:
        sum += checksum_pseudo(src, dst, PROTO_UDP, inner_length + 16)
        check = checksum_finish(checksum_add(sum, udp, 16))
        store16(udp + 6, check if check else 0xFFFF)
    return packet_parse(packet)


cdef int32_t vxlan_of_packet(const image_t* image, const packet_t* packet,
                             int* reason) noexcept nogil:
    cdef const vxlan_t* vxlan
    cdef const uint8_t* header
    cdef uint32_t i, end
    cdef bint is_port = False
    reason[0] = 0
    # vxlan_open: without an IPv6 underlay the socket is an IPv4 one.
    if packet.proto != PROTO_UDP or packet.l4 == 0 or packet.family != 4:
        return -1
    header = packet.frame + packet.l4 + 8
    end = packet.l4 + 8 + VXLAN_HEADER
    for i in range(image.vxlan_count):
        vxlan = &image.vxlans[i]
        if image.devices[vxlan.device].node != packet.node or vxlan.port != packet.dport:
            continue
        is_port = True
        if end > packet.size:
            break
        if load32(header) == FLAG_VNI and load32(header + 4) >> 8 == vxlan.vni and header[7] == 0:
            return <int32_t>i
    if not is_port:
        return -1
    if end > packet.size and end <= packet.length:
        reason[0] = CAPTURE_CUT
    elif end > packet.size or load32(header) != FLAG_VNI or header[7]:
        reason[0] = VXLAN_INVALID
    else:
        reason[0] = VXLAN_UNKNOWN_VNI
    return -1


cdef int take_congestion(packet_t* packet) noexcept nogil:
    """INET_ECN_decapsulate (RFC 6040 section 4.2): what the tunnel met is told to the ends."""
    cdef uint8_t* ip = packet.frame + ETHER_SIZE
    cdef uint16_t ethertype = load16(packet.frame + 12)
    if ethertype == ETHER_IPV4 and packet.size >= ETHER_SIZE + 20:
        packet.family = 4
        packet.tos = ip[1]
    elif ethertype == ETHER_IPV6 and packet.size >= ETHER_SIZE + 40:
        packet.family = 6
        packet.tos = <uint8_t>(((ip[0] & 15) << 4) | (ip[1] >> 4))
    else:
        return 0
    if packet.tos & ECN_MASK == 0:
        return VXLAN_INVALID                # its ends would not understand
    packet_set_tos(packet, packet.tos | ECN_CE)
    return 0


cdef int vxlan_decapsulate(packet_t* packet, uint64_t own_mac) noexcept nogil:
    cdef uint32_t offset = packet.l4 + 8 + VXLAN_HEADER
    cdef uint8_t outer_ecn = packet.tos & ECN_MASK
    if offset + ETHER_SIZE > packet.length:
        return VXLAN_INVALID
    if offset + ETHER_SIZE > packet.size:
        return CAPTURE_CUT
    packet.frame += offset
    packet.size -= offset
    packet.length -= offset
    if load48(packet.frame + 6) == own_mac:
        return ADDRESS_LEARNED_LOCAL
    # A damaged inner packet is refused where it arrives: at the VXLAN device.
    return take_congestion(packet) if outer_ecn == ECN_CE else 0


# ------------------------------------------------------------------- doors for the tests


def encapsulate(frame, uint32_t vni, uint32_t src, uint32_t dst, uint16_t sport,
                uint16_t dport=8472, uint16_t id=1, uint8_t ttl=64, bint udp_csum=False):
    """The frame in VXLAN (bytes); addresses are IPv4, host order.  MAC addresses are zero."""
    cdef uint8_t[::1] buffer = bytearray(BUFFER_SIZE)
    cdef const uint8_t[::1] data = frame
    cdef packet_t packet
    cdef vxlan_t vxlan
    memset(&vxlan, 0, sizeof(vxlan_t))
    vxlan.vni = vni
    vxlan.port = dport
    vxlan.udp_csum = udp_csum
    packet.buffer = &buffer[0]
    packet_load(&packet, &data[0], <uint32_t>len(frame), <uint32_t>len(frame))
    packet_parse(&packet)
    if vxlan_encapsulate(&packet, &vxlan, addr_t(0, src), addr_t(0, dst), ttl, sport, id):
        raise ValueError("too long to encapsulate")
    return packet.frame[:packet.size]


def decapsulate(frame, uint64_t own_mac=0):
    """(reason, inner frame) of a VXLAN packet."""
    cdef uint8_t[::1] buffer = bytearray(BUFFER_SIZE)
    cdef const uint8_t[::1] data = frame
    cdef packet_t packet
    cdef int reason
    packet.buffer = &buffer[0]
    packet_load(&packet, &data[0], <uint32_t>len(frame), <uint32_t>len(frame))
    if packet_parse(&packet) or packet.proto != PROTO_UDP or packet.l4 == 0:
        raise ValueError("not a UDP packet")
    reason = vxlan_decapsulate(&packet, own_mac)
    return reason, packet.frame[:packet.size]
