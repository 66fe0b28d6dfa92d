"""Rule for rule, our kube-proxy writes what the real one wrote for the same objects."""

from pathlib import Path

import pytest

from dataplane.cluster.load import load
from dataplane.control import kube_proxy
from dataplane.control.proxy_sync import sysctls
from dataplane.node import iptables

from .recorded import FIXTURES, SAVE, by_chain, cases, layout, programmed, proxy_host, recorded

# Case -> why it is not modelled yet.  This list only ever gets shorter.
NOT_COVERED: dict[str, str] = {}

CASES = [
    pytest.param(
        case,
        id=case.name,
        marks=[pytest.mark.skip(NOT_COVERED[case.name])] if case.name in NOT_COVERED else [],
    )
    for case in cases()
]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("case", CASES)
def test_rules_equal_kube_proxys(case: Path, family: int) -> None:
    assert by_chain(programmed(case, family)) == by_chain(recorded(case, family))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("case", CASES)
def test_tables_and_chains_stand_in_iptables_saves_order(case: Path, family: int) -> None:
    assert layout(programmed(case, family)) == layout(recorded(case, family))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("case", sorted(p.name for p in FIXTURES.iterdir()))
def test_text_equals_iptables_saves(case: str, family: int) -> None:
    """The fixtures have one Service port at most, so there the order of Services is one."""
    text = (FIXTURES / case / SAVE[family]).read_text()
    assert _uncommented(iptables.render(programmed(FIXTURES / case, family))) == _uncommented(text)


@pytest.mark.parametrize("case", CASES)
def test_sysctls_equal_kube_proxys(case: Path) -> None:
    cluster = load([str(case / "input.yaml")])
    written = sysctls(kube_proxy.options(cluster.kube_proxy), proxy_host(case, cluster))
    lines = (case / "sysctl.txt").read_text().splitlines()
    found = dict(line.split(" = ") for line in lines)
    assert written.items() <= found.items()
    # and where it did not write, the namespace still had what it was born with
    assert found["net.ipv4.conf.all.route_localnet"] == written.get(
        "net.ipv4.conf.all.route_localnet", "0"
    )


def _uncommented(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]
