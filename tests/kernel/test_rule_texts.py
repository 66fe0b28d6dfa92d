"""Every extension of iptables 1.8, loaded as people write it: what we print of it is what the
kernel's iptables-save prints, and so is what we print of that."""

from random import Random

import pytest

from dataplane.node import iptables
from tests import rule_pool
from tests.kernel.rule_grammar import Rules
from tests.kernel.rule_saves import (
    ESTIMATORS,
    TOOLS,
    family_of,
    header,
    is_lost,
    ours,
    prepared,
    saved,
    saved_again,
    tables_of,
)
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
        if not is_lost(printed):
            assert printed == kernel, f"{tool} {table}: {rule}"
            assert ours(tool, table, [line.removeprefix("-A R") for line in kernel]) == kernel
    assert at == len(theirs)


def loaded(namespace, tool, table, rules):
    """The rules that the kernel takes; what it saves of them is compared."""
    theirs = saved(namespace, tool, table, rules)
    if theirs is not None:
        compare(tool, table, rules, theirs)
        return rules
    if len(rules) == 1:
        return []
    half = len(rules) // 2
    halves = (loaded(namespace, tool, table, part) for part in (rules[:half], rules[half:]))
    return [rule for part in halves for rule in part]


@pytest.mark.parametrize("tool", TOOLS)
def test_each_extension(namespace, tool):
    count = 0
    for text in [*MATCHES, *TARGETS]:
        rule = filled(text, family_of(tool))
        count += any(loaded(namespace, tool, table, [rule]) for table in BUILTIN_CHAINS)
    assert count > (len(MATCHES) + len(TARGETS)) * 2 // 3


@pytest.mark.parametrize("tool", TOOLS)
def test_rules_of_other_tests(namespace, tool):
    """They are in the form that is printed."""
    family = family_of(tool)
    own = rule_pool.IPV4 if family == 4 else rule_pool.IPV6
    remembered = (*rule_pool.CONNTRACK, *rule_pool.CHANCE, *rule_pool.MEMORY)
    for words in (*rule_pool.BOTH_FAMILIES, *own, *rule_pool.PLACE, *remembered):
        rule = words.format(a="eth0", b="eth1")
        assert any(loaded(namespace, tool, table, [rule]) for table in BUILTIN_CHAINS), rule


@pytest.mark.parametrize("table", BUILTIN_CHAINS)
@pytest.mark.parametrize("tool", TOOLS)
def test_random_rules(namespace, tool, table):
    count = 0
    for seed in range(RULE_SETS):
        rules = Rules(seed, family_of(tool))
        count += len(loaded(namespace, tool, table, [rules.rule(table) for _ in range(RULES)]))
    assert count > RULE_SETS * RULES // 2


def random_save(namespace, tool, seed):
    """A whole save of random rules, as it is written: counters too."""
    random, rules = Random(seed), Rules(seed, family_of(tool))
    lines = []
    for table, chains in BUILTIN_CHAINS.items():
        user = [f"C{number}" for number in range(random.randint(0, 3))] + ["U"]
        lines += [f"*{table}", *(f":{chain} ACCEPT [0:0]" for chain in chains)]
        lines += [f":{chain} - [0:0]" for chain in user]
        lines += ESTIMATORS
        for chain in user[:-1]:
            taken = loaded(namespace, tool, table, [rules.rule(table) for _ in range(5)])
            written = (rule for rule in taken if not is_lost(ours(tool, table, [rule])))
            # ip6tables-nft-restore 1.8.9 forgets what was counted.
            most = 0 if tool == "ip6tables-nft" else 99
            lines += [f"[{random.randint(0, most)}:0] -A {chain} {rule}" for rule in written]
        lines.append("COMMIT")
    return "\n".join([*lines, ""])


@pytest.mark.parametrize("tool", TOOLS)
def test_whole_saves(namespace, tool):
    asked = 0
    for seed in range(RULE_SETS):
        text = random_save(namespace, tool, seed)
        read = iptables.parse(header(tool) + text, "random", family_of(tool))
        try:
            theirs = saved_again(namespace, tool, text)
        except RuntimeError:  # a rule that was taken only beside another of its hashlimit table
            continue
        assert tables_of(iptables.render(read, counters=True)) == theirs
        assert saved_again(namespace, tool, iptables.render(read, counters=True)) == theirs
        asked += 1
    assert asked > RULE_SETS // 2
