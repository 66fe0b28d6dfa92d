"""Datagrams in conntrack.  Specified by dataplane.reference.conntrack_datagram."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from _fastpath.checksum cimport checksum_add, checksum_finish, checksum_pseudo
from _fastpath.packet cimport (
    ETHER_SIZE,
    PROTO_GRE,
    PROTO_UDP,
    load16,
)
from _fastpath.state cimport (
    IPS_ASSURED,
    IPS_SEEN_REPLY,
    TIMEOUT_GRE,
    TIMEOUT_GRE_STREAM,
    TIMEOUT_UDP,
    TIMEOUT_UDP_STREAM,
    connection_datagram,
)

cdef enum:
    SECOND_NS = 1000000000


cdef bint udp_header_is_valid(const packet_t* packet) noexcept nogil:
    cdef uint16_t length = load16(packet.frame + packet.l4 + 4)
    return length >= 8 and packet.l4 + length <= packet.length


cdef bint udplite_header_is_valid(const packet_t* packet) noexcept nogil:
    """Its coverage is at least its header, and a checksum it must have (RFC 3828)."""
    cdef const uint8_t* header = packet.frame + packet.l4
    cdef uint32_t coverage = load16(header + 4)
    if coverage and (coverage < 8 or packet.l4 + coverage > ETHER_SIZE + packet.ip_length):
        return False
    return load16(header + 6) != 0


cdef bint udplite_is_broken(const packet_t* packet) noexcept nogil:
    """Linux takes UDP's number for the pseudo-header, where RFC 3828 has UDPLITE's: what is right
    is wrong to it (v6.18, udplite_error)."""
    cdef uint32_t size = ETHER_SIZE + packet.ip_length - packet.l4
    cdef uint32_t coverage = load16(packet.frame + packet.l4 + 4)
    if packet.is_fragment or packet.l4 + size > packet.size:
        return False
    return checksum_finish(checksum_add(
        checksum_pseudo(packet.src, packet.dst, PROTO_UDP, size), packet.frame + packet.l4,
        coverage if coverage else size)) != 0


cdef void datagram_begin(const node_t* node, connection_t* connection,
                         uint64_t now_ns) noexcept nogil:
    connection_datagram(connection).stream_ns = now_ns + <uint64_t>2 * SECOND_NS


cdef uint64_t datagram_packet(const node_t* node, connection_t* connection,
                              uint64_t now_ns) noexcept nogil:
    cdef bint is_answered = (connection.status & IPS_SEEN_REPLY) != 0
    if connection.original.proto == PROTO_GRE:
        if is_answered:
            connection.status |= IPS_ASSURED
        return node.timeouts[<int>TIMEOUT_GRE_STREAM if is_answered else <int>TIMEOUT_GRE]
    if connection.original.proto == PROTO_UDP:
        if is_stream(connection, now_ns):
            connection.status |= IPS_ASSURED
        return udp_timeout(node, connection, now_ns)
    if is_answered:
        connection.status |= IPS_ASSURED
    return node.timeouts[<int>TIMEOUT_UDP_STREAM if is_answered else <int>TIMEOUT_UDP]
