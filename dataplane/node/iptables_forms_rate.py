"""Forms of rates, of packets, bytes and bits: see iptables_forms.

What the kernel keeps of a rate is a period; what is printed is found again from it.
"""

import math
import re

from dataplane.node.iptables_forms import WORD, valued
from dataplane.node.iptables_rules import Option
from dataplane.node.iptables_values import integer

UNIT_SECONDS = {"day": 86400, "hour": 3600, "min": 60, "sec": 1}
UNITS = {"sec": "second", "min": "minute", "hour": "hour", "day": "day"}
LIMIT_SCALE = 10_000  # XT_LIMIT_SCALE
HASHLIMIT_SCALE = 1_000_000  # XT_HASHLIMIT_SCALE_v2
BYTE_UNITS = (("m", 1 << 20), ("k", 1 << 10), ("", 1))
BYTE_SHIFT = 4  # XT_HASHLIMIT_BYTE_SHIFT: bytes are counted by 16
BIT_UNITS = {
    "": 1,
    "bit": 1,
    "bps": 8,
    **{
        f"{letter}{iec}{unit}": factor * base**power
        for power, letter in enumerate("kmgt", 1)
        for iec, base in (("", 1000), ("i", 1024))
        for unit, factor in (("bit", 1), ("bps", 8))
    },
}
TIME_UNITS = {"": 1, "us": 1, "usec": 1, "usecs": 1, "ms": 1000, "msec": 1000, "msecs": 1000,
              "s": 1_000_000, "sec": 1_000_000, "secs": 1_000_000}  # fmt: skip
SHORTEST = 250_000  # of the intervals of RATEEST, in µs; each is twice the one before
NUMBER = re.compile(r"[0-9]*\.?[0-9]+")


def limit_rate(option: Option) -> Option:
    """`3/s` to `3/sec`, by way of the period that the kernel keeps (libxt_limit.c)."""
    return valued(option, period_text(parse_rate(option.values[0], LIMIT_SCALE)[0], LIMIT_SCALE))


def parse_rate(text: str, scale: int) -> tuple[int, int]:
    """The period of `3/minute`, in parts of a second, and the seconds of its unit."""
    count, slash, written = text.partition("/")
    unit = next((u for u, long in UNITS.items() if long.startswith(written.lower())), None)
    digits = re.match("[0-9]*", count)
    number = int(digits[0] or 0) if digits else 0
    if unit is None or (slash and not written) or not 0 < number <= WORD:
        raise ValueError("a rate such as 3/minute was expected")
    period = scale * UNIT_SECONDS[unit] // number
    if period == 0:
        raise ValueError(f"a rate of at most {scale}/second was expected")
    return period, UNIT_SECONDS[unit]


def period_unit(period: int, scale: int) -> str:
    """The smallest unit that loses no more than its rounding (libxt_limit.c, print_rate)."""
    chosen = "day"
    for unit in ("hour", "min", "sec"):
        whole, rest = divmod(scale * UNIT_SECONDS[unit], period)
        if whole == 0 or whole < rest:
            break
        chosen = unit
    return chosen


def period_text(period: int, scale: int) -> str:
    unit = period_unit(period, scale)
    return f"{scale * UNIT_SECONDS[unit] // period}/{unit}"


def burst(option: Option) -> Option | None:
    packets = integer(option.values[0], 10_000)
    return None if packets == 5 else valued(option, str(packets))


# hashlimit's bytes.


def byte_cost(text: str) -> int | None:
    """What hashlimit keeps of `512kb/s` (libxt_hashlimit.c, parse_bytes); None if the rate is
    one of packets."""
    before, found, _ = text.partition("b/s")
    if not found or not before:
        return None
    digits = re.match("[0-9]+", before)
    if not digits:
        return None
    return _cost(int(digits[0]) * dict(BYTE_UNITS).get(before[-1], 1))


def _cost(count: int) -> int:
    cost = WORD // ((count >> BYTE_SHIFT & WORD) + 1)
    if not cost:
        raise ValueError("a smaller rate was expected")
    return cost


def cost_bytes(cost: int) -> int:
    return (WORD // cost - 1) << BYTE_SHIFT


def byte_rate_text(cost: int) -> str:
    count = cost_bytes(cost)
    letter, size = next(
        (letter, size)
        for letter, size in BYTE_UNITS
        if size == 1 or (count >= size and _cost(count & ~(size - 1)) == cost)
    )
    return f"{count // size}{letter}b/s"


def byte_burst(text: str) -> int:
    """`1mb`, `512`, `3k`: of packets too, of which k and m make as many."""
    digits = re.match("0[xX][0-9a-fA-F]+|[0-9]+", text)
    if not digits:
        raise ValueError("a number was expected")
    return integer(digits[0], WORD) * dict(BYTE_UNITS).get(text[len(digits[0]) :][:1], 1)


def byte_burst_text(cost: int, count: int) -> str:
    """The burst of as many rounds of the rate; empty if that is none of 32 bits
    (libxt_hashlimit.c, hashlimit_mt_check and print_bytes)."""
    round_bytes = cost_bytes(cost)
    if not round_bytes:
        return ""
    rounds = (count & WORD) // round_bytes + (count % round_bytes > 0)
    whole = rounds * round_bytes
    letter, size = next((pair for pair in BYTE_UNITS if whole >= pair[1]), ("", 0))
    return f"{whole // size}{letter}b" if size else ""


# Rate estimators.


def bits(text: str) -> str:
    """`5mbps`, in the way of tc: bits, kept as bytes."""
    number = NUMBER.match(text)
    scale = BIT_UNITS.get(text[number.end() :].lower()) if number else None
    if number is None or scale is None:
        raise ValueError("a rate such as 10mbit was expected")
    kept = (int(float(number[0]) * scale / 8) & WORD) * 8
    for unit, size in (("Mbit", 1_000_000), ("Kbit", 1000), ("bit", 1)):
        if kept >= 1000 * size or size == 1:
            return f"{kept / size:.0f}{unit}"
    raise AssertionError


def estimator_times(interval: str, constant: str) -> tuple[str, str]:
    """RATEEST's interval, and its time constant, as what the kernel keeps of them: how often
    the shortest is doubled, and the logarithm of a weight (libxt_RATEEST.c)."""
    given, wanted = _microseconds(interval), _microseconds(constant)
    doubled = next((n for n in range(6) if given <= SHORTEST << n), None)
    if doubled is None:
        raise ValueError("an interval of at most 8s was expected")
    weight = next(
        (n for n in range(1, 32) if given / -math.log(1 - 1 / (1 << n)) > wanted), 32
    )  # fmt: skip
    if not 1 < weight < 32:
        raise ValueError("a time constant longer than the interval was expected")
    return _time_text(SHORTEST << doubled), _time_text(SHORTEST << doubled + weight - 1)


def _microseconds(text: str) -> int:
    number = NUMBER.match(text)
    scale = TIME_UNITS.get(text[number.end() :].lower()) if number else None
    if number is None or scale is None:
        raise ValueError("a time such as 250ms was expected")
    return int(float(number[0]) * scale)


def _time_text(microseconds: int) -> str:
    if microseconds >= 1_000_000:
        return f"{microseconds / 1_000_000:.1f}s"
    return f"{microseconds / 1000:.1f}ms"
