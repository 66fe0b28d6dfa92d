"""A replay window by window tells what a replay in one piece tells."""

from pathlib import Path

import numpy as np
import pytest

from dataplane.errors import CaptureError
from dataplane.replay import capture_stream, run
from dataplane.replay.capture_stream import Windows
from dataplane.replay.replay import Options, replay, replay_windows
from tests.cli.commands import CASE
from tests.two_nodes import two_nodes

CAPTURES = [str(CASE / "client.pcap"), str(CASE / "outside.pcap")]


def programmed() -> dict[str, object]:
    from dataplane.cluster.load import load
    from dataplane.control.program import program

    return program(load([str(CASE / "cluster.yaml")]))  # type: ignore[return-value]


@pytest.mark.parametrize("window", [1 << 10, 1 << 13, 1 << 24])
@pytest.mark.parametrize("batch", [1, 7, 4096])
def test_windows_tell_the_same(window: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_stream, "LEAST_WINDOW", 1)
    monkeypatch.setattr(run, "BATCH_FRAMES", batch)
    monkeypatch.setattr(run, "OUTPUT_BYTES", 20_000)
    nodes = programmed()
    options = Options(taps="all", events=True)
    whole = replay(nodes, CAPTURES, options)  # type: ignore[arg-type]
    records, traces, last = [], [], None
    for last in replay_windows(nodes, Windows(CAPTURES, window), options):  # type: ignore[arg-type]
        assert last.first == len(records)
        records += [(last.record(at), last.number(at)) for at in range(len(last))]
        traces.append(last.trace(0).text())
    assert last is not None
    assert records == [(whole.record(at), whole.number(at)) for at in range(len(whole))]
    assert np.array_equal(last.flow_rows, whole.flow_rows)
    assert last.states() == whole.states()
    assert last.end_ns == whole.end_ns
    assert traces[0] == whole.trace(0).text()
    assert traces[-1] == whole.trace(last.first).text()


def test_nothing_in_them(tmp_path: Path) -> None:
    path = tmp_path / "empty.pcap"
    path.write_bytes(Path(CAPTURES[0]).read_bytes()[:24])
    with pytest.raises(CaptureError, match=r"empty\.pcap: no packets"):
        list(replay_windows(two_nodes(), Windows([str(path)])))
