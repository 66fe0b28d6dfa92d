"""Packets that a node makes itself.  Specified by dataplane.reference.icmp."""

from libc.string cimport memcpy, memset

from _fastpath.address cimport addr_is_zero
from _fastpath.checksum cimport checksum_add, checksum_finish, checksum_fold, checksum_pseudo
from _fastpath.image cimport HOOK_INPUT
from _fastpath.packet cimport (
    CHECKSUM_WRONG,
    ETHER_ARP,
    ETHER_IPV4,
    ETHER_IPV6,
    ETHER_SIZE,
    HEADROOM,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_TCP,
    TCP_ACK,
    TCP_FIN,
    TCP_RST,
    TCP_SYN,
    ether_dst,
    is_group_mac,
    load32,
    load48,
    packet_checksum,
    packet_holds,
    packet_is_spoilt,
    packet_is_verified,
    packet_parse,
    store16,
    store32,
    store48,
    store64,
)

cdef enum:
    IPV6_ERROR_MAX = 1280       # RFC 4443 2.4 (c)
    TOS_ERROR = 0xC0            # IPTOS_PREC_INTERNETCONTROL
    TOS_MASK = 0x1E             # RT_TOS: the old TOS bits, not the precedence


cdef void begin(packet_t* packet, uint32_t length) noexcept nogil:
    cdef uint8_t* buffer = packet.buffer
    memset(packet, 0, sizeof(packet_t))
    packet.buffer = buffer
    packet.frame = buffer + HEADROOM
    packet.size = packet.length = length
    packet.connection = -1
    packet.in_device = packet.out_device = packet.entered_by = packet.route = -1
    packet.error_device = -1
    packet.bridge_port = packet.bridge_port_out = packet.must_leave_by = -1
    packet.is_made = 1
    memset(packet.frame, 0, length)


cdef void write_ipv4(packet_t* packet, addr_t src, addr_t dst, uint8_t proto, uint8_t tos,
                     uint8_t ttl, uint16_t id, uint16_t fragment) noexcept nogil:
    cdef uint8_t* ip = packet.frame + ETHER_SIZE
    store16(packet.frame + 12, ETHER_IPV4)
    ip[0] = 0x45
    ip[1] = tos
    store16(ip + 2, <uint16_t>(packet.length - ETHER_SIZE))
    store16(ip + 4, id)
    store16(ip + 6, fragment)
    ip[8] = ttl
    ip[9] = proto
    store32(ip + 12, <uint32_t>src.lo)
    store32(ip + 16, <uint32_t>dst.lo)
    store16(ip + 10, checksum_finish(checksum_add(0, ip, 20)))


cdef void write_ipv6(packet_t* packet, addr_t src, addr_t dst, uint8_t proto,
                     uint8_t ttl) noexcept nogil:
    cdef uint8_t* ip = packet.frame + ETHER_SIZE
    store16(packet.frame + 12, ETHER_IPV6)
    ip[0] = 0x60
    store16(ip + 4, <uint16_t>(packet.length - ETHER_SIZE - 40))
    ip[6] = proto
    ip[7] = ttl
    store64(ip + 8, src.hi)
    store64(ip + 16, src.lo)
    store64(ip + 24, dst.hi)
    store64(ip + 32, dst.lo)


# -------------------------------------------------------------------------- ICMP errors


cdef bint icmp_may_answer(const packet_t* packet) noexcept nogil:
    # The first byte is enough to tell its type.
    cdef bint has_type = packet_holds(packet, packet.thoff, 1) == 1
    cdef uint8_t type = packet.frame[packet.thoff] if has_type else 0
    if is_group_mac(ether_dst(packet)):
        return False                    # pkt_type: it was not for this host alone
    if packet.family == 4:
        if not packet.is_first:
            return False
        if packet.src.lo == 0:
            return False
        if packet.proto == PROTO_ICMP:
            # RFC 1122 3.2.2: never about an error; unknown types count as errors.
            return has_type and type in (0, 8, 13, 14, 15, 16, 17, 18)
        return True
    if (packet.src.hi | packet.src.lo) == 0 or packet.src.hi >> 56 == 0xFF:
        return False
    if packet.proto != PROTO_ICMPV6 or not packet.is_first:
        return True                     # is_ineligible looks no further than a fragment header
    return type >= 128 if has_type else packet.is_fragment


