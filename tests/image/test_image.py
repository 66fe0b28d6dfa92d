"""Step numbers and names are inverse; places are; what is assembled is the nodes' alone."""

import numpy as np
import pytest

from _fastpath.image import TargetKind
from _fastpath.state import CtInfo
from _fastpath.trace import REASONS, Generated, StepKind
from dataplane.image.image import NO_DEVICE, assemble
from dataplane.node.state import NodeState
from tests.image.dumps import dumped
from tests.two_nodes import two_nodes

IMAGE = assemble(two_nodes())
NAMES = IMAGE.names
NODES, DEVICES = len(NAMES.nodes), len(NAMES.devices)

# How many steps there are of each kind.
SIZES = dict.fromkeys(range(StepKind.STEP_KINDS), DEVICES) | {
    StepKind.STEP_RULE: len(NAMES.rules),
    StepKind.STEP_UNDECIDED: len(NAMES.rules),
    StepKind.STEP_HOTDROP: len(NAMES.rules),
    StepKind.STEP_REASSEMBLE: NODES,
    StepKind.STEP_FRAGMENT: NODES,
    StepKind.STEP_RESUME: NODES,
    StepKind.STEP_LOCAL_OUT: NODES,
    StepKind.STEP_LOCAL_IN: NODES,
    StepKind.STEP_CONNTRACK: NODES * CtInfo.CT_INFOS,
    StepKind.STEP_NAT: NODES * 2,
    StepKind.STEP_ROUTE: len(NAMES.routes),
    StepKind.STEP_NEIGHBOUR: len(NAMES.neighbours),
    StepKind.STEP_FDB: len(NAMES.fdb),
    StepKind.STEP_GENERATE: NODES * Generated.GENERATED_KINDS,
    StepKind.STEP_UNKNOWN: NODES * REASONS,
}
STEPS = sum(SIZES.values())


def numbers(kind):
    base = int(IMAGE.arrays["base"][kind])
    return range(base, base + SIZES[kind])


def test_each_number_is_of_one_kind():
    found = [kind for kind in SIZES for _ in numbers(kind)]
    assert [IMAGE.step(number).kind for number in range(STEPS)] == found


def test_each_step_has_a_number_of_its_own():
    """Forwarding entries of devices' own addresses leave no step, and have no text."""
    named = [IMAGE.step(number) for number in range(STEPS)]
    steps = [step for step in named if step.kind != StepKind.STEP_FDB or step.name]
    assert len(set(steps)) == len(steps)


@pytest.mark.parametrize(
    ("kind", "index", "said"),
    [
        (StepKind.STEP_LOCAL_IN, 1, {"node": "node-b"}),
        (StepKind.STEP_CONNTRACK, CtInfo.CT_INFOS + 2, {"node": "node-b", "number": 2}),
        (StepKind.STEP_NAT, 1, {"node": "node-a", "number": 1}),
        (StepKind.STEP_GENERATE, Generated.GENERATED_KINDS, {"node": "node-b", "number": 0}),
    ],
)
def test_steps_of_nodes(kind, index, said):
    step = IMAGE.step(int(IMAGE.arrays["base"][kind]) + index)
    assert {name: getattr(step, name) for name in said} == said


def test_steps_of_rules_are_the_rules():
    for number, rule in zip(numbers(StepKind.STEP_RULE), NAMES.rules, strict=True):
        step = IMAGE.step(number)
        assert (step.node, step.family, step.table, step.chain, step.number) == tuple(rule)


def test_steps_of_devices_and_places_are_the_devices():
    for index, (node, device) in enumerate(NAMES.devices):
        for kind in (StepKind.STEP_DEVICE_IN, StepKind.STEP_ENCAPSULATE):
            step = IMAGE.step(int(IMAGE.arrays["base"][kind]) + index)
            assert (step.node, step.name) == (node, device)
        assert IMAGE.device(node, device) == index
        assert IMAGE.place(index) == (node, device)


def test_places_of_nodes_and_of_nowhere():
    assert [IMAGE.place(~index) for index in range(NODES)] == [(n, None) for n in NAMES.nodes]
    assert IMAGE.place(NO_DEVICE) == ("", None)
    assert IMAGE.device("node-a", "no such") == IMAGE.device("nobody", "eth0") == -1


def test_the_same_nodes_give_the_same_bytes():
    again = assemble(two_nodes())
    for name, array in IMAGE.arrays.items():
        assert array.tobytes() == again.arrays[name].tobytes(), name


def test_a_node_without_anything_is_assembled():
    image = assemble({"n": NodeState("n")})
    assert image.names.nodes == ["n"]
    assert image.names.devices == []


def test_what_has_to_be_assumed_is_said():
    said = []
    assemble({"n": NodeState("n")}, warn=said.append)
    (warning,) = said
    assert "net.ipv4.ip_forward and net.bridge.bridge-nf-call-iptables not given" in warning
    assemble({"node-a": dumped("sysctl", "", "")}, warn=said.append)
    assert len(said) == 1


def test_references_between_arrays_are_in_range():
    """Kernels trust them."""
    arrays = IMAGE.arrays
    rules = arrays["rules"]
    jumps = np.isin(rules["kind"], (TargetKind.TARGET_JUMP, TargetKind.TARGET_GOTO))
    assert rules["target"][jumps].max() < len(rules)
    assert rules["target"][~jumps].max() < len(arrays["targets"])
    assert max(rules["src_mask"].max(), rules["dst_mask"].max()) < len(arrays["masks"])
    assert (rules["match_start"] + rules["match_count"]).max() <= len(arrays["matches"])
    for field in ("in_interface", "out_interface"):
        assert -1 <= rules[field].min() <= rules[field].max() < len(arrays["interfaces"])
    for name, field in (("routes", "device"), ("neighbours", "device"), ("hosts", "device")):
        assert -1 <= arrays[name][field].min() <= arrays[name][field].max() < DEVICES
    trie = arrays["lpm"]
    assert 0 <= trie["child"].min() <= trie["child"].max() < len(trie)
    assert trie["value"].max() < len(arrays["routes"])
    assert np.isin(arrays["devices"]["node"], range(NODES)).all()
