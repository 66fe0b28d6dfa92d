"""Every extension of iptables 1.8, loaded as people write it: what the kernel's iptables-save
prints of it is what we print of that, and what it prints of our own text."""

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dataplane.node import iptables
from tests.kernel.netns import Namespace
from tests.kernel.rule_texts import MATCHES, TARGETS, filled
from tests.node.strategies_iptables import BUILTIN_CHAINS

pytestmark = pytest.mark.kernel

TOOLS = ("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft")
PLACES = [
    (table, chain) for table, chains in BUILTIN_CHAINS.items() for chain in chains
]  # fmt: skip


@pytest.fixture(scope="module")
def namespace():
    made = Namespace("rules")
    made.run("ipset", "create", "s", "list:set")
    yield made
    made.close()


def save_of(namespace, tool, table, text):
    """What is saved after loading a text; None if the kernel or the tool refuses it."""
    head = "".join(f":{chain} ACCEPT [0:0]\n" for chain in BUILTIN_CHAINS[table])
    try:
        namespace.run(f"{tool}-restore", stdin=f"*{table}\n{head}:U - [0:0]\n{text}COMMIT\n")
    except RuntimeError:
        return None
    saved = namespace.run(f"{tool}-save", "-t", table)
    namespace.run(tool, "-t", table, "-F")
    return [line for line in saved.splitlines() if line.startswith("-A")]


def ours(tool, table, text):
    """Our print of rules."""
    family = 6 if tool.startswith("ip6") else 4
    head = "".join(f":{chain} ACCEPT [0:0]\n" for chain in BUILTIN_CHAINS[table])
    found = iptables.parse(f"*{table}\n{head}:U - [0:0]\n{text}COMMIT\n", "x", family)
    return [
        iptables.render_rule(chain.name, rule)
        for chain in found.tables[table].chains.values()
        for rule in chain.rules
    ]


def check(namespace, tool, table, line):
    theirs = save_of(namespace, tool, table, line + "\n")
    if theirs is None:
        return False
    assert ours(tool, table, "\n".join(theirs) + "\n") == theirs, line
    again = save_of(namespace, tool, table, "\n".join(ours(tool, table, line + "\n")) + "\n")
    assert again == theirs, line
    return True


@pytest.mark.parametrize("tool", TOOLS)
def test_each_extension(namespace, tool):
    family = 6 if tool.startswith("ip6") else 4
    loaded = 0
    for text in [*MATCHES, *TARGETS]:
        rule = filled(text, family)
        loaded += any(
            check(namespace, tool, table, f"-A {chain} {rule}")
            for table, chain in (("filter", "FORWARD"), ("mangle", "PREROUTING"),
                                 ("nat", "POSTROUTING"), ("nat", "PREROUTING"),
                                 ("raw", "PREROUTING"))
        )  # fmt: skip
    assert loaded > (len(MATCHES) + len(TARGETS)) * 2 // 3


@pytest.mark.parametrize("tool", TOOLS)
def test_any_rule(namespace, tool):
    family = 6 if tool.startswith("ip6") else 4
    plain = [text for text in MATCHES if not text.startswith(("-p", "-f", "! -f", "-s", "! -d"))]

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from(PLACES), st.sampled_from(MATCHES),
        st.lists(st.sampled_from(plain), max_size=3), st.sampled_from(TARGETS),
    )  # fmt: skip
    def agree(place, first, others, target):
        words = [first, *others, target]
        assume(sum(word.count("-p ") for word in words) <= 1)
        rule = filled(" ".join(words), family)
        check(namespace, tool, place[0], f"-A {place[1]} {rule}")

    agree()
