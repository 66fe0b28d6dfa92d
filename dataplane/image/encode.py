"""Names, addresses and MACs as the numbers that arrays hold."""

from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Pair = tuple[int, int]

ZERO: Pair = (0, 0)
MASK64 = (1 << 64) - 1
NAME_BYTES = 16  # IFNAMSIZ


def pair(address: Address | int | None) -> Pair:
    """addr_t of an address: (hi, lo), host byte order."""
    number = int(address) if address is not None else 0
    return number >> 64, number & MASK64


def network_pair(network: Network) -> tuple[Pair, Pair]:
    """addr_t of a prefix and of its mask.

    An IPv4 mask of 32 bits compares all that an IPv4 address has; /0 compares nothing.
    """
    return pair(network.network_address), pair(int(network.netmask))


def mac(text: str | None) -> int:
    """48 bits of `aa:bb:cc:dd:ee:ff`; 0 for none."""
    return int(text.replace(":", ""), 16) if text else 0


def mac_text(number: int) -> str:
    return ":".join(f"{number >> shift & 0xFF:02x}" for shift in range(40, -8, -8))


def address_text(number: int, family: int) -> str:
    return str(IPv4Address(number) if family == 4 else IPv6Address(number))


def name_words(name: str) -> Pair:
    """A device name as two words, as the kernel compares names."""
    raw = name.encode(errors="surrogateescape")[:NAME_BYTES].ljust(NAME_BYTES, b"\0")
    return int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")


def name_mask(pattern: str) -> tuple[Pair, Pair]:
    """(name, mask) of `-i PATTERN`: a trailing + leaves the rest open."""
    if pattern.endswith("+"):
        prefix = pattern[:-1]
        mask_bytes = b"\xff" * len(prefix.encode(errors="surrogateescape"))
    else:
        prefix = pattern
        mask_bytes = b"\xff" * NAME_BYTES
    mask_bytes = mask_bytes[:NAME_BYTES].ljust(NAME_BYTES, b"\0")
    mask = (int.from_bytes(mask_bytes[:8], "little"), int.from_bytes(mask_bytes[8:], "little"))
    return name_words(prefix), mask


def identity(text: str) -> int:
    """A name as 64 bits: what chance depends on, so that it does not depend on numbering."""
    return int.from_bytes(
        blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest(), "little"
    )
