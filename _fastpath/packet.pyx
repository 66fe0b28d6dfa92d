"""Packet parse and edit.  Specified by dataplane.reference.packet.

This module alone reads lengths from packet bytes.  Whatever leaves it is in bounds:
`l4` is either 0 or the offset of a transport header that is wholly present.
"""

from libc.string cimport memcpy, memset

from _fastpath.checksum cimport (
    checksum_add,
    checksum_finish,
    checksum_fold,
    checksum_pseudo,
    checksum_replace,
    checksum_replace_address,
    crc32c,
)
from _fastpath.reason cimport CAPTURE_CUT, FRAME_TOO_SHORT, IP_CHECKSUM_WRONG, IP_HEADER_INVALID

cdef enum:
    UNTRACKED = 6               # CT_UNTRACKED, whose room holds packets and cannot be asked here
    ROUTING_HEADER = 43
    FRAGMENT_HEADER = 44
    AUTHENTICATION_HEADER = 51

# ------------------------------------------------------------------------------- parse


cdef uint32_t header_size(uint8_t proto) noexcept nogil:
    """Bytes of the fixed transport header that rules and conntrack read; 0 = they read none."""
    if proto == PROTO_TCP:
        return 20
    if proto == PROTO_SCTP or proto == PROTO_DCCP:
        return 12
    if (proto == PROTO_UDP or proto == PROTO_UDPLITE
            or proto == PROTO_ICMP or proto == PROTO_ICMPV6):
        return 8
    return 0


cdef uint8_t* checksum_field(const packet_t* packet) noexcept nogil:
    """Where the transport checksum stands, or NULL if there is none to keep."""
    cdef uint32_t at
    if packet.l4 == 0:
        return NULL
    if packet.proto == PROTO_TCP:
        at = packet.l4 + 16
    elif packet.proto == PROTO_UDP or packet.proto == PROTO_UDPLITE:
        at = packet.l4 + 6
    elif packet.proto == PROTO_ICMPV6 and packet.family == 6:
        at = packet.l4 + 2
    elif packet.proto == PROTO_ICMP and packet.family == 4:
        at = packet.l4 + 2
    elif packet.proto == PROTO_DCCP:
        at = packet.l4 + 6
    else:
        return NULL
    return packet.frame + at


cdef inline uint32_t transport_length(const packet_t* packet) noexcept nogil:
    # IPv6's extension headers may say that they end behind the packet.
    cdef uint32_t end = packet.ip_length + ETHER_SIZE
    return end - packet.thoff if end > packet.thoff else 0


cdef inline uint16_t pseudo_sum(const packet_t* packet) noexcept nogil:
    return checksum_fold(checksum_pseudo(packet.src, packet.dst, packet.proto,
                                         transport_length(packet)))


cdef inline bint is_whole(const packet_t* packet) noexcept nogil:
    return packet.size >= ETHER_SIZE + packet.ip_length


cdef bint sum_is_right(const packet_t* packet) noexcept nogil:
    """The transport checksum is that of the bytes; all of them must be present."""
    cdef uint64_t sum = 0xFFFF          # nf_ip_checksum: with the IP header, which is right
    if packet.family == 6 or packet.proto == PROTO_TCP or packet.proto == PROTO_UDP:
        sum = pseudo_sum(packet)
    sum = checksum_add(sum, packet.frame + packet.thoff, transport_length(packet))
    return checksum_fold(sum) == 0xFFFF


cdef bint packet_sums_up(packet_t* packet, bint has_dccp) noexcept nogil:
    if packet.family == 6 and (
            not packet.is_first or packet.proto == 59 or is_extension(packet.proto)
            or transport_length(packet) == 0):
        return False
    if packet.proto in (PROTO_GRE, 50, 51, PROTO_SCTP, PROTO_UDPLITE):
        return True
    if (has_dccp and packet.proto == PROTO_DCCP) or not is_whole(packet):
        return True
    if packet.proto == PROTO_UDP and packet_holds(packet, packet.thoff, 8) == 1 and load16(
            packet.frame + packet.thoff + 6) == 0:
        return True
    if packet_is_spoilt(packet):
        return packet_is_verified(packet)
    if not packet.is_fragment and packet.has_ports and (
            packet.proto == PROTO_TCP or packet.proto == PROTO_UDP):
        return packet_checksum(packet) != CHECKSUM_WRONG
    return sum_is_right(packet)


