"""Rows of -m connlimit."""

from _fastpath.image import ConnlimitFlag, MatchKind
from dataplane.image.match_rows import Row, options_of, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match

WORD = 0xFFFFFFFF


def connlimit(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    bits = 32 if family == 4 else 128
    mask = options.pop("--connlimit-mask", None)
    length = int(mask.values[0]) if mask else bits
    by_source = options.pop("--connlimit-saddr", None)
    by_destination = options.pop("--connlimit-daddr", None)
    ((name, limit),) = options.items()
    most = int(limit.values[0])
    if not (0 <= length <= bits and 0 <= most <= WORD) or (by_source and by_destination):
        raise ValueError(match)
    flags = ConnlimitFlag.CONNLIMIT_DESTINATION if by_destination else 0
    pools.memories.counts = True
    return [
        row(MatchKind.MATCH_CONNLIMIT, most, length, pools.memories.add(), flags=flags,
            invert=(name == "--connlimit-upto") != limit.negated)
    ]  # fmt: skip
