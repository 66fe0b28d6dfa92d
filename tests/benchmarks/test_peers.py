"""The comparison of all sides, with few packets."""

import shutil
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import files, floor, instructions, parsers, steps, tracing, traffic, way
from benchmarks.peers.cluster import CLIENT
from benchmarks.peers.ours import Ours
from dataplane.node.state import NodeState
from dataplane.replay.capture import open_captures
from dataplane.replay.synthetic_frames import TCP, UDP

pytestmark = pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("make")), reason="the floor needs gcc and make"
)


def test_sizes_are_compared_over_the_same_flows(tmp_path: Path) -> None:
    asked = way.Asked(64, list(traffic.SIZES), 1, 0.001, tmp_path, why_not_linux="not here")
    said: list[str] = []
    found = list(way.compare_all(asked, said.append))
    assert [row.bench for row in found] == [f"whole way, {mix}, 64 flows" for mix in traffic.SIZES]
    assert all(row.ratio_floor and row.linux_ns is None for row in found)
    assert "64 flows: no Linux: not here" in said


def test_other_frames_than_the_floors_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = bytearray(floor.links())
    wrong[-1] ^= 1
    monkeypatch.setattr(floor, "links", lambda: bytes(wrong))
    asked = way.Asked(64, ["64 B"], 1, 0.001, tmp_path, why_not_linux="not here")
    with pytest.raises(RuntimeError, match="the floor's are"):
        list(way.compare_all(asked, lambda _: None))


@pytest.mark.parametrize("mix", traffic.SIZES)
def test_the_measured_packets_open_nothing(mix: str, tmp_path: Path) -> None:
    ours = Ours(files.write_all(tmp_path, "opening", traffic.opening(64)), 64)
    path = files.write(tmp_path / "capture", traffic.established(64, 500, mix))
    last: list[dict[str, NodeState]] = []
    ours.run(path, lambda result: last.append(result.states()))
    for state in last[-1].values():
        client = ip_address(CLIENT)
        found = [entry for entry in state.conntrack if entry.original.src == client]
        assert len(found) == 64
        assert not any(entry.unreplied for entry in found)
        assert {entry.state for entry in found} == {"", "ESTABLISHED"}


def test_tracing_is_compared_over_the_same_packets(tmp_path: Path) -> None:
    found = tracing.compare(16, "64 B", 1, tmp_path)
    assert [row.bench for row in found] == [
        "tracing, 64 B: first packets",
        "tracing, 64 B: open flows",
    ]
    assert all(row.more["ratio"] > 0 and row.checksum for row in found)


@pytest.mark.parametrize("name", parsers.installed())
def test_python_parsers_find_the_same(name: str, tmp_path: Path) -> None:
    path = files.write(tmp_path / "capture", traffic.established(64, 300, "IMIX"))
    found = parsers.measured(parsers.PARSERS[name], path).found
    assert (found == parsers.host(steps.five_tuples(path))).all()


def test_traffic_is_the_same_for_the_same_seed() -> None:
    assert traffic.established(100, 500, "IMIX") == traffic.established(100, 500, "IMIX")
    other = traffic.established(100, 500, "IMIX", seed=2)
    assert traffic.established(100, 500, "IMIX") != other


def test_every_flow_has_a_packet_and_both_protocols_are_there(tmp_path: Path) -> None:
    path = files.write(tmp_path / "capture", traffic.established(400, 400, "64 B"))
    found = parsers.host(steps.five_tuples(path))
    assert len(np.unique(found)) == 400
    assert set(found["proto"].tolist()) == {TCP, UDP}
    assert (open_captures([str(path)]).records["captured"] == 64).all()


def test_no_window_is_ever_full(tmp_path: Path) -> None:
    """Each flow sends more than a window that is not scaled holds."""
    ours = Ours(files.write_all(tmp_path, "opening", traffic.opening(32)), 32)
    data = traffic.established(32, 20_000, "IMIX")
    assert len(data) // 32 > 2 * 65535
    assert ours.run(files.write(tmp_path / "capture", data)) > 0


def test_callgrind_files_are_read_by_kernel_module(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text(
        "events: Ir\n\nfn=(1) __pyx_f_9_fastpath_4path_receive\n10 5\n"
        "cfn=(2) memcpy\ncalls=1 20\n11 100\n+1 7\n\nfn=(2)\n20 100\n\n"
        "fn=(3) __pyx_fuse_0__pyx_f_9_fastpath_15conntrack_table_find\n* 3\n"
    )
    assert instructions.counted(out) == {
        "_fastpath/path": 12,
        "libc": 100,
        "_fastpath/conntrack_table": 3,
    }
