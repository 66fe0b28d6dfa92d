"""Rows of -m hashlimit, in revision 3 of its structs: what iptables 1.8 speaks."""

from _fastpath.image import HashlimitFlag, HashlimitWord, MatchKind
from dataplane.image.match_rows import Row, options_of, row
from dataplane.image.memory import TICKS_PER_SECOND
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match, Option

SCALE = 1_000_000  # xt_hashlimit.h, XT_HASHLIMIT_SCALE_v2
CREDITS_PER_TICK = 1 << 39  # xt_hashlimit.c, CREDITS_PER_JIFFY with 250 ticks a second
BYTE_CREDITS_PER_TICK = 1 << 24  # CREDITS_PER_JIFFY_BYTES
BYTES_PER_CHUNK_SHIFT = 4  # XT_HASHLIMIT_BYTE_SHIFT
BYTE_EXPIRE, BYTE_EXPIRE_BURST = 15, 60  # seconds
WORD32, WORD64 = (1 << 32) - 1, (1 << 64) - 1
SECONDS = {"sec": 1, "min": 60, "hour": 3600, "day": 86400}
BYTES = {"mb/s": 1 << 20, "kb/s": 1 << 10, "b/s": 1}
MODES = {
    "srcip": HashlimitFlag.HASHLIMIT_SOURCE,
    "srcport": HashlimitFlag.HASHLIMIT_SOURCE_PORT,
    "dstip": HashlimitFlag.HASHLIMIT_DESTINATION,
    "dstport": HashlimitFlag.HASHLIMIT_DESTINATION_PORT,
}
BUCKETS = 8192  # what the kernel chooses with a gigabyte of memory or more
BUCKETS_MIN = 16
BUCKETS_MAX = ENTRIES_MAX = 1 << 20
BURST_MAX = 10000


