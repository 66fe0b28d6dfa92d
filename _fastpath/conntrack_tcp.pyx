"""TCP in conntrack: a table, and the few cases where the table is not enough.

Specified by dataplane.reference.conntrack_tcp.  nf_conntrack_tcp_packet of
nf_conntrack_proto_tcp.c, v6.12; whether a segment is in the window: conntrack_window.pyx.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from _fastpath.conntrack_window cimport (
    FLAG_BE_LIBERAL,
    FLAG_CHALLENGE_ACK,
    FLAG_CLOSE_INIT,
    FLAG_MAXACK_SET,
    FLAG_SACK_PERM,
    FLAG_SIMULTANEOUS_OPEN,
    FLAG_WINDOW_SCALE,
    INDEX_ACK,
    INDEX_FIN,
    INDEX_NONE,
    INDEX_RST,
    INDEX_SYN,
    INDEX_SYNACK,
    WINDOW_ACCEPT,
    WINDOW_INVALID,
    segment_read,
    segment_t,
    seq_after,
    tcp_in_window,
    tcp_options,
)
from _fastpath.image cimport node_t
from _fastpath.packet cimport (
    ETHER_SIZE,
    TCP_ACK,
    TCP_FIN,
    TCP_RST,
    TCP_SYN,
    packet_t,
)
from _fastpath.state cimport (
    IPS_ASSURED,
    IPS_CONFIRMED,
    IPS_SEEN_REPLY,
    TIMEOUT_TCP_UNACK,
    connection_t,
    tcp_end_t,
    tcp_t,
)

# nf_conntrack_proto_tcp.c, tcp_conntracks: [direction][what the packet carries][state before].
# A missing transition is INVALID (iv); ig lets the packet pass and changes nothing.
cdef enum:
    no = 0
    ss = 1
    sr = 2
    es = 3
    fw = 4
    cw = 5
    la = 6
    tw = 7
    cl = 8
    s2 = 9
    iv = 10
    ig = 11

cdef uint8_t[2][6][10] TCP_TABLE = [
    [   # original direction
        #  no  ss  sr  es  fw  cw  la  tw  cl  s2
        [ss, ss, ig, ig, ig, ig, ig, ss, ss, s2],   # SYN
        [iv, iv, sr, iv, iv, iv, iv, iv, iv, sr],   # SYN/ACK
        [iv, iv, fw, fw, la, la, la, tw, cl, iv],   # FIN
        [es, iv, es, es, cw, cw, tw, tw, cl, iv],   # ACK
        [iv, cl, cl, cl, cl, cl, cl, cl, cl, cl],   # RST
        [iv, iv, iv, iv, iv, iv, iv, iv, iv, iv],   # none of these
    ],
    [   # reply direction
        [iv, s2, iv, iv, iv, iv, iv, ss, iv, s2],
        [iv, sr, ig, ig, ig, ig, ig, ig, ig, sr],
        [iv, iv, fw, fw, la, la, la, tw, cl, iv],
        [iv, ig, sr, es, cw, cw, tw, tw, cl, ig],
        [iv, cl, cl, cl, cl, cl, cl, cl, cl, cl],
        [iv, iv, iv, iv, iv, iv, iv, iv, iv, iv],
    ],
]


cdef bint tcp_flags_are_valid(uint8_t flags) noexcept nogil:
    """tcp_valid_flags, PSH, ECE and CWR left out: the combinations that a stack sends."""
    cdef uint8_t seen = flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | 32)
    return (seen == TCP_SYN or seen == TCP_SYN | 32 or seen == TCP_SYN | TCP_ACK
            or seen == TCP_RST or seen == TCP_RST | TCP_ACK or seen == TCP_FIN | TCP_ACK
            or seen == TCP_FIN | TCP_ACK | 32 or seen == TCP_ACK or seen == TCP_ACK | 32)


cdef bint tcp_header_is_valid(const packet_t* packet) noexcept nogil:
    """tcp_error: header length and flags."""
    cdef uint32_t header = (packet.frame[packet.l4 + 12] >> 4) * 4
    if header < 20 or packet.l4 + header > packet.length:
        return False
    return tcp_flags_are_valid(packet.tcp_flags)


cdef inline void segment_of(const packet_t* packet, segment_t* segment) noexcept nogil:
    segment_read(packet.frame, packet.l4, packet.size, packet.ip_length + ETHER_SIZE, segment)


cdef bint tcp_new(const node_t* node, const packet_t* packet,
                  connection_t* connection) noexcept nogil:
    cdef tcp_t* tcp = &connection.tcp
    cdef segment_t segment
    cdef uint8_t state
    segment_of(packet, &segment)
    state = TCP_TABLE[0][segment.index][<int>TCP_NONE]
    if state >= TCP_MAX or (state != TCP_SYN_SENT and not node.tcp_loose):
        return False
    memset(tcp, 0, sizeof(tcp_t))
    tcp.seen[0].end = tcp.seen[0].maxend = segment.end
    tcp.seen[0].maxwin = max(segment.window, 1u)
    if state == TCP_SYN_SENT:
        tcp_options(packet, &tcp.seen[0])
    else:
        # Its history is lost: SACK and scaling may have been agreed upon.
        tcp.seen[0].maxend += tcp.seen[0].maxwin
        tcp.seen[0].flags = tcp.seen[1].flags = FLAG_SACK_PERM | FLAG_BE_LIBERAL
    tcp.last_index = INDEX_NONE
    return True


# ------------------------------------------------------------------- states out of the ordinary


cdef inline bint is_over(const tcp_t* tcp, uint32_t direction) noexcept nogil:
    """Closed, or aborted by this end: a SYN begins anew (RFC 1122 4.2.2.13)."""
    return ((tcp.seen[0].flags | tcp.seen[1].flags) & FLAG_CLOSE_INIT
            or (tcp.last_dir == direction and tcp.last_index == INDEX_RST))


cdef inline bint answers_ignored_syn(const tcp_t* tcp, const segment_t* segment,
                                     uint32_t direction) noexcept nogil:
    return (segment.index == INDEX_SYNACK and tcp.last_index == INDEX_SYN
            and tcp.last_dir != direction and segment.ack == tcp.last_end)


cdef void resynchronise(tcp_t* tcp, uint32_t direction) noexcept nogil:
    """The ends agree, the table was out of step: take what the ignored SYN said."""
    cdef tcp_end_t* opener = &tcp.seen[tcp.last_dir]
    cdef uint8_t liberal
    opener.end = opener.maxend = tcp.last_end
    opener.maxwin = max(<uint32_t>tcp.last_win, 1u)
    opener.scale = tcp.last_wscale
    tcp.last_flags &= <uint8_t>~FLAG_CHALLENGE_ACK
    opener.flags = tcp.last_flags
    liberal = tcp.seen[direction].flags & FLAG_BE_LIBERAL
    memset(&tcp.seen[direction], 0, sizeof(tcp_end_t))
    tcp.seen[direction].flags = liberal     # nf_ct_tcp_state_reset


cdef void remember_ignored(tcp_t* tcp, const packet_t* packet, const segment_t* segment,
                           uint32_t direction) noexcept nogil:
    cdef tcp_end_t said
    tcp.last_index = segment.index
    tcp.last_dir = <uint8_t>direction
    tcp.last_seq = segment.seq
    tcp.last_end = segment.end
    tcp.last_win = <uint16_t>segment.window
    if segment.index == INDEX_SYN and direction == 0:
        memset(&said, 0, sizeof(tcp_end_t))
        tcp_options(packet, &said)
        tcp.last_flags = said.flags & (FLAG_WINDOW_SCALE | FLAG_SACK_PERM)
        tcp.last_wscale = said.scale
        if tcp.state == TCP_LAST_ACK:
            tcp.last_flags |= FLAG_CHALLENGE_ACK
    if tcp.state == TCP_SYN_SENT and segment.index == INDEX_ACK and direction == 1:
        tcp.last_ack = segment.ack      # perhaps a challenge ACK


cdef inline bint is_challenge(const tcp_t* tcp, const segment_t* segment,
                              uint32_t direction) noexcept nogil:
    """RFC 5961 4: it acknowledges no FIN."""
    return (tcp.state == TCP_LAST_ACK and segment.index == INDEX_ACK
            and tcp.last_dir != direction and tcp.last_index == INDEX_SYN
            and tcp.last_flags & FLAG_CHALLENGE_ACK)


cdef enum Reset:
    RESET_CHECK = 0         # the window decides
    RESET_INVALID = 1
    RESET_ACCEPT = 2        # whatever the window says
    RESET_STAY = 3          # the window decides, but the connection stays as it is


cdef int judge_sequence(const node_t* node, const connection_t* connection,
                        const segment_t* segment, uint32_t direction) noexcept nogil:
    """A reset's sequence number against what the other end has acknowledged (RFC 5961 3.2)."""
    cdef const tcp_t* tcp = &connection.tcp
    cdef uint32_t maxack = tcp.seen[1 - direction].maxack
    if segment.seq == 0 and not is_established(connection):
        return RESET_CHECK                  # the answer to a SYN that was let pass
    if seq_after(maxack, segment.seq) and not node.tcp_ignore_invalid_rst:
        return RESET_INVALID
    if not is_established(connection) or segment.seq == maxack:
        return RESET_CHECK
    if (tcp.last_index == INDEX_ACK and tcp.last_dir == direction
            and segment.seq == tcp.last_end):
        return RESET_CHECK                  # right after the data before it
    return RESET_STAY                       # a challenge ACK may follow


