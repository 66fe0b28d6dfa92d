"""A line of `ipset save` to words, and the values in it to text and back.

Only a double quote quotes, and nothing escapes it: all other letters, `;|$!#[` among them,
stand for themselves (ipset 7.17, build_argv).  Each reader raises ValueError saying what was
expected.
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from dataplane.node.iptables_values import found_network, integer, network_text, parse_port
from dataplane.node.protocols import PROTOCOL_NUMBERS, protocol_name

Network = IPv4Network | IPv6Network

MAC = re.compile(r"[0-9A-Fa-f]{1,2}(:[0-9A-Fa-f]{1,2}){5}\Z")
WITH_PORTS = frozenset((6, 17, 132, 136))
ICMP, ICMPV6 = 1, 58
# Both as ipset prints them: asked of ipset 7.17, one type and code after the other.
ICMP_NAMES = {
    "echo-reply": (0, 0), "network-unreachable": (3, 0), "host-unreachable": (3, 1),
    "protocol-unreachable": (3, 2), "port-unreachable": (3, 3), "fragmentation-needed": (3, 4),
    "source-route-failed": (3, 5), "network-unknown": (3, 6), "host-unknown": (3, 7),
    "network-prohibited": (3, 9), "host-prohibited": (3, 10), "TOS-network-unreachable": (3, 11),
    "TOS-host-unreachable": (3, 12), "communication-prohibited": (3, 13),
    "host-precedence-violation": (3, 14), "precedence-cutoff": (3, 15), "source-quench": (4, 0),
    "network-redirect": (5, 0), "host-redirect": (5, 1), "TOS-network-redirect": (5, 2),
    "TOS-host-redirect": (5, 3), "echo-request": (8, 0), "router-advertisement": (9, 0),
    "router-solicitation": (10, 0), "ttl-zero-during-transit": (11, 0),
    "ttl-zero-during-reassembly": (11, 1), "ip-header-bad": (12, 0),
    "required-option-missing": (12, 1), "timestamp-request": (13, 0), "timestamp-reply": (14, 0),
    "address-mask-request": (17, 0), "address-mask-reply": (18, 0),
}  # fmt: skip
ICMP6_NAMES = {
    "no-route": (1, 0), "communication-prohibited": (1, 1), "address-unreachable": (1, 3),
    "port-unreachable": (1, 4), "packet-too-big": (2, 0), "ttl-zero-during-transit": (3, 0),
    "ttl-zero-during-reassembly": (3, 1), "bad-header": (4, 0), "unknown-header-type": (4, 1),
    "unknown-option": (4, 2), "echo-request": (128, 0), "echo-reply": (129, 0),
    "router-solicitation": (133, 0), "router-advertisement": (134, 0),
    "neighbour-solicitation": (135, 0), "neighbour-advertisement": (136, 0), "redirect": (137, 0),
}  # fmt: skip
NAMES = {ICMP: ICMP_NAMES, ICMPV6: ICMP6_NAMES}
NAME_OF = {
    protocol: {pair: name for name, pair in names.items()} for protocol, names in NAMES.items()
}


def split(line: str) -> list[str]:
    """The words of a line; a quoted one loses its quotes, and may be empty."""
    words: list[str] = []
    for number, part in enumerate(line.split('"')):
        words += [part] if number % 2 else part.split()
    if line.count('"') % 2:
        raise ValueError('a closing " is missing')
    return words


@lru_cache(maxsize=1 << 16)
def network(text: str, family: int) -> Network:
    found = found_network(text)
    if found.version != family:
        raise ValueError(f"an IPv{family} address was expected, not {text!r}")
    return found


def first_and_last(text: str, family: int) -> tuple[int, int]:
    """`A`, `A/LENGTH` or `A-B` as numbers."""
    low, dash, high = text.partition("-")
    first = network(low, family)
    if not dash:
        return int(first.network_address), int(first.broadcast_address)
    last = network(high, family)
    ends = int(first.network_address), int(last.network_address)
    if "/" in text or ends[0] > ends[1]:
        raise ValueError(f"a range FIRST-LAST was expected, not {text!r}")
    return ends


def one(number: int, family: int) -> Network:
    """The network of one address."""
    return IPv4Network(number) if family == 4 else IPv6Network(number)


def address(number: int, family: int) -> IPv4Address | IPv6Address:
    return IPv4Address(number) if family == 4 else IPv6Address(number)


def text_of_network(found: Network) -> str:
    """Without its length, if it is one address."""
    text = network_text(found)
    return text.rpartition("/")[0] if found.prefixlen == found.max_prefixlen else text


def ports(text: str) -> tuple[int, int, int]:
    """(protocol, first, last) of `80`, `tcp:80-82`, `icmp:echo-request`, `icmp:8/0`, `gre:0`."""
    word, colon, value = text.rpartition(":")
    protocol = _protocol(word) if colon else 6
    if protocol in NAMES:
        kind = _icmp(protocol, value)
        return protocol, kind, kind
    if protocol not in WITH_PORTS:
        if value != "0":
            raise ValueError(f"{word}:0 was expected, as {word} has no ports")
        return protocol, 0, 0
    first, last = port_range(value)
    return protocol, first, last


def port_range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    first = parse_port(low)
    last = parse_port(high) if dash else first
    return min(first, last), max(first, last)


def _protocol(text: str) -> int:
    number = PROTOCOL_NUMBERS.get(text.lower(), 0)
    if not number:
        number = integer(text, 255) if text.isdecimal() else 0
    if not number:
        raise ValueError(f"a protocol was expected, not {text!r}")
    return number


def _icmp(protocol: int, text: str) -> int:
    if text in NAMES[protocol]:
        kind, code = NAMES[protocol][text]
        return kind << 8 | code
    written, slash, code_text = text.partition("/")
    if not slash:
        raise ValueError(f"an ICMP type's name or TYPE/CODE was expected, not {text!r}")
    return integer(written, 255) << 8 | integer(code_text, 255)


def text_of_port(protocol: int, port: int) -> str:
    name = protocol_name(protocol)
    if protocol in NAMES:
        pair = divmod(port, 256)
        return f"{name}:{NAME_OF[protocol].get(pair) or '{}/{}'.format(*pair)}"
    return f"{name}:{port}"


def mac(text: str) -> str:
    if not MAC.match(text):
        raise ValueError(f"a MAC address was expected, not {text!r}")
    return ":".join(f"{int(part, 16):02x}" for part in text.split(":"))
