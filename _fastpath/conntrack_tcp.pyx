"""TCP in conntrack: a table, and the few cases where the table is not enough.

Specified by dataplane.reference.conntrack_tcp.  nf_conntrack_proto_tcp.c; windows are not
tracked yet: every segment counts as inside.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from _fastpath.image cimport node_t
from _fastpath.packet cimport (
    ETHER_SIZE,
    TCP_ACK,
    TCP_FIN,
    TCP_RST,
    TCP_SYN,
    load32,
    packet_t,
)
from _fastpath.state cimport (
    IPS_ASSURED,
    IPS_SEEN_REPLY,
    TIMEOUT_TCP_UNACK,
    connection_t,
)

cdef enum:
    SECOND_NS = 1000000000

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

cdef enum:
    INDEX_SYN = 0
    INDEX_SYNACK = 1
    INDEX_FIN = 2
    INDEX_ACK = 3
    INDEX_RST = 4
    INDEX_NONE = 5
    SEEN_CLOSE_INIT = 1     # IP_CT_TCP_FLAG_CLOSE_INIT: this direction's FIN began the closing
    SIMULTANEOUS_OPEN = 2   # tcp_notes: both sides sent a SYN
    CHALLENGE_ACK = 4       # tcp_notes: a SYN in LAST_ACK was ignored (RFC 5961)


cdef inline uint32_t tcp_index(uint8_t flags) noexcept nogil:
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


cdef bint tcp_new(const node_t* node, const packet_t* packet,
                  connection_t* connection) noexcept nogil:
    """Whether a first packet opens a connection.  The packet itself then takes it from NONE."""
    cdef uint8_t state = TCP_TABLE[0][tcp_index(packet.tcp_flags)][<int>TCP_NONE]
    if state >= TCP_MAX:
        return False
    if state == TCP_ESTABLISHED and not node.tcp_loose:
        return False
    connection.tcp_state = TCP_NONE
    connection.tcp_last_index = INDEX_NONE
    return True


cdef inline uint32_t tcp_end(const packet_t* packet) noexcept nogil:
    """segment_seq_plus_len: the sequence number after this segment."""
    cdef const uint8_t* header = packet.frame + packet.l4
    cdef uint32_t payload = (packet.ip_length + ETHER_SIZE - packet.l4
                             - (header[12] >> 4) * 4)
    return (load32(header + 4) + payload + ((packet.tcp_flags & TCP_SYN) != 0)
            + ((packet.tcp_flags & TCP_FIN) != 0))


cdef uint8_t tcp_next_state(const packet_t* packet, connection_t* connection, uint32_t what,
                            uint32_t direction) noexcept nogil:
    """The table's answer, and the three places where it is not the last word.

    TCP_NONE here means: kill this connection and look again.
    """
    cdef uint8_t before = connection.tcp_state
    cdef uint8_t after = TCP_TABLE[direction][what][before]
    if after == TCP_SYN_SENT and before >= TCP_TIME_WAIT:
        # A SYN on a connection that was closed or aborted: begin anew (RFC 1122 4.2.2.13).
        if ((connection.tcp_flags[0] | connection.tcp_flags[1]) & SEEN_CLOSE_INIT
                or (connection.tcp_last_dir == direction
                    and connection.tcp_last_index == INDEX_RST)):
            return TCP_NONE
        after = TCP_IGNORE
    if (after == TCP_IGNORE and what == INDEX_SYNACK and connection.tcp_last_index == INDEX_SYN
            and connection.tcp_last_dir != direction
            and load32(packet.frame + packet.l4 + 8) == connection.tcp_last_end):
        # The answer to a SYN that was let pass unexplained: the table was out of step.
        connection.tcp_state = TCP_SYN_SENT
        connection.tcp_flags[0] = connection.tcp_flags[1] = 0
        connection.tcp_notes &= <uint8_t>~CHALLENGE_ACK
        return TCP_SYN_RECV
    return after


cdef void remember_ignored(connection_t* connection, const packet_t* packet, uint32_t what,
                           uint32_t direction) noexcept nogil:
    connection.tcp_last_index = <uint8_t>what
    connection.tcp_last_dir = <uint8_t>direction
    connection.tcp_last_end = tcp_end(packet)
    if what == INDEX_SYN:
        connection.tcp_notes = CHALLENGE_ACK if connection.tcp_state == TCP_LAST_ACK else 0


cdef inline bint is_challenge(const connection_t* connection, uint32_t what,
                              uint32_t direction) noexcept nogil:
    return (connection.tcp_state == TCP_LAST_ACK and what == INDEX_ACK
            and connection.tcp_last_dir != direction and connection.tcp_last_index == INDEX_SYN
            and connection.tcp_notes & CHALLENGE_ACK)


cdef int tcp_packet(const node_t* node, connection_t* connection, const packet_t* packet,
                    uint32_t direction, uint64_t now_ns) noexcept nogil:
    cdef uint32_t what = tcp_index(packet.tcp_flags)
    cdef uint8_t after = tcp_next_state(packet, connection, what, direction)
    cdef uint8_t before = connection.tcp_state
    if after == TCP_NONE:
        return PACKET_REPEAT
    if after == TCP_MAX:
        return PACKET_INVALID
    if after == TCP_IGNORE:
        remember_ignored(connection, packet, what, direction)
        return PACKET_ACCEPT
    if after == TCP_TIME_WAIT and is_challenge(connection, what, direction):
        connection.tcp_notes &= <uint8_t>~CHALLENGE_ACK
        return PACKET_ACCEPT
    if after == TCP_SYN_SENT2:
        connection.tcp_notes |= SIMULTANEOUS_OPEN
    if (after == TCP_SYN_RECV and direction == 1 and what == INDEX_ACK
            and connection.tcp_notes & SIMULTANEOUS_OPEN):
        after = TCP_ESTABLISHED
    connection.tcp_last_index = <uint8_t>what
    connection.tcp_last_dir = <uint8_t>direction
    connection.tcp_state = after
    if before != after and after == TCP_FIN_WAIT:
        connection.tcp_flags[direction] |= SEEN_CLOSE_INIT
    refresh(node, connection, what, before, now_ns)
    return PACKET_ACCEPT


cdef void refresh(const node_t* node, connection_t* connection, uint32_t what, uint8_t before,
                  uint64_t now_ns) noexcept nogil:
    """How long the entry lives from here on, and whether it is assured."""
    cdef uint8_t after = connection.tcp_state
    cdef uint32_t timeout = node.timeouts[after]
    if not connection.status & IPS_SEEN_REPLY:
        if what == INDEX_RST:
            # nf_ct_kill_acct: it never was a connection.  The packet keeps it to its end.
            connection.expires_ns = now_ns
            return
        if what == INDEX_SYN and before == TCP_SYN_SENT:
            return                                  # a repeated SYN prolongs nothing
        if after == TCP_ESTABLISHED:                # picked up in the middle
            timeout = min(timeout, node.timeouts[<int>TIMEOUT_TCP_UNACK])
    elif (not connection.status & IPS_ASSURED and after == TCP_ESTABLISHED
            and (before == TCP_SYN_RECV or before == TCP_ESTABLISHED)):
        connection.status |= IPS_ASSURED
    connection.expires_ns = now_ns + <uint64_t>timeout * SECOND_NS
