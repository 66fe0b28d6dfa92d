"""Rules that may match or not: both outcomes are tried.

A rule's outcome is not known where one of its matches is not modelled.  The packet's fate is
known all the same if both outcomes lead to the same: they meet again at one rule, from which the
walk goes on; or all their ways end alike, accepted, dropped or rejected.  A target that changes
something, on one of the ways only, makes a difference.

Meanwhile nothing is changed: no counter, no step but one that names the rule, no mark.
"""

from _fastpath.reason import Reason
from _fastpath.trace import StepKind
from dataplane.node.iptables import Chain, Rule, Table, Target
from dataplane.reference.matches import Outcome, matches
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import Ended, unknown
from dataplane.reference.targets import is_silent

WAYS_MAX = 32  # that are followed at once
RULES_MAX = 1024  # that are met on them

Spot = tuple[int, int]  # which chain of the table, and which rule is next, from 1
Way = tuple[Spot, ...]  # where each caller goes on, and last the chain the packet is in
CALLEES_FIRST = ((1 << 32, 0),)

DROP = Target("DROP")


class Map:
    """A table's rules, and how the way goes on from each."""

    def __init__(self, table: Table, base: Chain):
        self.table = table
        self.chains = list(table.chains.values())
        self.numbers = {name: number for number, name in enumerate(table.chains)}
        self.base = base
        self.start: Way = ((self.numbers[base.name], 1),)

    def rule(self, way: Way) -> tuple[Chain, int, Rule | None]:
        """None at a chain's end."""
        which, number = way[-1]
        chain = self.chains[which]
        return chain, number, chain.rules[number - 1] if number <= len(chain.rules) else None

    def after(self, way: Way) -> Way:
        return (*way[:-1], (way[-1][0], way[-1][1] + 1))

    def leave(self, way: Way) -> Way:
        """To the caller; from a chain without one to the base chain's policy."""
        return way[:-1] or ((self.numbers[self.base.name], len(self.base.rules) + 1),)

    def follow(self, way: Way, target: Target | None) -> Way | None:
        """None for a target that does not only say where to."""
        if target is None:
            return self.after(way)
        if target.name == "RETURN":
            return self.leave(way)
        if target.name not in self.table.chains:
            return self.after(way) if is_silent(target) else None
        callee = (self.numbers[target.name], 1)
        # From a chain that is gone to, the way back leads to this chain's caller.
        return (*(way[:-1] if target.goto else self.after(way)), callee)


def either_way(place: Place, map_: Map, way: Way, outcome: Outcome, packet: Packet) -> Way | Target:
    """Where the ways meet again, or how all of them end.

    raises  Ended, UNKNOWN, where they lead to different things; its step names the rule
    """
    chain, number, _ = map_.rule(way)
    where = {"family": place.family, "table": map_.table.name, "chain": chain.name}
    try:
        found = _explore(place, map_, way, outcome, packet)
    except Ended:
        place.trace.step(StepKind.STEP_RULE, place.node.name, **where, number=number)
        raise
    place.trace.step(StepKind.STEP_UNDECIDED, place.node.name, **where, number=number)
    return found


def _explore(place: Place, map_: Map, way: Way, outcome: Outcome, packet: Packet) -> Way | Target:
    ways, ends = _meet(map_, way, outcome)
    met = 1
    while len(ways) > 1 or (ways and ends):
        # The one that is furthest behind, a chain before what its caller goes on with.
        way = min(ways, key=lambda way: way + CALLEES_FIRST)
        ways.remove(way)
        chain, number, rule = map_.rule(way)
        if rule is None:
            outcome = Outcome.YES
        else:
            outcome = matches(
                place, map_.table.name, chain.name, number, rule, packet, is_asked=False
            )
        if outcome == Outcome.NO:
            ways.add(map_.after(way))
            continue
        met += 1
        following, ended = _meet(map_, way, outcome)
        ways |= following
        ends |= ended
        if len(ends) > 1 or len(ways) > WAYS_MAX or met > RULES_MAX:
            raise unknown(Reason.MATCH_UNMODELLED)
    return ways.pop() if ways else ends.pop()


def _meet(map_: Map, way: Way, outcome: Outcome) -> tuple[set[Way], set[Target]]:
    """Ways and ends that follow from a rule's outcome."""
    ways: set[Way] = set()
    if outcome in (Outcome.UNDECIDED, Outcome.UNDECIDED_DROP):
        ways.add(map_.after(way))
    chain, _, rule = map_.rule(way)
    if outcome == Outcome.COUNTED_DROP and rule and not map_.follow(way, rule.target):
        if rule.target and rule.target.name not in ("ACCEPT", "DROP"):
            raise unknown(Reason.MATCH_UNMODELLED)  # its target does something first
    if outcome in (Outcome.DROP, Outcome.UNDECIDED_DROP, Outcome.COUNTED_DROP):
        return ways, {DROP}
    if rule is None:
        if chain is map_.base:
            return ways, {Target(chain.policy or "")}
        return {map_.leave(way)}, set()
    followed = map_.follow(way, rule.target)
    if followed:
        return ways | {followed}, set()
    if rule.target and rule.target.name in ("ACCEPT", "DROP", "REJECT"):
        return ways, {rule.target}
    raise unknown(Reason.MATCH_UNMODELLED)
