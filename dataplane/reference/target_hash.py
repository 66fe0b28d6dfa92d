"""HMARK: a mark that is a hash of addresses and ports: xt_HMARK.c, v6.18.

The same for both directions: addresses and ports are sorted.
"""

from ipaddress import IPv6Address, ip_network
from typing import NamedTuple

from _fastpath.reason import Reason
from _fastpath.trace import EventKind
from dataplane.node.iptables import Option
from dataplane.node.state import Address
from dataplane.reference.conntrack_table import ORIGINAL, REPLY
from dataplane.reference.nat_range import jhash2
from dataplane.reference.packet import (
    DCCP,
    ETHER_SIZE,
    EXTENSIONS,
    ICMP,
    ICMPV6,
    SCTP,
    TCP,
    UDP,
    UDPLITE,
    Packet,
)
from dataplane.reference.place import Place
from dataplane.reference.steps import unknown

Options = dict[str, Option]
ROUTING, FRAGMENT, ESP, AH = 43, 44, 50, 51
PORTS_AT = {TCP: 0, UDP: 0, DCCP: 0, ESP: 0, AH: 4, SCTP: 0, UDPLITE: 0}  # proto_ports_offset
ICMP_ERRORS = (3, 4, 5, 11, 12)  # icmp_is_err
WORD = 0xFFFFFFFF


class Hashed(NamedTuple):
    """struct hmark_tuple."""

    src: int = 0
    dst: int = 0
    ports: int = 0
    protocol: int = 0


def apply(place: Place, options: Options, packet: Packet) -> None:
    """Leaves the mark as it is where there is nothing to hash."""
    settings = Settings(options, packet.family)
    if settings.of_connection:
        found = _of_connection(packet, settings)
    elif packet.family == 4:
        found = _of_ipv4(packet, settings)
    else:
        found = _of_ipv6(packet, settings)
    if found is not None:
        before, packet.mark = packet.mark, settings.mark(found)
        place.trace.event(EventKind.EVENT_MARK, before, packet.mark)


class Settings:
    """What a rule says (struct xt_hmark_info)."""

    def __init__(self, options: Options, family: int):
        self.options = options
        self.of_connection = "--hmark-tuple" in options
        if self.of_connection and options["--hmark-tuple"].values[0] != "ct":
            raise unknown(Reason.TARGET_UNMODELLED)  # iptables-save prints the others apart
        if "--hmark-rnd" not in options or "--hmark-mod" not in options:
            raise unknown(Reason.TARGET_UNMODELLED)
        self.source_mask = self._mask("--hmark-src-prefix", family)
        self.destination_mask = self._mask("--hmark-dst-prefix", family)
        self.port_mask = self._ports("--hmark-spi-mask", "--hmark-sport-mask", "--hmark-dport-mask")
        self.port_set = self._ports("--hmark-spi", "--hmark-sport", "--hmark-dport")
        self.random, self.modulus, self.offset, self.protocol_mask = (
            self._number(name) for name in
            ("--hmark-rnd", "--hmark-mod", "--hmark-offset", "--hmark-proto-mask")
        )  # fmt: skip

    def _number(self, name: str, most: int = WORD) -> int:
        try:
            number = int(self.options[name].values[0], 0) if name in self.options else 0
        except ValueError:
            raise unknown(Reason.TARGET_UNMODELLED) from None
        if not 0 <= number <= most:
            raise unknown(Reason.TARGET_UNMODELLED)
        return number

    def _mask(self, name: str, family: int) -> int:
        bits = 32 if family == 4 else 128
        length = self._number(name, bits)
        return int(ip_network(f"{'0.0.0.0' if family == 4 else '::'}/{length}").netmask)

    def _ports(self, spi: str, source: str, destination: str) -> int:
        """source << 16 | destination; an SPI stands in the place of both."""
        if spi not in self.options:
            return self._number(source, 0xFFFF) << 16 | self._number(destination, 0xFFFF)
        if source in self.options or destination in self.options:
            raise unknown(Reason.TARGET_UNMODELLED)
        return self._number(spi)

    def sorted_ports(self, ports: int) -> int:
        """hmark_swap_ports"""
        ports = ports & self.port_mask | self.port_set
        low, high = sorted((ports >> 16, ports & 0xFFFF))
        return high << 16 | low

    def addresses(self, src: Address, dst: Address) -> tuple[int, int]:
        return _folded(int(src), self.source_mask), _folded(int(dst), self.destination_mask)

    def mark(self, found: Hashed) -> int:
        """hmark_hash"""
        low, high = sorted((found.src, found.dst))
        number = jhash2([low, high, found.ports], self.random)
        number ^= found.protocol & self.protocol_mask
        return (number * self.modulus >> 32) + self.offset & WORD


