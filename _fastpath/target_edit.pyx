"""Targets that change bytes or marks.  Specified by dataplane.reference.target_edit."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memmove

from _fastpath.checksum cimport checksum_replace
from _fastpath.fib_rules cimport fib_lookup, flowi_t, flowi_to
from _fastpath.forwarding cimport output_device, route_mtu
from _fastpath.image cimport (
    CONNMARK_RESTORE,
    CONNMARK_SAVE,
    MSS_CLAMP,
    TARGET_CHECKSUM,
    TARGET_CONNMARK,
    TARGET_DSFIELD,
    TARGET_ECN_REMOVE,
    TARGET_STRIP,
    TARGET_TCPMSS,
    TARGET_TTL,
    TTL_DECREASE,
    TTL_INCREASE,
    device_t,
)
from _fastpath.netfilter cimport WALK_DROP, WALK_UNKNOWN
from _fastpath.packet cimport (
    CHECKSUM_PARTIAL,
    ETHER_SIZE,
    FRAME_MAX,
    PROTO_TCP,
    load16,
    packet_finish_checksum,
    packet_holds,
    packet_set_tos,
    packet_set_ttl,
    packet_t,
    store16,
)
from _fastpath.reason cimport CAPTURE_CUT, NETFILTER_DROP, TARGET_UNMODELLED
from _fastpath.state cimport connection_t
from _fastpath.trace cimport (
    EVENT_CONNMARK,
    EVENT_MARK,
    EVENT_MSS,
    EVENT_OPTION,
    EVENT_TOS,
    EVENT_TTL,
    trace_value,
)

cdef enum:
    OPTION_NOP = 1
    OPTION_MSS = 2
    MSS_BYTES = 4
    DEFAULT_MSS4 = 536      # RFC 9293 3.7.1
    DEFAULT_MSS6 = 1220


cdef int drop_here(walk_t* walk) noexcept nogil:
    walk.reason = NETFILTER_DROP
    return WALK_DROP


cdef int unknown_here(walk_t* walk, uint16_t reason) noexcept nogil:
    walk.reason = reason
    return WALK_UNKNOWN


cdef int edit_ttl(walk_t* walk, const target_t* target) noexcept nogil:
    """xt_HL.c: no further than 0 and 255."""
    cdef packet_t* packet = walk.packet
    cdef uint32_t ttl = target.b
    if target.a == TTL_INCREASE:
        ttl = min(<uint32_t>packet.ttl + target.b, 255u)
    elif target.a == TTL_DECREASE:
        ttl = packet.ttl - target.b if packet.ttl > target.b else 0
    if ttl != packet.ttl:
        trace_value(walk.trace, EVENT_TTL, packet.ttl, ttl)
        packet_set_ttl(packet, <uint8_t>ttl)
    return -1


cdef int edit_dsfield(walk_t* walk, const target_t* target) noexcept nogil:
    """xt_DSCP.c: tos = (tos & ~b) ^ a"""
    cdef packet_t* packet = walk.packet
    cdef uint8_t tos = <uint8_t>((packet.tos & ~target.b) ^ target.a)
    if tos != packet.tos:
        trace_value(walk.trace, EVENT_TOS, packet.tos, tos)
        packet_set_tos(packet, tos)
    return -1


cdef void replace_tcp16(packet_t* packet, uint32_t at, uint16_t value) noexcept nogil:
    """A word of the TCP header, and the checksum: inet_proto_csum_replace2.

    A partial checksum covers the pseudo-header alone.
    """
    cdef uint8_t* tcp = packet.frame + packet.l4
    cdef uint16_t old = load16(tcp + at)
    store16(tcp + at, value)
    if packet.checksum != CHECKSUM_PARTIAL:
        store16(tcp + 16, checksum_replace(load16(tcp + 16), old, value))


cdef int edit_ecn(walk_t* walk) noexcept nogil:
    """ipt_ECN.c, --ecn-tcp-remove: ECE and CWR off."""
    cdef packet_t* packet = walk.packet
    cdef uint16_t word
    if packet.proto != PROTO_TCP:
        return -1
    if not packet.is_first:
        return unknown_here(walk, TARGET_UNMODELLED)
    if not packet.has_ports:
        return drop_here(walk)
    word = load16(packet.frame + packet.l4 + 12)
    if word & 0xC0:
        replace_tcp16(packet, 12, word & 0xFF3F)
        packet.tcp_flags &= 0x3F
    return -1


cdef int edit_connmark(walk_t* walk, const target_t* target) noexcept nogil:
    """xt_connmark.c, connmark_tg: a value or nfmask, b ctmask."""
    cdef packet_t* packet = walk.packet
    cdef connection_t* connection
    cdef uint32_t mark
    if packet.connection < 0:
        return -1
    connection = &walk.state.connections[packet.connection]
    if target.flags == CONNMARK_RESTORE:
        mark = (packet.mark & ~target.a) ^ (connection.mark & target.b)
        if mark != packet.mark:
            trace_value(walk.trace, EVENT_MARK, packet.mark, mark)
        packet.mark = mark
        return -1
    mark = packet.mark & target.a if target.flags == CONNMARK_SAVE else target.a
    mark = (connection.mark & ~target.b) ^ mark
    if mark != connection.mark:
        trace_value(walk.trace, EVENT_CONNMARK, connection.mark, mark)
    connection.mark = mark
    return -1


# ------------------------------------------------------------------------------------ TCPMSS


cdef uint32_t path_mtu(const walk_t* walk) noexcept nogil:
    """The smaller of the route's MTU and of the way back: tcpmss_reverse_mtu."""
    cdef const packet_t* packet = walk.packet
    cdef flowi_t flow = flowi_to(walk.image, packet.node, packet.family, packet.src)
    cdef int32_t back = fib_lookup(walk.image, &flow), leaves_by
    cdef const device_t* dev = &walk.image.devices[packet.out_device]
    cdef uint32_t mtu = dev.mtu6 if packet.family == 6 else dev.mtu
    if packet.route >= 0 and packet.out_device == output_device(
            walk.image, packet.node, packet.route):
        mtu = route_mtu(walk.image, &walk.image.routes[packet.route], packet.out_device)
    if back >= 0:
        leaves_by = output_device(walk.image, packet.node, back)
        if leaves_by >= 0:
            mtu = min(mtu, route_mtu(walk.image, &walk.image.routes[back], leaves_by))
    return mtu


