"""Matches that look at the packet's bytes alone."""

from collections.abc import Iterator

from _fastpath.reason import Reason
from dataplane.node.iptables import Option
from dataplane.reference.match_extension import authentication
from dataplane.reference.match_words import (
    Answer,
    CountedDrop,
    Options,
    Unmodelled,
    flavour,
    tcp_bytes,
)
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import Ended, dropped

TCP_FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0}

# RFC 9260 3.2, RFC 5061, RFC 3758, RFC 6525, RFC 4820
SCTP_CHUNKS = {
    "DATA": 0, "INIT": 1, "INIT_ACK": 2, "SACK": 3, "HEARTBEAT": 4, "HEARTBEAT_ACK": 5, "ABORT": 6,
    "SHUTDOWN": 7, "SHUTDOWN_ACK": 8, "ERROR": 9, "COOKIE_ECHO": 10, "COOKIE_ACK": 11,
    "ECN_ECNE": 12, "ECN_CWR": 13, "SHUTDOWN_COMPLETE": 14, "I_DATA": 64, "ASCONF_ACK": 128,
    "RE_CONFIG": 130, "PAD": 132, "FORWARD_TSN": 192, "ASCONF": 193, "I_FORWARD_TSN": 194,
}  # fmt: skip
SCTP_FLAGS = {"DATA": "EBUI", "ABORT": "T", "SHUTDOWN_COMPLETE": "T", "I_DATA": "EBUI"}


NATIVE = {"--sport", "--dport", "--tcp-flags"}


def _is_native(place: Place, options: Options) -> bool:
    """iptables-nft 1.8.9 asks for ports and flags by itself, not by way of xt_tcpudp."""
    names = {option.name for option in options}
    return bool(names) and names <= NATIVE and flavour(place) == "nft"


def _native(option: Option, packet: Packet) -> bool:
    """A header that ends before what is asked for does not match, `!` or not."""
    at, size = {"--sport": (0, 2), "--dport": (2, 2), "--tcp-flags": (13, 1)}[option.name]
    header, length = tcp_bytes(packet)
    if length < at + size:
        return False
    held = header[at : at + size]
    if len(held) < size:
        raise Unmodelled  # the capture does not hold it
    number = int.from_bytes(held)
    if option.name == "--tcp-flags":
        mask, wanted = (_flags(value) for value in option.values)
        return (number & mask == wanted) != option.negated
    return _is_in_range(option.values[0], number) != option.negated


def _udp(place: Place, options: Options, packet: Packet) -> bool:
    if _is_native(place, options):
        return all(_native(option, packet) for option in options)
    return ports_match(place, options, packet)


def ports_match(place: Place, options: Options, packet: Packet) -> bool:
    """udp, udplite, sctp."""
    if not _has_header(packet):
        return False
    return all(_matches_ports(option, packet) for option in options)


def _tcp(place: Place, options: Options, packet: Packet) -> bool:
    if _is_native(place, options):
        return all(_native(option, packet) for option in options)
    # IPv6 counts offsets in bytes, and 1 never comes.
    if (
        packet.family == 4 and packet.transport.fragment_offset == 1
    ):  # would overwrite the flags (RFC 1858)
        raise dropped(Reason.NETFILTER_DROP)
    if not _has_header(packet):
        return False
    # tcp_mt: the options of the header are looked for last, and may drop the packet.
    in_order = sorted(options, key=lambda option: option.name == "--tcp-option")
    return all(_matches_tcp(option, packet) for option in in_order)


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
    """xt_multiport.c: no more than the ports need be there."""
    if not packet.is_first:
        return False
    if packet.payload_length < 4:
        raise dropped(Reason.NETFILTER_DROP)
    if len(packet.payload) < 4:
        raise Unmodelled  # the capture does not hold them
    return all(_matches_multiport(option, packet.payload) for option in options)


def _matches_multiport(option: Option, header: bytes) -> bool:
    sport, dport = int.from_bytes(header[:2]), int.from_bytes(header[2:4])
    ports = {"--sports": [sport], "--dports": [dport], "--ports": [sport, dport]}[option.name]
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