cdef int judge_reset(const node_t* node, const connection_t* connection,
                     const segment_t* segment, uint32_t direction) noexcept nogil:
    cdef const tcp_t* tcp = &connection.tcp
    if TCP_FIN_WAIT <= tcp.state <= TCP_CLOSE:
        return RESET_ACCEPT         # tcp_can_early_drop: its ports may be in use again
    if tcp.seen[1 - direction].flags & FLAG_MAXACK_SET and tcp.last_index != INDEX_SYN:
        return judge_sequence(node, connection, segment, direction)
    if (((connection.status & IPS_SEEN_REPLY and tcp.last_index == INDEX_SYN
          and tcp.last_dir != direction)
            or (not connection.status & IPS_ASSURED and tcp.last_index == INDEX_ACK))
            and segment.ack == tcp.last_end):
        return RESET_ACCEPT         # the answer to a SYN or ACK that was let pass
    if (tcp.state == TCP_SYN_SENT and tcp.last_index == INDEX_ACK and tcp.last_dir == 1
            and segment.seq == tcp.last_ack):
        return RESET_ACCEPT         # the answer to a challenge ACK
    return RESET_CHECK


cdef void handle_invalid(const node_t* node, connection_t* connection, uint8_t index,
                         uint32_t direction, uint64_t now_ns) noexcept nogil:
    """nf_tcp_handle_invalid: both ends close outside of their windows; it may be over."""
    cdef tcp_t* tcp = &connection.tcp
    cdef uint64_t shorter = now_ns + <uint64_t>node.timeouts[<int>TIMEOUT_TCP_UNACK] * SECOND_NS
    if not connection.status & IPS_ASSURED or (index != INDEX_RST and index != INDEX_FIN):
        return
    if tcp.last_dir == direction or (
            tcp.last_index != INDEX_FIN and tcp.last_index != INDEX_RST):
        tcp.last_index = index
        tcp.last_dir = <uint8_t>direction
        return
    if connection.expires_ns >= now_ns + <uint64_t>120 * SECOND_NS:
        connection.expires_ns = min(connection.expires_ns, shorter)


