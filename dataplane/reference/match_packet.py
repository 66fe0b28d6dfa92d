"""Matches that look at the packet's bytes alone."""

from _fastpath.reason import Reason
from dataplane.node.iptables import Option
from dataplane.reference.match_words import Answer, Options, Unmodelled
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import dropped

TCP_FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0}


def _ports(place: Place, options: Options, packet: Packet) -> bool:
    """udp, udplite, sctp."""
    if not _has_header(packet):
        return False
    return all(_matches_ports(option, packet) for option in options)


def _tcp(place: Place, options: Options, packet: Packet) -> bool:
    if packet.transport.fragment_offset == 1:  # would overwrite the flags (RFC 1858)
        raise dropped(Reason.NETFILTER_DROP)
    if not _has_header(packet):
        return False
    return all(_matches_tcp(option, packet) for option in options)


def _has_header(packet: Packet) -> bool:
    """False for later fragments.  What is too short to be what it says is dropped
    (par->hotdrop)."""
    if packet.is_first and not packet.has_transport:
        raise dropped(Reason.NETFILTER_DROP)
    return packet.is_first


def _matches_tcp(option: Option, packet: Packet) -> bool:
    if option.name == "--tcp-flags":
        mask, wanted = (_flags(value) for value in option.values)
        return (packet.tcp_flags & mask == wanted) != option.negated
    if option.name == "--tcp-option":
        return (int(option.values[0]) in _tcp_options(packet)) != option.negated
    return _matches_ports(option, packet)


def _flags(text: str) -> int:
    total = 0
    for name in text.split(","):
        total |= TCP_FLAGS[name]
    return total


def _tcp_options(packet: Packet) -> set[int]:
    """tcp_find_option: kinds present, of a header that is all there."""
    size = (packet.payload[12] >> 4) * 4
    if size < 20 or packet.payload_length < size:
        raise dropped(Reason.NETFILTER_DROP)
    if len(packet.payload) < size:
        raise Unmodelled  # the capture does not hold them
    options, found, at = packet.payload[20:size], set(), 0
    while at < len(options):
        kind = options[at]
        found.add(kind)
        # END and NOP are one byte; others say their length, which is at least 2.
        length = options[at + 1] if kind > 1 and at + 1 < len(options) else 1
        at += length or 1
    return found


def _matches_ports(option: Option, packet: Packet) -> bool:
    if option.name not in ("--sport", "--dport"):
        raise Unmodelled
    port = packet.sport if option.name == "--sport" else packet.dport
    return _is_in_range(option.values[0], port) != option.negated


def _is_in_range(text: str, port: int) -> bool:
    first, colon, last = text.partition(":")
    if not colon:
        return port == int(first)
    return int(first or 0) <= port <= int(last or 65535)


def _multiport(place: Place, options: Options, packet: Packet) -> bool:
    if not _has_header(packet):
        return False
    return all(_matches_multiport(option, packet) for option in options)


def _matches_multiport(option: Option, packet: Packet) -> bool:
    ports = {
        "--sports": [packet.sport],
        "--dports": [packet.dport],
        "--ports": [packet.sport, packet.dport],
    }[option.name]
    ranges = option.values[0].split(",")
    found = any(_is_in_range(text, port) for text in ranges for port in ports)
    return found != option.negated


def _icmp(place: Place, options: Options, packet: Packet) -> bool:
    if not _has_header(packet):
        return False
    return all(_matches_icmp(option, packet) for option in options)


def _matches_icmp(option: Option, packet: Packet) -> bool:
    wanted, slash, code = option.values[0].partition("/")
    if wanted in ("any", "255"):
        return not option.negated
    is_type = packet.dport >> 8 == int(wanted)
    is_code = not slash or packet.dport & 0xFF == int(code)
    return (is_type and is_code) != option.negated


ANSWERS: dict[str, Answer] = {
    "tcp": _tcp,
    "udp": _ports,
    "udplite": _ports,
    "icmp": _icmp,
    "icmp6": _icmp,
    "multiport": _multiport,
}
