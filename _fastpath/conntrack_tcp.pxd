# TCP in conntrack: nf_conntrack_proto_tcp.c.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from _fastpath.conntrack_window cimport (
    FLAG_DATA_UNACKNOWLEDGED,
    INDEX_ACK,
    INDEX_RST,
    segment_t,
    tcp_is_in_window,
    tcp_window_moves,
)
from _fastpath.image cimport node_t
from _fastpath.packet cimport packet_t
from _fastpath.state cimport (
    IPS_ASSURED,
    IPS_SEEN_REPLY,
    TIMEOUT_TCP_RETRANS,
    TIMEOUT_TCP_UNACK,
    connection_t,
    tcp_t,
)

cpdef enum:
    SECOND_NS = 1000000000

cpdef enum TcpState:        # enum tcp_conntrack
    TCP_NONE = 0
    TCP_SYN_SENT = 1
    TCP_SYN_RECV = 2
    TCP_ESTABLISHED = 3
    TCP_FIN_WAIT = 4
    TCP_CLOSE_WAIT = 5
    TCP_LAST_ACK = 6
    TCP_TIME_WAIT = 7
    TCP_CLOSE = 8
    TCP_SYN_SENT2 = 9
    TCP_MAX = 10            # sIV: the packet is INVALID
    TCP_IGNORE = 11         # sIG: let pass, nothing changes

# What a protocol's tracker says of a packet.
cpdef enum Tracked:
    PACKET_ACCEPT = 0
    PACKET_INVALID = 1
    PACKET_IGNORE = 3       # let pass: nothing is counted, nothing prolonged
    PACKET_REPEAT = 2       # the connection is over: forget it and look again

# tcp_error: header length and flags.
cdef bint tcp_header_is_valid(const packet_t* packet) noexcept nogil
# Whether a first packet opens a connection.  The packet itself then takes it from NONE.
cdef bint tcp_new(const node_t* node, const packet_t* packet,
                  connection_t* connection) noexcept nogil
# nf_conntrack_tcp_set_closing: the node has answered with a reset.
cdef void tcp_set_closing(const node_t* node, connection_t* connection,
                          uint64_t now_ns) noexcept nogil
# nf_conntrack_tcp_packet: one segment of a connection.  A Tracked.
cdef int tcp_packet(const node_t* node, connection_t* connection, const packet_t* packet,
                    uint32_t direction, uint64_t now_ns) noexcept nogil


# --------------------------------------------- in the middle of a connection: conntrack_window.pxd


cdef inline bint is_established(const connection_t* connection) noexcept nogil:
    return connection.tcp.state == TCP_ESTABLISHED and connection.status & IPS_ASSURED


cdef inline uint32_t timeout_of(const node_t* node, const tcp_t* tcp,
                                uint32_t index) noexcept nogil:
    """Seconds that the connection lives on without another segment."""
    cdef uint32_t timeout = node.timeouts[tcp.state]
    if tcp.retrans >= node.tcp_max_retrans and timeout > node.timeouts[<int>TIMEOUT_TCP_RETRANS]:
        return node.timeouts[<int>TIMEOUT_TCP_RETRANS]
    if index == INDEX_RST:
        return node.timeouts[<int>TCP_CLOSE]
    if (tcp.seen[0].flags | tcp.seen[1].flags) & FLAG_DATA_UNACKNOWLEDGED and (
            timeout > node.timeouts[<int>TIMEOUT_TCP_UNACK]):
        return node.timeouts[<int>TIMEOUT_TCP_UNACK]
    if tcp.last_win == 0 and timeout > node.timeouts[<int>TIMEOUT_TCP_RETRANS]:
        return node.timeouts[<int>TIMEOUT_TCP_RETRANS]
    return timeout


# Whether a segment with ACK, and PSH or not, is within the windows of an assured connection in its
# middle: then tcp_packet accepts it, and does nothing but what tcp_go_on does.
cdef inline bint tcp_goes_on(const connection_t* connection, const segment_t* segment,
                             uint32_t direction) noexcept nogil:
    return (is_established(connection) and connection.status & IPS_SEEN_REPLY
            and tcp_is_in_window(&connection.tcp, segment, direction))


cdef inline void tcp_go_on(const node_t* node, connection_t* connection, const segment_t* segment,
                           uint32_t direction, uint64_t now_ns) noexcept nogil:
    cdef tcp_t* tcp = &connection.tcp
    tcp_window_moves(tcp, segment, direction)
    tcp.last_index = INDEX_ACK
    tcp.last_dir = <uint8_t>direction
    connection.expires_ns = now_ns + <uint64_t>timeout_of(node, tcp, INDEX_ACK) * SECOND_NS