cdef bint packet_is_verified(const packet_t* packet) noexcept nogil:
    """csum_valid: conntrack looked before its options changed."""
    return (packet.checksum == CHECKSUM_RIGHT and packet.is_tracked
            and packet.ctinfo != UNTRACKED)


cdef bint packet_is_spoilt(const packet_t* packet) noexcept nogil:
    cdef const uint8_t* ip = packet.frame + ETHER_SIZE
    if not packet.options.flags & OPTIONS_CHANGED or packet.checksum == CHECKSUM_PARTIAL:
        return False
    return checksum_fold(checksum_add(0, ip, (ip[0] & 15) * 4)) != 0xFFFF


cdef uint8_t first_look(const packet_t* packet) noexcept nogil:
    """CHECKSUM_PARTIAL, or nothing that is already known."""
    cdef uint8_t* field = checksum_field(packet)
    if field == NULL or packet.is_fragment:
        return CHECKSUM_NONE
    if packet.proto != PROTO_TCP and packet.proto != PROTO_UDP:
        return CHECKSUM_UNSEEN
    if packet.proto == PROTO_UDP and load16(field) == 0:
        return CHECKSUM_NONE
    if load16(field) != pseudo_sum(packet):
        return CHECKSUM_UNSEEN
    # Once in 65 536 a finished checksum looks like a partial one: then it is also right.
    if is_whole(packet) and sum_is_right(packet):
        return CHECKSUM_RIGHT
    return CHECKSUM_PARTIAL


cdef uint8_t packet_checksum(packet_t* packet) noexcept nogil:
    # Of a fragment, and of a protocol that nobody verifies, nothing is said.
    if packet.checksum == CHECKSUM_UNSEEN:
        if not is_whole(packet):
            packet.checksum = CHECKSUM_NONE
        else:
            packet.checksum = CHECKSUM_RIGHT if sum_is_right(packet) else CHECKSUM_WRONG
    return packet.checksum


cdef void packet_finish_checksum(packet_t* packet) noexcept nogil:
    cdef uint8_t* field
    if packet.checksum != CHECKSUM_PARTIAL or not is_whole(packet):
        return
    field = checksum_field(packet)
    # The field holds the pseudo-header's sum, and is summed with the rest.
    store16(field, checksum_finish(checksum_add(0, packet.frame + packet.thoff,
                                                transport_length(packet))))
    if packet.proto == PROTO_UDP and load16(field) == 0:
        store16(field, 0xFFFF)
    packet.checksum = CHECKSUM_RIGHT


cdef int parse_transport(packet_t* packet, uint32_t at) noexcept nogil:
    cdef const uint8_t* header = packet.frame + at
    cdef uint32_t needed = header_size(packet.proto)
    packet.thoff = at
    packet.l4 = 0
    packet.has_ports = 0
    packet.sport = packet.dport = 0
    packet.tcp_flags = 0
    packet.checksum = CHECKSUM_NONE
    if not packet.is_first or needed == 0:
        return 0
    if at + needed > ETHER_SIZE + packet.ip_length:
        # Too short for a header: nf_ip_checksum sums it all the same.
        packet.checksum = CHECKSUM_NONE if packet.is_fragment else CHECKSUM_UNSEEN
        return 0
    if at + needed > packet.size:
        return CAPTURE_CUT
    packet.l4 = at
    packet.has_ports = 1
    if packet.proto == PROTO_ICMP or packet.proto == PROTO_ICMPV6:
        packet.sport = load16(header + 4)
        packet.dport = load16(header)           # type << 8 | code
    else:
        packet.sport = load16(header)
        packet.dport = load16(header + 2)
        if packet.proto == PROTO_TCP:
            packet.tcp_flags = header[13]
    packet.checksum = first_look(packet)
    return 0


