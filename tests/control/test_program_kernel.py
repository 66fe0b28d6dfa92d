"""What we program, a real kernel loads, and iptables-save prints it back to the letter."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.control.program import program
from dataplane.node import iptables
from dataplane.node.iptables import Ruleset
from tests.kernel import nfacct
from tests.kernel.netns import Namespace

from .manifests import two_nodes
from .recorded import FIXTURES, programmed

TOOL = {4: "iptables-nft", 6: "ip6tables-nft"}

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(not shutil.which("iptables-nft-restore"), reason="no iptables-nft-restore"),
]


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    try:
        made = Namespace("iptables")
    except OSError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("node", ["node-a", "node-b"])
def test_a_whole_node(namespace: Namespace, node: str, family: int) -> None:
    state = program(two_nodes())[node]
    assert_kernel_keeps(namespace, state.iptables if family == 4 else state.ip6tables, family)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("case", sorted(path.name for path in FIXTURES.iterdir()))
def test_recorded_cases(namespace: Namespace, case: str, family: int) -> None:
    assert_kernel_keeps(namespace, programmed(Path(FIXTURES, case), family), family)


def assert_kernel_keeps(namespace: Namespace, ruleset: Ruleset, family: int) -> None:
    text = iptables.render(ruleset)
    for name in nfacct.names_in(ruleset):
        try:
            nfacct.add(namespace, name)
        except OSError as error:
            pytest.skip(f"this kernel has no accounting objects: {error}")
    namespace.run(f"{TOOL[family]}-restore", stdin=text)
    saved = namespace.run(f"{TOOL[family]}-save")
    assert _uncommented(saved) == _uncommented(text)


def _uncommented(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]
