"""Every extension of iptables 1.8, loaded as people write it: what we print of it is what the
kernel's iptables-save prints, and so is what we print of that."""

import pytest

from tests.kernel.rule_grammar import Rules
from tests.kernel.rule_saves import LOST, TOOLS, family_of, ours, prepared, saved
from tests.kernel.rule_texts import MATCHES, TARGETS, filled
from tests.node.strategies_iptables import BUILTIN_CHAINS

pytestmark = pytest.mark.kernel

RULE_SETS, RULES = 5, 40


@pytest.fixture(scope="module")
def namespace():
    made = prepared()
    yield made
    made.close()


def compare(tool, table, rules, theirs):
    """Our print of rules as they are written, and of the save, is the save."""
    at = 0
    for rule in rules:
        printed = ours(tool, table, [rule])
        kernel = theirs[at : at + len(printed)]
        at += len(printed)
        if not any(LOST.search(line) for line in printed):
            assert printed == kernel, f"{tool} {table}: {rule}"
            assert ours(tool, table, [line.removeprefix("-A R") for line in kernel]) == kernel
    assert at == len(theirs)


def loaded(namespace, tool, table, rules):
    """How many of the rules the kernel takes; what it saves of them is compared."""
    theirs = saved(namespace, tool, table, rules)
    if theirs is not None:
        compare(tool, table, rules, theirs)
        return len(rules)
    if len(rules) == 1:
        return 0
    half = len(rules) // 2
    return sum(loaded(namespace, tool, table, part) for part in (rules[:half], rules[half:]))


@pytest.mark.parametrize("tool", TOOLS)
def test_each_extension(namespace, tool):
    count = 0
    for text in [*MATCHES, *TARGETS]:
        rule = filled(text, family_of(tool))
        count += any(loaded(namespace, tool, table, [rule]) for table in BUILTIN_CHAINS)
    assert count > (len(MATCHES) + len(TARGETS)) * 2 // 3


@pytest.mark.parametrize("table", BUILTIN_CHAINS)
@pytest.mark.parametrize("tool", TOOLS)
def test_random_rules(namespace, tool, table):
    count = 0
    for seed in range(RULE_SETS):
        rules = Rules(seed, family_of(tool))
        count += loaded(namespace, tool, table, [rules.rule(table) for _ in range(RULES)])
    assert count > RULE_SETS * RULES // 2
