"""Packets that a node makes itself: ICMP errors, TCP resets, ARP replies.

net/ipv4/icmp.c, net/ipv6/icmp.c, net/ipv4/netfilter/nf_reject_ipv4.c, v6.12.
"""

from ipaddress import IPv4Address
from typing import NamedTuple

from _fastpath.trace import Generated
from dataplane.node.state import Address
from dataplane.reference.checksum import checksum, ones_sum, pseudo_header
from dataplane.reference.conntrack import tcp_header
from dataplane.reference.ip_options import spoils_sums
from dataplane.reference.packet import (
    ARP,
    DCCP,
    ETHER_SIZE,
    EXTENSIONS,
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    SCTP,
    TCP,
    UDP,
    UDPLITE,
    Packet,
)
from dataplane.reference.topology import is_group

# icmp.c, icmp_pointers: errors, and what has no meaning to a host.
ERROR_TYPES = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12))
LAST_TYPE = 18  # NR_ICMP_TYPES
MOST4 = 576  # RFC 1812, section 4.3.2.3
MOST6 = 1280  # RFC 4443, section 2.4 (c)
INTERNETWORK_CONTROL = 0xC0  # RFC 1812, section 4.3.2.5
REDIRECT6 = 137
TOS_BITS = 0x1E  # IPTOS_TOS_MASK
AH, ESP, GRE, NO_NEXT = 51, 50, 47, 59
# Integrity of their own, or a checksum of a part: nobody looks at it before a REJECT.
UNCHECKED = frozenset((AH, ESP, GRE, SCTP, UDPLITE))
RST, ACK, SYN, FIN = 4, 16, 2, 1


class Error(NamedTuple):
    type: int
    code: int
    rest: int = 0  # the header's second word: an MTU


NET_UNREACHABLE = {4: Error(3, 0), 6: Error(1, 0)}
HOST_UNREACHABLE = {4: Error(3, 1), 6: Error(1, 0)}
PROHIBITED = {4: Error(3, 13), 6: Error(1, 1)}
BEYOND_SCOPE = {6: Error(1, 2)}
NO_NEIGHBOUR = {4: Error(3, 1), 6: Error(1, 3)}
SOURCE_ROUTE_FAILED = {4: Error(3, 5)}
TIME_EXCEEDED = {4: Error(11, 0), 6: Error(3, 0)}
# `--reject-with`, as iptables-save prints it.
REJECTS = {
    "icmp-net-unreachable": Error(3, 0),
    "icmp-host-unreachable": Error(3, 1),
    "icmp-proto-unreachable": Error(3, 2),
    "icmp-port-unreachable": Error(3, 3),
    "icmp-net-prohibited": Error(3, 9),
    "icmp-host-prohibited": Error(3, 10),
    "icmp-admin-prohibited": Error(3, 13),
    "icmp6-no-route": Error(1, 0),
    "icmp6-adm-prohibited": Error(1, 1),
    "icmp6-addr-unreachable": Error(1, 3),
    "icmp6-port-unreachable": Error(1, 4),
    "icmp6-policy-fail": Error(1, 5),
    "icmp6-reject-route": Error(1, 6),
}


def too_big(mtu: int) -> dict[int, Error]:
    return {4: Error(3, 4, mtu), 6: Error(2, 0, mtu)}


def redirect(next_hop: Address) -> Error:
    """Of a host."""
    return Error(5, 1, int(next_hop))


def redirect6(about: Packet, src: Address, target: Address, mac: str | None) -> Packet:
    """RFC 4861, section 4.5.

    mac  of the target, if it is known
    """
    link = bytes([2, 1]) + bytes.fromhex(mac.replace(":", "")) if mac else b""
    room = min(MOST6 - 40 - 40 - len(link), about.ip_length + 8) & ~7
    quoted = bytes([4, room >> 3]) + bytes(6) + about.ip[: room - 8]
    start = bytes([REDIRECT6, 0, 0, 0]) + bytes(4)
    body = start + target.packed + about.dst.packed + link + quoted
    check = checksum(pseudo_header(src, about.src, ICMPV6, len(body)) + body)
    body = body[:2] + check.to_bytes(2) + body[4:]
    return _wrap(header6(ICMPV6, src, about.src, 255, len(body)) + body, IPV6)


