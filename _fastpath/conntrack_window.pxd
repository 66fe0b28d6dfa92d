# TCP windows in conntrack: tcp_in_window of nf_conntrack_proto_tcp.c.
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from _fastpath.image cimport node_t
from _fastpath.packet cimport TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, load16, load32, packet_t
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

# The highest sequence number that the first SACK option between `at` and `stop` acknowledges;
# `sack` if there is none.
cdef uint32_t tcp_sack(const uint8_t* frame, uint32_t at, uint32_t stop,
                       uint32_t sack) noexcept nogil
# tcp_options: window scale and SACK-permitted of a SYN.
cdef void tcp_options(const packet_t* packet, tcp_end_t* end) noexcept nogil
cdef int tcp_in_window(const node_t* node, tcp_t* tcp, const packet_t* packet,
                       const segment_t* segment, uint32_t direction) noexcept nogil


# -------------------------------------------------------------- what every segment is asked for

# In the header, so that they are part of whoever calls them: as five calls from module to module
# they cost as much again.

cpdef enum:
    MAXACKWINCONST = 66000


cdef inline uint32_t segment_index(uint8_t flags) noexcept nogil:
    """get_conntrack_index: in this order, RST first."""
    if flags & TCP_RST:
        return INDEX_RST
    if flags & TCP_SYN:
        return INDEX_SYNACK if flags & TCP_ACK else INDEX_SYN
    if flags & TCP_FIN:
        return INDEX_FIN
    if flags & TCP_ACK:
        return INDEX_ACK
    return INDEX_NONE


# The fields of the segment whose header is at `at`; all of it is there.  size, length: bytes of
# the frame that are present, and its end as the IP header says.
cdef inline void segment_read(const uint8_t* frame, uint32_t at, uint32_t size, uint32_t length,
                              segment_t* segment) noexcept nogil:
    cdef const uint8_t* header = frame + at
    cdef uint32_t header_size = (header[12] >> 4) * 4
    segment.flags = header[13]
    segment.index = <uint8_t>segment_index(header[13])
    segment.seq = load32(header + 4)
    segment.ack = segment.sack = load32(header + 8)
    segment.window = load16(header + 14)
    # segment_seq_plus_len: SYN and FIN take a sequence number each.
    segment.end = (segment.seq + length - at - header_size + ((header[13] & TCP_SYN) != 0)
                   + ((header[13] & TCP_FIN) != 0))
    if header_size > 20:
        segment.sack = tcp_sack(frame, at + 20, min(at + header_size, size), segment.ack)


cdef inline uint32_t sack_for(const segment_t* segment, const tcp_end_t* receiver) noexcept nogil:
    return segment.sack if receiver.flags & FLAG_SACK_PERM else segment.ack


cdef inline bint ack_is_recent(const tcp_end_t* sender, const tcp_end_t* receiver,
                               uint32_t sack) noexcept nogil:
    cdef uint32_t window = max(sender.maxwin, <uint32_t>MAXACKWINCONST)
    return seq_after(sack, receiver.end - window - 1)


cdef inline bint ends_in_window(const tcp_end_t* sender, const tcp_end_t* receiver,
                                uint32_t end) noexcept nogil:
    return seq_after(end, sender.end - receiver.maxwin - 1)


# Whether tcp_in_window will say WINDOW_ACCEPT of a segment with ACK, whatever the settings, and
# what it then does.
cdef inline bint tcp_is_in_window(const tcp_t* tcp, const segment_t* segment,
                                  uint32_t direction) noexcept nogil:
    cdef const tcp_end_t* sender = &tcp.seen[direction]
    cdef const tcp_end_t* receiver = &tcp.seen[1 - direction]
    cdef uint32_t sack = sack_for(segment, receiver)
    return (sender.maxwin and not seq_after(segment.seq, sender.maxend)
            and not seq_after(sack, receiver.end)
            and (not receiver.maxwin or ends_in_window(sender, receiver, segment.end))
            and ack_is_recent(sender, receiver, sack))


cdef inline void update_sender(tcp_end_t* sender, const segment_t* segment, uint32_t end,
                               uint32_t ack, uint32_t window) noexcept nogil:
    if sender.maxwin < window:
        sender.maxwin = window
    if seq_after(end, sender.end):
        sender.end = end
        sender.flags |= FLAG_DATA_UNACKNOWLEDGED
    if not segment.flags & TCP_ACK:
        return
    if not sender.flags & FLAG_MAXACK_SET or seq_after(ack, sender.maxack):
        sender.maxack = ack
        sender.flags |= FLAG_MAXACK_SET


cdef inline void update_receiver(const tcp_end_t* sender, tcp_end_t* receiver, uint32_t end,
                                 uint32_t ack, uint32_t sack, uint32_t window) noexcept nogil:
    if receiver.maxwin and seq_after(end, sender.maxend):
        receiver.maxwin += end - sender.maxend
    if seq_after(sack + window, receiver.maxend - 1):
        receiver.maxend = sack + window + (window == 0)
    if ack == receiver.end:
        receiver.flags &= <uint8_t>~FLAG_DATA_UNACKNOWLEDGED


cdef inline void note_retransmission(tcp_t* tcp, const segment_t* segment, uint32_t seq,
                                     uint32_t end, uint32_t ack, uint32_t direction) noexcept nogil:
    if (tcp.last_dir == direction and tcp.last_seq == seq and tcp.last_ack == ack
            and tcp.last_end == end and tcp.last_win == segment.window):
        tcp.retrans += 1
        return
    tcp.last_dir = <uint8_t>direction
    tcp.last_seq = seq
    tcp.last_ack = ack
    tcp.last_end = end
    tcp.last_win = <uint16_t>segment.window
    tcp.retrans = 0


cdef inline void tcp_window_moves(tcp_t* tcp, const segment_t* segment,
                                  uint32_t direction) noexcept nogil:
    cdef tcp_end_t* sender = &tcp.seen[direction]
    cdef tcp_end_t* receiver = &tcp.seen[1 - direction]
    cdef uint32_t sack = sack_for(segment, receiver), window = segment.window << sender.scale
    update_sender(sender, segment, segment.end, segment.ack, window + (sack - segment.ack))
    update_receiver(sender, receiver, segment.end, segment.ack, sack, window)
    note_retransmission(tcp, segment, segment.seq, segment.end, segment.ack, direction)