cdef int add_mss(walk_t* walk, uint32_t mss) noexcept nogil:
    """The option is put first, and the packet grows by it."""
    cdef packet_t* packet = walk.packet
    cdef uint8_t* tcp = packet.frame + packet.l4
    cdef uint8_t* ip = packet.frame + ETHER_SIZE
    cdef uint32_t size = packet.size - packet.l4
    cdef uint16_t length = <uint16_t>(packet.ip_length + MSS_BYTES), check
    mss = min(mss, <uint32_t>(DEFAULT_MSS4 if packet.family == 4 else DEFAULT_MSS6))
    if packet.size + MSS_BYTES > FRAME_MAX:
        return unknown_here(walk, TARGET_UNMODELLED)
    memmove(tcp + 24, tcp + 20, size - 20)
    check = checksum_replace(load16(tcp + 16), <uint16_t>size, <uint16_t>(size + MSS_BYTES))
    if packet.checksum == CHECKSUM_PARTIAL:
        check = ~checksum_replace(~load16(tcp + 16), <uint16_t>size, <uint16_t>(size + MSS_BYTES))
    else:
        check = checksum_replace(check, 0, (OPTION_MSS << 8) | MSS_BYTES)
        check = checksum_replace(check, 0, <uint16_t>mss)
    store16(tcp + 16, check)
    store16(tcp + 20, (OPTION_MSS << 8) | MSS_BYTES)
    store16(tcp + 22, <uint16_t>mss)
    replace_tcp16(packet, 12, <uint16_t>(load16(tcp + 12) + 0x1000))
    if packet.family == 4:
        store16(ip + 10, checksum_replace(load16(ip + 10), load16(ip + 2), length))
        store16(ip + 2, length)
    else:
        store16(ip + 4, <uint16_t>(length - 40))
    packet.size += MSS_BYTES
    packet.length += MSS_BYTES
    packet.ip_length = length
    trace_value(walk.trace, EVENT_MSS, 0, mss)
    return -1


