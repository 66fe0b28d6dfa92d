# SCTP in conntrack: nf_conntrack_proto_sctp.c.
from libc.stdint cimport uint32_t

from _fastpath.packet cimport packet_t
from _fastpath.state cimport connection_t, walk_t

cpdef enum SctpState:       # enum sctp_conntrack
    SCTP_NONE = 0
    SCTP_CLOSED = 1
    SCTP_COOKIE_WAIT = 2
    SCTP_COOKIE_ECHOED = 3
    SCTP_ESTABLISHED = 4
    SCTP_SHUTDOWN_SENT = 5
    SCTP_SHUTDOWN_RECD = 6
    SCTP_SHUTDOWN_ACK_SENT = 7
    SCTP_HEARTBEAT_SENT = 8
    SCTP_MAX = 9            # sIV: the packet is INVALID

cpdef enum SctpFlag:
    SCTP_HEARTBEAT_FAILED = 1   # SCTP_FLAG_HEARTBEAT_VTAG_FAILED
    SCTP_LEARNS = 2             # << direction: the tag is not known, the next one counts

# sctp_error, of a packet that arrives: its checksum (RFC 9260 6.8).
cdef bint sctp_is_broken(const packet_t* packet) noexcept nogil
# nf_conntrack_sctp_packet.  A Tracked.
cdef int sctp_packet(walk_t* walk, connection_t* connection, uint32_t direction) noexcept nogil