cdef void write_options(packet_t* packet, const echo_t* echo) noexcept nogil:
    cdef uint8_t* ip = packet.frame + ETHER_SIZE
    if echo.size == 0:
        return
    ip[0] = <uint8_t>(0x45 + (echo.size >> 2))
    memcpy(ip + 20, echo.data, echo.size)
    store16(ip + 10, 0)
    store16(ip + 10, checksum_finish(checksum_add(0, ip, 20 + echo.size)))


cdef void icmp_build(packet_t* packet, const packet_t* about, addr_t src, uint8_t type,
                     uint8_t code, uint32_t detail, uint8_t ttl, uint16_t id, uint32_t room,
                     const echo_t* echo) noexcept nogil:
    cdef uint32_t header = 20 + echo.size if about.family == 4 else 40
    cdef uint32_t limit = room if about.family == 4 else IPV6_ERROR_MAX - 48
    cdef uint32_t quoted = min(about.size - ETHER_SIZE, limit)
    cdef uint32_t at = ETHER_SIZE + header
    cdef uint64_t sum = 0
    cdef uint8_t* icmp
    begin(packet, at + 8 + quoted)
    if about.family == 4:
        write_ipv4(packet, src, about.src if addr_is_zero(echo.first_hop) else echo.first_hop,
                   PROTO_ICMP, TOS_ERROR | (about.tos & TOS_MASK), ttl, id, 0)
        write_options(packet, echo)
    else:
        write_ipv6(packet, src, about.src, PROTO_ICMPV6, ttl)
        sum = checksum_pseudo(src, about.src, PROTO_ICMPV6, 8 + quoted)
    icmp = packet.frame + at
    icmp[0] = type
    icmp[1] = code
    store32(icmp + 4, detail)
    memcpy(icmp + 8, about.frame + ETHER_SIZE, quoted)
    store16(icmp + 2, checksum_finish(checksum_add(sum, icmp, 8 + quoted)))
    packet_parse(packet)


cdef void redirect6_build(packet_t* packet, const packet_t* about, addr_t src, addr_t target,
                          uint64_t mac) noexcept nogil:
    cdef uint32_t link = 8 if mac else 0
    cdef uint32_t most = IPV6_ERROR_MAX - 80 - link
    cdef uint32_t room = min(most, about.ip_length + 8) & ~<uint32_t>7
    cdef uint32_t quoted = min(room - 8, about.size - ETHER_SIZE)
    cdef uint32_t size = 40 + link + 8 + quoted
    cdef uint8_t* icmp
    cdef uint8_t* option
    begin(packet, ETHER_SIZE + 40 + size)
    write_ipv6(packet, src, about.src, PROTO_ICMPV6, 255)
    icmp = packet.frame + ETHER_SIZE + 40
    icmp[0] = 137
    store64(icmp + 8, target.hi)
    store64(icmp + 16, target.lo)
    store64(icmp + 24, about.dst.hi)
    store64(icmp + 32, about.dst.lo)
    option = icmp + 40
    if mac:
        option[0], option[1] = 2, 1     # the target's link-layer address
        store48(option + 2, mac)
        option += 8
    option[0], option[1] = 4, <uint8_t>(room >> 3)
    memcpy(option + 8, about.frame + ETHER_SIZE, quoted)
    store16(icmp + 2, checksum_finish(checksum_add(
        checksum_pseudo(src, about.src, PROTO_ICMPV6, size), icmp, size)))
    packet_parse(packet)


# --------------------------------------------------------------------------- TCP resets


