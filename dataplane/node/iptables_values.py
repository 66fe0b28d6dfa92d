"""The values of a rule's own header: `-s`, `-d`, `-i`, `-o`, `-p`; and ports.

Each function raises ValueError saying what was expected.
"""

import socket
from functools import lru_cache
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

from dataplane.node.protocols import PROTOCOL_NUMBERS
from dataplane.node.services import SERVICES

INTERFACE_BYTES = 15  # IFNAMSIZ - 1


def parse_protocol(text: str) -> int:
    """IPPROTO_* of a name or number; 0 is `all`."""
    number = PROTOCOL_NUMBERS.get(text.lower())
    if number is not None:
        return number
    try:
        return integer(text, 255)
    except ValueError:
        raise ValueError("a protocol name or a number up to 255 was expected") from None


def parse_interface(text: str) -> str:
    if text and text != "!" and len(text.encode(errors="surrogateescape")) <= INTERFACE_BYTES:
        return text
    raise ValueError(f"an interface name of 1 to {INTERFACE_BYTES} bytes was expected")


@lru_cache(maxsize=1 << 16)
def parse_network(text: str) -> IPv4Network | IPv6Network:
    """An address, with a prefix length or a netmask if any; bits beyond the mask are dropped."""
    address, _, mask = text.partition("/")
    try:
        if ":" in address:
            return _network6(address, mask)
        return _network4(address, mask)
    except AddressValueError:
        raise ValueError("an IP address with an optional /prefix was expected") from None


def found_network(text: str) -> IPv4Network | IPv6Network:
    """The same where getaddrinfo reads the address: 10.1 is 10.0.0.1."""
    address, slash, mask = text.partition("/")
    if ":" in address or address.count(".") == 3:
        return parse_network(text)
    try:
        return parse_network(f"{IPv4Address(found_ipv4(address))}{slash}{mask}")
    except AddressValueError:
        raise ValueError("an IP address with an optional /prefix was expected") from None


def parse_masked(text: str) -> tuple[IPv4Network | IPv6Network, int | None]:
    """A network; or an address and a mask that is no prefix, such as 255.0.255.0."""
    address, _, written = text.partition("/")
    mask = _odd_mask(written) if "." in written or ":" in written else None
    if mask is None:
        return parse_network(text), None
    exact = parse_network(address)
    if exact.version != (6 if ":" in written else 4):
        raise ValueError("an address and a mask of one family were expected")
    return type(exact)(int(exact.network_address) & mask), mask


def _odd_mask(text: str) -> int | None:
    try:
        mask = int(ip_address(text))
    except ValueError:
        return None
    width = 128 if ":" in text else 32
    ones = mask.bit_count()
    return None if mask == (1 << width) - (1 << (width - ones)) else mask


def _network4(address: str, mask: str) -> IPv4Network:
    if "." in mask:
        length = _prefix_length(int(IPv4Address(mask)), 32)
    else:
        length = integer(mask, 32) if mask else 32
    return IPv4Network((_address4(address), length), strict=False)


def dotted(text: str) -> int | None:
    """Four decimal numbers without zeros before them, which is how IPv4 addresses are printed.

    A fifth of the time that IPv4Address takes, and it takes nothing else.
    """
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, text))
    except (OSError, ValueError):
        return None


def _address4(text: str) -> int:
    """Four numbers; of fewer the last are 0 (10.1 is 10.1.0.0), unless one is above 255."""
    number = dotted(text)
    if number is not None:
        return number
    try:
        numbers = [integer(part, 255) for part in text.split(".")]
    except ValueError:
        return found_ipv4(text)
    if len(numbers) > 4:
        raise AddressValueError(text)
    return int.from_bytes(bytes(numbers).ljust(4, b"\0"))


def found_ipv4(text: str) -> int:
    """As getaddrinfo reads it: the last number fills the rest (16 is 0.0.0.16)."""
    try:
        *first, last = (integer(part, 0xFFFFFFFF) for part in text.split("."))
    except ValueError:
        raise AddressValueError(text) from None
    if len(first) > 3 or max(first, default=0) > 255 or last >> 8 * (4 - len(first)):
        raise AddressValueError(text)
    return int.from_bytes(bytes(first).ljust(4, b"\0")) + last


def _network6(address: str, mask: str) -> IPv6Network:
    if "%" in address:
        raise AddressValueError("scoped address")
    if ":" in mask:
        length = _prefix_length(int(IPv6Address(mask)), 128)
    else:
        length = integer(mask, 128) if mask else 128
    return IPv6Network((int(IPv6Address(address)), length), strict=False)


def _prefix_length(mask: int, width: int) -> int:
    """Ones of a netmask, which must be all on the left."""
    ones = mask.bit_count()
    if mask != (1 << width) - (1 << (width - ones)):
        raise ValueError("a mask with all its ones on the left was expected")
    return ones


def network_text(network: IPv4Network | IPv6Network) -> str:
    """As inet_ntop writes it, which ends some IPv6 addresses in dotted form."""
    number = int(network.network_address)
    if network.version == 6 and number >> 16 and number >> 48 == 0:  # ::ffff:1.2.3.4
        high, dotted = number >> 32, IPv4Address(number & 0xFFFFFFFF)
        if high in (0, 0xFFFF):
            return f"::{'ffff:' if high else ''}{dotted}/{network.prefixlen}"
    return str(network)


def integer(text: str, most: int) -> int:
    """A number as C's strtoul(…, 0) reads it: decimal, 0x hexadecimal or 0 octal."""
    base = 16 if text[:2].lower() == "0x" else 8 if text[:1] == "0" else 10
    try:
        number = int(text, base) if text.isalnum() and text.isascii() else -1
    except ValueError:
        number = -1
    if not 0 <= number <= most:
        raise ValueError(f"a number from 0 to {most} was expected")
    return number


def parse_port(text: str) -> int:
    """A port, written as a number or as the name of a service."""
    if text in SERVICES:
        return SERVICES[text]
    try:
        return integer(text, 65535)
    except ValueError:
        raise ValueError("a port from 0 to 65535 was expected") from None


def decimal_port(text: str) -> int:
    """A port where getaddrinfo reads it: a number is decimal, and has no limit."""
    if text in SERVICES:
        return SERVICES[text]
    if text.isdecimal() and text.isascii():
        return int(text) & 0xFFFF
    raise ValueError("a port, a decimal number or a name, was expected")


@lru_cache(maxsize=1 << 16)
def normal_ports(text: str) -> str:
    """`80`, or `FIRST:LAST` with the ends that were left out."""
    first, colon, last = text.partition(":")
    if not colon:
        return str(parse_port(first))
    low, high = parse_port(first or "0"), parse_port(last or "65535")
    if low > high:
        raise ValueError("a port range FIRST:LAST was expected, the smaller first")
    return str(low) if low == high else f"{low}:{high}"
