"""Rows of matches that look at the packet's bytes alone."""

from collections.abc import Callable

from _fastpath.image import MatchKind, NativeMatch, SctpMatch
from dataplane.image.match_extension import header_rows
from dataplane.image.match_rows import UNKNOWN, Row, Rows, Unmodelled, options_of, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match, Option

TCP_FLAGS = {
    "FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0,
}  # fmt: skip
SOURCE, DESTINATION = 1, 2
SCTP_CHUNKS = {
    "DATA": 0, "INIT": 1, "INIT_ACK": 2, "SACK": 3, "HEARTBEAT": 4, "HEARTBEAT_ACK": 5, "ABORT": 6,
    "SHUTDOWN": 7, "SHUTDOWN_ACK": 8, "ERROR": 9, "COOKIE_ECHO": 10, "COOKIE_ACK": 11,
    "ECN_ECNE": 12, "ECN_CWR": 13, "SHUTDOWN_COMPLETE": 14, "I_DATA": 64, "ASCONF_ACK": 128,
    "RE_CONFIG": 130, "PAD": 132, "FORWARD_TSN": 192, "ASCONF": 193, "I_FORWARD_TSN": 194,
}  # fmt: skip
# The lowest bit first.
SCTP_FLAGS = {
    "DATA": "EBUI",
    "ABORT": "T",
    "SHUTDOWN_COMPLETE": "T",
    "I_DATA": "EBUI",
}
SCTP_HOW = {"any": SctpMatch.SCTP_ANY, "all": SctpMatch.SCTP_ALL, "only": SctpMatch.SCTP_ONLY}


def _port_range(option: Option | None) -> tuple[int, int]:
    if option is None:
        return 0, 65535
    low, _, high = option.values[0].partition(":")
    return int(low or 0), int(high or (65535 if ":" in option.values[0] else low))