cdef int edit_mss(walk_t* walk, const target_t* target) noexcept nogil:
    """xt_TCPMSS.c, tcpmss_mangle_packet: never raised."""
    cdef packet_t* packet = walk.packet
    cdef uint8_t* tcp = packet.frame + packet.l4
    cdef uint32_t header, length, mss = target.a, minimum = 40 if packet.family == 4 else 60, i = 20
    cdef uint16_t old
    if not packet.is_first:
        return -1
    if not packet.has_ports:
        return drop_here(walk)
    header = (tcp[12] >> 4) * 4
    length = packet.ip_length + ETHER_SIZE - packet.l4
    if header < 20 or length < header:
        return drop_here(walk)
    if packet_holds(packet, packet.l4, length) != 1:
        return unknown_here(walk, CAPTURE_CUT)
    if target.b == MSS_CLAMP:
        if packet.out_device < 0:
            return unknown_here(walk, TARGET_UNMODELLED)
        mss = path_mtu(walk)
        if mss <= minimum:
            return drop_here(walk)
        mss -= minimum
    while i + MSS_BYTES <= header:
        if tcp[i] == OPTION_MSS and tcp[i + 1] == MSS_BYTES:
            old = load16(tcp + i + 2)
            if old > mss:
                trace_value(walk.trace, EVENT_MSS, old, mss)
                store16(tcp + i + 2, <uint16_t>mss)
                if packet.checksum != CHECKSUM_PARTIAL:
                    # As a whole word it may stand at an odd offset: Linux does not swap it.
                    store16(tcp + 16, checksum_replace(load16(tcp + 16), old, <uint16_t>mss))
            return -1
        i += 1 if tcp[i] <= 1 or tcp[i + 1] == 0 else tcp[i + 1]
    if length > header or header >= 60:
        return -1
    return add_mss(walk, mss)


# ------------------------------------------------------------------------------ TCPOPTSTRIP


cdef void make_nop(packet_t* packet, uint32_t at) noexcept nogil:
    """A byte of the TCP header at any offset: the checksum's word has it high or low."""
    cdef uint8_t* tcp = packet.frame + packet.l4
    cdef uint16_t old = tcp[at], new = OPTION_NOP
    if not at & 1:
        old <<= 8
        new <<= 8
    tcp[at] = OPTION_NOP
    if packet.checksum != CHECKSUM_PARTIAL:
        store16(tcp + 16, checksum_replace(load16(tcp + 16), old, new))


cdef int edit_options(walk_t* walk, const target_t* target) noexcept nogil:
    """xt_TCPOPTSTRIP.c, tcpoptstrip_mangle_packet: options become NOPs."""
    cdef packet_t* packet = walk.packet
    cdef const uint32_t* wanted = walk.image.words + target.a
    cdef const uint8_t* tcp = packet.frame + packet.l4
    cdef uint32_t header, length, at = 20, size, i
    cdef uint8_t kind
    if not packet.is_first:
        return -1
    if not packet.has_ports:
        return drop_here(walk)
    header = (tcp[12] >> 4) * 4
    length = packet.ip_length + ETHER_SIZE - packet.l4
    if header < 20 or length < header:
        return drop_here(walk)
    if header > 20 and packet_holds(packet, packet.l4, header) != 1:
        return unknown_here(walk, CAPTURE_CUT)
    while at + 1 < header:
        kind = tcp[at]
        size = 1 if kind <= OPTION_NOP or tcp[at + 1] == 0 else tcp[at + 1]
        if at + size > header:
            return -1
        if not wanted[kind >> 5] >> (kind & 31) & 1:
            at += size
            continue
        trace_value(walk.trace, EVENT_OPTION, kind, OPTION_NOP)
        for i in range(at, at + size):
            make_nop(packet, i)
        at += size
    return -1


cdef int edit(walk_t* walk, const rule_t* rule, const target_t* target) noexcept nogil:
    if rule.kind == TARGET_TTL:
        return edit_ttl(walk, target)
    if rule.kind == TARGET_DSFIELD:
        return edit_dsfield(walk, target)
    if rule.kind == TARGET_CONNMARK:
        return edit_connmark(walk, target)
    if rule.kind == TARGET_TCPMSS:
        return edit_mss(walk, target)
    if rule.kind == TARGET_ECN_REMOVE:
        return edit_ecn(walk)
    if rule.kind == TARGET_STRIP:
        return edit_options(walk, target)
    if rule.kind == TARGET_CHECKSUM:
        packet_finish_checksum(walk.packet)
        return -1
    return unknown_here(walk, TARGET_UNMODELLED)
