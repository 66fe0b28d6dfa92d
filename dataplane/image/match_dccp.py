"""Rows of -m dccp."""

from _fastpath.image import MatchKind
from dataplane.image.match_packet import ports
from dataplane.image.match_rows import Row, Rows, names, options_of, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match

# RFC 4340 5.1, Table 1; 10 to 15 are reserved, and iptables has a name for the first.
TYPES = (
    "REQUEST", "RESPONSE", "DATA", "ACK", "DATAACK", "CLOSEREQ", "CLOSE", "RESET", "SYNC",
    "SYNCACK", "INVALID",
)  # fmt: skip
TYPE_BITS = {name: 1 << number for number, name in enumerate(TYPES)}


def _dccp(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    types, wanted = options.pop("--dccp-types", None), options.pop("--dccp-option", None)
    rows = ports(Match("dccp", tuple(options.values())), pools, family)
    if types:
        bits = names(types, TYPE_BITS)
        rows.append(row(MatchKind.MATCH_DCCP_TYPES, bits, invert=types.negated))
    if wanted:
        is_turned = wanted.negated and pools.flavour != "nft"
        rows.append(
            row(MatchKind.MATCH_DCCP_OPTION, _option(wanted.values[0]), d=int(is_turned),
                invert=wanted.negated)
        )  # fmt: skip
    return rows


def _option(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 255:
        raise ValueError(text)
    return int(text)


MATCHES: dict[str, Rows] = {"dccp": _dccp}
