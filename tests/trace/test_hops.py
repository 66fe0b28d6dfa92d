from dataplane.reference.steps import StepKind
from dataplane.trace.hops import hops
from tests.trace.records import at, rule, to_service

A = "node-a"


def test_a_hop_for_each_node_and_for_what_a_node_makes() -> None:
    steps = [
        at(StepKind.STEP_DEVICE_IN, A, "eth0"),
        at(StepKind.STEP_DEVICE_IN, "node-b", "eth0"),
        at(StepKind.STEP_GENERATE, "node-b"),
        at(StepKind.STEP_DEVICE_OUT, "node-b", "eth0"),
        at(StepKind.STEP_DEVICE_IN, A, "eth0"),
    ]
    found = hops(steps)
    assert [hop.node for hop in found] == [A, "node-b", "node-b", A]
    assert [hop.is_generated for hop in found] == [False, False, True, False]


def test_rules_of_one_hook_are_one_section() -> None:
    steps = [
        rule(A, "nat", "PREROUTING", 1),
        rule(A, "nat", "KUBE-SERVICES", 2),
        rule(A, "mangle", "FORWARD", 1),
        rule(A, "filter", "FORWARD", 1),
        rule(A, "filter", "KUBE-FORWARD", 3),
        at(StepKind.STEP_LOCAL_OUT, A),
        rule(A, "filter", "OUTPUT", 1),
        rule(A, "filter", "OUTPUT", 0),
    ]
    [hop] = hops(steps)
    assert [(each.table, each.hook, each.steps) for each in hop.sections] == [
        ("nat", "PREROUTING", [0, 1]),
        ("mangle", "FORWARD", [2]),
        ("filter", "FORWARD", [3, 4]),
        ("", "", [5]),
        ("filter", "OUTPUT", [6, 7]),
    ]


def test_hidden_rules_leave_no_section_but_begin_a_hook() -> None:
    steps = [
        rule(A, "mangle", "FORWARD", 0),
        rule(A, "filter", "FORWARD", 0),
        rule(A, "filter", "USER", 1),
    ]
    [hop] = hops(steps, lambda step: step.number == 0)
    assert [(each.table, each.hook, each.steps) for each in hop.sections] == [
        ("filter", "FORWARD", [2])
    ]


def test_every_step_stands_in_one_section_in_order() -> None:
    steps = to_service().steps
    shown = [index for hop in hops(steps) for section in hop.sections for index in section.steps]
    assert shown == list(range(len(steps)))


def test_tunnels_around_the_packet() -> None:
    steps = [
        at(StepKind.STEP_DEVICE_OUT, A, "flannel.1"),
        at(StepKind.STEP_ENCAPSULATE, A, "flannel.1"),
        at(StepKind.STEP_LOCAL_OUT, A),
        at(StepKind.STEP_LOCAL_IN, "node-b"),
        at(StepKind.STEP_DECAPSULATE, "node-b", "flannel.1"),
        at(StepKind.STEP_DECAPSULATE, "node-b", "flannel.1"),  # never fewer than none
        at(StepKind.STEP_ENCAPSULATE, "node-b", "flannel.1"),
        at(StepKind.STEP_GENERATE, "node-b"),
    ]
    sections = [section for hop in hops(steps) for section in hop.sections]
    assert [section.tunnels for section in sections] == [0, 0, 1, 1, 0, 0, 0, 0]