def _folded(address: int, mask: int) -> int:
    """hmark_addr_mask: the words of an IPv6 address become one."""
    number, folded = address & mask, 0
    while number:
        folded ^= number & WORD
        number >>= 32
    return folded


def _of_connection(packet: Packet, settings: Settings) -> Hashed | None:
    """hmark_ct_set_htuple: who opened it, and who answers."""
    if packet.connection is None:
        return None
    there, back = (packet.connection.tuples[direction] for direction in (ORIGINAL, REPLY))
    ports = settings.sorted_ports(there.sport << 16 | back.sport)
    if there.protocol == ICMP:
        ports = 0
    return Hashed(*settings.addresses(there.src, back.src), ports, there.protocol)


def _held(packet: Packet, at: int, count: int) -> bytes | None:
    """Bytes of the frame; None if the packet ends before."""
    if at + count > ETHER_SIZE + packet.ip_length:
        return None
    if at + count > len(packet.frame):
        raise unknown(Reason.TARGET_UNMODELLED)  # the capture ends before
    return bytes(packet.frame[at : at + count])


def _ports(packet: Packet, at: int, protocol: int, settings: Settings) -> int:
    if protocol not in PORTS_AT:
        return 0
    found = _held(packet, at + PORTS_AT[protocol], 4)
    return settings.sorted_ports(int.from_bytes(found)) if found else 0


def _of_ipv4(packet: Packet, settings: Settings) -> Hashed | None:
    """hmark_pkt_set_htuple_ipv4: of an ICMP error, what it quotes."""
    at, size = ETHER_SIZE, 20
    ip: bytes | None = bytes(packet.frame[at : at + size])
    assert ip is not None
    if ip[9] == ICMP:
        inside = at + (ip[0] & 15) * 4
        icmp = _held(packet, inside, 8)
        if icmp and icmp[0] in ICMP_ERRORS:
            at = inside + 8
            ip = _held(packet, at, size)
            if ip is None:
                return None
    source, destination = int.from_bytes(ip[12:16]), int.from_bytes(ip[16:20])
    ends = source & settings.source_mask, destination & settings.destination_mask
    if ip[9] == ICMP or int.from_bytes(ip[6:8]) & 0x3FFF:
        return Hashed(*ends, 0, ip[9])
    return Hashed(*ends, _ports(packet, at + (ip[0] & 15) * 4, ip[9], settings), ip[9])


def _of_ipv6(packet: Packet, settings: Settings) -> Hashed | None:
    """hmark_pkt_set_htuple_ipv6: of an ICMPv6 error, what it quotes."""
    ip_at = ETHER_SIZE
    outer = _find_header(packet, ip_at)
    if outer is None:
        return Hashed()  # of no header zeros are hashed
    at, protocol, is_fragment = outer
    icmp = _held(packet, at, 8) if protocol == ICMPV6 and not is_fragment else None
    if icmp and 0 < icmp[0] < 128:
        ip_at = at + 8
        ip = _held(packet, ip_at, 40)
        inner = _find_header(packet, ip_at) if ip and ip[0] >> 4 == 6 else None
        if inner is None:
            return None
        at, protocol, is_fragment = inner
    ends = settings.addresses(
        *(IPv6Address(bytes(packet.frame[ip_at + n : ip_at + n + 16])) for n in (8, 24))
    )
    if protocol == ICMPV6 or is_fragment:
        return Hashed(*ends, 0, protocol)
    return Hashed(*ends, _ports(packet, at, protocol, settings), protocol)


def _find_header(packet: Packet, ip_at: int) -> tuple[int, int, bool] | None:
    """ipv6_find_hdr of any protocol, which stops at an authentication header: where it is, which,
    and whether a fragment header stands before it.  None where the headers end before it."""
    at, protocol, is_fragment = ip_at + 40, packet.frame[ip_at + 6], False
    while protocol in EXTENSIONS:
        header = _held(packet, at, 4 if protocol in (ROUTING, FRAGMENT) else 2)
        if header is None:
            return None
        if protocol == AH:
            break
        size = 8 + header[1] * 8
        if protocol == FRAGMENT:
            is_fragment, size = True, 8
            if int.from_bytes(header[2:4]) & 0xFFF8:  # what follows is the middle of something
                return None if header[0] in EXTENSIONS else (at, header[0], True)
        at, protocol = at + size, header[0]
    return at, protocol, is_fragment
