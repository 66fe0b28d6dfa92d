"""What a walk leaves behind: the decisions, the values that changed, the frames put out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from _fastpath.reason import Reason, Verdict
from _fastpath.trace import EventKind, Generated, StepKind

__all__ = ["Ended", "Event", "EventKind", "Generated", "Reason", "Step", "StepKind", "Tap"]


RULES = (StepKind.STEP_RULE, StepKind.STEP_UNDECIDED, StepKind.STEP_HOTDROP)


class Step(NamedTuple):
    """One decision, by name.

    RULE, UNDECIDED                 node, family, table, chain, number (0: the policy)
    DEVICE_IN/OUT, BRIDGE_*, …      node, name = device
    LOCAL_OUT, LOCAL_IN             node
    REASSEMBLE, FRAGMENT            node
    CONNTRACK                       node, number = ctinfo
    NAT                             node, number = 0 source, 1 destination
    ROUTE                           node, family, table, name = node.route_text of the route
    NEIGHBOUR                       node, family, name = "10.244.2.0 dev flannel.1 lladdr aa:…"
    FDB                             node, name = "aa:… dev flannel.1 dst 192.0.2.1"
    GENERATE                        node, number = Generated
    UNKNOWN                         node, number = Reason, of a packet made on the way
    """

    kind: int
    node: str
    family: int = 0
    table: str = ""
    chain: str = ""
    number: int = 0
    name: str = ""

    @property
    def is_rule(self) -> bool:
        return self.kind in RULES


class Event(NamedTuple):
    """A value worth telling.  Addresses are their numbers."""

    kind: int
    step: int  # steps taken when it happened
    before: int
    after: int


class Tap(NamedTuple):
    """One frame at one device."""

    node: str
    device: str
    outgoing: bool
    generated: bool  # the node made this packet itself
    frame: bytes
    length: int  # bytes on the wire


class Ended(Exception):  # noqa: N818  not an error
    """The packet's walk is over.  `device`: where, if not just somewhere on its node."""

    def __init__(self, verdict: int, reason: int, device: str | None = None):
        super().__init__(verdict, reason, device)
        self.verdict = int(verdict)
        self.reason = int(reason)
        self.device = device
        self.is_told = False  # in the trace: an end of a fragment may be that of its packet


def dropped(reason: int) -> Ended:
    return Ended(Verdict.DROPPED, reason)


def unknown(reason: int) -> Ended:
    return Ended(Verdict.UNKNOWN, reason)


@dataclass
class Trace:
    """Steps, events and taps of one packet and of those made on its way."""

    steps: list[Step] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    taps: list[Tap] = field(default_factory=list)

    def step(self, kind: int, node: str, **where: Any) -> None:
        self.steps.append(Step(int(kind), node, **where))

    def event(self, kind: int, before: int, after: int) -> None:
        if before != after:
            self.events.append(Event(int(kind), len(self.steps), before, after))

    def value(self, kind: int, before: int, after: int) -> None:
        """An event that is worth telling whether or not anything changed."""
        self.events.append(Event(int(kind), len(self.steps), before, after))


def without_copies(steps: Sequence[Step]) -> list[Step]:
    """Without what became of the copies that a TEE sent meanwhile."""
    kept: list[Step] = []
    for step in steps:
        if step.kind == StepKind.STEP_RESUME:
            while kept.pop().kind != StepKind.STEP_GENERATE:
                pass
        else:
            kept.append(step)
    return kept
