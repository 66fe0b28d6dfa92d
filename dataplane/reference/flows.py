"""The flows of a capture: which packets belong together, and who began.

The two ends of a flow are addresses with ports; for ICMP both ports are the identifier of a
query and its reply.  An ICMP error belongs to the flow of the packet that it quotes.
"""

from dataclasses import dataclass
from typing import NamedTuple

from _fastpath.reason import Verdict
from dataplane.node.state import Address
from dataplane.reference.conntrack_tuple import quoted_packet
from dataplane.reference.engine import Place, Record
from dataplane.reference.fragments import fragment_header
from dataplane.reference.packet import ETHER_SIZE, ICMP, ICMPV6, WITH_PORTS, Packet
from dataplane.reference.topology import Device, Host

SYN, ACK = 2, 16
ERRORS4 = frozenset((3, 4, 5, 11, 12))  # RFC 1122, section 3.2.2
QUERIES = {4: frozenset((0, 8, *range(13, 19))), 6: frozenset((128, 129, 139, 140))}
REPLIES = {4: frozenset((0, 14, 16, 18)), 6: frozenset((129, 140))}
OWN_ICMP = {4: ICMP, 6: ICMPV6}


class Ends(NamedTuple):
    """Who sends a packet to whom."""

    family: int
    protocol: int
    src: Address
    sport: int
    dst: Address
    dport: int

    def turned(self) -> "Ends":
        """Those of an answer."""
        return Ends(self.family, self.protocol, self.dst, self.dport, self.src, self.sport)


@dataclass
class Flow:
    """One flow, as far as it has been seen."""

    index: int
    ends: Ends  # of the initiator's packets
    entry: Place | None  # where they enter; None: nowhere
    sender: tuple[Device, Host] | None  # who sends them, if it is a host behind a port
    arrived: Record | None = None  # the last of them that came to somebody
    verdict: int = int(Verdict.SKIPPED)  # of the last that came to somebody, else of the last
    is_answered: bool = False  # the nodes made a packet in answer: an ICMP error, a reset
    packets: int = 0


Datagram = tuple[int, int, Address, Address, int]


def datagram(packet: Packet) -> Datagram:
    """What fragments of one packet have in common."""
    number = packet.word(ETHER_SIZE + 4)
    if packet.family == 6:
        found = fragment_header(packet)
        at = found[0] if found else len(packet.frame)
        is_there = at + 8 <= len(packet.frame)
        number = int.from_bytes(packet.frame[at + 4 : at + 8]) if is_there else 0
    return packet.family, packet.protocol, packet.src, packet.dst, number


def ends_of(packet: Packet) -> Ends:
    sport = dport = 0
    if is_query(packet):
        sport = dport = packet.sport
    elif packet.protocol in WITH_PORTS:
        sport, dport = packet.sport, packet.dport
    return Ends(packet.family, packet.protocol, packet.src, sport, packet.dst, dport)


def begins(packet: Packet) -> bool:
    """The sender of a flow's first packet is its initiator, unless the packet is an answer."""
    if packet.tcp_flags & SYN:
        return not packet.tcp_flags & ACK
    return not (_has_icmp(packet) and _type(packet) in REPLIES[packet.family])


def opens(packet: Packet) -> bool:
    """Whoever sends this opens a connection."""
    return packet.tcp_flags & (SYN | ACK) == SYN


def is_query(packet: Packet) -> bool:
    """An ICMP query or the reply to one: both carry an identifier."""
    return _has_icmp(packet) and _type(packet) in QUERIES[packet.family]


def is_error(packet: Packet) -> bool:
    if not _has_icmp(packet):
        return False
    kind = _type(packet)
    return kind in ERRORS4 if packet.family == 4 else kind < 128  # RFC 4443, section 2.1


def _has_icmp(packet: Packet) -> bool:
    """Of its own family; the other one's is a protocol like any other."""
    return packet.protocol == OWN_ICMP[packet.family] and packet.has_transport


def _type(packet: Packet) -> int:
    return packet.dport >> 8


def quoted_ends(error: Packet) -> Ends | None:
    """The ends of the packet that an ICMP error quotes; None if it quotes too little."""
    quoted = quoted_packet(error)
    if quoted is None or (quoted.protocol in WITH_PORTS and not quoted.has_transport):
        return None
    return ends_of(quoted)
