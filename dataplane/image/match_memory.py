"""Rows of matches that depend on what the rule remembers, on chance or on the time."""

from _fastpath.image import MatchKind
from dataplane.image import match_connlimit, match_hashlimit, match_recent, match_time
from dataplane.image.match_rows import Row, Rows, options_of, row
from dataplane.image.memory import TICKS_PER_SECOND
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match

LIMIT_SCALE = 10000  # xt_limit.h, XT_LIMIT_SCALE
CREDITS_PER_TICK = 128  # xt_limit.c, CREDITS_PER_JIFFY with 250 ticks a second
SECONDS = {"sec": 1, "min": 60, "hour": 3600, "day": 86400}


def _statistic(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    mode = options["--mode"].values[0]
    if mode == "random":
        probability = options["--probability"]
        # libxt_statistic.c: 31 bits of fixed point, lround(0x80000000 * p).
        threshold = int(float(probability.values[0]) * 0x80000000 + 0.5)
        high, low = pools.rule_identity()
        return [
            row(MatchKind.MATCH_STATISTIC_RANDOM, threshold, low, high, invert=probability.negated)
        ]
    every = options["--every"]
    packet = options.get("--packet")
    first = int(packet.values[0]) if packet else 0
    count = int(every.values[0])
    if not 0 <= first < count:
        raise ValueError(match)
    return [
        row(MatchKind.MATCH_STATISTIC_NTH, count, first, pools.memories.add(),
            invert=every.negated)
    ]  # fmt: skip


def _credits(period: int) -> int:
    """xt_limit.c, user2credits: 32 bits of it."""
    per_second = TICKS_PER_SECOND * CREDITS_PER_TICK
    if period > 0xFFFFFFFF // per_second:
        return period // LIMIT_SCALE * per_second & 0xFFFFFFFF
    return period * per_second // LIMIT_SCALE


def _limit(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    number, _, unit = options.pop("--limit").values[0].partition("/")
    burst_option = options.pop("--limit-burst", None)
    burst = int(burst_option.values[0]) if burst_option else 5
    if options or not 1 <= burst <= 10000:
        raise ValueError(match)
    if pools.flavour == "nft":
        return _nft_limit(pools, SECONDS[unit] * 10**9 // int(number), burst)
    period = LIMIT_SCALE * SECONDS[unit] // int(number)
    cost, cap = _credits(period), _credits(period * burst & 0xFFFFFFFF)
    if period <= 0 or cap < cost:
        raise ValueError(match)  # "Overflow, try lower"
    return [row(MatchKind.MATCH_LIMIT, cost, cap, pools.memories.add(cap))]


def _nft_limit(pools: Pools, cost: int, burst: int) -> list[Row]:
    """iptables-nft writes `limit` as nftables' own: nanoseconds are its credits."""
    if cost <= 0:
        raise ValueError(cost)
    most = cost * burst
    start = pools.add_words([cost & 0xFFFFFFFF, cost >> 32, most & 0xFFFFFFFF, most >> 32])
    return [row(MatchKind.MATCH_LIMIT_NFT, start, 0, pools.memories.add(most))]


def _quota(match: Match, pools: Pools, family: int) -> list[Row]:
    (option,) = match.options
    quota = int(option.values[0])
    if not 0 <= quota < 1 << 64:
        raise ValueError(match)
    slot = pools.memories.add(quota)
    return [row(MatchKind.MATCH_QUOTA, 0, 0, slot, invert=option.negated)]


MATCHES: dict[str, Rows] = {
    "connlimit": match_connlimit.connlimit,
    "hashlimit": match_hashlimit.hashlimit,
    "limit": _limit,
    "quota": _quota,
    "recent": match_recent.recent,
    "statistic": _statistic,
    "time": match_time.time,
}
