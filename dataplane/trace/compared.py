"""How many rules a path met: those that matched, and those that a walk rule by rule compares.

Rules that do not match leave no step; but where the walk was before a step and where it is at the
step says which they were.
"""

from collections.abc import Iterable
from typing import NamedTuple

from dataplane.node.iptables import Target
from dataplane.reference.steps import Step
from dataplane.trace.rules import Rules


class Met(NamedTuple):
    matched: int  # policies are none
    compared: int  # the matched ones included


class _Spot:
    """In a chain: how many of its rules the walk is past."""

    def __init__(self, chain: str, past: int = 0):
        self.chain, self.past = chain, past


class Comparisons:
    """Walks the chains along the steps of paths."""

    def __init__(self, rules: Rules):
        self._rules = rules

    def of(self, path: Iterable[Step]) -> Met:
        matched = compared = 0
        where: tuple[str, int, str] | None = None
        spots: list[_Spot] = []  # callers first
        for step in path:
            if not step.is_rule:
                continue
            here = step.node, step.family, step.table
            if here != where or all(spot.chain != step.chain for spot in spots):
                where, spots = here, [_Spot(step.chain)]  # another hook's walk
            compared += self._leave(step, spots)
            matched += bool(step.number)
            compared += self._advance(step, spots)
        return Met(matched, compared)

    def _leave(self, step: Step, spots: list[_Spot]) -> int:
        """Comparisons to the end of the chains that the walk fell out of."""
        found = 0
        while spots[-1].chain != step.chain:
            spot = spots.pop()
            found += self._size(step, spot.chain) - spot.past
        return found

    def _advance(self, step: Step, spots: list[_Spot]) -> int:
        """Comparisons within the step's chain, the step's rule included; goes where it leads."""
        spot = spots[-1]
        past = step.number or self._size(step, step.chain)
        if past < spot.past or (past == spot.past and step.number):
            spot.past = 0  # this chain, from its beginning, at another hook
        found, spot.past = past - spot.past, past
        rule = self._rules.rule(step)
        self._follow(step, rule.target if rule else None, spots)
        return found

    def _follow(self, step: Step, target: Target | None, spots: list[_Spot]) -> None:
        if target is None:
            return
        if target.name == "RETURN" and len(spots) > 1:
            spots.pop()
        elif target.name == "RETURN":
            spots[-1].past = self._size(step, spots[-1].chain)
        elif self._rules.chain(step, target.name):
            if target.goto and len(spots) > 1:
                spots.pop()
            elif target.goto:
                spots[-1].past = self._size(step, spots[-1].chain)
            spots.append(_Spot(target.name))

    def _size(self, step: Step, chain: str) -> int:
        found = self._rules.chain(step, chain)
        return len(found.rules) if found else 0
