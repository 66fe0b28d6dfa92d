"""Matches that look at the network header and the link layer's.

Specified by dataplane.reference.match_header.
"""

from libc.stdint cimport uint32_t, uint64_t

from _fastpath.address cimport addr_compare, addr_t
from _fastpath.image cimport (
    MATCH_DSFIELD,
    MATCH_ECN_TCP,
    MATCH_IPRANGE,
    MATCH_LENGTH,
    MATCH_MAC,
    MATCH_PKTTYPE,
    MATCH_TTL,
)
from _fastpath.matches cimport NO, UNDECIDED, YES
from _fastpath.packet cimport (
    PROTO_TCP,
    ether_dst,
    ether_src,
    is_group_mac,
    packet_holds,
    packet_t,
    tcp_header,
)

cdef enum:
    PACKET_HOST = 0         # linux/if_packet.h
    PACKET_BROADCAST = 1
    PACKET_MULTICAST = 2


cdef inline addr_t address_of(const uint32_t* words) noexcept nogil:
    """Four words, the highest first."""
    return addr_t((<uint64_t>words[0] << 32) | words[1], (<uint64_t>words[2] << 32) | words[3])


cdef inline int iprange_match(const walk_t* walk, const match_t* match) noexcept nogil:
    """xt_iprange.c: a: words of the first and last address; b: 1 the destination."""
    cdef const uint32_t* words = walk.image.words + match.a
    cdef addr_t address = walk.packet.dst if match.b else walk.packet.src
    return (addr_compare(address, address_of(words)) >= 0
            and addr_compare(address, address_of(words + 4)) <= 0) ^ match.invert


cdef inline int mac_match(const walk_t* walk, const match_t* match) noexcept nogil:
    """xt_mac.c: a, b: 16 and 32 bits.  Without a device that has MAC addresses: no."""
    cdef const packet_t* packet = walk.packet
    if packet.in_device < 0 or not walk.image.devices[packet.in_device].is_ether:
        return NO
    return (ether_src(packet) == ((<uint64_t>match.a << 32) | match.b)) ^ match.invert


cdef inline int pkttype_match(const packet_t* packet, const match_t* match) noexcept nogil:
    """xt_pkttype.c: for whom the frame was, as eth_type_trans says.  Sent here: for this host."""
    cdef uint32_t type = PACKET_HOST
    if not packet.is_local and is_group_mac(ether_dst(packet)):
        type = PACKET_BROADCAST if ether_dst(packet) == <uint64_t>0xFFFFFFFFFFFFu else (
            PACKET_MULTICAST)
    return (type == match.a) ^ match.invert


cdef int ecn_tcp_match(const match_t* match, const packet_t* packet) noexcept nogil:
    """xt_ecn.c, match_tcp: a: the flag (CWR or ECE) that must be set."""
    cdef uint32_t header = tcp_header(packet)
    cdef int held = packet_holds(packet, header, 20)
    if held != YES or packet.proto != PROTO_TCP:
        return held if packet.proto == PROTO_TCP else NO
    return ((packet.frame[header + 13] & match.a) != 0) ^ match.invert


cdef int header_match(walk_t* walk, const match_t* match) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    if match.kind == MATCH_IPRANGE:
        return iprange_match(walk, match)
    if match.kind == MATCH_MAC:
        return mac_match(walk, match)
    if match.kind == MATCH_LENGTH:
        return (match.a <= packet.ip_length <= match.b) ^ match.invert
    if match.kind == MATCH_TTL:
        return (match.a <= packet.ttl <= match.b) ^ match.invert
    if match.kind == MATCH_DSFIELD:
        return ((packet.tos & match.b) == match.a) ^ match.invert
    if match.kind == MATCH_PKTTYPE:
        return pkttype_match(packet, match)
    if match.kind == MATCH_ECN_TCP:
        return ecn_tcp_match(match, packet)
    return UNDECIDED
