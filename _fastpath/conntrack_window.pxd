# TCP windows in conntrack: tcp_in_window of nf_conntrack_proto_tcp.c.
from libc.stdint cimport uint8_t, uint32_t

from _fastpath.image cimport node_t
from _fastpath.packet cimport packet_t
from _fastpath.state cimport tcp_end_t, tcp_t

cpdef enum TcpFlags:            # IP_CT_TCP_FLAG_* and IP_CT_EXP_CHALLENGE_ACK
    FLAG_WINDOW_SCALE = 1       # the option was sent
    FLAG_SACK_PERM = 2
    FLAG_CLOSE_INIT = 4         # this end's FIN began the closing
    FLAG_BE_LIBERAL = 8         # picked up in its middle: windows are not known
    FLAG_DATA_UNACKNOWLEDGED = 16
    FLAG_MAXACK_SET = 32
    FLAG_CHALLENGE_ACK = 64     # last_flags: a SYN in LAST_ACK was let pass (RFC 5961)
    FLAG_SIMULTANEOUS_OPEN = 128    # last_flags: both ends sent a SYN

cpdef enum InWindow:            # enum nf_ct_tcp_action
    WINDOW_IGNORE = 0           # belongs to the connection, which stays as it is
    WINDOW_INVALID = 1
    WINDOW_ACCEPT = 2

cpdef enum SegmentIndex:        # TCP_SYN_SET …: what a segment carries
    INDEX_SYN = 0
    INDEX_SYNACK = 1
    INDEX_FIN = 2
    INDEX_ACK = 3
    INDEX_RST = 4
    INDEX_NONE = 5

# The fields of a segment.
cdef struct segment_t:
    uint32_t seq, ack, end      # end: the sequence number after it
    uint32_t sack               # ack, or the highest that its first SACK option acknowledges
    uint32_t window
    uint8_t flags
    uint8_t index               # SegmentIndex

# after(): in the arithmetic of sequence numbers (RFC 793 3.3).
cdef inline bint seq_after(uint32_t a, uint32_t b) noexcept nogil:
    return <uint32_t>(b - a) > 0x7FFFFFFFu

# tcp_options: window scale and SACK-permitted of a SYN.
cdef void tcp_options(const packet_t* packet, tcp_end_t* end) noexcept nogil
# The fields of the segment whose header is at `at`; all of it is there.  size, length: bytes of
# the frame that are present, and its end as the IP header says.
cdef void segment_read(const uint8_t* frame, uint32_t at, uint32_t size, uint32_t length,
                       segment_t* segment) noexcept nogil
# Whether tcp_in_window will say WINDOW_ACCEPT of a segment with ACK, whatever the settings, and
# what it then does.
cdef bint tcp_is_in_window(const tcp_t* tcp, const segment_t* segment,
                           uint32_t direction) noexcept nogil
cdef void tcp_window_moves(tcp_t* tcp, const segment_t* segment, uint32_t direction) noexcept nogil
cdef int tcp_in_window(const node_t* node, tcp_t* tcp, const packet_t* packet,
                       const segment_t* segment, uint32_t direction) noexcept nogil
