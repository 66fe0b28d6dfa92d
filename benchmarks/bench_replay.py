"""End to end: the recorded conversation, repeated to 200 000 packets, from file to records."""

from functools import cache
from pathlib import Path

import pytest

from benchmarks.report import report
from benchmarks.traffic import SECOND, tiled
from dataplane.cluster.load import load
from dataplane.control.program import program
from dataplane.replay.replay import Options, replay

CASE = Path(__file__).parent.parent / "pcaps" / "two-nodes"
PACKETS = 200_000
APART_NS = 300 * SECOND  # by then the connections before are forgotten
HOW = {
    "records only": Options(),
    "two taps": Options(taps=[("node-a", "eth0"), ("node-b", "cni0")]),
    "events": Options(events=True),
}


@cache
def programmed():
    return program(load([str(CASE / "cluster.yaml")]))


@cache
def frames():
    return tiled(str(CASE / "client.pcap"), PACKETS, APART_NS)


@pytest.mark.parametrize("how", HOW)
def test_replay(benchmark, how):
    result = benchmark.pedantic(replay, (programmed(), frames(), HOW[how]), rounds=3)
    report(benchmark, PACKETS, result.columns, result.output.rows, result.output.data)
