"""Trace › Hop › Section › Step: the steps of a record by node, and by hook.

A hop is a stretch of the way on one node.  A packet that a node makes on the way (an ICMP
error, a reset) begins a hop of its own.  Sections hold the rules of one hook's table, or else
one step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dataplane.reference.steps import Step, StepKind
from dataplane.trace.vocabulary import BASE_CHAINS

BEGINNINGS = (StepKind.STEP_GENERATE, StepKind.STEP_RESUME)


@dataclass
class Section:
    """Steps that belong together, as indices into the record's steps."""

    node: str
    kind: int  # StepKind
    tunnels: int  # around the packet while it is here
    table: str = ""  # of rules
    hook: str = ""  # the base chain
    steps: list[int] = field(default_factory=list)


@dataclass
class Hop:
    node: str
    sections: list[Section] = field(default_factory=list)

    @property
    def is_generated(self) -> bool:
        """The packet is one that the node made."""
        return bool(self.sections[0].kind == StepKind.STEP_GENERATE)

    @property
    def is_resumed(self) -> bool:
        """The packet goes on, of which a copy was sent."""
        return bool(self.sections[0].kind == StepKind.STEP_RESUME)


def _nothing(step: Step) -> bool:
    return False


def hops(steps: Sequence[Step], is_hidden: Callable[[Step], bool] = _nothing) -> list[Hop]:
    """The steps that are not hidden; only rules are asked about."""
    found: list[Hop] = []
    for section in _sections(steps, is_hidden):
        if not found or found[-1].node != section.node or section.kind in BEGINNINGS:
            found.append(Hop(section.node))
        found[-1].sections.append(section)
    return found


def _sections(steps: Sequence[Step], is_hidden: Callable[[Step], bool]) -> list[Section]:
    found: list[Section] = []
    tunnels = 0
    hook = ""
    for index, step in enumerate(steps):
        if not step.is_rule:
            tunnels = _tunnels_around(step, tunnels)
            found.append(Section(step.node, step.kind, tunnels, steps=[index]))
            tunnels += step.kind == StepKind.STEP_ENCAPSULATE
            continue
        hook = step.chain if step.chain in BASE_CHAINS else hook
        if is_hidden(step):
            continue
        section = Section(step.node, int(StepKind.STEP_RULE), tunnels, step.table, hook)
        if found and _is_same(found[-1], section):
            section = found[-1]
        else:
            found.append(section)
        section.steps.append(index)
    return found


def _tunnels_around(step: Step, tunnels: int) -> int:
    if step.kind == StepKind.STEP_GENERATE:
        return 0
    return max(tunnels - 1, 0) if step.kind == StepKind.STEP_DECAPSULATE else tunnels


def _is_same(last: Section, section: Section) -> bool:
    mine = (section.node, section.kind, section.table, section.hook)
    return (last.node, last.kind, last.table, last.hook) == mine
