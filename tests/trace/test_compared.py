"""Rules that were compared, told from the steps of those that matched."""

import pytest

from _fastpath.trace import StepKind
from dataplane.node.iptables import parse
from dataplane.node.state import NodeState
from dataplane.reference.steps import Step
from dataplane.trace.compared import Comparisons, Met
from dataplane.trace.describe import Describer

RULES = """\
*filter
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:A - [0:0]
:B - [0:0]
-A FORWARD -p udp -j DROP
-A FORWARD -j A
-A FORWARD -p tcp -j ACCEPT
-A A -p udp -j DROP
-A A -j B
-A A -p udp -j DROP
-A B -p udp -j DROP
-A B -p tcp -j RETURN
-A B -p udp -j DROP
-A OUTPUT -p udp -j DROP
-A OUTPUT -g A
-A OUTPUT -p udp -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p udp -j RETURN
-A PREROUTING -p tcp -j MARK --set-xmark 0x1/0x1
-A PREROUTING -p udp -j RETURN
-A PREROUTING -p tcp -j RETURN
-A PREROUTING -p udp -j RETURN
COMMIT
"""


def rule(chain: str, number: int, table: str = "filter", node: str = "n") -> Step:
    return Step(StepKind.STEP_RULE, node, 4, table, chain, number)


@pytest.mark.parametrize(
    ("path", "matched", "compared"),
    [
        ([], 0, 0),
        ([Step(StepKind.STEP_LOCAL_IN, "n")], 0, 0),
        ([rule("FORWARD", 1)], 1, 1),
        ([rule("FORWARD", 0)], 0, 3),
        ([rule("FORWARD", 3)], 1, 3),
        # To A, to B, back from it, out of A at its end, on behind the jump.
        (
            [rule("FORWARD", 2), rule("A", 2), rule("B", 2), rule("FORWARD", 3)],
            4,
            2 + 2 + 2 + 1 + 1,
        ),
        # Out of B at its end as well.
        ([rule("FORWARD", 2), rule("A", 2), rule("FORWARD", 3)], 3, 2 + 2 + 3 + 1 + 1),
        # From A, which was gone to, the way leads to the policy.
        ([rule("OUTPUT", 2), rule("OUTPUT", 0)], 1, 2 + 3),
        # RETURN in a base chain: its policy, and nothing between.
        ([rule("PREROUTING", n, "nat") for n in (2, 4, 0)], 2, 4),
        # Another table, another node, the same chain at another hook.
        ([rule("FORWARD", 3), rule("PREROUTING", 1, "nat")], 2, 3 + 1),
        ([rule("FORWARD", 3), rule("FORWARD", 3, node="m")], 2, 3 + 3),
        ([rule("FORWARD", 3), rule("OUTPUT", 1)], 2, 3 + 1),
        ([rule("FORWARD", 3), rule("FORWARD", 2)], 2, 3 + 2),
        ([rule("FORWARD", 3), rule("FORWARD", 3)], 2, 3 + 3),
    ],
)
def test_rules_met(path: list[Step], matched: int, compared: int) -> None:
    nodes = {name: NodeState(name, iptables=parse(RULES, "rules", 4)) for name in ("n", "m")}
    assert Comparisons(Describer(nodes).rules).of(path) == Met(matched, compared)