def ports(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    is_native = pools.flavour == "nft" and options.keys() & NATIVE and match.name in ("tcp", "udp")
    if is_native and not options.keys() - NATIVE - {"--tcp-flags"}:
        return _native_rows(options)
    sport, dport = options.pop("--sport", None), options.pop("--dport", None)
    rows = [_ports_row(sport, dport, 0)]
    # tcp_mt asks for the flags before it looks for an option, and drops a header that is cut short.
    for option in sorted(options.values(), key=lambda option: option.name == "--tcp-option"):
        rows.append(TCP_OPTIONS[option.name](option) if match.name == "tcp" else UNKNOWN)
    return rows


def _ports_row(sport: Option | None, dport: Option | None, flags: int) -> Row:
    invert = bool(sport and sport.negated) | bool(dport and dport.negated) << 1
    ends = *_port_range(sport), *_port_range(dport)
    return row(MatchKind.MATCH_PORTS, *ends, invert=invert, flags=flags)


# What iptables-nft asks of the header itself, where legacy asks xt_tcpudp.
NATIVE = {"--sport", "--dport", "--tcp-flags"}


def _native_rows(options: dict[str, Option]) -> list[Row]:
    rows = []
    if "--tcp-flags" in options:
        rows.append(_tcp_flags(options["--tcp-flags"], NativeMatch.NATIVE_FLAGS))
    sport, dport = options.get("--sport"), options.get("--dport")
    flags = (NativeMatch.NATIVE_SPORT if sport else 0) | (NativeMatch.NATIVE_DPORT if dport else 0)
    return [*rows, _ports_row(sport, dport, flags)] if flags else rows


def _tcp_flags(option: Option, flags: int = 0) -> Row:
    mask, compare = (sum({TCP_FLAGS[flag] for flag in text.split(",")}) for text in option.values)
    return row(MatchKind.MATCH_TCP_FLAGS, mask, compare, invert=option.negated, flags=flags)


def _tcp_option(option: Option) -> Row:
    return row(MatchKind.MATCH_TCP_OPTION, int(option.values[0]), invert=option.negated)


TCP_OPTIONS: dict[str, Callable[[Option], Row]] = {
    "--tcp-flags": _tcp_flags,
    "--tcp-option": _tcp_option,
}


def _icmp(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    if not options:
        return []
    option = options.pop("--icmp-type", None) or options.pop("--icmpv6-type")
    if options:
        return [UNKNOWN]
    if option.values[0] == "any":
        return [row(MatchKind.MATCH_ICMP, 255, 0, 255, invert=option.negated)]
    kind, _, code = option.values[0].partition("/")
    low, high = (int(code), int(code)) if code else (0, 255)
    return [row(MatchKind.MATCH_ICMP, int(kind), low, high, invert=option.negated)]


def _multiport(match: Match, pools: Pools, family: int) -> list[Row]:
    (option,) = match.options
    sides = {"--sports": SOURCE, "--dports": DESTINATION, "--ports": SOURCE | DESTINATION}
    found = []
    for text in option.values[0].split(","):
        low, _, high = text.partition(":")
        found.append((int(low), int(high or low)))
    start = pools.add_ranges(found)
    return [
        row(MatchKind.MATCH_MULTIPORT, start, len(found), sides[option.name],
            invert=option.negated)
    ]  # fmt: skip


def _tcpmss(match: Match, pools: Pools, family: int) -> list[Row]:
    (option,) = match.options
    first, colon, last = option.values[0].partition(":")
    low, high = int(first or 0), int(last or 65535) if colon else int(first)
    return [row(MatchKind.MATCH_TCPMSS, low, high, invert=option.negated)]


SPI = {"ah": ("--ahspi", 4, 12), "esp": ("--espspi", 0, 8)}  # option, offset, bytes of the header


def _spi(match: Match, pools: Pools, family: int) -> list[Row]:
    name, at, size = SPI[match.name]
    if match.name == "ah" and family == 6:
        return header_rows(match, pools, family)
    if not match.options:
        return [row(MatchKind.MATCH_SPI, 0, 0xFFFFFFFF, at, size)]
    (option,) = match.options
    if option.name != name:
        raise Unmodelled(option.name)
    first, colon, last = option.values[0].partition(":")
    low = int(first or 0)
    high = int(last or 0xFFFFFFFF) if colon else low
    return [row(MatchKind.MATCH_SPI, low, high, at, size, invert=option.negated)]


def _sctp(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    chunks = options.pop("--chunk-types", None)
    rows = ports(Match("sctp", tuple(options.values())), pools, family)
    return [*rows, _chunks(chunks, pools)] if chunks else rows


def _chunks(option: Option, pools: Pools) -> Row:
    how, text = option.values
    types, entries = [0] * 8, []
    for word in text.split(","):
        name, colon, flags = word.partition(":")
        if name in ("ALL", "NONE"):
            types = [0xFFFFFFFF if name == "ALL" else 0] * 8
            continue
        number = SCTP_CHUNKS[name]
        types[number >> 5] |= 1 << (number & 31)
        if colon:
            bits = {1 << SCTP_FLAGS[name].index(flag.upper()): flag.isupper() for flag in flags}
            entries += [number, sum(bits), sum(bit for bit, is_set in bits.items() if is_set)]
    start = pools.add_words(types + entries)
    kind = SCTP_HOW[how]
    is_turned = option.negated and pools.flavour != "nft"
    return row(
        MatchKind.MATCH_SCTP_CHUNKS, start, len(entries) // 3, kind, int(is_turned),
        invert=option.negated,
    )  # fmt: skip


MATCHES: dict[str, Rows] = {
    "tcp": ports,
    "udp": ports,
    "udplite": ports,
    "sctp": _sctp,
    "tcpmss": _tcpmss,
    "ah": _spi,
    "esp": _spi,
    "icmp": _icmp,
    "icmp6": _icmp,
    "multiport": _multiport,
}
