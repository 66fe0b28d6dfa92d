"""Matches that depend on what the rule remembers, on chance or on the time."""

from _fastpath.trace import EventKind
from dataplane.node.iptables import Match
from dataplane.reference import match_connlimit, match_hashlimit, match_recent, match_time
from dataplane.reference.choice import rule_identity
from dataplane.reference.match_words import (
    Options,
    RememberingAnswer,
    Unmodelled,
    Where,
    by_name,
    tick,
)
from dataplane.reference.nat_tuple import original_fields
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place

UNITS = {"sec": 1, "min": 60, "hour": 60 * 60, "day": 24 * 60 * 60}  # in seconds
WORD = (1 << 32) - 1
CREDITS_PER_TICK = 128  # xt_limit.c: so that a day's credit fits 32 bits
CREDITS_PER_SECOND = CREDITS_PER_TICK * 250


def _statistic(place: Place, where: Where, options: Options, packet: Packet) -> bool:
    values = {option.name: option.values[0] for option in options}
    negated = any(option.negated for option in options)
    if values["--mode"] == "nth":
        turn = int(values.get("--packet", "0"))
        if not 0 <= turn < int(values["--every"]):
            raise Unmodelled  # the kernel refuses it
        key = (place.family, *where)
        count = place.node.evaluations.get(key, 0)
        place.node.evaluations[key] = count + 1
        return (count % int(values["--every"]) == turn) != negated
    threshold = int(float(values["--probability"]) * (1 << 31) + 0.5)
    fields = original_fields(packet.connection) if packet.connection else packet.fields
    rule = rule_identity(place.family, *where[:3])
    choices, node = place.choices, place.node.name
    answer = choices.statistic_fed(node, fields, rule)
    if answer is not None:
        place.trace.value(EventKind.EVENT_DRAW, 0 if answer else 0x7FFFFFFF, threshold)
        return answer
    draw = choices.statistic_draw(node, fields, rule)
    place.trace.value(EventKind.EVENT_DRAW, draw, threshold)
    return (draw < threshold) != negated


def _limit(place: Place, where: Where, options: Options, packet: Packet) -> bool:
    """Credit comes with time, up to a burst's, and each match costs."""
    values = by_name(options, "--limit", "--limit-burst")
    count, _, unit = values["--limit"].values[0].partition("/")
    burst = int(values["--limit-burst"].values[0]) if "--limit-burst" in values else 5
    rules = place.node.state.ip6tables if place.family == 6 else place.node.state.iptables
    is_nft = rules.flavour == "nft"  # nft_limit.c, which counts in nanoseconds; else xt_limit.c
    period = (10**9 if is_nft else 10000) * UNITS[unit] // int(count)
    if is_nft:
        cost, full = period, period * burst
    else:
        cost, full = _credits(period), _credits(period * burst & WORD)
    if not 1 <= burst <= 10000 or period <= 0 or full < cost:
        raise Unmodelled  # the kernel refuses such a rule
    now, key = (place.now_ns if is_nft else tick(place)), (place.family, *where)
    credit, last = place.node.credits.get(key, (full, now))
    if is_nft:
        credit += now - last
    else:
        credit = (credit + (now - last) * CREDITS_PER_TICK) & WORD
    credit = min(credit, full)
    matches = credit >= cost
    place.node.credits[key] = (credit - cost if matches else credit, now)
    return matches


def _credits(period: int) -> int:
    """user2credits: exact where the product fits 32 bits, else without the fraction."""
    if period * CREDITS_PER_SECOND <= WORD:
        return period * CREDITS_PER_SECOND // 10000
    return period // 10000 * CREDITS_PER_SECOND & WORD


def _quota(place: Place, where: Where, options: Options, packet: Packet) -> bool:
    """xt_quota.c: the first packet that is longer than what is left ends it for good."""
    quota = by_name(options, "--quota")["--quota"]
    if not 0 <= int(quota.values[0]) < 1 << 64:
        raise Unmodelled
    key = (place.family, *where)
    left = place.node.quotas.get(key, int(quota.values[0]))
    fits = packet.ip_length <= left
    place.node.quotas[key] = left - packet.ip_length if fits else 0
    return fits != quota.negated


def _memory(place: Place, where: Where, match: Match) -> tuple[object, ...] | None:
    """What names the memory that a match would use; None if it uses none."""
    if match.name == "time" or ("random",) in (option.values for option in match.options):
        return None
    if match.name == "recent":
        return match_recent.memory(match.options, place.family)
    if match.name == "hashlimit":
        return match_hashlimit.memory(match.options, place.family)
    return (place.family, *where)


def keep_out(place: Place, where: Where, match: Match) -> None:
    """It is not known whether this match is asked.  Raises Unmodelled if it must not be."""
    if match.name == "time":
        return
    memory = _memory(place, where, match)
    if memory:
        place.node.uncertain.add(memory)
    raise Unmodelled


def check_certainty(place: Place, where: Where, match: Match) -> None:
    """Raises Unmodelled where it is not known what the match remembers."""
    if _memory(place, where, match) in place.node.uncertain:
        raise Unmodelled


ANSWERS: dict[str, RememberingAnswer] = {
    "connlimit": match_connlimit.answer,
    "hashlimit": match_hashlimit.answer,
    "limit": _limit,
    "quota": _quota,
    "recent": match_recent.answer,
    "statistic": _statistic,
    "time": match_time.answer,
}
