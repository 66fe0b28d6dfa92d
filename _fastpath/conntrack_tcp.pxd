# TCP in conntrack: nf_conntrack_proto_tcp.c.
from libc.stdint cimport uint32_t, uint64_t

from _fastpath.conntrack_window cimport segment_t
from _fastpath.image cimport node_t
from _fastpath.packet cimport packet_t
from _fastpath.state cimport connection_t

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
# Whether a segment with ACK, and PSH or not, is within the windows of an assured connection in its
# middle: then tcp_packet accepts it, and does nothing but what tcp_go_on does.
cdef bint tcp_goes_on(const connection_t* connection, const segment_t* segment,
                      uint32_t direction) noexcept nogil
cdef void tcp_go_on(const node_t* node, connection_t* connection, const segment_t* segment,
                    uint32_t direction, uint64_t now_ns) noexcept nogil
# nf_conntrack_tcp_packet: one segment of a connection.  A Tracked.
cdef int tcp_packet(const node_t* node, connection_t* connection, const packet_t* packet,
                    uint32_t direction, uint64_t now_ns) noexcept nogil
