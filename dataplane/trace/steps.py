"""One step in words.  Rules have words of their own (see rules)."""

from collections.abc import Callable, Sequence

from dataplane.reference.steps import Generated, Reason, Step, StepKind, without_copies
from dataplane.trace.reasons import REASONS
from dataplane.trace.vocabulary import CTINFOS, FROM_RESPONDER, GENERATED

TITLES = {
    StepKind.STEP_DEVICE_IN: "in",
    StepKind.STEP_DEVICE_OUT: "out",
    StepKind.STEP_LOCAL_OUT: "send",
    StepKind.STEP_LOCAL_IN: "receive",
    StepKind.STEP_CONNTRACK: "conntrack",
    StepKind.STEP_ROUTE: "route",
    StepKind.STEP_NEIGHBOUR: "neighbour",
    StepKind.STEP_FDB: "fdb",
    StepKind.STEP_BRIDGE_PORT: "bridge",
    StepKind.STEP_BRIDGE_LOCAL: "bridge",
    StepKind.STEP_BRIDGE_FLOOD: "bridge",
    StepKind.STEP_ENCAPSULATE: "encapsulate",
    StepKind.STEP_DECAPSULATE: "decapsulate",
    StepKind.STEP_GENERATE: "make",
    StepKind.STEP_REASSEMBLE: "reassemble",
    StepKind.STEP_FRAGMENT: "fragment",
    StepKind.STEP_RESUME: "resume",
    StepKind.STEP_UNKNOWN: "unknown",
}

_WORDS: dict[StepKind, Callable[[Step], str]] = {
    StepKind.STEP_LOCAL_OUT: lambda step: "by the node",
    StepKind.STEP_LOCAL_IN: lambda step: "by the node",
    StepKind.STEP_REASSEMBLE: lambda step: "the packet is whole",
    StepKind.STEP_FRAGMENT: lambda step: "each goes on by itself",
    StepKind.STEP_RESUME: lambda step: "the packet itself goes on",
    StepKind.STEP_UNKNOWN: lambda step: REASONS[Reason(step.number)].sentence,
    StepKind.STEP_CONNTRACK: lambda step: CTINFOS[step.number],
    StepKind.STEP_NAT: lambda step: "destination" if step.number else "source",
    StepKind.STEP_BRIDGE_PORT: lambda step: f"port {step.name}",
    StepKind.STEP_BRIDGE_LOCAL: lambda step: f"{step.name} itself",
    StepKind.STEP_BRIDGE_FLOOD: lambda step: f"{step.name}, every port",
    StepKind.STEP_GENERATE: lambda step: GENERATED[Generated(step.number)],
}


def step_title(steps: Sequence[Step], index: int) -> str:
    """At most eleven letters: route, conntrack, DNAT, …"""
    kind = StepKind(steps[index].kind)
    return nat_word(steps, index) if kind == StepKind.STEP_NAT else TITLES[kind]


def step_words(step: Step) -> str:
    words = _WORDS.get(StepKind(step.kind))
    return words(step) if words else step.name


def nat_word(steps: Sequence[Step], index: int) -> str:
    """DNAT, SNAT; and for the replies of such flows un-DNAT, un-SNAT.

    A reply's source is translated because the first packet's destination was, and the reverse.
    """
    of_destination = steps[index].number == 1
    if _is_reply(steps, index):
        return "un-SNAT" if of_destination else "un-DNAT"
    return "DNAT" if of_destination else "SNAT"


def _is_reply(steps: Sequence[Step], index: int) -> bool:
    node = steps[index].node
    for step in reversed(without_copies(steps[:index])):
        if step.kind == StepKind.STEP_CONNTRACK and step.node == node:
            return step.number in FROM_RESPONDER
        if step.kind == StepKind.STEP_GENERATE:
            # It belongs to the connection of the packet that it answers (nf_ct_attach).
            return True
    return False
