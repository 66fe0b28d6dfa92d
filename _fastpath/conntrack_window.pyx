"""TCP windows in conntrack.  Specified by dataplane.reference.conntrack_window.

tcp_in_window of nf_conntrack_proto_tcp.c, v6.12, after Guido van Rooij, "Real Stateful TCP
Packet Filtering in IP Filter" (2001).  A segment is in the window when

    I    it begins no later than the receiver allows     seq  <= sender's maxend
    II   it ends no earlier than a window behind         end  >= sender's end - receiver's maxwin
    III  it acknowledges no more than was sent           sack <= receiver's end
    IV   nor what was acknowledged too long ago          sack >= receiver's end - MAXACKWINDOW
"""

from libc.stdint cimport uint8_t, uint32_t

from _fastpath.conntrack_tcp cimport TCP_SYN_RECV, TCP_SYN_SENT
from _fastpath.packet cimport TCP_ACK, TCP_RST, TCP_SYN, load32

cdef enum:
    OPTION_END = 0
    OPTION_NOP = 1
    OPTION_WINDOW = 3
    OPTION_SACK_PERMITTED = 4
    OPTION_SACK = 5
    SCALE_MAX = 14                      # RFC 7323 2.3
    TIMESTAMP_ALIGNED = 0x0101080A      # NOP, NOP, timestamp of 10 bytes: holds no SACK


cdef inline uint32_t options_end(const packet_t* packet) noexcept nogil:
    """Where the options end in the frame; no further than the bytes that are there."""
    return min(packet.l4 + (packet.frame[packet.l4 + 12] >> 4) * 4, packet.size)


cdef void tcp_options(const packet_t* packet, tcp_end_t* end) noexcept nogil:
    cdef const uint8_t* frame = packet.frame
    cdef uint32_t at = packet.l4 + 20
    cdef uint32_t stop = options_end(packet)
    cdef uint32_t size
    end.scale = 0
    end.flags &= FLAG_BE_LIBERAL
    while at < stop and frame[at] != OPTION_END:
        if frame[at] == OPTION_NOP:
            at += 1
            continue
        if at + 1 >= stop:
            return
        size = frame[at + 1]
        if size < 2 or at + size > stop:
            return
        if frame[at] == OPTION_SACK_PERMITTED and size == 2:
            end.flags |= FLAG_SACK_PERM
        elif frame[at] == OPTION_WINDOW and size == 3:
            end.scale = min(frame[at + 2], <uint8_t>SCALE_MAX)
            end.flags |= FLAG_WINDOW_SCALE
        at += size


cdef uint32_t tcp_sack(const uint8_t* frame, uint32_t at, uint32_t stop,
                       uint32_t sack) noexcept nogil:
    """The highest sequence number that the first SACK option acknowledges."""
    cdef uint32_t size, block
    if stop == at + 12 and load32(frame + at) == TIMESTAMP_ALIGNED:
        return sack
    while at < stop and frame[at] != OPTION_END:
        if frame[at] == OPTION_NOP:
            at += 1
            continue
        if at + 1 >= stop:
            return sack
        size = frame[at + 1]
        if size < 2 or at + size > stop:
            return sack
        if frame[at] == OPTION_SACK and size >= 10 and (size - 2) % 8 == 0:
            for block in range(at + 2, at + size, 8):
                if seq_after(load32(frame + block + 4), sack):
                    sack = load32(frame + block + 4)
            return sack
        at += size
    return sack


cdef void begin_sender(tcp_end_t* sender, tcp_end_t* receiver, const packet_t* packet,
                       const segment_t* segment, uint32_t direction) noexcept nogil:
    """tcp_init_sender: what a SYN or SYN/ACK says of its sender."""
    sender.end = sender.maxend = segment.end
    sender.maxwin = max(segment.window, 1u)
    tcp_options(packet, sender)
    # RFC 7323 2.2: windows are scaled only when both ends have sent the option.
    if direction == 1 and not (sender.flags & receiver.flags & FLAG_WINDOW_SCALE):
        sender.scale = receiver.scale = 0


