"""Chains laid end to end: where each begins, how it is closed, what every rule becomes."""

import numpy as np
import pytest

from _fastpath.image import MatchKind, RuleInvert, TargetKind
from dataplane.image import dtypes
from dataplane.image.rules import RuleTables, add_ruleset
from dataplane.node.iptables import parse
from dataplane.reference.choice import rule_identity
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


CHANCES = """\
*filter
:INPUT ACCEPT [0:0]
-A INPUT -m statistic --mode random --probability 0.5
-A INPUT -m statistic --mode random --probability 0.5
-A INPUT -m statistic --mode random --probability 0.5
COMMIT
"""
SHARING = """\
*filter
:INPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 80
-A INPUT -p tcp -m tcp --dport 81
-A INPUT -p tcp -m comment --comment x -m tcp --dport 80
-A INPUT -m limit --limit 1/sec
-A INPUT -m limit --limit 1/sec
-A INPUT -m mark --mark 1
-A INPUT -m mark --mark 1
-A INPUT -p tcp -m tcp --dport 80
COMMIT
"""


def rules_of(text=SAVE, family=4):
    tables = RuleTables()
    add_ruleset(tables, "n", family, parse(text, "save", family))
    return tables, np.frombuffer(bytes(tables.rules), dtypes.RULE)


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
    assert (rows["kind"][1], rows["target"][1]) == (TargetKind.TARGET_JUMP, 4)
    assert (rows["kind"][4], rows["target"][4]) == (TargetKind.TARGET_GOTO, 7)


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
    assert (int(first["src"]["lo"]), tables.masks[first["src_mask"]]) == (10 << 24, (0, 255 << 24))
    assert first["proto"] == 6
    assert first["invert"] == RuleInvert.INVERT_DST | RuleInvert.INVERT_OUT
    assert (second["proto"], second["fragment"]) == (17, 1)
    assert second["invert"] == RuleInvert.INVERT_PROTO | RuleInvert.INVERT_FRAGMENT
    assert (third["fragment"], third["invert"]) == (1, 0)
    assert third["src_mask"] == 0
    assert [first["in_interface"], first["out_interface"], second["in_interface"]] == [0, 1, -1]
    assert len(tables.interfaces) == 2


def test_equal_targets_share_a_row():
    tables, rows = rules_of()
    assert rows["target"][5] == rows["target"][7] == 1
    assert len(tables.targets) == 2


def test_rules_keep_their_identity_when_others_are_numbered_anew():
    """Chance must not depend on what else is assembled."""
    alone, _ = rules_of(CHANCES)
    together = RuleTables()
    add_ruleset(together, "another", 4, parse(SAVE, "save"))
    add_ruleset(together, "n", 4, parse(CHANCES, "save"))
    drawing = [row for row in together.matches if row[4] == MatchKind.MATCH_STATISTIC_RANDOM]
    assert drawing == alone.matches
    identities = [(high, low) for _, low, high, *_ in drawing]
    assert len(set(identities)) == 3
    assert identities[1] == divmod(rule_identity(4, "filter", "INPUT", 2), 1 << 32)


def test_rules_that_ask_the_same_share_rows_unless_they_remember():
    tables, rows = rules_of(SHARING)
    starts = rows["match_start"][:8].tolist()
    assert starts == [0, 1, 0, 2, 3, 4, 4, 0]
    assert len(tables.matches) == 5


def test_what_another_node_asks_is_asked_anew():
    """A set, or a table of addresses, is a node's own."""
    tables = RuleTables()
    save = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m recent --rcheck --name A --rsource\nCOMMIT\n"
    rules = parse(save, "save", 4)
    for node in ("a", "b"):
        add_ruleset(tables, node, 4, rules)
    assert [row[2] for row in tables.matches] == [0, 1]


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