cdef bint reset_may_answer(packet_t* packet, uint32_t hook) noexcept nogil:
    # nf_reject_ipv4.c: not for fragments, not in answer to a reset, not for a wrong checksum.
    if packet.proto != PROTO_TCP or not packet.has_ports or packet.is_fragment:
        return False
    if packet.tcp_flags & TCP_RST:
        return False
    if packet_is_spoilt(packet) and (hook != HOOK_INPUT or not packet_is_verified(packet)):
        return False                    # ip_forward forgets what conntrack found: skb_forward_csum
    if packet.family == 6 and (addr_is_zero(packet.src) or addr_is_zero(packet.dst)):
        return False                    # not unicast
    return packet_checksum(packet) != CHECKSUM_WRONG


cdef void reset_build(packet_t* packet, const packet_t* about, uint8_t ttl) noexcept nogil:
    """nf_reject_ip_tcphdr_put: RFC 9293 section 3.10.7.1."""
    cdef const uint8_t* segment = about.frame + about.l4
    cdef uint32_t header = 20 if about.family == 4 else 40
    cdef uint32_t payload = about.ip_length + ETHER_SIZE - about.l4 - (segment[12] >> 4) * 4
    cdef uint64_t sum
    cdef uint8_t* tcp
    begin(packet, ETHER_SIZE + header + 20)
    if about.family == 4:
        write_ipv4(packet, about.dst, about.src, PROTO_TCP, 0, ttl, 0, 0x4000)
    else:
        write_ipv6(packet, about.dst, about.src, PROTO_TCP, ttl)
    tcp = packet.frame + ETHER_SIZE + header
    store16(tcp, about.dport)
    store16(tcp + 2, about.sport)
    tcp[12] = 5 << 4
    if about.tcp_flags & TCP_ACK:
        store32(tcp + 4, load32(segment + 8))
        tcp[13] = TCP_RST
    else:
        store32(tcp + 8, load32(segment + 4) + payload + ((about.tcp_flags & TCP_SYN) != 0)
                + ((about.tcp_flags & TCP_FIN) != 0))
        tcp[13] = TCP_RST | TCP_ACK
    sum = checksum_pseudo(about.dst, about.src, PROTO_TCP, 20)
    if about.family == 4:
        # nf_reject_ipv4.c leaves it to the device: a partial checksum.
        store16(tcp + 16, checksum_fold(sum))
    else:
        store16(tcp + 16, checksum_finish(checksum_add(sum, tcp, 20)))
    packet_parse(packet)


# ---------------------------------------------------------------------------------- ARP


cdef bint arp_request_target(const packet_t* packet, addr_t* target) noexcept nogil:
    """The IPv4 address that an ARP request asks for (RFC 826, Ethernet and IPv4 only)."""
    cdef const uint8_t* arp = packet.frame + ETHER_SIZE
    if packet.ethertype != ETHER_ARP or packet.size < ETHER_SIZE + 28:
        return False
    if load32(arp) != 0x00010800 or load32(arp + 4) != 0x06040001:
        return False
    target[0] = addr_t(0, load32(arp + 24))
    return True


cdef bint arp_reply_build(packet_t* packet, const packet_t* about, uint64_t mac) noexcept nogil:
    cdef const uint8_t* request = about.frame + ETHER_SIZE
    cdef uint8_t* arp
    cdef addr_t target
    if not arp_request_target(about, &target):
        return False
    begin(packet, ETHER_SIZE + 28)
    store48(packet.frame, load48(request + 8))
    store48(packet.frame + 6, mac)
    store16(packet.frame + 12, ETHER_ARP)
    arp = packet.frame + ETHER_SIZE
    store32(arp, 0x00010800)
    store32(arp + 4, 0x06040002)
    store48(arp + 8, mac)
    store32(arp + 14, load32(request + 24))
    store48(arp + 18, load48(request + 8))
    store32(arp + 24, load32(request + 14))
    packet_parse(packet)
    return True
