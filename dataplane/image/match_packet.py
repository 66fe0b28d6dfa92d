"""Rows of matches that look at the packet's bytes alone."""

from collections.abc import Callable

from _fastpath.image import MatchKind
from dataplane.image.match_rows import UNKNOWN, Row, Rows, options_of, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match, Option

TCP_FLAGS = {
    "FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0,
}  # fmt: skip
SOURCE, DESTINATION = 1, 2


def _port_range(option: Option | None) -> tuple[int, int]:
    if option is None:
        return 0, 65535
    low, _, high = option.values[0].partition(":")
    return int(low or 0), int(high or (65535 if ":" in option.values[0] else low))


def _ports(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    rows = []
    sport, dport = options.pop("--sport", None), options.pop("--dport", None)
    invert = bool(sport and sport.negated) | bool(dport and dport.negated) << 1
    rows.append(row(MatchKind.MATCH_PORTS, *_port_range(sport), *_port_range(dport), invert=invert))
    for option in options.values():
        rows.append(TCP_OPTIONS[option.name](option) if match.name == "tcp" else UNKNOWN)
    return rows


def _tcp_flags(option: Option) -> Row:
    mask, compare = (sum({TCP_FLAGS[flag] for flag in text.split(",")}) for text in option.values)
    return row(MatchKind.MATCH_TCP_FLAGS, mask, compare, invert=option.negated)


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
    start = len(pools.ranges)
    pools.ranges += found
    return [
        row(MatchKind.MATCH_MULTIPORT, start, len(found), sides[option.name],
            invert=option.negated)
    ]  # fmt: skip


MATCHES: dict[str, Rows] = {
    "tcp": _ports,
    "udp": _ports,
    "udplite": _ports,
    "icmp": _icmp,
    "icmp6": _icmp,
    "multiport": _multiport,
}