# ------------------------------------------------------------------------------------ a segment


cdef int tcp_packet(const node_t* node, connection_t* connection, const packet_t* packet,
                    uint32_t direction, uint64_t now_ns) noexcept nogil:
    cdef tcp_t* tcp = &connection.tcp
    cdef segment_t segment
    cdef uint8_t before = tcp.state
    cdef uint8_t after
    cdef int reset = RESET_CHECK, window
    segment_of(packet, &segment)
    after = TCP_TABLE[direction][segment.index][before]
    if after == TCP_MAX:
        return PACKET_INVALID
    if after == TCP_SYN_SENT and before >= TCP_TIME_WAIT:
        if is_over(tcp, direction):
            return PACKET_REPEAT
        after = TCP_IGNORE
    if after == TCP_IGNORE:
        if not answers_ignored_syn(tcp, &segment, direction):
            remember_ignored(tcp, packet, &segment, direction)
            return PACKET_IGNORE
        before, after = TCP_SYN_SENT, TCP_SYN_RECV
        resynchronise(tcp, direction)
    elif after == TCP_TIME_WAIT and is_challenge(tcp, &segment, direction):
        tcp.last_flags &= <uint8_t>~FLAG_CHALLENGE_ACK
        return PACKET_IGNORE
    elif after == TCP_SYN_SENT2:
        tcp.last_flags |= FLAG_SIMULTANEOUS_OPEN
    elif (after == TCP_SYN_RECV and direction == 1 and segment.index == INDEX_ACK
            and tcp.last_flags & FLAG_SIMULTANEOUS_OPEN):
        after = TCP_ESTABLISHED
    elif after == TCP_CLOSE and segment.index == INDEX_RST:
        reset = judge_reset(node, connection, &segment, direction)
        if reset == RESET_INVALID:
            return PACKET_INVALID
        if reset == RESET_STAY:
            after = before
    if reset != RESET_ACCEPT:
        window = tcp_in_window(node, tcp, packet, &segment, direction)
        if window == WINDOW_INVALID:
            handle_invalid(node, connection, segment.index, direction, now_ns)
            return PACKET_INVALID
        if window != WINDOW_ACCEPT:
            return PACKET_IGNORE
    tcp.last_index = segment.index
    tcp.last_dir = <uint8_t>direction
    tcp.state = after
    if before != after and after == TCP_FIN_WAIT:
        tcp.seen[direction].flags |= FLAG_CLOSE_INIT
    return refresh(node, connection, segment.index, before, now_ns)


