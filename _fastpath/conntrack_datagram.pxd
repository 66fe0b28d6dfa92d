# UDP, UDPLITE and GRE in conntrack: two timeouts, the longer for what is answered.
from libc.stdint cimport uint64_t

from _fastpath.image cimport node_t
from _fastpath.packet cimport packet_t
from _fastpath.state cimport (
    IPS_SEEN_REPLY,
    TIMEOUT_UDP,
    TIMEOUT_UDP_STREAM,
    connection_datagram,
    connection_t,
)

# udp_error, udplite_error: lengths.
cdef bint udp_header_is_valid(const packet_t* packet) noexcept nogil
cdef bint udplite_header_is_valid(const packet_t* packet) noexcept nogil
# udplite_error: the checksum over what it covers.
cdef bint udplite_is_broken(const packet_t* packet) noexcept nogil
cdef void datagram_begin(const node_t* node, connection_t* connection,
                         uint64_t now_ns) noexcept nogil
# nf_conntrack_udp_packet, _udplite_packet, _gre_packet; seconds that the connection lives on.
cdef uint64_t datagram_packet(const node_t* node, connection_t* connection,
                              uint64_t now_ns) noexcept nogil

# Two seconds of answers make a stream of UDP.
cdef inline bint is_stream(connection_t* connection, uint64_t now_ns) noexcept nogil:
    return ((connection.status & IPS_SEEN_REPLY) != 0
            and now_ns > connection_datagram(connection).stream_ns)

cdef inline uint64_t udp_timeout(const node_t* node, connection_t* connection,
                                 uint64_t now_ns) noexcept nogil:
    return node.timeouts[
        <int>TIMEOUT_UDP_STREAM if is_stream(connection, now_ns) else <int>TIMEOUT_UDP]
