"""A flow in one line: `tcp 10.244.1.2:40000 > 10.96.10.10:80`.

udp [fd00::1]:40000 > [fd00::2]:53
icmp 10.1.1.1 > 10.2.2.2 id 77 type 8 code 0
47 10.1.1.1 > 10.2.2.2
"""

import re
from ipaddress import ip_address

from dataplane.node.protocols import PROTOCOL_NUMBERS
from dataplane.node.state import Address
from dataplane.reference.choice import Fields
from dataplane.reference.packet import ICMP, ICMPV6, WITH_PORTS

_FLOW = re.compile(r"(?P<protocol>\S+) +(?P<source>\S+) +> +(?P<destination>\S+)(?P<rest>.*)")
_ECHO = re.compile(r" +id +(?P<id>\d{1,5}) +type +(?P<type>\d{1,3}) +code +(?P<code>\d{1,3}) *")
_FORM = "`tcp ADDRESS:PORT > ADDRESS:PORT` or `icmp ADDRESS > ADDRESS id N type N code N`"


def parse_flow(text: str) -> Fields:
    """Raises ValueError saying what was expected."""
    found = _FLOW.fullmatch(text.strip())
    if not found:
        raise ValueError(f"flow {text[:80]!r}, but {_FORM} was expected")
    protocol = _protocol(found["protocol"])
    if protocol in WITH_PORTS and not found["rest"].strip():
        (src, sport), (dst, dport) = _end(found["source"]), _end(found["destination"])
    else:
        src, dst = _address(found["source"]), _address(found["destination"])
        sport, dport = _message(found["rest"], protocol, text)
    if src.version != dst.version:
        raise ValueError(f"flow {text[:80]!r}: addresses of two families")
    return Fields(src.version, protocol, src, sport, dst, dport)


def _protocol(name: str) -> int:
    if name.isdecimal() and len(name) <= 3 and int(name) <= 255:
        return int(name)
    number = PROTOCOL_NUMBERS.get(name)
    if number is None:
        raise ValueError(f"protocol {name[:20]!r} is not known")
    return number


def _message(rest: str, protocol: int, text: str) -> tuple[int, int]:
    """ICMP: identifier, and type << 8 | code."""
    if not rest.strip():
        return 0, 0
    found = _ECHO.fullmatch(rest)
    if not found or protocol not in (ICMP, ICMPV6):
        raise ValueError(f"flow {text[:80]!r}, but {_FORM} was expected")
    identifier, kind, code = (int(found[name]) for name in ("id", "type", "code"))
    if identifier > 0xFFFF or kind > 255 or code > 255:
        raise ValueError(f"flow {text[:80]!r}: id up to 65535, type and code up to 255 expected")
    return identifier, kind << 8 | code


def _end(text: str) -> tuple[Address, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or len(port) > 5 or int(port) > 0xFFFF:
        raise ValueError(f"{text[:60]!r}, but ADDRESS:PORT was expected")
    return _address(host), int(port)


def _address(text: str) -> Address:
    bracketed = text.startswith("[") and text.endswith("]")
    try:
        address = ip_address(text[1:-1] if bracketed else text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not an IP address") from None
    if getattr(address, "scope_id", None):
        raise ValueError(f"{text[:60]!r}: an address without a scope was expected")
    return address