cdef void tcp_set_closing(const node_t* node, connection_t* connection,
                          uint64_t now_ns) noexcept nogil:
    if connection.status & IPS_CONFIRMED:
        connection.tcp.state = TCP_CLOSE
        connection.expires_ns = now_ns + <uint64_t>node.timeouts[<int>TCP_CLOSE] * SECOND_NS


cdef int refresh(const node_t* node, connection_t* connection, uint32_t index, uint8_t before,
                 uint64_t now_ns) noexcept nogil:
    """How long the entry lives from here on, and whether it is assured."""
    cdef uint8_t after = connection.tcp.state
    cdef uint32_t timeout = timeout_of(node, &connection.tcp, index)
    if not connection.status & IPS_SEEN_REPLY:
        if index == INDEX_RST:
            # nf_ct_kill_acct: it never was a connection.  The packet keeps it to its end.
            connection.expires_ns = now_ns
            return PACKET_ACCEPT
        if index == INDEX_SYN and before == TCP_SYN_SENT:
            return PACKET_IGNORE                    # a repeated SYN prolongs nothing
        if after == TCP_ESTABLISHED:                # picked up in the middle
            timeout = min(timeout, node.timeouts[<int>TIMEOUT_TCP_UNACK])
    elif (not connection.status & IPS_ASSURED and after == TCP_ESTABLISHED
            and (before == TCP_SYN_RECV or before == TCP_ESTABLISHED)):
        connection.status |= IPS_ASSURED
    connection.expires_ns = now_ns + <uint64_t>timeout * SECOND_NS
    return PACKET_ACCEPT
