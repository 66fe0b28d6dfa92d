"""One packet: a frame, what its headers say, and how they are edited.

Everything is read from the bytes when it is asked for.  A frame may hold fewer bytes than
were on the wire (`length`): what is asked for must then have been captured, which
`headers.refusal` sees to.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from dataplane.node.state import Address
from dataplane.reference.checksum import (
    checksum,
    crc32c,
    ones_sum,
    pseudo_header,
    replaced,
    replaced_sum,
)
from dataplane.reference.choice import Fields

if TYPE_CHECKING:
    from dataplane.reference.conntrack_table import Connection, CtInfo
    from dataplane.reference.ip_options import Options

ETHER_SIZE = 14
VLAN_SIZE = 4  # VLAN_HLEN: a device takes frames of its MTU with a tag
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD  # EtherTypes
ICMP, TCP, UDP, DCCP, GRE, ICMPV6, SCTP, UDPLITE = 1, 6, 17, 33, 47, 58, 132, 136
WITH_PORTS = frozenset((TCP, UDP, DCCP, SCTP, UDPLITE))
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60
EXTENSIONS = frozenset((HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION))
# The fixed part of each transport header, and where the checksum stands in it.
TRANSPORT_SIZES = {TCP: 20, UDP: 8, UDPLITE: 8, DCCP: 12, SCTP: 12, ICMP: 8, ICMPV6: 8}
CHECKSUM_AT = {TCP: 16, UDP: 6, UDPLITE: 6, DCCP: 6, ICMPV6: 2, ICMP: 2}
CHECKED = frozenset((TCP, UDP, ICMP, ICMPV6))  # conntrack looks at these checksums
HEADER_SIZES = {4: 20, 6: 40}


class Transport(NamedTuple):
    """Where the transport header is."""

    protocol: int
    offset: int  # from the frame's first byte
    fragment_offset: int = 0  # in units of 8 bytes
    more_fragments: bool = False
    is_authenticated: bool = False


class Packet:
    def __init__(self, frame: bytes, length: int | None = None):
        self.frame = bytearray(frame)
        self.length = max(len(frame), length or 0)
        self.mark = 0
        self.realms = 0  # of its route: from << 16 | to
        self.connection: Connection | None = None  # conntrack's, on the node where the packet is
        self.ctinfo: CtInfo | None = None  # None: conntrack has not seen it
        # What a CT rule said of the connection to be: its zone, and the directions it holds for.
        self.is_occupied = False  # it answers what is untracked: no CT rule looks at it
        self.has_template = self.zone_is_mark = False
        self.zone = 0
        self.zone_directions: frozenset[str] = frozenset()
        self.has_sender = False  # a process of the node sent it, and has not let go of it
        self.is_verified = False  # conntrack found its checksum right (csum_valid)
        self.is_opaque = False  # the kernel knows nothing of its transport protocol
        self.is_quoted = False  # what an ICMP error holds of it
        self.is_prerouted = False  # it met PREROUTING at a bridge
        self.is_generated = False  # made by a node, not injected
        self.is_gso = False  # several segments that the sender's device would cut apart
        self.ignore_df = False  # it was put together here, and may be cut again
        self.pieces: list[int] = []  # payload bytes of each fragment that it came in
        self.pieces_from = 0  # bytes of its headers that came with each of them
        self.fragment_max = 0  # frag_max_size: length of the longest; 0 = it came whole
        self.fragment_df = False  # IPSKB_FRAG_PMTU: fragments of it get the DF bit
        self.options: Options | None = None  # as they were read where it came in
        self.encapsulations = 0
        self.is_copy = False  # that a TEE sends: no socket has sent it
        self.next_hop: Address | None = None  # where its route has no gateway
        self.arrived_on: str | None = None  # device whose IP input it met
        self.bridge_port: str | None = None  # whose netfilter hooks it met on entry
        self.bridge_port_out: str | None = None  # by which a bridge sends it
        self.is_partial = self.has_partial_checksum()

    def copy(self) -> "Packet":
        other = Packet(bytes(self.frame), self.length)
        other.__dict__.update(self.__dict__, frame=bytearray(self.frame))
        return other

    def forget(self) -> None:
        """What nf_reset_ct and skb_scrub_packet clear."""
        self.connection = self.ctinfo = self.arrived_on = self.next_hop = None
        self.realms = 0
        self.bridge_port = self.bridge_port_out = None
        self.is_occupied = False
        self.has_template = self.zone_is_mark = False
        self.zone, self.zone_directions = 0, frozenset()
        self.options = None
        self.has_sender = self.is_prerouted = self.is_copy = False
        self.forget_fragments()

    def forget_fragments(self) -> None:
        self.ignore_df, self.pieces, self.pieces_from = False, [], 0
        self.forget_sizes()

    def pull(self, wanted: int) -> None:
        """pskb_may_pull: so much of the transport header and what follows is wanted in one piece.
        A packet whose first fragment held less is not cut again where it was, unless what was
        pulled is a fragment as well (ip_do_fragment; measured on Linux 6.18)."""
        wanted += self.transport.offset - ETHER_SIZE - self.pieces_from
        if not self.pieces or self.pieces[0] >= wanted:
            return
        if wanted % 8 or wanted >= sum(self.pieces):
            self.pieces, self.pieces_from = [], 0
            return
        rest = wanted
        while self.pieces[0] <= rest:
            rest -= self.pieces.pop(0)
        self.pieces[0] -= rest
        self.pieces.insert(0, wanted)

    def forget_sizes(self) -> None:
        """ip_rcv_core clears the control block when the packet comes to the node's own IP."""
        self.fragment_max, self.fragment_df = 0, False

    # Ethernet.

    @property
    def ether_dst(self) -> str:
        return self.frame[0:6].hex(":")

    @ether_dst.setter
    def ether_dst(self, mac: str) -> None:
        self.frame[0:6] = bytes.fromhex(mac.replace(":", ""))

    @property
    def ether_src(self) -> str:
        return self.frame[6:12].hex(":")

    @ether_src.setter
    def ether_src(self, mac: str) -> None:
        self.frame[6:12] = bytes.fromhex(mac.replace(":", ""))

    @property
    def ethertype(self) -> int:
        return self.word(12)

    @property
    def family(self) -> int:
        """4, 6; 0 = not IP."""
        return {IPV4: 4, IPV6: 6}.get(self.ethertype, 0)

    # The network header.

    @property
    def has_headers(self) -> bool:
        """The fixed part of the IP header was captured."""
        return len(self.frame) >= ETHER_SIZE + HEADER_SIZES.get(self.family, 1 << 16)

    @property
    def ip(self) -> bytes:
        """The IP packet's bytes, as far as they are there."""
        return bytes(self.frame[ETHER_SIZE : ETHER_SIZE + self.ip_length])

    @property
    def ip_length(self) -> int:
        if self.family == 4:
            return self.word(ETHER_SIZE + 2)
        return 40 + self.word(ETHER_SIZE + 4)

    @property
    def src(self) -> Address:
        return self._address(12, 8)

    @property
    def dst(self) -> Address:
        return self._address(16, 24)

    def _address(self, at4: int, at6: int) -> Address:
        if self.family == 4:
            return IPv4Address(bytes(self.frame[ETHER_SIZE + at4 : ETHER_SIZE + at4 + 4]))
        return IPv6Address(bytes(self.frame[ETHER_SIZE + at6 : ETHER_SIZE + at6 + 16]))

    @property
    def ttl(self) -> int:
        return self.frame[ETHER_SIZE + (8 if self.family == 4 else 7)]

    @property
    def tos(self) -> int:
        if self.family == 4:
            return self.frame[ETHER_SIZE + 1]
        return self.word(ETHER_SIZE) >> 4 & 0xFF

    @property
    def dont_fragment(self) -> bool:
        return self.family == 6 or bool(self.frame[ETHER_SIZE + 6] & 0x40)

    # The transport header.

    @property
    def transport(self) -> Transport:
        if self.family == 4:
            size = (self.frame[ETHER_SIZE] & 15) * 4
            fragment = self.word(ETHER_SIZE + 6)
            return Transport(
                self.frame[ETHER_SIZE + 9],
                ETHER_SIZE + size,
                fragment & 0x1FFF,
                bool(fragment & 0x2000),
            )
        return self._transport6()

    def _transport6(self) -> Transport:
        """Past the extension headers (RFC 8200, section 4)."""
        found = Transport(self.frame[ETHER_SIZE + 6], ETHER_SIZE + 40)
        while found.protocol in EXTENSIONS:
            end = min(len(self.frame), ETHER_SIZE + self.ip_length)
            header = self.frame[found.offset : end][:8]
            needed = 4 if found.protocol in (ROUTING, FRAGMENT) else 2  # ipv6_find_hdr
            if len(header) < needed or found.fragment_offset:
                break
            size = 8 + header[1] * 8
            if found.protocol == AUTHENTICATION:
                size = 8 + header[1] * 4  # RFC 4302, section 2.2
            if found.protocol == FRAGMENT:
                size = 8
                fragment = int.from_bytes(header[2:4])
                found = found._replace(
                    fragment_offset=fragment >> 3, more_fragments=bool(fragment & 1)
                )
            found = found._replace(
                protocol=header[0],
                offset=found.offset + size,
                is_authenticated=found.is_authenticated or found.protocol == AUTHENTICATION,
            )
        return found

    @property
    def protocol(self) -> int:
        return self.transport.protocol

    @property
    def has_authentication(self) -> bool:
        """An IPv6 authentication header stands before what it carries."""
        return self.family == 6 and self._transport6().is_authenticated

    @property
    def has_protocol(self) -> bool:
        """Its extension headers are neither cut short nor the middle of them."""
        return self.family == 4 or self.protocol not in EXTENSIONS

    @property
    def is_fragment(self) -> bool:
        return bool(self.transport.fragment_offset or self.transport.more_fragments)

    @property
    def is_first(self) -> bool:
        return self.transport.fragment_offset == 0

    @property
    def payload_length(self) -> int:
        """Of the transport header and what follows, on the wire."""
        return ETHER_SIZE + self.ip_length - self.transport.offset

    @property
    def payload(self) -> bytes:
        """The transport header and what follows, as far as it was captured."""
        return bytes(self.frame[self.transport.offset : ETHER_SIZE + self.ip_length])

    @property
    def is_whole(self) -> bool:
        """Every byte of the IP packet was captured."""
        return len(self.frame) >= ETHER_SIZE + self.ip_length

    @property
    def sport(self) -> int:
        """ICMP: the identifier."""
        return self._ports[0]

    @property
    def dport(self) -> int:
        """ICMP: type << 8 | code."""
        return self._ports[1]

    @property
    def _ports(self) -> tuple[int, int]:
        if not self.has_transport:
            return 0, 0
        header = self.payload[:8]
        if self.protocol in WITH_PORTS:
            return int.from_bytes(header[0:2]), int.from_bytes(header[2:4])
        return int.from_bytes(header[4:6]), int.from_bytes(header[0:2])

    @property
    def has_transport(self) -> bool:
        """The fixed part of a transport header that is read is there.  An ICMP error quotes
        no more than its first eight bytes (RFC 792)."""
        size = TRANSPORT_SIZES.get(self.protocol, 0)
        needed = min(size, 8 if self.is_icmp else 4) if self.is_quoted else size
        return bool(size) and self.is_first and len(self.payload) >= needed

    @property
    def is_icmp(self) -> bool:
        return self.protocol in (ICMP, ICMPV6)

    @property
    def tcp_flags(self) -> int:
        """FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32."""
        return self.payload[13] if self.protocol == TCP and self.has_transport else 0

    @property
    def fields(self) -> Fields:
        """What a choice about this packet hangs on."""
        if not self.family:
            return Fields()
        return Fields(self.family, self.protocol, self.src, self.sport, self.dst, self.dport)

    # Edits.  Each keeps the checksums that cover it (RFC 1624).

    def trim(self) -> None:
        """Cut off what an Ethernet device padded the packet with."""
        self.length = min(self.length, ETHER_SIZE + self.ip_length)
        del self.frame[self.length :]

    def set_src(self, address: Address) -> None:
        self._set_address(address, 12, 8)

    def set_dst(self, address: Address) -> None:
        self._set_address(address, 16, 24)

    def _set_address(self, address: Address, at4: int, at6: int) -> None:
        at = ETHER_SIZE + (at4 if self.family == 4 else at6)
        old, new = bytes(self.frame[at : at + len(address.packed)]), address.packed
        self.frame[at : at + len(new)] = new
        self._fix_header(old, new)
        self._fix_transport(old, new, in_pseudo_header=True)

    def set_sport(self, port: int) -> None:
        """ICMP: the identifier."""
        self._set_port(port, 4 if self.is_icmp else 0)

    def set_dport(self, port: int) -> None:
        """Not for ICMP, whose type and code are never translated."""
        self._set_port(port, 2)

    def _set_port(self, port: int, within: int) -> None:
        at = self.transport.offset + within
        old, new = bytes(self.frame[at : at + 2]), port.to_bytes(2)
        self.frame[at : at + 2] = new
        if self.protocol == SCTP:
            self.fix_sctp()
        else:
            self._fix_transport(old, new, in_pseudo_header=False)

    def set_ttl(self, ttl: int) -> None:
        at = ETHER_SIZE + (8 if self.family == 4 else 7)
        start = at & ~1  # the header's words begin at even offsets
        old = bytes(self.frame[start : start + 2])
        self.frame[at] = ttl
        self._fix_header(old, bytes(self.frame[start : start + 2]))

    def forbid_fragments(self) -> None:
        """IPv4: the DF bit."""
        at = ETHER_SIZE + 6
        old = bytes(self.frame[at : at + 2])
        self.frame[at] |= 0x40
        self._fix_header(old, bytes(self.frame[at : at + 2]))

    def set_ip_length(self, length: int) -> None:
        at, value = (2, length) if self.family == 4 else (4, length - HEADER_SIZES[6])
        at += ETHER_SIZE
        old, new = bytes(self.frame[at : at + 2]), value.to_bytes(2)
        self.frame[at : at + 2] = new
        self._fix_header(old, new)

    def finish_checksum(self) -> None:
        """skb_checksum_help: what the sender left to a device is done now."""
        at = self._checksum_at()
        if at is None or not self.is_partial or not self.is_whole:
            return
        # The field holds the pseudo-header's sum, and is summed with the rest.
        check = checksum(self.payload)
        if check == 0 and self.protocol == UDP:
            check = 0xFFFF
        self.frame[at : at + 2] = check.to_bytes(2)
        self.is_partial = False

    def set_tos(self, tos: int) -> None:
        old = bytes(self.frame[ETHER_SIZE : ETHER_SIZE + 2])
        new = bytes([old[0], tos])
        if self.family == 6:
            new = (int.from_bytes(old) & 0xF00F | tos << 4).to_bytes(2)
        self.frame[ETHER_SIZE : ETHER_SIZE + 2] = new
        self._fix_header(old, new)

    def _fix_header(self, old: bytes, new: bytes) -> None:
        if self.family == 4:  # the IPv6 header has no checksum
            at = ETHER_SIZE + 10
            self.frame[at : at + 2] = replaced(self.word(at), old, new).to_bytes(2)

    def _fix_transport(self, old: bytes, new: bytes, in_pseudo_header: bool) -> None:
        at = self._checksum_at()
        if at is None or (self.protocol == ICMP if in_pseudo_header else self.is_partial):
            return
        if self.is_partial:
            check = replaced_sum(self.word(at), old, new)
        else:
            check = replaced(self.word(at), old, new)
        if check == 0 and self.protocol in (UDP, UDPLITE):
            check = 0xFFFF  # zero would say that there is no checksum (RFC 768)
        self.frame[at : at + 2] = check.to_bytes(2)

    def fix_sctp(self) -> None:
        """Computed anew, right or wrong before (nf_nat_proto.c, sctp_manip_pkt); of a quoted
        packet, over as much as is quoted."""
        start = self.transport.offset
        length = len(self.frame) - start if self.is_quoted else self.payload_length
        if length >= 12 and (self.is_whole or self.is_quoted):
            self.frame[start + 8 : start + 12] = bytes(4)
            crc = crc32c(bytes(self.frame[start : start + length]))
            self.frame[start + 8 : start + 12] = crc.to_bytes(4, "little")

    def _checksum_at(self) -> int | None:
        """Offset of the transport checksum; None if there is none, or not its whole header."""
        transport = self.transport
        within = CHECKSUM_AT.get(transport.protocol)
        foreign = ICMPV6 if self.family == 4 else ICMP
        if within is None or transport.protocol == foreign or transport.fragment_offset:
            return None
        if self.is_opaque:
            return None
        if len(self.payload) < TRANSPORT_SIZES[transport.protocol]:
            return None
        at = transport.offset + within
        return None if transport.protocol == UDP and self.word(at) == 0 else at

    # Checksums.

    def has_partial_checksum(self) -> bool:
        """The sender left the checksum to its device: the field holds the pseudo-header's
        sum alone (Linux, CHECKSUM_PARTIAL)."""
        if not self.has_headers:
            return False
        at = self._checksum_at()
        if at is None or self.protocol not in (TCP, UDP) or self.is_fragment:
            return False
        head = self._pseudo_header()
        if self.word(at) != ones_sum(head):
            return False
        # Once in 65 536 a finished checksum looks like this, and is right.
        return not self.is_whole or checksum(head + self.payload) != 0

    def _pseudo_header(self) -> bytes:
        return pseudo_header(self.src, self.dst, self.protocol, max(self.payload_length, 0))

    def sums_up(self) -> bool:
        """nf_ip_checksum, nf_ip6_checksum: as if what follows the IP header had a checksum."""
        has_pseudo_header = self.family == 6 or self.protocol in (TCP, UDP)
        return ones_sum(self._before_sum(has_pseudo_header) + self.payload) == 0xFFFF

    def _before_sum(self, has_pseudo_header: bool) -> bytes:
        """nf_ip_checksum sums the IP header as well, which is right and sums up to 0xFFFF."""
        return self._pseudo_header() if has_pseudo_header else b"\xff\xff"

    def is_checksum_wrong(self) -> bool:
        """Known to be wrong: it is there, whole, and was not left to a device."""
        at = self._checksum_at()
        if at is None or self.protocol not in CHECKED or self.is_partial:
            return False
        if self.is_fragment or not self.is_whole:
            return False
        return ones_sum(self._before_sum(self.protocol != ICMP) + self.payload) != 0xFFFF

    def is_crc_wrong(self) -> bool:
        """SCTP's checksum is there, whole, and was not left to a device (RFC 9260 6.8)."""
        data = self.payload
        if not self.has_transport or not self.is_whole or not any(data[8:12]):
            return False
        return crc32c(data[:8] + bytes(4) + data[12:]) != int.from_bytes(data[8:12], "little")

    def word(self, at: int) -> int:
        return int.from_bytes(self.frame[at : at + 2])
