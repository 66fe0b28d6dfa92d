"""The values of a rule's own header: `-s`, `-d`, `-i`, `-o`, `-p`; and ports.

Each function raises ValueError saying what was expected.
"""

from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

from dataplane.node.protocols import PROTOCOL_NUMBERS

INTERFACE_BYTES = 15  # IFNAMSIZ - 1

# The names of /etc/services that rule sets use.
SERVICES = {
    "ftp-data": 20,
    "ftp": 21,
    "ssh": 22,
    "telnet": 23,
    "smtp": 25,
    "domain": 53,
    "bootps": 67,
    "bootpc": 68,
    "tftp": 69,
    "http": 80,
    "www": 80,
    "kerberos": 88,
    "pop3": 110,
    "sunrpc": 111,
    "ntp": 123,
    "netbios-ns": 137,
    "netbios-dgm": 138,
    "netbios-ssn": 139,
    "imap2": 143,
    "imap": 143,
    "snmp": 161,
    "snmp-trap": 162,
    "bgp": 179,
    "ldap": 389,
    "https": 443,
    "microsoft-ds": 445,
    "isakmp": 500,
    "syslog": 514,
    "submission": 587,
    "ldaps": 636,
    "imaps": 993,
    "pop3s": 995,
    "openvpn": 1194,
    "nfs": 2049,
    "mysql": 3306,
    "ms-wbt-server": 3389,
    "ipsec-nat-t": 4500,
    "sip": 5060,
    "mdns": 5353,
    "postgresql": 5432,
    "http-alt": 8080,
}


def parse_protocol(text: str) -> int:
    """IPPROTO_* of a name or number; 0 is `all`."""
    if text.isdecimal() and int(text) <= 255:
        return int(text)
    try:
        return PROTOCOL_NUMBERS[text.lower()]
    except KeyError:
        raise ValueError("a protocol name or a number up to 255 was expected") from None


def parse_interface(text: str) -> str:
    if text and len(text.encode(errors="surrogateescape")) <= INTERFACE_BYTES:
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


def _network4(address: str, mask: str) -> IPv4Network:
    if mask:
        address += ".0" * (3 - address.count("."))  # 10/8
    if "." in mask:
        length = _prefix_length(int(IPv4Address(mask)), 32)
    else:
        length = integer(mask, 32) if mask else 32
    return IPv4Network((int(IPv4Address(address)), length), strict=False)


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