def parameter_problem(at: int) -> dict[int, Error]:
    """Of the header's byte `at`."""
    return {4: Error(12, 0, at << 24)}


def generated_kind(family: int, error: Error) -> int:
    if error[:2] == ((3, 4) if family == 4 else (2, 0)):
        return int(Generated.GENERATED_ICMP_TOO_BIG)
    if family == 4 and error.type == 5:
        return int(Generated.GENERATED_ICMP_REDIRECT)
    if error.type == (11 if family == 4 else 3):
        return int(Generated.GENERATED_ICMP_TIME_EXCEEDED)
    if error.type == (12 if family == 4 else 4):
        return int(Generated.GENERATED_ICMP_PARAMETER_PROBLEM)
    return int(Generated.GENERATED_ICMP_UNREACHABLE)


# May it be answered?


def may_answer(packet: Packet, dst_type: str) -> bool:
    """icmp_send's conditions: no error about errors, later fragments, groups, or nobody.

    dst_type  of the packet's destination, as address_type says
    """
    if dst_type in ("broadcast", "multicast"):
        return False
    if is_group(packet.ether_dst):
        return False  # pkt_type: it was not for this host alone
    if packet.src.is_multicast or packet.src.is_unspecified:
        return False
    if packet.src == IPv4Address("255.255.255.255"):
        return False
    if not packet.is_first:
        return packet.family == 6  # is_ineligible of IPv6 looks no further than its header
    return not (packet.is_icmp and _is_error(packet))


def _is_error(packet: Packet) -> bool:
    """An unknown type counts as one."""
    if packet.protocol == (ICMPV6 if packet.family == 4 else ICMP):
        return False  # of the other family: a protocol like any other
    if not packet.payload:
        return packet.family == 4 or not packet.is_fragment
    kind = packet.payload[0]  # which is enough to tell its type
    if packet.family == 6:
        return kind < 128
    return kind in ERROR_TYPES or kind > LAST_TYPE


def is_checksum_right(packet: Packet, tracks_dccp: bool) -> bool:
    """What REJECT asks first (nf_reject_verify_csum, nf_ip_checksum).  What a first fragment
    holds does not sum up as a rule.  IPv6: nor is there an answer about a later one, and about
    a packet with nothing behind its headers (nf_reject_ipv6.c, reject6_csum_ok)."""
    if packet.family == 6 and (
        not packet.is_first
        or packet.protocol in (NO_NEXT, *EXTENSIONS)  # none, or cut short
        or not packet.payload_length
    ):
        return False
    if packet.protocol in UNCHECKED or not packet.is_whole:
        return True
    if packet.protocol == DCCP and tracks_dccp:
        return True
    if packet.protocol == UDP and packet.payload[6:8] == bytes(2):
        return True
    if spoils_sums(packet):
        return packet.is_verified
    if not packet.is_fragment and packet.has_transport and packet.protocol in (TCP, UDP):
        return not packet.is_checksum_wrong()
    return packet.sums_up()


# Building.


def room4(mtu: int, options: int) -> int:
    """How much IPv4's errors quote (icmp_send); nothing is sent where that is too little."""
    return min(mtu, MOST4) - 20 - options - 8


def error(
    about: Packet,
    what: Error,
    src: Address,
    ttl: int,
    ip_id: int,
    room: int = MOST4 - 28,
    dst: Address | None = None,
    options: bytes = b"",
) -> Packet:
    """An ICMP (ICMPv6) error that quotes `about` as it is now, to its source.

    room     bytes that an IPv4 one quotes at most
    dst      where it goes first, if its options say a way
    options  of its IPv4 header
    """
    quoted = about.ip[: room if about.family == 4 else MOST6 - 48]
    body = bytes([what.type, what.code, 0, 0]) + what.rest.to_bytes(4) + quoted
    covered = body
    if about.family == 6:
        covered = pseudo_header(src, about.src, ICMPV6, len(body)) + body
    body = body[:2] + checksum(covered).to_bytes(2) + body[4:]
    if about.family == 6:
        return _wrap(header6(ICMPV6, src, about.src, ttl, len(body)) + body, IPV6)
    tos = about.tos & TOS_BITS | INTERNETWORK_CONTROL
    to = dst or about.src
    header = header4(ICMP, src, to, ttl, len(body), tos=tos, ip_id=ip_id, options=options)
    return _wrap(header + body, IPV4)


