"""A replay window by window tells what a replay in one piece tells."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataplane.errors import CaptureError
from dataplane.replay import capture_stream, run
from dataplane.replay.capture_stream import Windows
from dataplane.replay.replay import Options, replay, replay_windows
from tests import capture_files as write
from tests import frames as fr
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
    monkeypatch.setattr(run, "PIECE_FRAMES", batch)
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


def test_what_a_flood_loses_does_not_depend_on_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = two_nodes()
    node = nodes["node-a"]
    port = next(link for link in node.links if link.master == "cni0")
    ports = [replace(port, name=f"port{i}", index=1000 + i) for i in range(1200)]
    nodes["node-a"] = replace(node, links=(*node.links, *ports))
    asked = b"\0\x01\x08\0\x06\x04\0\x01" + b"\2\0\0\0\0\7\x0a\xf4\x01\x02" + b"\0" * 6
    frame = fr.ether(
        "02:00:00:00:00:07", "ff:ff:ff:ff:ff:ff", b"\x08\x06", asked + b"\x0a\xf4\x01\x63"
    )
    path = tmp_path / "flood.pcap"
    path.write_bytes(write.pcap([write.frame(frame, second) for second in range(70)]))
    options = Options(taps="all", raw=True, at=("node-a", port.name))
    said: dict[int, list[str]] = {}
    frames = {}
    for batch in (1, 4096):
        monkeypatch.setattr(run, "PIECE_FRAMES", batch)
        notes: list[str] = []
        windows = replay_windows(nodes, Windows([str(path)]), options, warn=notes.append)
        frames[batch] = [
            result.output.frame(at) for result in windows for at in range(len(result.output.rows))
        ]
        said[batch] = notes
    assert "output frames of floods were not kept" in said[1][-1]
    assert (said[1], frames[1]) == (said[4096], frames[4096])
