import pytest

from dataplane.reference.steps import Step, StepKind
from dataplane.trace.steps import nat_word, step_title, step_words
from tests.trace.records import at

A = "node-a"
SOURCE, DESTINATION = 0, 1
NEW, ESTABLISHED_REPLY = 2, 3
GENERATED = at(StepKind.STEP_GENERATE, A)


def found(ctinfo: int, node: str = A) -> Step:
    return at(StepKind.STEP_CONNTRACK, node, number=ctinfo)


@pytest.mark.parametrize(
    ("before", "manip", "word"),
    [
        ([found(NEW)], DESTINATION, "DNAT"),
        ([found(NEW)], SOURCE, "SNAT"),
        ([found(ESTABLISHED_REPLY)], DESTINATION, "un-SNAT"),
        ([found(ESTABLISHED_REPLY)], SOURCE, "un-DNAT"),
        ([found(ESTABLISHED_REPLY), found(NEW, "node-b")], SOURCE, "un-DNAT"),  # this node's
        ([found(NEW), GENERATED], SOURCE, "un-DNAT"),  # what it answers travelled on
        ([GENERATED, found(NEW)], SOURCE, "SNAT"),
        ([], SOURCE, "SNAT"),
    ],
)
def test_translations_have_a_direction(before: list[Step], manip: int, word: str) -> None:
    steps = [*before, at(StepKind.STEP_NAT, A, number=manip)]
    assert nat_word(steps, len(before)) == step_title(steps, len(before)) == word


@pytest.mark.parametrize(
    ("step", "title", "words"),
    [
        (at(StepKind.STEP_DEVICE_IN, A, "eth0"), "in", "eth0"),
        (at(StepKind.STEP_CONNTRACK, A, number=3), "conntrack", "ESTABLISHED reply"),
        (at(StepKind.STEP_BRIDGE_LOCAL, A, "cni0"), "bridge", "cni0 itself"),
        (at(StepKind.STEP_BRIDGE_PORT, A, "veth1"), "bridge", "port veth1"),
        (at(StepKind.STEP_BRIDGE_FLOOD, A, "cni0"), "bridge", "cni0, every port"),
        (at(StepKind.STEP_ROUTE, A, "default via 10.0.0.1"), "route", "default via 10.0.0.1"),
        (at(StepKind.STEP_GENERATE, A, number=3), "make", "TCP reset"),
        (at(StepKind.STEP_LOCAL_IN, A), "receive", "by the node"),
    ],
)
def test_titles_and_words(step: Step, title: str, words: str) -> None:
    assert (step_title([step], 0), step_words(step)) == (title, words)
