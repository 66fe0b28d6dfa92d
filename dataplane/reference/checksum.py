"""The Internet checksum (RFC 1071), whole and incremental (RFC 1624).

A sum is a 16-bit ones' complement sum; a checksum is its complement, as headers hold it.
"""

from ipaddress import IPv4Address, IPv6Address


def ones_sum(data: bytes) -> int:
    """Sum of the big-endian 16-bit words; an odd last byte is padded with zero."""
    padded = data + b"\0" * (len(data) % 2)
    return fold(sum(int.from_bytes(padded[i : i + 2]) for i in range(0, len(padded), 2)))


def fold(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def checksum(data: bytes) -> int:
    return ~ones_sum(data) & 0xFFFF


def replaced(check: int, old: bytes, new: bytes) -> int:
    """The checksum after `old` gave way to `new`, both of the same even length.

    HC' = ~(~HC + ~m + m')                                      RFC 1624, equation 3
    A wrong checksum stays wrong by the same amount.
    """
    return ~replaced_sum(~check & 0xFFFF, old, new) & 0xFFFF


def replaced_sum(total: int, old: bytes, new: bytes) -> int:
    """The same for a plain sum: what a partial checksum holds."""
    complement = bytes(~byte & 0xFF for byte in old)
    return fold(total + ones_sum(complement) + ones_sum(new))


def pseudo_header(
    src: IPv4Address | IPv6Address, dst: IPv4Address | IPv6Address, protocol: int, length: int
) -> bytes:
    """RFC 793, RFC 8200 section 8.1.  `length` is that of the transport header and payload."""
    if src.version == 4:
        return src.packed + dst.packed + bytes([0, protocol]) + (length & 0xFFFF).to_bytes(2)
    return src.packed + dst.packed + length.to_bytes(4) + bytes([0, 0, 0, protocol])


def crc32c(data: bytes) -> int:
    """SCTP's checksum (RFC 9260, appendix A), as the number that is stored little-endian."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return ~crc & 0xFFFFFFFF