cdef int parse_ipv4(packet_t* packet) noexcept nogil:
    cdef const uint8_t* ip = packet.frame + ETHER_SIZE
    cdef uint32_t header, fragment
    if packet.size < ETHER_SIZE + 20:
        return IP_HEADER_INVALID if packet.length < ETHER_SIZE + 20 else CAPTURE_CUT
    header = (ip[0] & 15) * 4
    packet.ip_length = load16(ip + 2)
    # ip_input.c, ip_rcv_core
    if ip[0] >> 4 != 4 or header < 20 or packet.ip_length < header:
        return IP_HEADER_INVALID
    if packet.length < ETHER_SIZE + packet.ip_length:
        return IP_HEADER_INVALID
    if packet.size < ETHER_SIZE + header:
        return CAPTURE_CUT
    if checksum_fold(checksum_add(0, ip, header)) != 0xFFFF:
        return IP_CHECKSUM_WRONG
    fragment = load16(ip + 6)
    packet.family = 4
    packet.proto = ip[9]
    packet.ttl = ip[8]
    packet.tos = ip[1]
    packet.fragment_offset = fragment & 0x1FFF
    packet.dont_fragment = (fragment >> 14) & 1
    packet.is_fragment = (fragment & 0x3FFF) != 0
    packet.is_first = (fragment & 0x1FFF) == 0
    packet.src = addr_t(0, load32(ip + 12))
    packet.dst = addr_t(0, load32(ip + 16))
    return parse_transport(packet, ETHER_SIZE + header)


cdef int parse_ipv6(packet_t* packet) noexcept nogil:
    cdef const uint8_t* ip = packet.frame + ETHER_SIZE
    cdef uint32_t at = ETHER_SIZE + 40
    if packet.size < at:
        return IP_HEADER_INVALID if packet.length < at else CAPTURE_CUT
    packet.ip_length = 40 + load16(ip + 4)
    if ip[0] >> 4 != 6 or packet.length < ETHER_SIZE + packet.ip_length:
        return IP_HEADER_INVALID
    packet.family = 6
    packet.ttl = ip[7]
    packet.tos = <uint8_t>(((ip[0] & 15) << 4) | (ip[1] >> 4))
    packet.src = addr_t(load64(ip + 8), load64(ip + 16))
    packet.dst = addr_t(load64(ip + 24), load64(ip + 32))
    packet.is_fragment = 0
    packet.is_first = 1
    packet.fragment_offset = 0
    packet.dont_fragment = 1
    packet.proto = ip[6]
    if not walk_extensions(packet, &at):
        return CAPTURE_CUT
    return parse_transport(packet, at)


cdef bint walk_extensions(packet_t* packet, uint32_t* at) noexcept nogil:
    """To the transport header.  False when the capture ends before it."""
    cdef uint32_t end = ETHER_SIZE + packet.ip_length
    while is_extension(packet.proto) and at[0] + needed_of(packet.proto) <= end:
        if at[0] + needed_of(packet.proto) > packet.size:
            return False
        if packet.proto == AUTHENTICATION_HEADER:
            packet.has_authentication = 1
        if packet.proto == FRAGMENT_HEADER:
            packet.is_fragment = (load16(packet.frame + at[0] + 2) & 0xFFF9) != 0
            packet.fragment_offset = load16(packet.frame + at[0] + 2) >> 3
            packet.is_first = packet.fragment_offset == 0
        at[0] = next_extension(packet.frame, at[0], &packet.proto)
        if not packet.is_first:
            break
    return True


cdef inline uint32_t needed_of(uint8_t proto) noexcept nogil:
    """exthdrs_core.c, ipv6_find_hdr: what it reads of an extension header."""
    return 4 if proto in (FRAGMENT_HEADER, ROUTING_HEADER) else 2


cdef inline uint32_t next_extension(const uint8_t* data, uint32_t at,
                                    uint8_t* proto) noexcept nogil:
    """Where the next header begins, and what it is; its first two bytes are there."""
    cdef uint8_t here = proto[0]
    proto[0] = data[at]
    if here == FRAGMENT_HEADER:
        return at + 8
    if here == AUTHENTICATION_HEADER:
        return at + (data[at + 1] + 2) * 4
    return at + (data[at + 1] + 1) * 8


cdef uint32_t skip_extensions(const uint8_t* data, uint32_t at, uint32_t size, uint8_t* proto,
                              bint* is_first) noexcept nogil:
    is_first[0] = True
    while is_extension(proto[0]):
        if at + 8 > size:
            return 0
        if proto[0] == FRAGMENT_HEADER and load16(data + at + 2) >> 3:
            is_first[0] = False
        at = next_extension(data, at, proto)
        if not is_first[0]:
            break
    return at


cdef uint32_t fragment_header(const packet_t* packet, uint32_t* next_header) noexcept nogil:
    cdef uint32_t end = min(ETHER_SIZE + packet.ip_length, packet.size)
    cdef uint32_t at = ETHER_SIZE + 40, field = ETHER_SIZE + 6
    cdef uint8_t proto = packet.frame[field]
    while proto != FRAGMENT_HEADER:
        if not is_extension(proto) or at + 2 > end:
            return 0
        field = at
        at = next_extension(packet.frame, at, &proto)
    next_header[0] = field
    return at if at <= ETHER_SIZE + packet.ip_length else 0