def may_reset(packet: Packet, hook: str) -> bool:
    header = tcp_header(packet) if packet.protocol == TCP and packet.is_first else None
    if header is None or header.flags & RST or (packet.is_fragment and packet.family == 6):
        return False
    if packet.family == 6 and (packet.src.is_unspecified or packet.dst.is_unspecified):
        return False  # not unicast
    if spoils_sums(packet) and (hook != "INPUT" or not packet.is_verified):
        return False  # ip_forward forgets what conntrack found: skb_forward_csum
    return not packet.is_checksum_wrong()


def reset(about: Packet, ttl: int) -> Packet:
    """A reset as RFC 793, page 36, has it.  IPv4's leaves its checksum to a device
    (nf_reject_ipv4.c), IPv6's does not (nf_reject_ipv6.c)."""
    header = tcp_header(about)
    assert header is not None
    sequence, acknowledgement, flags = 0, 0, RST
    if header.flags & ACK:
        sequence = header.acknowledgement
    else:
        acknowledgement, flags = header.end, RST | ACK
    segment = bytearray(20)
    segment[0:2], segment[2:4] = about.dport.to_bytes(2), about.sport.to_bytes(2)
    segment[4:8], segment[8:12] = sequence.to_bytes(4), acknowledgement.to_bytes(4)
    segment[12], segment[13] = 5 << 4, flags
    pseudo = pseudo_header(about.dst, about.src, TCP, 20)
    segment[16:18] = ones_sum(pseudo).to_bytes(2)
    if about.family == 6:
        segment[16:18] = bytes(2)
        segment[16:18] = checksum(pseudo + segment).to_bytes(2)
        return _wrap(header6(TCP, about.dst, about.src, ttl, 20) + segment, IPV6)
    header_bytes = header4(TCP, about.dst, about.src, ttl, 20, dont_fragment=True)
    return _wrap(header_bytes + segment, IPV4)


def header4(
    protocol: int,
    src: Address,
    dst: Address,
    ttl: int,
    payload: int,
    tos: int = 0,
    ip_id: int = 0,
    dont_fragment: bool = False,
    options: bytes = b"",
) -> bytes:
    """RFC 791.  `options` are whole words."""
    size = 20 + len(options)
    start = bytes([0x40 | size // 4, tos]) + (size + payload).to_bytes(2) + ip_id.to_bytes(2)
    start += (0x4000 if dont_fragment else 0).to_bytes(2) + bytes([ttl, protocol])
    end = src.packed + dst.packed + options
    return start + checksum(start + end).to_bytes(2) + end


def header6(protocol: int, src: Address, dst: Address, hop_limit: int, payload: int) -> bytes:
    """RFC 8200."""
    start = bytes([0x60, 0, 0, 0]) + payload.to_bytes(2) + bytes([protocol, hop_limit])
    return start + src.packed + dst.packed


def _wrap(ip: bytes, ethertype: int) -> Packet:
    """The Ethernet addresses are written when the packet leaves."""
    return Packet(bytes(12) + ethertype.to_bytes(2) + ip)


# ARP (RFC 826).


def arp_request(packet: Packet) -> IPv4Address | None:
    """The address that a request asks for; None if it is none, for IPv4 on Ethernet."""
    arp = packet.frame[ETHER_SIZE : ETHER_SIZE + 28]
    if len(arp) < 28 or arp[:8] != bytes([0, 1, 8, 0, 6, 4, 0, 1]):
        return None
    return IPv4Address(bytes(arp[24:28]))


def arp_reply(request: Packet, mac: str) -> Packet:
    arp = request.frame[ETHER_SIZE : ETHER_SIZE + 28]
    own, asker = bytes.fromhex(mac.replace(":", "")), bytes(arp[8:14])
    reply = bytes(arp[:7]) + b"\x02" + own + arp[24:28] + asker + arp[14:18]
    return Packet(asker + own + ARP.to_bytes(2) + reply)
