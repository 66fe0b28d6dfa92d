"""The normal form of -m hashlimit, whose options depend on one another (libxt_hashlimit.c,
hashlimit_mt_check and hashlimit_mt_save, v1.8.9)."""

from dataplane.node.iptables_forms import valued
from dataplane.node.iptables_forms_address import prefix_length
from dataplane.node.iptables_forms_rate import (
    HASHLIMIT_SCALE,
    UNIT_SECONDS,
    byte_burst,
    byte_burst_text,
    byte_cost,
    byte_rate_text,
    parse_rate,
    period_text,
    period_unit,
)
from dataplane.node.iptables_given import named, turned, value, with_defaults, without
from dataplane.node.iptables_rules import Option

# In seconds (XT_HASHLIMIT_BYTE_EXPIRE, XT_HASHLIMIT_BYTE_EXPIRE_BURST).
BYTES_EXPIRE, BURST_EXPIRE = 15, 60
MOST_PACKETS = 1_000_000  # XT_HASHLIMIT_BURST_MAX


def hashlimit(found: list[Option], family: int) -> list[Option]:
    rates = named(found, "--hashlimit-upto", "--hashlimit-above")
    if not rates:
        return found
    rate, rest = turned(rates[-1]), [option for option in found if option not in rates]
    rest = _masks(rest, family)
    cost = byte_cost(rate.values[0])
    return _by_packets(rate, rest) if cost is None else _by_bytes(rate, rest, cost)


def _masks(rest: list[Option], family: int) -> list[Option]:
    names = ("--hashlimit-srcmask", "--hashlimit-dstmask")
    masks = [prefix_length(option, family) for option in named(rest, *names)]
    whole = "32" if family == 4 else "128"
    return without(rest, *names) + [mask for mask in masks if mask.values != (whole,)]


def _by_packets(rate: Option, rest: list[Option]) -> list[Option]:
    """With --hashlimit-rate-match the rate is one of seconds, over an interval."""
    period, seconds = parse_rate(rate.values[0], HASHLIMIT_SCALE)
    if named(rest, "--hashlimit-rate-match"):
        period //= seconds
    rest = _rate_interval(rest, seconds)
    rest = _expiry(rest, seconds, UNIT_SECONDS[period_unit(period, HASHLIMIT_SCALE)])
    burst = byte_burst(value(rest, "--hashlimit-burst") or "5")
    if burst > MOST_PACKETS:
        raise ValueError(f"a burst of at most {MOST_PACKETS} packets was expected")
    return [
        valued(rate, period_text(period, HASHLIMIT_SCALE)),
        Option("--hashlimit-burst", (str(burst),)),
        *without(rest, "--hashlimit-burst"),
    ]


def _by_bytes(rate: Option, rest: list[Option], cost: int) -> list[Option]:
    burst = value(rest, "--hashlimit-burst")
    shown = byte_burst_text(cost, byte_burst(burst)) if burst is not None else ""
    rest = without(_rate_interval(rest, 1), "--hashlimit-burst")
    usual = BYTES_EXPIRE if burst is None else BURST_EXPIRE
    rest = _expiry(rest, usual, BURST_EXPIRE if shown else BYTES_EXPIRE)
    if shown:
        rest.append(Option("--hashlimit-burst", (shown,)))
    return [valued(rate, byte_rate_text(cost)), *rest]


def _rate_interval(rest: list[Option], seconds: int) -> list[Option]:
    name = "--hashlimit-rate-interval"
    if named(rest, "--hashlimit-rate-match"):
        rest = with_defaults(rest, (name, str(seconds)))
        return [option for option in rest if option.name != name or option.values != ("1",)]
    return without(rest, name)


def _expiry(rest: list[Option], usual: int, silent: int) -> list[Option]:
    """What the unit that was written makes of it is printed unless that of the unit that is
    printed makes the same; all in seconds."""
    name = "--hashlimit-htable-expire"
    rest = with_defaults(rest, (name, str(usual * 1000)))
    return [o for o in rest if o.name != name or o.values != (str(silent * 1000),)]
