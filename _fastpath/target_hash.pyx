"""HMARK: a mark that is a hash of addresses and ports.  Specified by
dataplane.reference.target_hash.

The same for both directions: addresses and ports are sorted.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from _fastpath.address cimport addr_t
from _fastpath.image cimport (
    HMARK_CONNECTION,
    HMARK_DST_MASK,
    HMARK_MODULUS,
    HMARK_OFFSET,
    HMARK_PORT_MASK,
    HMARK_PORT_SET,
    HMARK_PROTO_MASK,
    HMARK_RANDOM,
    HMARK_SRC_MASK,
)
from _fastpath.nat_range cimport jhash2
from _fastpath.netfilter cimport WALK_UNKNOWN
from _fastpath.packet cimport (
    ETHER_SIZE,
    PROTO_DCCP,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    PROTO_UDPLITE,
    is_extension,
    load16,
    load32,
    load64,
    packet_holds,
    packet_t,
)
from _fastpath.reason cimport TARGET_UNMODELLED
from _fastpath.state cimport connection_t
from _fastpath.trace cimport EVENT_MARK, trace_value

cdef enum:
    PROTO_ESP = 50
    PROTO_AH = 51
    ROUTING = 43
    FRAGMENT_HEADER = 44
    ICMPV6_QUERY = 128      # the first type that is no error

cdef enum Found:
    FOUND = 0
    NOTHING = 1             # the packet keeps its mark
    NOT_KNOWN = 2

# struct hmark_tuple
cdef struct hashed_t:
    uint32_t src, dst, ports
    uint8_t proto


cdef uint32_t masked(addr_t address, uint8_t family, const uint32_t* mask) noexcept nogil:
    """hmark_addr_mask: the words of an IPv6 address become one."""
    if family == 4:
        return <uint32_t>address.lo & mask[0]
    return ((<uint32_t>(address.hi >> 32) & mask[0]) ^ (<uint32_t>address.hi & mask[1])
            ^ (<uint32_t>(address.lo >> 32) & mask[2]) ^ (<uint32_t>address.lo & mask[3]))


cdef uint32_t sorted_ports(uint32_t ports, const uint32_t* words) noexcept nogil:
    """hmark_swap_ports"""
    cdef uint32_t low, high
    ports = (ports & words[<int>HMARK_PORT_MASK]) | words[<int>HMARK_PORT_SET]
    low, high = ports >> 16, ports & 0xFFFF
    return (max(low, high) << 16) | min(low, high)


cdef int add_ports(const packet_t* packet, uint32_t at, const uint32_t* words,
                   hashed_t* found) noexcept nogil:
    """hmark_set_tuple_ports, proto_ports_offset"""
    cdef uint8_t proto = found.proto
    cdef int held
    if proto == PROTO_AH:
        at += 4
    elif not (proto == PROTO_TCP or proto == PROTO_UDP or proto == PROTO_SCTP
              or proto == PROTO_UDPLITE or proto == PROTO_DCCP or proto == PROTO_ESP):
        return FOUND
    held = packet_holds(packet, at, 4)
    if held == 1:
        found.ports = sorted_ports(load32(packet.frame + at), words)
    return NOT_KNOWN if held == 2 else FOUND


cdef bint is_icmp_error(uint8_t type) noexcept nogil:
    """icmp_is_err"""
    return type in (3, 4, 5, 11, 12)


cdef int of_ipv4(const packet_t* packet, const uint32_t* words, hashed_t* found) noexcept nogil:
    """hmark_pkt_set_htuple_ipv4: of an ICMP error, what it quotes."""
    cdef uint32_t at = ETHER_SIZE
    cdef uint32_t inside = at + (packet.frame[at] & 15) * 4
    cdef const uint8_t* ip
    cdef int held
    if packet.frame[at + 9] == PROTO_ICMP:
        held = packet_holds(packet, inside, 8)
        if held == 2:
            return NOT_KNOWN
        if held == 1 and is_icmp_error(packet.frame[inside]):
            at = inside + 8
            held = packet_holds(packet, at, 20)
            if held != 1:
                return NOT_KNOWN if held == 2 else NOTHING
    ip = packet.frame + at
    found.src = load32(ip + 12) & words[<int>HMARK_SRC_MASK]
    found.dst = load32(ip + 16) & words[<int>HMARK_DST_MASK]
    found.proto = ip[9]
    if found.proto == PROTO_ICMP or load16(ip + 6) & 0x3FFF:
        return FOUND
    return add_ports(packet, at + (ip[0] & 15) * 4, words, found)


cdef int find_header(const packet_t* packet, uint32_t* at, uint8_t* header,
                     bint* is_fragment) noexcept nogil:
    """ipv6_find_hdr of any protocol; it stops at an authentication header.  `at` and `header`:
    what follows the fixed header.  NOTHING where the headers end before it."""
    cdef int held
    while is_extension(header[0]) and header[0] != PROTO_AH:
        held = packet_holds(packet, at[0], 4 if header[0] in (FRAGMENT_HEADER, ROUTING) else 2)
        if held != 1:
            return NOT_KNOWN if held == 2 else NOTHING
        if header[0] == FRAGMENT_HEADER:
            is_fragment[0] = True
        if header[0] == FRAGMENT_HEADER and load16(packet.frame + at[0] + 2) & 0xFFF8:
            # What follows is the middle of something.
            header[0] = packet.frame[at[0]]
            return NOTHING if is_extension(header[0]) else FOUND
        held = 8 if header[0] == FRAGMENT_HEADER else (packet.frame[at[0] + 1] + 1) * 8
        header[0] = packet.frame[at[0]]
        at[0] += <uint32_t>held
    if header[0] == PROTO_AH:
        held = packet_holds(packet, at[0], 2)
        return FOUND if held == 1 else (NOT_KNOWN if held == 2 else NOTHING)
    return FOUND


cdef int of_ipv6(const packet_t* packet, const uint32_t* words, hashed_t* found) noexcept nogil:
    """hmark_pkt_set_htuple_ipv6: of an ICMPv6 error, what it quotes."""
    cdef uint32_t ip_at = ETHER_SIZE, at = ETHER_SIZE + 40
    cdef uint8_t header = packet.frame[ETHER_SIZE + 6]
    cdef const uint8_t* ip
    cdef bint is_fragment = False
    cdef int outcome = find_header(packet, &at, &header, &is_fragment), held
    if outcome != FOUND:
        return FOUND if outcome == NOTHING else NOT_KNOWN   # of no header zeros are hashed
    if header == PROTO_ICMPV6 and not is_fragment:
        held = packet_holds(packet, at, 8)
        if held == 2:
            return NOT_KNOWN
        if held == 1 and 0 < packet.frame[at] < ICMPV6_QUERY:
            ip_at = at + 8
            held = packet_holds(packet, ip_at, 40)
            if held != 1:
                return NOT_KNOWN if held == 2 else NOTHING
            if packet.frame[ip_at] >> 4 != 6:
                return NOTHING
            at, header = ip_at + 40, packet.frame[ip_at + 6]
            outcome = find_header(packet, &at, &header, &is_fragment)
            if outcome != FOUND:
                return outcome
    ip = packet.frame + ip_at
    found.src = masked(addr_t(load64(ip + 8), load64(ip + 16)), 6, words + HMARK_SRC_MASK)
    found.dst = masked(addr_t(load64(ip + 24), load64(ip + 32)), 6, words + HMARK_DST_MASK)
    found.proto = header
    if header == PROTO_ICMPV6 or is_fragment:
        return FOUND
    return add_ports(packet, at, words, found)


cdef int of_connection(const walk_t* walk, const uint32_t* words, hashed_t* found) noexcept nogil:
    """hmark_ct_set_htuple: who opened it, and who answers."""
    cdef const connection_t* connection
    if walk.packet.connection < 0:
        return NOTHING
    connection = &walk.state.connections[walk.packet.connection]
    found.src = masked(connection.original.src, connection.original.family,
                       words + HMARK_SRC_MASK)
    found.dst = masked(connection.reply.src, connection.original.family, words + HMARK_DST_MASK)
    found.proto = connection.original.proto
    if found.proto != PROTO_ICMP:
        found.ports = sorted_ports(
            (<uint32_t>connection.original.sport << 16) | connection.reply.sport, words)
    return FOUND


cdef uint32_t mark_of(const hashed_t* found, const uint32_t* words) noexcept nogil:
    """hmark_hash"""
    cdef uint32_t[3] sorted
    cdef uint32_t hash
    sorted[0], sorted[1] = min(found.src, found.dst), max(found.src, found.dst)
    sorted[2] = found.ports
    hash = jhash2(sorted, 3, words[<int>HMARK_RANDOM])
    hash ^= found.proto & words[<int>HMARK_PROTO_MASK]
    return <uint32_t>(<uint64_t>hash * words[<int>HMARK_MODULUS] >> 32) + words[<int>HMARK_OFFSET]


cdef int set_hash_mark(walk_t* walk, const target_t* target) noexcept nogil:
    cdef packet_t* packet = walk.packet
    cdef const uint32_t* words = walk.image.words + target.a
    cdef hashed_t found = hashed_t(0, 0, 0, 0)
    cdef uint32_t mark
    cdef int outcome
    if words[<int>HMARK_CONNECTION]:
        outcome = of_connection(walk, words, &found)
    elif packet.family == 4:
        outcome = of_ipv4(packet, words, &found)
    else:
        outcome = of_ipv6(packet, words, &found)
    if outcome == NOT_KNOWN:
        walk.reason = TARGET_UNMODELLED
        return WALK_UNKNOWN
    if outcome == NOTHING:
        return -1
    mark = mark_of(&found, words)
    if mark != packet.mark:
        trace_value(walk.trace, EVENT_MARK, packet.mark, mark)
    packet.mark = mark
    return -1
