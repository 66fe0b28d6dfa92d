"""Rows of matches that depend on what the rule remembers, on chance or on the time."""

from _fastpath.image import MatchKind
from dataplane.image.match_rows import Row, Rows, options_of, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match


def _statistic(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
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
    pools.nth.append(0)
    return [
        row(MatchKind.MATCH_STATISTIC_NTH, count, first, len(pools.nth) - 1,
            invert=every.negated)
    ]  # fmt: skip


MATCHES: dict[str, Rows] = {
    "statistic": _statistic,
}