def _tcpmss(place: Place, options: Options, packet: Packet) -> bool:
    """xt_tcpmss.c"""
    header, length = tcp_bytes(packet)
    if len(header) < 20 <= length:
        raise Unmodelled  # the capture does not hold it
    size = (header[12] >> 4) * 4 if length >= 20 else 0
    if size < 20 or length < size:
        raise dropped(Reason.NETFILTER_DROP)
    if len(header) < size:
        raise Unmodelled
    mss = _maximum_segment_size(header[20:size])
    (option,) = options
    return (mss is not None and _is_in_range(option.values[0], mss)) != option.negated


def _maximum_segment_size(words: bytes) -> int | None:
    at = 0
    while at < len(words):
        if words[at] == 2 and len(words) - at >= 4 and words[at + 1] == 4:
            return int.from_bytes(words[at + 2 : at + 4])
        # END is passed over like NOP.
        at += 1 if words[at] < 2 or at + 1 == len(words) else words[at + 1] or 1
    return None


def _spi(place: Place, options: Options, packet: Packet, at: int, size: int) -> bool:
    """ipt_ah.c, xt_esp.c"""
    if not packet.is_first:
        return False
    if packet.payload_length < size:
        raise dropped(Reason.NETFILTER_DROP)
    if len(packet.payload) < size:
        raise Unmodelled  # the capture does not hold it
    spi = int.from_bytes(packet.payload[at : at + 4])
    if any(option.name not in ("--ahspi", "--espspi") for option in options):
        raise Unmodelled
    return all(_is_spi(option.values[0], spi) != option.negated for option in options)


def _is_spi(text: str, spi: int) -> bool:
    first, colon, last = text.partition(":")
    return int(first or 0) <= spi <= (int(last or 0xFFFFFFFF) if colon else int(first))


def _ah(place: Place, options: Options, packet: Packet) -> bool:
    if packet.family == 6:
        return authentication(place, options, packet)
    return _spi(place, options, packet, 4, 12)


def _esp(place: Place, options: Options, packet: Packet) -> bool:
    return _spi(place, options, packet, 0, 8)


def _sctp(place: Place, options: Options, packet: Packet) -> bool:
    chunks = [option for option in options if option.name == "--chunk-types"]
    if not ports_match(place, tuple(o for o in options if o not in chunks), packet):
        return False
    try:
        return all(_chunks_match(option, packet) != option.negated for option in chunks)
    except Ended:
        if flavour(place) != "nft" and chunks[0].negated:
            raise CountedDrop from None  # xt_sctp.c turns that answer round as well
        raise


def _chunks_match(option: Option, packet: Packet) -> bool:
    """xt_sctp.c, match_packet"""
    how, wanted = option.values[0], dict(_chunk_types(option.values[1]))
    missing = set(wanted)
    for kind, flags in _chunks(packet):
        if kind in wanted and all(bool(flags & b) == s for b, s in wanted[kind].items()):
            if how == "any":
                return True
            missing.discard(kind)
        elif how == "only":
            return False
    return how == "only" or (how == "all" and not missing)


def _chunk_types(text: str) -> Iterator[tuple[int, dict[int, bool]]]:
    """Chunk types, and the flags asked of each."""
    for word in text.split(","):
        name, _, flags = word.partition(":")
        if name == "ALL":
            yield from ((number, {}) for number in range(256))
        elif name != "NONE":
            letters = SCTP_FLAGS.get(name, "")
            yield SCTP_CHUNKS[name], {1 << letters.index(f.upper()): f.isupper() for f in flags}


def _chunks(packet: Packet) -> Iterator[tuple[int, int]]:
    """(type, flags) of each chunk.  A damaged one drops the packet, once it is come to."""
    at = 12
    while True:
        header = packet.payload[at : at + 4]
        if at + 4 <= packet.payload_length and len(header) < 4:
            raise Unmodelled  # the capture does not hold it
        size = int.from_bytes(header[2:4])
        if len(header) < 4 or size == 0:
            raise dropped(Reason.NETFILTER_DROP)
        yield header[0], header[1]
        at += (size + 3) // 4 * 4
        if at >= packet.payload_length:
            return


ANSWERS: dict[str, Answer] = {
    "tcp": _tcp,
    "udp": _udp,
    "udplite": ports_match,
    "sctp": _sctp,
    "tcpmss": _tcpmss,
    "ah": _ah,
    "esp": _esp,
    "icmp": _icmp,
    "icmp6": _icmp,
    "multiport": _multiport,
}