cdef uint32_t unfragmentable(const packet_t* packet, uint32_t* next_header) noexcept nogil:
    cdef uint32_t end = min(ETHER_SIZE + packet.ip_length, packet.size)
    cdef uint32_t at = ETHER_SIZE + 40
    cdef bint is_routed = False
    cdef uint8_t proto
    next_header[0] = ETHER_SIZE + 6
    while at <= end:
        proto = packet.frame[next_header[0]]
        if proto == 43:
            is_routed = True
        elif proto != 0 and (proto != 60 or is_routed):
            return at - ETHER_SIZE
        if at + 2 > end:
            return 0
        next_header[0] = at
        at += (<uint32_t>packet.frame[at + 1] + 1) * 8
    return 0


cdef bint packet_finish(packet_t* packet) noexcept nogil:
    cdef uint8_t* field = checksum_field(packet)
    cdef uint16_t check
    if packet.checksum != CHECKSUM_PARTIAL or field == NULL:
        return True
    if not is_whole(packet):
        return False
    # The field holds the pseudo-header's sum: all together is what the checksum covers.
    check = checksum_finish(checksum_add(0, packet.frame + packet.l4, transport_length(packet)))
    if check == 0 and packet.proto == PROTO_UDP:
        check = 0xFFFF
    store16(field, check)
    packet.checksum = CHECKSUM_RIGHT
    return True


