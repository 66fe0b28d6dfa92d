"""The synthetic cluster is one that works."""

import pytest

from _fastpath.reason import Verdict
from dataplane.cluster import synthetic
from dataplane.cluster.load import loads
from dataplane.control.program import program
from dataplane.replay import synthetic as connections
from dataplane.replay.replay import replay


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_every_service_answers(nodes: int) -> None:
    programmed = program(synthetic.cluster(4, nodes))
    assert list(programmed) == [f"node-{number}" for number in range(1, nodes + 1)]
    for number in range(4):
        to = connections.Connection(
            "TCP", synthetic.CLIENT, synthetic.FIRST_SERVICE + number, synthetic.PORT
        )
        found = replay(programmed, connections.frames(to))
        assert [record.verdict for record in found] == [Verdict.DELIVERED] * 10
        assert found.flows[0].end_dport == synthetic.FIRST_TARGET_PORT + number
        assert found.flows[0].place[0] == f"node-{nodes}"


def test_nothing_is_derived_or_ignored() -> None:
    said: list[str] = []
    program(loads(synthetic.manifests(3), warn=said.append), warn=said.append)
    assert [each.split(":")[0] for each in said] == ["Nodes do not say how they are connected"]


@pytest.mark.parametrize(("services", "nodes"), [(60_001, 2), (1, 0), (1, 201), (-1, 2)])
def test_more_than_there_is_room_for(services: int, nodes: int) -> None:
    with pytest.raises(ValueError, match="Services"):
        synthetic.manifests(services, nodes)
