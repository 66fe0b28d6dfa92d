"""Linux carries the benchmark's packets, and sends on what the floor sends on."""

from pathlib import Path

import pytest

from benchmarks.peers import files, floor, traffic
from benchmarks.peers.linux import Linux, Sender
from dataplane.replay.capture import open_captures
from tests.kernel.taps import Taps

pytestmark = pytest.mark.kernel

FLOWS, PACKETS = 64, 500


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return files.write(tmp_path / "capture", traffic.established(FLOWS, PACKETS, "IMIX"))


@pytest.fixture
def linux(tmp_path: Path):
    opening = traffic.opening(FLOWS, at_endpoint=True)
    linux = Linux(files.write_all(tmp_path, "opening", opening), FLOWS)
    yield linux
    linux.close()


def test_linux_delivers_what_the_floor_delivers(linux, capture: Path, tmp_path: Path) -> None:
    with Taps({"pod": (linux.server, "eth0")}, frames=2 * PACKETS) as taps:
        assert linux.run(capture).arrived == PACKETS
        arrived = [frame.data for frame in taps.drain()["pod"]]
    assert arrived == delivered_by_floor(capture, tmp_path)


def delivered_by_floor(capture: Path, folder: Path) -> list[bytes]:
    flows = files.write(folder / "flows", floor.flow_rows(FLOWS).tobytes())
    links = files.write(folder / "links", floor.links())
    out = folder / "out"
    floor.run("way", capture, PACKETS, 0, flows, links, 1, out)
    data, at, found = out.read_bytes(), 0, []
    for size in open_captures([str(capture)]).records["captured"].tolist():
        at += floor.TUNNEL_BYTES + size
        found.append(data[at : at + size])
        at += size
    return found


def test_no_packet_is_new_and_nobody_answers(linux, capture: Path) -> None:
    before = linux.lab.nodes["node-a"].sysctl("net.netfilter.nf_conntrack_count")
    linux.run(capture, passes=2)
    node = linux.lab.nodes["node-a"]
    assert node.sysctl("net.netfilter.nf_conntrack_count") == before
    assert "UNREPLIED" not in node.run("conntrack", "-L", "-s", "10.244.1.2")


def test_the_sender_alone_sends_everything(capture: Path) -> None:
    sender = Sender()
    try:
        assert sender.run(capture, passes=3).arrived == 3 * PACKETS
    finally:
        sender.close()
