"""Rows of matches that look at the network header and the link layer's."""

from ipaddress import ip_address

from _fastpath.image import MatchKind
from dataplane.image.match_rows import Row, Rows, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match, Option

PACKET_TYPES = {"unicast": 0, "broadcast": 1, "multicast": 2}  # PACKET_*
ECN_FLAGS = {"--ecn-tcp-ece": 0x40, "--ecn-tcp-cwr": 0x80}
ECN_MASK = 3


def _iprange(match: Match, pools: Pools, family: int) -> list[Row]:
    sides = {"--src-range": 0, "--dst-range": 1}
    rows = []
    for option in match.options:
        first, _, last = option.values[0].partition("-")
        ends = [ip_address(first), ip_address(last or first)]
        if any(end.version != family for end in ends):
            raise ValueError(option)
        start = pools.add_words([word for end in ends for word in address_words(int(end))])
        rows.append(row(MatchKind.MATCH_IPRANGE, start, sides[option.name], invert=option.negated))
    return rows


def address_words(number: int) -> list[int]:
    return [number >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0)]


def _mac(match: Match, pools: Pools, family: int) -> list[Row]:
    rows = []
    for option in match.options:
        mac = bytes.fromhex(option.values[0].replace(":", ""))
        if option.name != "--mac-source" or len(mac) != 6:
            raise ValueError(option)
        high, low = int.from_bytes(mac[:2]), int.from_bytes(mac[2:])
        rows.append(row(MatchKind.MATCH_MAC, high, low, invert=option.negated))
    return rows


def _length(match: Match, pools: Pools, family: int) -> list[Row]:
    (option,) = match.options
    first, colon, last = option.values[0].partition(":")
    low = int(first or 0)
    high = int(last or 0xFFFFFFFF) if colon else low
    return [row(MatchKind.MATCH_LENGTH, low, high, invert=option.negated)]


def _ttl(match: Match, pools: Pools, family: int) -> list[Row]:
    return [_ttl_row(option) for option in match.options]


def _ttl_row(option: Option) -> Row:
    value = int(option.values[0])
    low, high = {
        "eq": (value, value),
        "lt": (1, 0) if value == 0 else (0, value - 1),
        "gt": (value + 1, 256),
    }[option.name[-2:]]
    return row(MatchKind.MATCH_TTL, low, high, invert=option.negated)


def _tos(match: Match, pools: Pools, family: int) -> list[Row]:
    (option,) = match.options
    value, slash, mask = option.values[0].partition("/")
    return [
        row(MatchKind.MATCH_DSFIELD, int(value, 0), int(mask, 0) if slash else 0xFF,
            invert=option.negated)
    ]  # fmt: skip


def _dscp(match: Match, pools: Pools, family: int) -> list[Row]:
    (option,) = match.options
    value = int(option.values[0], 0) << 2
    return [row(MatchKind.MATCH_DSFIELD, value, 0xFC, invert=option.negated)]


def _ecn(match: Match, pools: Pools, family: int) -> list[Row]:
    rows = []
    for option in sorted(match.options, key=lambda option: option.name in ECN_FLAGS):
        if option.name in ECN_FLAGS:
            kind, a, b = MatchKind.MATCH_ECN_TCP, ECN_FLAGS[option.name], 0
        elif option.name == "--ecn-ip-ect":
            kind, a, b = MatchKind.MATCH_DSFIELD, int(option.values[0]), ECN_MASK
        else:
            raise KeyError(option.name)
        rows.append(row(kind, a, b, invert=option.negated))
    return rows


def _pkttype(match: Match, pools: Pools, family: int) -> list[Row]:
    (option,) = match.options
    kind = PACKET_TYPES[option.values[0]]
    return [row(MatchKind.MATCH_PKTTYPE, kind, invert=option.negated)]


MATCHES: dict[str, Rows] = {
    "iprange": _iprange,
    "mac": _mac,
    "length": _length,
    "ttl": _ttl,
    "hl": _ttl,
    "tos": _tos,
    "dscp": _dscp,
    "ecn": _ecn,
    "pkttype": _pkttype,
}
