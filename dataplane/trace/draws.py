"""Random draws, and the rules that drew: `KUBE-SVC-…:2 draw 0.71, p 0.33333: no`.

A draw is on record when it happens; the rule is on record only if it matched then.  Which
rule it was follows from the next step: it, or one before it in the same chain, with the
probability of the draw.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dataplane.node.iptables import Rule
from dataplane.reference.steps import Event, EventKind, Step, StepKind
from dataplane.trace.record import Record
from dataplane.trace.rules import Rules, option_of

UNIT = 1 << 31  # draws and thresholds have 31 bits (net/netfilter/xt_statistic.c)


class Draw(NamedTuple):
    step: int  # index of the step before which it happened
    value: float  # 0 to 1
    probability: float
    chain: str = ""  # "" = not known
    number: int = 0
    matched: bool = False

    def __str__(self) -> str:
        sign = "<" if self.value < self.probability else "≥"  # `!` turns what it means
        return f"draw {self.value:.5f} {sign} {self.probability:.5f} {'✔' if self.matched else '✘'}"


def draws(record: Record, rules: Rules) -> list[Draw]:
    events = [event for event in record.events if event.kind == EventKind.EVENT_DRAW]
    found: list[Draw] = []
    for step in sorted({event.step for event in events}):
        here = [event for event in events if event.step == step]
        found += _draws_before(here, record.steps, step, rules)
    return found


def _draws_before(
    events: Sequence[Event], steps: Sequence[Step], step: int, rules: Rules
) -> list[Draw]:
    """Draws between two steps, from the last to the first."""
    candidates = list(_candidates(steps, step, rules))
    found = []
    for event in reversed(events):
        draw = Draw(step, event.before / UNIT, event.after / UNIT)
        while candidates:
            chain, number, probability = candidates.pop()
            if abs(probability * UNIT - event.after) < 1:
                is_next = step < len(steps) and _is(steps[step], chain, number)
                draw = draw._replace(chain=chain, number=number, matched=is_next)
                break
        found.append(draw)
    return found[::-1]


def _candidates(steps: Sequence[Step], step: int, rules: Rules) -> Iterator[tuple[str, int, float]]:
    """Rules with `statistic` that may have drawn, in the order in which they are met."""
    before = steps[step - 1] if step else None
    after = steps[step] if step < len(steps) else None
    entered = rules.target(before) if before and before.kind == StepKind.STEP_RULE else ""
    if before and entered and (after is None or after.chain != entered):
        yield from _drawing(before, entered, None, rules)  # a chain that was left again
    if after and after.kind == StepKind.STEP_RULE:
        yield from _drawing(after, after.chain, after.number or None, rules)


def _drawing(
    step: Step, name: str, last: int | None, rules: Rules
) -> Iterator[tuple[str, int, float]]:
    chain = rules.chain(step, name)
    for number, rule in enumerate(chain.rules[:last] if chain else (), start=1):
        probability = _probability(rule)
        if probability is not None:
            yield name, number, probability


def _probability(rule: Rule) -> float | None:
    try:
        return float(option_of(rule, "--probability"))
    except ValueError:
        return None


def _is(step: Step, chain: str, number: int) -> bool:
    return step.kind == StepKind.STEP_RULE and (step.chain, step.number) == (chain, number)
