"""Rows of matches that look at the packet's connection."""

from ipaddress import ip_network

from _fastpath.image import ConnbytesMode, CtSide, CtState, MatchKind
from _fastpath.state import CtStatus
from dataplane.image.encode import network_pair
from dataplane.image.match_rows import (
    Row,
    Rows,
    Unmodelled,
    masked,
    names,
    options_of,
    row,
)
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match, Option

CT_STATUS = {
    "NONE": 0, "EXPECTED": CtStatus.IPS_EXPECTED, "SEEN_REPLY": CtStatus.IPS_SEEN_REPLY,
    "ASSURED": CtStatus.IPS_ASSURED, "CONFIRMED": CtStatus.IPS_CONFIRMED,
}  # fmt: skip
CT_STATES = {state.name.removeprefix("CTSTATE_"): int(state) for state in CtState}


SIDES = {
    "origsrc": CtSide.CT_ORIGINAL_SRC, "origdst": CtSide.CT_ORIGINAL_DST,
    "replsrc": CtSide.CT_REPLY_SRC, "repldst": CtSide.CT_REPLY_DST,
}  # fmt: skip
MODES = {
    "packets": ConnbytesMode.CONNBYTES_PACKETS, "bytes": ConnbytesMode.CONNBYTES_BYTES,
    "avgpkt": ConnbytesMode.CONNBYTES_AVERAGE,
}  # fmt: skip
DIRECTIONS = {"original": 1, "reply": 2, "both": 3}
MOST = 2**64 - 1


def _conntrack(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    state = options.pop("--ctstate", None) or options.pop("--state", None)
    status = options.pop("--ctstatus", None)
    asked = bool(state) | bool(status) << 1
    flags = bool(state and state.negated) | bool(status and status.negated) << 1
    rows = [
        row(
            MatchKind.MATCH_CONNTRACK,
            names(state, CT_STATES) if state else 0,
            names(status, CT_STATUS) if status else 0,
            0,
            asked,
            flags=flags,
        )
    ] * bool(asked)
    for option in options.values():
        kind, *numbers = _property(option, pools, family)
        rows.append(row(kind, *numbers, invert=option.negated, flags=bool(state)))
    return rows


def _property(option: Option, pools: Pools, family: int) -> tuple[int, ...]:
    name, value = option.name.removeprefix("--ct"), option.values[0]
    if name == "proto":
        return MatchKind.MATCH_CTPROTO, int(value)
    if name in SIDES:
        return MatchKind.MATCH_CTADDRESS, pools.add_words(_masked(value, family)), SIDES[name]
    if name.removesuffix("port") in SIDES:
        return MatchKind.MATCH_CTPORT, *_span(value, 65535), SIDES[name.removesuffix("port")]
    if name == "expire":
        return MatchKind.MATCH_CTEXPIRE, *_span(value, 2**32 - 1)
    return {"dir": MatchKind.MATCH_CTDIR}[name], {"ORIGINAL": 0, "REPLY": 1}[value]


def _masked(text: str, family: int) -> list[int]:
    """Words of the address and of its mask."""
    network = ip_network(text, strict=False)
    if network.version != family:
        raise ValueError(text)
    return [
        part >> shift & 0xFFFFFFFF
        for number in network_pair(network)
        for part in number
        for shift in (32, 0)
    ]


def _span(text: str, most: int) -> tuple[int, int]:
    first, _, last = text.partition(":")
    low, high = int(first), int(last or first)
    if not 0 <= low <= most or not 0 <= high <= most:
        raise ValueError(text)
    return low, high


def _connmark(match: Match, pools: Pools, family: int) -> list[Row]:
    (option,) = match.options
    return [row(MatchKind.MATCH_CONNMARK, *masked(option), invert=option.negated)]


def _connbytes(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    asked = options.pop("--connbytes")
    mode = MODES[options.pop("--connbytes-mode").values[0]]
    directions = DIRECTIONS[options.pop("--connbytes-dir").values[0]]
    if options:
        raise Unmodelled
    first, _, last = asked.values[0].partition(":")
    low, high = int(first or 0), int(last or MOST)
    if not 0 <= low <= high <= MOST:
        raise ValueError(asked.values[0])
    words = [part >> shift & 0xFFFFFFFF for part in (low, high) for shift in (32, 0)]
    at = pools.add_words(words)
    return [row(MatchKind.MATCH_CONNBYTES, at, mode, directions, invert=asked.negated)]


MATCHES: dict[str, Rows] = {
    "connbytes": _connbytes,
    "connmark": _connmark,
    "conntrack": _conntrack,
    "state": _conntrack,
}