cdef void packet_pull(packet_t* packet, uint32_t wanted) noexcept nogil:
    cdef uint32_t need = packet.thoff - ETHER_SIZE - packet.listed_from + wanted
    cdef uint8_t* bounds = packet_boundaries(packet)
    cdef uint32_t block
    cdef bint is_short = False
    if not packet.is_listed:
        return
    for block in range(1, (need + 7) // 8):
        if (bounds[block >> 3] >> (block & 7)) & 1:
            is_short = True
            bounds[block >> 3] &= <uint8_t>~(1 << (block & 7))
    if not is_short:
        return
    if need & 7 or need >= <uint32_t>packet.ip_length - packet.listed_from:
        packet.is_listed = 0
    else:
        bounds[need >> 6] |= <uint8_t>(1 << ((need >> 3) & 7))


cdef void packet_trim(packet_t* packet) noexcept nogil:
    packet.length = min(packet.length, ETHER_SIZE + packet.ip_length)
    packet.size = min(packet.size, packet.length)


cdef int packet_parse(packet_t* packet) noexcept nogil:
    packet.family = 0
    packet.ip_length = 0
    packet.tcp_flags = 0
    packet.ttl = 0
    packet.is_first = 1
    packet.proto = 0
    packet.thoff = 0
    packet.l4 = 0
    packet.has_ports = 0
    packet.sport = packet.dport = 0
    packet.src = packet.dst = addr_t(0, 0)
    packet.is_fragment = 0
    packet.has_authentication = 0
    packet.checksum = CHECKSUM_NONE
    if packet.size < ETHER_SIZE:
        return FRAME_TOO_SHORT
    packet.ethertype = load16(packet.frame + 12)
    if packet.ethertype == ETHER_IPV4:
        return parse_ipv4(packet)
    if packet.ethertype == ETHER_IPV6:
        return parse_ipv6(packet)
    return 0


# -------------------------------------------------------------------------------- edit


cdef void replace_address(packet_t* packet, addr_t old, addr_t new, uint32_t at4,
                          uint32_t at6) noexcept nogil:
    cdef uint8_t* ip = packet.frame + ETHER_SIZE
    cdef uint8_t* field = checksum_field(packet)
    cdef uint16_t check
    cdef uint64_t sum
    if packet.family == 4:
        store32(ip + at4, <uint32_t>new.lo)
        store16(ip + 10, checksum_replace_address(load16(ip + 10), old, new))
    else:
        store64(ip + at6, new.hi)
        store64(ip + at6 + 8, new.lo)
    if field == NULL or (packet.proto == PROTO_ICMP and packet.family == 4):
        return
    check = load16(field)
    if packet.checksum == CHECKSUM_PARTIAL:
        # net/core/utils.c, inet_proto_csum_replace4: the pseudo-header's plain sum follows.
        sum = <uint64_t>check + <uint16_t>~address_sum(old) + address_sum(new)
        store16(field, checksum_fold(sum))
    elif check == 0 and packet.proto == PROTO_UDP:
        return                                  # RFC 768: no checksum
    else:
        check = checksum_replace_address(check, old, new)
        if check == 0 and (packet.proto == PROTO_UDP or packet.proto == PROTO_UDPLITE):
            check = 0xFFFF                      # CSUM_MANGLED_0
        store16(field, check)


cdef inline uint16_t address_sum(addr_t address) noexcept nogil:
    return checksum_fold((address.hi >> 32) + (address.hi & 0xFFFFFFFFu)
                         + (address.lo >> 32) + (address.lo & 0xFFFFFFFFu))


cdef void packet_finish_sctp(packet_t* packet) noexcept nogil:
    """Computed anew, right or wrong before (nf_nat_proto.c, sctp_manip_pkt)."""
    cdef uint8_t* header = packet.frame + packet.l4
    cdef uint32_t crc
    if not is_whole(packet) or transport_length(packet) < 12:
        return
    memset(header + 8, 0, 4)
    crc = crc32c(header, transport_length(packet))
    header[8] = <uint8_t>crc
    header[9] = <uint8_t>(crc >> 8)
    header[10] = <uint8_t>(crc >> 16)
    header[11] = <uint8_t>(crc >> 24)


cdef void replace_word(packet_t* packet, uint32_t at, uint16_t new) noexcept nogil:
    """A 16-bit word of the transport header, and the checksum over it."""
    cdef uint8_t* word = packet.frame + packet.l4 + at
    cdef uint8_t* field = checksum_field(packet)
    cdef uint16_t check
    cdef uint16_t old = load16(word)
    store16(word, new)
    if packet.proto == PROTO_SCTP:
        packet_finish_sctp(packet)
        return
    if field == NULL or packet.checksum == CHECKSUM_PARTIAL:
        return                                  # a partial sum covers no transport header
    check = load16(field)
    if check == 0 and packet.proto == PROTO_UDP:
        return
    check = checksum_replace(check, old, new)
    if check == 0 and (packet.proto == PROTO_UDP or packet.proto == PROTO_UDPLITE):
        check = 0xFFFF
    store16(field, check)


cdef void packet_set_src(packet_t* packet, addr_t address) noexcept nogil:
    replace_address(packet, packet.src, address, 12, 8)
    packet.src = address


cdef void packet_set_dst(packet_t* packet, addr_t address) noexcept nogil:
    replace_address(packet, packet.dst, address, 16, 24)
    packet.dst = address


cdef void packet_set_sport(packet_t* packet, uint16_t port) noexcept nogil:
    if packet.l4 == 0:
        return
    if packet.proto == PROTO_ICMP or packet.proto == PROTO_ICMPV6:
        replace_word(packet, 4, port)           # the echo identifier
    else:
        replace_word(packet, 0, port)
    packet.sport = port


cdef void packet_set_dport(packet_t* packet, uint16_t port) noexcept nogil:
    if packet.l4 == 0 or packet.proto == PROTO_ICMP or packet.proto == PROTO_ICMPV6:
        return
    replace_word(packet, 2, port)
    packet.dport = port


cdef void packet_set_ttl(packet_t* packet, uint8_t ttl) noexcept nogil:
    cdef uint8_t* ip = packet.frame + ETHER_SIZE
    cdef uint16_t old
    if packet.family == 4:
        old = load16(ip + 8)
        ip[8] = ttl
        store16(ip + 10, checksum_replace(load16(ip + 10), old, load16(ip + 8)))
    else:
        ip[7] = ttl
    packet.ttl = ttl


cdef void packet_set_tos(packet_t* packet, uint8_t tos) noexcept nogil:
    cdef uint8_t* ip = packet.frame + ETHER_SIZE
    cdef uint16_t old
    if packet.family == 4:
        old = load16(ip)
        ip[1] = tos
        store16(ip + 10, checksum_replace(load16(ip + 10), old, load16(ip)))
    else:
        ip[0] = <uint8_t>((ip[0] & 0xF0) | (tos >> 4))
        ip[1] = <uint8_t>((ip[1] & 0x0F) | ((tos & 15) << 4))
    packet.tos = tos


# ------------------------------------------------------------------------------- whole


cdef void packet_load(packet_t* packet, const uint8_t* frame, uint32_t size,
                      uint32_t length) noexcept nogil:
    cdef uint8_t* buffer = packet.buffer
    memset(packet, 0, sizeof(packet_t))
    packet.buffer = buffer
    packet.frame = buffer + HEADROOM
    packet.size = min(size, <uint32_t>FRAME_MAX)
    packet.length = max(length, packet.size)
    packet.connection = -1
    packet.in_device = packet.out_device = packet.entered_by = packet.route = -1
    packet.error_device = -1
    packet.bridge_port = packet.bridge_port_out = packet.must_leave_by = -1
    memcpy(packet.frame, frame, packet.size)


cdef void packet_copy(packet_t* to, const packet_t* source) noexcept nogil:
    cdef uint8_t* buffer = to.buffer
    memcpy(to, source, sizeof(packet_t))
    to.buffer = buffer
    to.frame = buffer + (source.frame - source.buffer)
    memcpy(to.frame, source.frame, source.size)
    if source.is_listed:
        memcpy(packet_boundaries(to), packet_boundaries(source), BOUNDARIES_SIZE)


cdef void packet_scrub(packet_t* packet) noexcept nogil:
    packet.mark = packet.realms = 0
    packet.next_hop = addr_t(0, 0)
    packet.connection = -1
    packet.ctinfo = 0
    packet.zone = 0
    packet.zone_directions = packet.zone_is_mark = packet.has_template = 0
    packet.is_occupied = 0
    packet.direction = 0
    packet.is_tracked = 0
    packet.is_local = packet.is_copy = 0
    packet.prerouting_done = 0
    packet.ignore_df = packet.is_listed = packet.fragment_df = 0
    packet.fragment_max = 0
    memset(&packet.options, 0, sizeof(ip_options_t))
    packet.bridge_port = packet.bridge_port_out = packet.must_leave_by = -1
    packet.in_device = packet.out_device = packet.entered_by = packet.route = -1
    packet.error_device = -1


# ------------------------------------------------------------------- doors for the tests


def edit(frame, src=None, dst=None, sport=None, dport=None, ttl=None, tos=None):
    """The frame (bytes) with the given fields changed and its checksums kept.

    Addresses are (hi, lo) pairs, host order.  Raises ValueError when the frame cannot be parsed.
    """
    cdef uint8_t[::1] buffer = bytearray(BUFFER_SIZE)
    cdef const uint8_t[::1] data = frame if len(frame) else b"\0"
    cdef packet_t packet
    cdef int reason
    packet.buffer = &buffer[0]
    packet_load(&packet, &data[0], <uint32_t>len(frame), <uint32_t>len(frame))
    reason = packet_parse(&packet)
    if reason or packet.family == 0:
        raise ValueError(f"not a parseable IP frame: reason {reason}")
    if src is not None:
        packet_set_src(&packet, addr_t(src[0], src[1]))
    if dst is not None:
        packet_set_dst(&packet, addr_t(dst[0], dst[1]))
    if sport is not None:
        packet_set_sport(&packet, sport)
    if dport is not None:
        packet_set_dport(&packet, dport)
    if ttl is not None:
        packet_set_ttl(&packet, ttl)
    if tos is not None:
        packet_set_tos(&packet, tos)
    return packet.frame[:packet.size]


def parse(frame, uint32_t length=0):
    """(reason, {field: value}) of one Ethernet frame, as kernels see it.

    length  the frame's size on the wire when the capture cut it; 0 = not cut
    """
    cdef uint8_t[::1] buffer = bytearray(BUFFER_SIZE)
    cdef const uint8_t[::1] data = frame if len(frame) else b"\0"
    cdef packet_t packet
    cdef int reason
    memset(&packet, 0, sizeof(packet_t))
    packet.buffer = &buffer[0]
    length = max(length, <uint32_t>len(frame))
    packet_load(&packet, &data[0], <uint32_t>len(frame), length)
    reason = packet_parse(&packet)
    return reason, {
        "family": packet.family, "proto": packet.proto, "ttl": packet.ttl, "tos": packet.tos,
        "src": (packet.src.hi, packet.src.lo), "dst": (packet.dst.hi, packet.dst.lo),
        "sport": packet.sport, "dport": packet.dport, "tcp_flags": packet.tcp_flags,
        "size": packet.size, "length": packet.length, "is_fragment": bool(packet.is_fragment),
        "has_ports": bool(packet.has_ports),
        "checksum": ChecksumState(packet_checksum(&packet)).name,
    }
