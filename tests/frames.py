"""Frames for tests, built from their fields; every checksum is right unless asked otherwise."""

import struct
from ipaddress import ip_address

from dataplane.reference.checksum import checksum, crc32c, ones_sum, pseudo_header

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}


def ether(src: str, dst: str, ethertype: bytes, payload: bytes) -> bytes:
    return bytes.fromhex((dst + src).replace(":", "")) + ethertype + payload


def ipv4(
    src: object, dst: object, protocol: int, payload: bytes, options: bytes = b"", **fields: int
) -> bytes:
    """fields: ttl, tos, id, fragment (flags and offset: DF 0x4000, MF 0x2000)

    options  a multiple of four bytes
    """
    size = 20 + len(options)
    start = struct.pack(
        ">BBHHHBB",
        0x40 | size // 4,
        fields.get("tos", 0),
        size + len(payload),
        fields.get("id", 1),
        fields.get("fragment", 0),
        fields.get("ttl", 64),
        protocol,
    )
    addresses = ip_address(str(src)).packed + ip_address(str(dst)).packed
    check = checksum(start + addresses + options).to_bytes(2)
    return start + check + addresses + options + payload


def ipv6(src: object, dst: object, protocol: int, payload: bytes, hop_limit: int = 64) -> bytes:
    start = struct.pack(">IHBB", 6 << 28, len(payload), protocol, hop_limit)
    return start + ip_address(str(src)).packed + ip_address(str(dst)).packed + payload


def tcp(
    src: object,
    sport: int,
    dst: object,
    dport: int,
    flags: int = SYN,
    *,
    seq: int = 1000,
    ack: int = 0,
    payload: bytes = b"",
    partial: bool = False,
    window: int = 64240,
    options: bytes = b"",
) -> bytes:
    """The segment alone.  `partial`: its checksum is left to the device."""
    options += bytes(-len(options) % 4)
    size = 5 + len(options) // 4
    head = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, size << 4, flags, window, 0, 0)
    return summed(src, dst, 6, head + options + payload, 16, partial)


def udp(
    src: object, sport: int, dst: object, dport: int, payload: bytes = b"", partial: bool = False
) -> bytes:
    head = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0)
    return summed(src, dst, 17, head + payload, 6, partial)


def udplite(
    src: object, sport: int, dst: object, dport: int, payload: bytes = b"", covers: int = 0
) -> bytes:
    """With the checksum that Linux' conntrack takes for the right one: UDP's pseudo-header."""
    body = struct.pack(">HHHH", sport, dport, covers, 0) + payload
    head = pseudo_header(ip_address(str(src)), ip_address(str(dst)), 17, len(body))
    return body[:6] + checksum(head + body[: covers or len(body)]).to_bytes(2) + body[8:]


def sctp_init(tag: int, kind: int = 1) -> bytes:
    """An INIT (1) or INIT ACK (2) chunk."""
    return bytes([kind, 0, 0, 20]) + tag.to_bytes(4) + bytes(12)


def sctp(sport: int, dport: int, *chunks: bytes, vtag: int = 7, is_summed: bool = False) -> bytes:
    """RFC 9260 3.1.  The checksum is left out unless asked for."""
    body = struct.pack(">HHII", sport, dport, vtag, 0) + b"".join(chunks)
    return body[:8] + crc32c(body).to_bytes(4, "little") + body[12:] if is_summed else body


def echo(identifier: int, sequence: int = 1, *, reply: bool = False, data: bytes = b"") -> bytes:
    body = struct.pack(">BBHHH", 0 if reply else 8, 0, 0, identifier, sequence) + data
    return body[:2] + checksum(body).to_bytes(2) + body[4:]


def summed(
    src: object, dst: object, protocol: int, body: bytes, at: int, partial: bool = False
) -> bytes:
    """`body` with its checksum, which stands at `at` and covers a pseudo-header."""
    head = pseudo_header(ip_address(str(src)), ip_address(str(dst)), protocol, len(body))
    value = ones_sum(head) if partial else checksum(head + body)
    return body[:at] + value.to_bytes(2) + body[at + 2 :]


def icmp_error(kind: int, code: int, quoted: bytes, rest: int = 0) -> bytes:
    """The ICMP message alone."""
    body = bytes([kind, code, 0, 0]) + rest.to_bytes(4) + quoted
    return body[:2] + checksum(body).to_bytes(2) + body[4:]
