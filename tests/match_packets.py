"""Packets that matches trip over: short headers, fragments, options, extension headers.

IPv4 packets by their fields; IPv6 ones as the first next header, and all that follows.
"""

import struct
from ipaddress import ip_address
from typing import NamedTuple

from dataplane.reference.checksum import checksum
from tests import frames as fr

CLIENT, SERVER = "10.0.0.2", "10.0.1.2"
MF = 0x2000


class Header4(NamedTuple):
    """An IPv4 packet without its addresses."""

    protocol: int
    body: bytes
    fragment: int = 0
    options: bytes = b""
    tos: int = 0
    ttl: int = 64

    def bytes(self, src: object, dst: object) -> bytes:
        head = struct.pack(
            ">BBHHHBB", 0x45 + len(self.options) // 4, self.tos,
            20 + len(self.options) + len(self.body), 1, self.fragment, self.ttl, self.protocol,
        )  # fmt: skip
        ends = ip_address(str(src)).packed + ip_address(str(dst)).packed + self.options
        return head + checksum(head + bytes(2) + ends).to_bytes(2) + ends + self.body


def segment(flags: int = fr.SYN, sport: int = 1000, dport: int = 80, options: bytes = b"",
            payload: bytes = b"", size: int = 0) -> bytes:  # fmt: skip
    """`size`: of its header in words, right or not."""
    body = fr.tcp(CLIENT, sport, SERVER, dport, flags, options=options, payload=payload)
    return body[:12] + bytes([size << 4]) + body[13:] if size else body


def datagram(sport: int = 1000, dport: int = 80, payload: bytes = b"") -> bytes:
    return fr.udp(CLIENT, sport, SERVER, dport, payload)


MSS = b"\x02\x04\x05\xb4"
SEGMENTS = [
    segment(), segment(fr.SYN | fr.ACK), segment(fr.ACK), segment(0), segment(63),
    segment(dport=85),
    segment(fr.ACK | 0xC0), segment(fr.SYN | 0x40), segment(fr.ACK | 0x80),
    segment(dport=443, sport=80), segment(options=MSS), segment(options=b"\1\1\1\2"),
    segment(options=b"\1\2\4\3\xe8"), segment(options=b"\3\0\2\4\5\xb4"),
    segment(options=b"\0" + MSS),
    segment(options=b"\2\4\5"), segment(options=b"\2\3\5\xb4"),
    segment(options=b"\5\x0a" + bytes(2)),
    segment(payload=b"aaaa"), segment(payload=b"xAa0050aa"), segment(size=4), segment(size=15),
    segment(size=6, payload=b"\2\4\5\xb4"), segment()[:19], segment()[:8], segment()[:3], b"",
]  # fmt: skip
DATAGRAMS = [
    datagram(), datagram(1, 85), datagram(payload=b"aaaa"), datagram(payload=b"x" * 40 + b"aA"),
    datagram()[:7], b"",
]  # fmt: skip
DATA, INIT, SACK = b"\0\3\0\5x\0\0\0", b"\1\0\0\4", b"\3\0\0\4"
ASSOCIATIONS = [
    fr.sctp(1000, 80), fr.sctp(1000, 80, INIT), fr.sctp(1000, 80, SACK, DATA),
    fr.sctp(1000, 80, DATA), fr.sctp(1000, 80, b"\0\2\0\5x\0\0\0"), fr.sctp(1, 80, INIT, DATA),
    fr.sctp(1, 2, b"\3\0\0\0"), fr.sctp(1, 80, SACK, b"\0\1"), fr.sctp(1, 80, b"\0\3\0\x50"),
    fr.sctp(1, 80, b"\6\1\0\4"), fr.sctp(1, 80, b"\x0e\0\0\4"), fr.sctp(1, 80)[:8], b"",
]  # fmt: skip
SPIS = [bytes(3) + b"\5" + bytes(8), bytes(3) + b"\7" + bytes(8), bytes(7)]
AUTHENTICATED = [
    b"\6\4" + bytes(5) + b"\5" + bytes(16), b"\6\1" + bytes(5) + b"\7" + bytes(4), bytes(11),
]  # fmt: skip
# DCCP (RFC 4340): type << 1 | X in the ninth byte, words of header in the fifth.
DCCP = [
    struct.pack(">HHBBHBBHI", 1000, 80, words, 0, 0, kind << 1 | 1, 0, 0, 1) + rest
    for kind, words, rest in (
        (0, 5, bytes(4)), (2, 4, b""), (7, 6, bytes(8)), (0, 7, b"\0\0\0\0\x20\4\0\0\1\0\3\0"),
        (0, 6, b"\0\0\0\0\3\x20\2\0"), (4, 6, bytes(4) + b"\x2c\4\x20\x20"), (10, 4, b""),
        (0, 200, bytes(4)), (0, 2, b""), (2, 6, b"\0\0\0\0\x20\1\x21\2"),
        (2, 6, bytes(4) + b"\x20\x20\x20\x20"),
    )
]  # fmt: skip
ECHOES = [fr.echo(1), fr.echo(1, reply=True), fr.icmp_error(3, 3, bytes(28)), fr.echo(1)[:5],
          fr.echo(1)[:1], b""]  # fmt: skip