def hashlimit(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    flags = _rate_flags(options)
    (rate,) = (options.pop(n) for n in ("--hashlimit-upto", "--hashlimit-above") if n in options)
    if options.pop("--hashlimit-rate-match", None):
        flags |= HashlimitFlag.HASHLIMIT_RATE_MATCH
    values = {name: option.values[0] for name, option in options.items()}
    name = values.pop("--hashlimit-name")
    settings = _settings(values, rate.values[0], flags)
    bits = 32 if family == 4 else 128
    settings[HashlimitWord.HASHLIMIT_SOURCE_BITS] = _prefix(values, "src", bits)
    settings[HashlimitWord.HASHLIMIT_DESTINATION_BITS] = _prefix(values, "dst", bits)
    capacity = _capacity(values)
    if values:
        raise ValueError(match)
    slot = pools.memories.hashlimit_table(pools.node, family, name, settings, capacity)
    return [row(MatchKind.MATCH_HASHLIMIT, 0, 0, slot, flags=flags)]


def _rate_flags(options: dict[str, Option]) -> int:
    above = options.get("--hashlimit-above")
    rate = above or options["--hashlimit-upto"]
    flags = HashlimitFlag.HASHLIMIT_BYTES if rate.values[0].endswith("b/s") else 0
    if bool(above) != rate.negated:
        flags |= HashlimitFlag.HASHLIMIT_INVERT
    return int(flags)


def _settings(values: dict[str, str], rate: str, flags: int) -> dict[HashlimitWord, int]:
    mode = flags
    for part in filter(None, values.pop("--hashlimit-mode", "").split(",")):
        mode |= MODES[part]
    # iptables writes N/min with --hashlimit-rate-match as N/sec, and a minute as the interval.
    unit = SECONDS.get(rate.partition("/")[2], 1)
    interval = int(values.pop("--hashlimit-rate-interval", str(unit)))
    collect = _ticks(int(values.pop("--hashlimit-htable-gcinterval", "1000")))
    if flags & HashlimitFlag.HASHLIMIT_BYTES:
        found, expire = _byte_limits(rate, values.pop("--hashlimit-burst", None), flags)
    else:
        found, expire = _packet_limits(rate, values.pop("--hashlimit-burst", "5"), flags)
    expire = int(values.pop("--hashlimit-htable-expire", str(expire * 1000)))
    if collect == 0 or expire == 0 or interval < 1:
        raise ValueError(rate)
    return found | {
        HashlimitWord.HASHLIMIT_MODE: mode,
        HashlimitWord.HASHLIMIT_EXPIRE: _ticks(expire),
        HashlimitWord.HASHLIMIT_COLLECT: collect,
        HashlimitWord.HASHLIMIT_INTERVAL: interval * TICKS_PER_SECOND,
    }


def _ticks(milliseconds: int) -> int:
    """msecs_to_jiffies: rounded up."""
    if not 0 <= milliseconds < 1 << 31:
        raise ValueError(milliseconds)
    return -(-milliseconds * TICKS_PER_SECOND // 1000)


def _packet_limits(rate: str, burst: str, flags: int) -> tuple[dict[HashlimitWord, int], int]:
    """(settings, seconds until an entry expires)"""
    number, _, unit = rate.partition("/")
    period, allowed = SCALE * SECONDS[unit] // int(number), int(burst)
    if period <= 0 or not 1 <= allowed <= BURST_MAX:
        raise ValueError(rate)
    if flags & HashlimitFlag.HASHLIMIT_RATE_MATCH:
        each = SCALE // (SCALE // int(number))
        found = {HashlimitWord.HASHLIMIT_RATE: each, HashlimitWord.HASHLIMIT_BURST: allowed + each}
    else:
        credit = CREDITS_PER_TICK * TICKS_PER_SECOND // SCALE  # user2credits
        found = {
            HashlimitWord.HASHLIMIT_COST: period * credit & WORD64,
            HashlimitWord.HASHLIMIT_CREDIT: period * allowed * credit & WORD64,
        }
    return found, SECONDS[unit]


def _bytes(text: str) -> int:
    """`512kb/s`, and without the `/s` a burst."""
    unit = next(unit for unit in BYTES if text.endswith(unit))
    return int(text.removesuffix(unit)) * BYTES[unit]


def _byte_limits(rate: str, burst: str | None, flags: int) -> tuple[dict[HashlimitWord, int], int]:
    """libxt_hashlimit.c keeps a rate as its inverse, and a burst as a multiple of the rate."""
    average = WORD32 // ((_bytes(rate) >> BYTES_PER_CHUNK_SHIFT) + 1)
    if average == 0:
        raise ValueError(rate)
    per_second = WORD32 // average - 1 << BYTES_PER_CHUNK_SHIFT
    refills, expire = 0, BYTE_EXPIRE
    if burst is not None:
        wanted = _bytes(burst + "/s")
        if wanted < per_second or per_second == 0:
            raise ValueError(burst)
        refills, expire = -(-wanted // per_second), BYTE_EXPIRE_BURST
    if flags & HashlimitFlag.HASHLIMIT_RATE_MATCH:
        return {
            HashlimitWord.HASHLIMIT_RATE: per_second,
            HashlimitWord.HASHLIMIT_BURST: (refills or 1) * per_second,
        }, expire
    full = BYTE_CREDITS_PER_TICK * TICKS_PER_SECOND
    return {
        HashlimitWord.HASHLIMIT_COST: average * full >> 32,
        HashlimitWord.HASHLIMIT_CREDIT: full,
        HashlimitWord.HASHLIMIT_CREDIT_CAP: refills,
    }, expire


def _prefix(values: dict[str, str], side: str, bits: int) -> int:
    length = int(values.pop(f"--hashlimit-{side}mask", bits))
    if not 0 <= length <= bits:
        raise ValueError(length)
    return length


def _capacity(values: dict[str, str]) -> int:
    """htable_create"""
    buckets = int(values.pop("--hashlimit-htable-size", "0"))
    most = int(values.pop("--hashlimit-htable-max", "0"))
    buckets = max(buckets, BUCKETS_MIN) if buckets else BUCKETS
    capacity = max(most, buckets) if most else 8 * buckets
    if buckets > BUCKETS_MAX or capacity > ENTRIES_MAX:
        raise ValueError(capacity)
    return capacity