cdef void join_sender(tcp_end_t* sender, tcp_end_t* receiver, const segment_t* segment,
                      uint32_t sack) noexcept nogil:
    """In the middle of a connection: its history is what this segment tells."""
    sender.end = segment.end
    sender.maxwin = max(segment.window << sender.scale, 1u)
    sender.maxend = segment.end + sender.maxwin
    if receiver.maxwin == 0:
        receiver.end = receiver.maxend = sack
    elif sack == receiver.end + 1:
        receiver.end += 1               # the answer to a keepalive


cdef int outside(const node_t* node, const tcp_end_t* sender, int otherwise) noexcept nogil:
    """nf_tcp_log_invalid"""
    if sender.flags & FLAG_BE_LIBERAL or node.tcp_be_liberal:
        return WINDOW_ACCEPT
    return otherwise


cdef int past_window(const node_t* node, tcp_end_t* sender, const tcp_end_t* receiver,
                     uint32_t end, uint32_t sack) noexcept nogil:
    """It begins after the window.  If that is all, its end is noted: it may be acknowledged."""
    cdef uint32_t overshot = end - sender.maxend + 1
    if (receiver.maxwin and ends_in_window(sender, receiver, end)
            and ack_is_recent(sender, receiver, sack) and overshot <= receiver.maxwin
            and not seq_after(sack, receiver.end)):
        sender.end = end
        sender.flags |= FLAG_DATA_UNACKNOWLEDGED
        return outside(node, sender, WINDOW_IGNORE)
    return outside(node, sender, WINDOW_INVALID)


cdef int tcp_in_window(const node_t* node, tcp_t* tcp, const packet_t* packet,
                       const segment_t* segment, uint32_t direction) noexcept nogil:
    cdef tcp_end_t* sender = &tcp.seen[direction]
    cdef tcp_end_t* receiver = &tcp.seen[1 - direction]
    cdef uint32_t seq = segment.seq, ack = segment.ack, end = segment.end
    cdef uint32_t window = segment.window
    cdef uint32_t sack = sack_for(segment, receiver)
    if sender.maxwin == 0:
        if segment.flags & TCP_SYN:
            begin_sender(sender, receiver, packet, segment, direction)
            if not segment.flags & TCP_ACK:
                return WINDOW_ACCEPT    # both ends open at once
        else:
            join_sender(sender, receiver, segment, sack)
    elif (segment.flags & TCP_SYN and seq_after(end, sender.end)
            and (tcp.state == TCP_SYN_SENT or tcp.state == TCP_SYN_RECV)):
        begin_sender(sender, receiver, packet, segment, direction)
        if direction == 1 and not segment.flags & TCP_ACK:
            return WINDOW_ACCEPT
    if not segment.flags & TCP_ACK or (segment.flags & TCP_RST and ack == 0):
        ack = sack = receiver.end       # some stacks answer with ACK and RST, and no number
    if segment.flags & TCP_RST and seq == 0 and tcp.state == TCP_SYN_SENT:
        seq = end = sender.end          # the answer to a SYN
    if seq_after(seq, sender.maxend):
        return past_window(node, sender, receiver, end, sack)
    if seq_after(sack, receiver.end):
        return outside(node, sender, WINDOW_INVALID)
    if receiver.maxwin and not ends_in_window(sender, receiver, end):
        return outside(node, sender, WINDOW_IGNORE)
    if not ack_is_recent(sender, receiver, sack):
        return outside(node, sender, WINDOW_IGNORE)
    if not segment.flags & TCP_SYN:
        window <<= sender.scale
    update_sender(sender, segment, end, ack, window + (sack - ack))
    update_receiver(sender, receiver, end, ack, sack, window)
    if segment.index == INDEX_ACK:
        note_retransmission(tcp, segment, seq, end, ack, direction)
    return WINDOW_ACCEPT