PACKETS4 = [
    *(Header4(6, body) for body in SEGMENTS),
    *(Header4(17, body) for body in DATAGRAMS),
    *(Header4(136, body) for body in DATAGRAMS[:2]),
    *(Header4(132, body) for body in ASSOCIATIONS),
    *(Header4(50, body) for body in SPIS),
    *(Header4(51, body) for body in AUTHENTICATED),
    *(Header4(33, body) for body in [*DCCP, DCCP[0][:11], b""]),
    *(Header4(1, body) for body in ECHOES),
    Header4(47, bytes(4)),
    *(Header4(6, segment(), fragment) for fragment in (MF, 1, 2, MF | 1, MF | 100)),
    *(Header4(17, datagram(), fragment) for fragment in (MF, 1, 2)),
    *(Header4(protocol, bytes(16), 1) for protocol in (1, 132, 50, 51, 33, 136)),
    *(Header4(6, segment(), options=options) for options in (b"\1\1\1\0", b"\x94\4\0\0")),
    *(Header4(6, segment(), tos=tos) for tos in (0x10, 0x28, 2, 3, 0xFF)),
    *(Header4(6, segment(), ttl=ttl) for ttl in (63, 2, 1, 255)),
]


# IPv6 (RFC 8200, section 4): each header is put before what follows.
Chained = tuple[int, bytes]


def options(kind: int, data: bytes, then: Chained) -> Chained:
    """Hop-by-hop or destination options; `data` fills up its words but for two bytes."""
    return kind, bytes([then[0], (len(data) - 6) // 8]) + data + then[1]


def routing(then: Chained, *hops: str, kind: int = 0, left: int = 0, reserved: int = 0) -> Chained:
    data = b"".join(ip_address(hop).packed for hop in hops)
    head = bytes([then[0], 2 * len(hops), kind, left]) + reserved.to_bytes(4)
    return 43, head + data + then[1]


def fragment(then: Chained, offset: int, number: int = 5, more: int = 0) -> Chained:
    return 44, struct.pack(">BBHI", then[0], 0, offset << 3 | more, number) + then[1]


def authentication(then: Chained, spi: int, words: int = 4, reserved: int = 0) -> Chained:
    head = struct.pack(">BBHI", then[0], words, reserved, spi)
    return 51, head + bytes((words + 2) * 4 - 8) + then[1]


def mobility(kind: int, proto: int = 59) -> Chained:
    return 135, bytes([proto, 0, kind, 0, 0, 0, 0, 0])


SYN: Chained = (6, segment())
UDP: Chained = (17, datagram())
NOTHING: Chained = (59, b"")
PADDED = b"\1\4" + bytes(4)
PAD2 = b"\1\2\0\0\0\0"  # PadN of four, and two of one byte
QUESTION: Chained = (58, fr.summed("fd00::2", "fd00:1::2", 58, b"\x80" + bytes(7), 2))
CHAINS: list[Chained] = [
    options(0, PADDED, SYN), options(60, PADDED, SYN), options(60, PAD2, SYN),
    options(60, b"\0\0\0\0\0\0", UDP), options(60, b"\x1e\2ab\0\0" + bytes(8), SYN),
    options(0, PADDED, options(60, PAD2, routing(SYN))), options(60, b"\1\x40\0\0\0\0", SYN),
    options(60, b"\0\1\3\0\0\0", NOTHING), options(60, PADDED, options(60, PAD2, SYN)),
    routing(SYN), routing(SYN, "fd00::1", "fd00::2"), routing(UDP, "fd00::1", left=1, reserved=9),
    routing(SYN, "fd00::2", "fd00::1"), routing(SYN, kind=2, left=2), routing(SYN, "fd00::2"),
    fragment(SYN, 0), fragment(SYN, 0, 7, 1), fragment(UDP, 0, 9, 1), fragment(SYN, 1),
    fragment(SYN, 2, 7, 1), fragment(SYN, 100, 1), fragment(options(60, PADDED, SYN), 0, 5, 1),
    fragment(options(60, PADDED, SYN), 2, 5, 1), fragment(NOTHING, 0), fragment(QUESTION, 3),
    authentication(SYN, 5), authentication(SYN, 7, 1), authentication(UDP, 5, 4, 3),
    authentication(options(60, PADDED, SYN), 6), authentication(fragment(SYN, 2, 5), 6),
    NOTHING, options(60, PADDED, NOTHING), (50, SPIS[0]), options(60, PADDED, (50, SPIS[1])),
    mobility(5), mobility(3), mobility(5, 6), (135, b"\x3b\0\5"), fragment(mobility(5), 2),
    options(60, PADDED, mobility(7)),
]  # fmt: skip
# Cut short.
SHORT: list[Chained] = [
    (60, b""), (60, b"\6"), (60, b"\6\0\1"), (60, b"\6\5" + bytes(6)), (43, b"\6\0\0"),
    (43, b"\6\2\0\0" + bytes(12)), (44, b"\6\0"), (44, b"\6\0\0\0"), (44, b"\6\0\0\1\0\0"),
    (51, b"\6"), (51, b"\6\4" + bytes(6)), (51, b"\6\4" + bytes(10)),
    (60, b"\x2b\0" + PADDED + b"\6"), (60, b"\x3b\5" + bytes(6)),
]  # fmt: skip

PACKETS6: list[Chained] = [
    *((6, body) for body in SEGMENTS),
    *((17, body) for body in DATAGRAMS),
    *((132, body) for body in ASSOCIATIONS),
    *((33, body) for body in [*DCCP, DCCP[0][:11]]),
    *((50, body) for body in SPIS),
    QUESTION,
    (58, b"\x81" + bytes(7)),
    (58, b"\x80"),
    *CHAINS,
    *SHORT,
]
