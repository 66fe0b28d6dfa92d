"""A real kernel loads what `render` prints, and its iptables-save says the same again."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings

from dataplane.node import iptables
from dataplane.node.iptables import Chain, Ruleset, Table
from tests.node import strategies

FIXTURES = Path(__file__).parent / "fixtures"
SAVES = [
    ("iptables", "kube-proxy-nodeport.iptables-save"),
    ("iptables", "kube-proxy-source-ranges.iptables-save"),
    ("iptables", "kube-proxy-ipvs.iptables-save"),
    ("ip6tables", "kube-proxy-affinity.ip6tables-save"),
]
FAMILY = {"iptables": 4, "ip6tables": 6}
NEEDS_MORE = ("nfacct", "set")  # objects that a fresh namespace does not hold

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("iptables-restore") is None, reason="needs iptables"),
]


def reload(tool, text):
    """What TOOL-save prints in a new network namespace after TOOL-restore of `text`."""
    script = f"{tool}-restore && {tool}-save"
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script], input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stderr}\n{text}"
    return done.stdout


def loadable(ruleset):
    """Without the rules that need what a fresh namespace lacks."""

    def kept(chain):
        rules = [r for r in chain.rules if not any(m.name in NEEDS_MORE for m in r.matches)]
        return Chain(chain.name, chain.policy, tuple(rules))

    return Ruleset(
        {
            name: Table(name, {chain.name: kept(chain) for chain in table.chains.values()})
            for name, table in ruleset.tables.items()
        },
        ruleset.flavour,
    )


def lines(ruleset):
    """Of which the kernel may change the order of tables and chains, and counters, only."""
    text = iptables.render(loadable(ruleset))
    return sorted(line for line in text.splitlines() if line[0] != "#")


@pytest.mark.parametrize(("tool", "file"), SAVES)
def test_kube_proxys_rules_come_back_letter_for_letter(tool, file):
    ruleset = loadable(iptables.parse((FIXTURES / file).read_text(), file))
    saved = iptables.parse(reload(tool, iptables.render(ruleset)), "saved")
    assert lines(saved) == lines(ruleset)
    assert saved.tables == ruleset.tables


@pytest.mark.parametrize("tool", ["iptables", "iptables-legacy", "ip6tables"])
def test_any_rules_come_back(tool):
    if shutil.which(f"{tool}-restore") is None:
        pytest.skip(f"needs {tool}")

    @settings(max_examples=40)
    @given(strategies.rulesets(FAMILY[tool.removesuffix("-legacy")], loadable=True))
    def comes_back(ruleset):
        saved = iptables.parse(reload(tool, iptables.render(ruleset)), "saved")
        assert lines(saved) == lines(ruleset)
        assert saved.tables == ruleset.tables

    comes_back()


def test_counters_are_loaded():
    text = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    ruleset = iptables.parse(f"{text}[3:252] -A FORWARD -s 10.0.0.1/32 -j DROP\nCOMMIT\n", "x")
    script = "iptables-restore -c && iptables-save -c"
    saved = subprocess.run(
        ["unshare", "-n", "sh", "-c", script],
        input=iptables.render(ruleset, counters=True),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (rule,) = iptables.parse(saved, "saved").tables["filter"].chains["FORWARD"].rules
    assert (rule.packets, rule.bytes) == (3, 252)
