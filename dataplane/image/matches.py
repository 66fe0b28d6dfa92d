"""Matches of a rule as rows: what `-m NAME …` asks, in numbers.

Options come in the normal form of `dataplane.node.iptables`.  A match that is not modelled
becomes one row MATCH_UNKNOWN: its outcome is not known, and the walk says so.
"""

from collections.abc import Callable

from _fastpath.image import AddrtypeFlag, CtState, MatchKind, RouteKind
from _fastpath.state import CtStatus
from dataplane.node.iptables import Match, Option

Row = tuple[int, int, int, int, int, int, int, int]  # MATCH
Unmodelled = KeyError  # what interpreting an option that is not modelled raises

TCP_FLAGS = {
    "FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0,
}  # fmt: skip
CT_STATUS = {
    "NONE": 0, "EXPECTED": CtStatus.IPS_EXPECTED, "SEEN_REPLY": CtStatus.IPS_SEEN_REPLY,
    "ASSURED": CtStatus.IPS_ASSURED, "CONFIRMED": CtStatus.IPS_CONFIRMED,
}  # fmt: skip
SOURCE, DESTINATION = 1, 2


def row(kind: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0, *, invert: int = 0,
        flags: int = 0) -> Row:  # fmt: skip
    return (a, b, c, d, int(kind), invert, flags, 0)


UNKNOWN = row(MatchKind.MATCH_UNKNOWN)


def match_rows(
    match: Match, ranges: list[tuple[int, int]], counters: list[int], icmp_family: int
) -> list[Row]:
    """Rows that all must hold.  Appends to `ranges` and `counters` what they refer to."""
    try:
        if match.name == "multiport":
            return _multiport(match, ranges)
        if match.name == "statistic":
            return _statistic(match, counters)
        return MATCHES[match.name](match)
    except (KeyError, ValueError):
        return [UNKNOWN]


def _options(match: Match) -> dict[str, Option]:
    options = {option.name: option for option in match.options}
    if len(options) != len(match.options):
        raise Unmodelled("the same option twice")
    return options


def _nothing(match: Match) -> list[Row]:
    return []


def _port_range(option: Option | None) -> tuple[int, int]:
    if option is None:
        return 0, 65535
    low, _, high = option.values[0].partition(":")
    return int(low or 0), int(high or (65535 if ":" in option.values[0] else low))


def _ports(match: Match) -> list[Row]:
    options = _options(match)
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


def _icmp(match: Match) -> list[Row]:
    options = _options(match)
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


def _multiport(match: Match, ranges: list[tuple[int, int]]) -> list[Row]:
    (option,) = match.options
    sides = {"--sports": SOURCE, "--dports": DESTINATION, "--ports": SOURCE | DESTINATION}
    found = []
    for text in option.values[0].split(","):
        low, _, high = text.partition(":")
        found.append((int(low), int(high or low)))
    start = len(ranges)
    ranges += found
    return [
        row(MatchKind.MATCH_MULTIPORT, start, len(found), sides[option.name],
            invert=option.negated)
    ]  # fmt: skip


def _names(option: Option, numbers: dict[str, int]) -> int:
    total = 0
    for name in option.values[0].split(","):
        total |= numbers[name]
    return total


CT_STATES = {state.name.removeprefix("CTSTATE_"): int(state) for state in CtState}


def _conntrack(match: Match) -> list[Row]:
    options = _options(match)
    state = options.pop("--ctstate", None) or options.pop("--state", None)
    status = options.pop("--ctstatus", None)
    asked = bool(state) | bool(status) << 1
    flags = bool(state and state.negated) | bool(status and status.negated) << 1
    rows = [
        row(
            MatchKind.MATCH_CONNTRACK,
            _names(state, CT_STATES) if state else 0,
            _names(status, CT_STATUS) if status else 0,
            0,
            asked,
            flags=flags,
        )
    ]
    return rows + [UNKNOWN] * bool(options)


def _mark(match: Match) -> list[Row]:
    (option,) = match.options
    value, _, mask = option.values[0].partition("/")
    return [
        row(MatchKind.MATCH_MARK, int(value, 0), int(mask, 0) if mask else 0xFFFFFFFF,
            invert=option.negated)
    ]  # fmt: skip


ADDRESS_TYPES = {
    "UNICAST": RouteKind.ROUTE_UNICAST, "LOCAL": RouteKind.ROUTE_LOCAL,
    "BROADCAST": RouteKind.ROUTE_BROADCAST, "MULTICAST": RouteKind.ROUTE_MULTICAST,
    "BLACKHOLE": RouteKind.ROUTE_BLACKHOLE, "UNREACHABLE": RouteKind.ROUTE_UNREACHABLE,
    "PROHIBIT": RouteKind.ROUTE_PROHIBIT, "THROW": RouteKind.ROUTE_THROW,
}  # fmt: skip
ADDRESS_TYPE_BITS = {name: 1 << kind for name, kind in ADDRESS_TYPES.items()}


def _addrtype(match: Match) -> list[Row]:
    options = _options(match)
    source = options.pop("--src-type", None)
    destination = options.pop("--dst-type", None)
    flags = 0
    if options.pop("--limit-iface-in", None):
        flags |= AddrtypeFlag.ADDRTYPE_LIMIT_IFACE_IN
    if options.pop("--limit-iface-out", None):
        flags |= AddrtypeFlag.ADDRTYPE_LIMIT_IFACE_OUT
    if source and source.negated:
        flags |= AddrtypeFlag.ADDRTYPE_INVERT_SOURCE
    if destination and destination.negated:
        flags |= AddrtypeFlag.ADDRTYPE_INVERT_DEST
    if options:
        return [UNKNOWN]
    return [
        row(
            MatchKind.MATCH_ADDRTYPE,
            _names(source, ADDRESS_TYPE_BITS) if source else 0,
            _names(destination, ADDRESS_TYPE_BITS) if destination else 0,
            flags,
        )
    ]


def _statistic(match: Match, counters: list[int]) -> list[Row]:
    options = _options(match)
    mode = options["--mode"].values[0]
    if mode == "random":
        probability = options["--probability"]
        # libxt_statistic.c: 31 bits of fixed point, lround(0x80000000 * p).
        threshold = int(float(probability.values[0]) * 0x80000000 + 0.5)
        return [row(MatchKind.MATCH_STATISTIC_RANDOM, threshold, invert=probability.negated)]
    every = options["--every"]
    packet = options.get("--packet")
    first = int(packet.values[0]) if packet else 0
    count = int(every.values[0])
    if not 0 <= first < count:
        raise ValueError(match)
    counters.append(0)
    return [
        row(MatchKind.MATCH_STATISTIC_NTH, count, first, len(counters) - 1,
            invert=every.negated)
    ]  # fmt: skip


def _owner(match: Match) -> list[Row]:
    invert = all(option.negated for option in match.options)
    return [row(MatchKind.MATCH_NEVER, invert=invert)]


MATCHES: dict[str, Callable[[Match], list[Row]]] = {
    "comment": _nothing,
    "nfacct": _nothing,  # it counts, and always matches
    "tcp": _ports,
    "udp": _ports,
    "udplite": _ports,
    "icmp": _icmp,
    "icmp6": _icmp,
    "conntrack": _conntrack,
    "state": _conntrack,
    "mark": _mark,
    "addrtype": _addrtype,
    "owner": _owner,
}
