"""Chains laid end to end: where each begins, how it is closed, what every rule becomes."""

import numpy as np
import pytest

from _fastpath.image import RuleInvert, TargetKind
from dataplane.image import dtypes
from dataplane.image.rules import RuleTables, add_ruleset
from dataplane.node.iptables import parse
from tests.node.test_iptables_normal import SECTIONS

SAVE = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:A - [0:0]
-A FORWARD -s 10.0.0.0/8 ! -d 10.1.0.0/16 -i cni+ ! -o eth0 -p tcp -j A
-A FORWARD ! -p udp ! -f
-A A -f -g B
-A A -j MARK --set-xmark 0x1/0x1
:B - [0:0]
-A B -j MARK --set-xmark 0x1/0x1
COMMIT
"""


def rules_of(text=SAVE, family=4):
    tables = RuleTables()
    add_ruleset(tables, "n", family, parse(text, "save", family))
    return tables, np.array(tables.rules, dtypes.RULE)


def test_chains_lie_end_to_end_each_with_its_closing_rule():
    tables, _ = rules_of()
    assert [(name.chain, name.number) for name in tables.names] == [
        ("INPUT", 0), ("FORWARD", 1), ("FORWARD", 2), ("FORWARD", 0),
        ("A", 1), ("A", 2), ("A", 0), ("B", 1), ("B", 0),
    ]  # fmt: skip
    assert tables.base_chains == {
        ("n", 4, "filter", "INPUT"): (0, 0),
        ("n", 4, "filter", "FORWARD"): (1, 3),
    }


def test_jumps_lead_to_the_first_rule_of_a_chain():
    _, rows = rules_of()
    assert (rows["kind"][1], rows["jump"][1]) == (TargetKind.TARGET_JUMP, 4)
    assert (rows["kind"][4], rows["jump"][4]) == (TargetKind.TARGET_GOTO, 7)


def test_closing_rules_are_policies_or_silent_returns():
    _, rows = rules_of()
    closing = rows[rows["is_policy"] == 1]
    assert closing["kind"].tolist() == [
        TargetKind.TARGET_ACCEPT, TargetKind.TARGET_DROP, TargetKind.TARGET_RETURN,
        TargetKind.TARGET_RETURN,
    ]  # fmt: skip
    assert closing["is_visible"].tolist() == [1, 1, 0, 0]


def test_headers():
    tables, rows = rules_of()
    first, second, third = rows[1], rows[2], rows[4]
    assert (int(first["src"]["lo"]), int(first["src_mask"]["lo"])) == (10 << 24, 255 << 24)
    assert first["proto"] == 6
    assert first["invert"] == RuleInvert.INVERT_DST | RuleInvert.INVERT_OUT
    assert (second["proto"], second["fragment"]) == (17, 1)
    assert second["invert"] == RuleInvert.INVERT_PROTO | RuleInvert.INVERT_FRAGMENT
    assert (third["fragment"], third["invert"]) == (1, 0)
    assert third["src_mask"]["lo"] == 0
    assert [first["in_interface"], first["out_interface"], second["in_interface"]] == [0, 1, -1]
    assert len(tables.interfaces) == 2


def test_equal_targets_share_a_row():
    tables, rows = rules_of()
    assert rows["target"][5] == rows["target"][7] == 1
    assert len(tables.targets) == 2


def test_rules_keep_their_identity_when_others_are_numbered_anew():
    """Chance must not depend on what else is assembled."""
    _, alone = rules_of()
    tables = RuleTables()
    add_ruleset(tables, "another", 4, parse(SAVE, "save"))
    add_ruleset(tables, "n", 4, parse(SAVE, "save"))
    together = np.array(tables.rules, dtypes.RULE)
    assert together["identity"][9:].tolist() == alone["identity"].tolist()
    assert len(set(alone["identity"].tolist())) == len(alone)


@pytest.mark.parametrize(("tool", "table"), SECTIONS)
def test_whatever_iptables_prints_becomes_rows(tool, table):
    """Every value fits its field; no rule is left out."""
    family = 6 if tool == "ip6tables" else 4
    lines = [line for _, printed in SECTIONS[tool, table] for line in printed]
    chains = sorted({line.split()[1] for line in lines} | {"U", "weave;|$!#["})
    head = "".join(f":{chain} - [0:0]\n" for chain in chains)
    text = f"*{table}\n{head}" + "".join(f"{line}\n" for line in lines) + "COMMIT\n"
    tables, rows = rules_of(text, family)
    assert len(rows) == len(lines) + len(chains)
    np.array(tables.matches, dtypes.MATCH)
    np.array(tables.targets, dtypes.TARGET)
    np.array(tables.pools.ranges, dtypes.RANGE)
