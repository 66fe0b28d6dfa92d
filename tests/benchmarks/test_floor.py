"""The plain-C floor does the same work as the engine: the same frames come out, byte for byte."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks.access_lists import Headers
from benchmarks.peers import files, floor, lists, traffic
from benchmarks.peers.ours import Ours
from dataplane.replay.capture import open_captures
from dataplane.replay.synthetic_frames import UDP

pytestmark = pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("make")), reason="the floor needs gcc and make"
)
FLOWS, PACKETS = 96, 2000
WITHOUT_CHECKSUM = 5  # every fifth UDP datagram


@dataclass(frozen=True)
class Asked:
    """The files of one run of the floor."""

    capture: Path
    flows: Path
    links: Path
    out: Path

    def frames(self, mode: str, first_id: int) -> bytes:
        """What the floor sends, frame after frame."""
        rest = (self.flows, self.links, first_id, self.out)
        assert floor.run(mode, self.capture, PACKETS, 0, *rest).packets == PACKETS
        return self.out.read_bytes()


@pytest.fixture(params=traffic.SIZES)
def asked(request: pytest.FixtureRequest, tmp_path: Path) -> Asked:
    found = Asked(*(tmp_path / name for name in ("capture", "flows", "links", "out")))
    found.flows.write_bytes(floor.flow_rows(FLOWS).tobytes())
    found.links.write_bytes(floor.links())
    found.capture.write_bytes(
        without_checksums(traffic.established(FLOWS, PACKETS, request.param), tmp_path / "all")
    )
    return found


def without_checksums(data: bytes, path: Path) -> bytes:
    """The same capture; some UDP datagrams say that they have no checksum."""
    path.write_bytes(data)
    changed = bytearray(data)
    offsets = open_captures([str(path)]).records["offset"].tolist()
    udp = [at for at in offsets if data[at + 23] == UDP]
    for at in udp[::WITHOUT_CHECKSUM]:
        changed[at + 40 : at + 42] = b"\0\0"
    assert len(udp) > PACKETS // 3
    return bytes(changed)


def opened(folder: Path) -> Ours:
    return Ours(files.write_all(folder, "opening", traffic.opening(FLOWS)), FLOWS)


@pytest.mark.parametrize("mode", ["way", "hashed"])
def test_the_floor_sends_what_the_engine_sends(asked: Asked, mode: str, tmp_path: Path) -> None:
    sent = opened(tmp_path).frames_out(asked.capture)
    assert asked.frames(mode, floor.first_id(0, traffic.outgoing(FLOWS))) == sent
    captured = open_captures([str(asked.capture)]).records["captured"]
    assert len(sent) == (2 * captured + floor.TUNNEL_BYTES).sum()


def test_packets_of_no_flow_do_not_arrive(asked: Asked) -> None:
    everything = asked.frames("way", 1)
    asked.flows.write_bytes(floor.flow_rows(FLOWS)[::2].tobytes())
    found = asked.frames("way", 1)
    assert 0 < len(found) < len(everything)


@pytest.mark.parametrize("mode", ["scan", "columns", "lookup"])
def test_every_step_sees_every_packet(asked: Asked, mode: str) -> None:
    rest = (asked.flows, asked.links)
    assert floor.run(mode, asked.capture, 10 * PACKETS, 1, *rest).packets == PACKETS
    assert floor.run(mode, asked.capture, PACKETS // 2, 1, *rest).packets == PACKETS // 2


def test_a_file_that_is_no_capture_is_refused(asked: Asked) -> None:
    with pytest.raises(RuntimeError, match="not a little-endian pcap"):
        floor.run("scan", asked.links, 1, 1)


@pytest.mark.parametrize("kind", lists.SIZES)
def test_a_linear_scan_finds_the_first_rule(kind: str, tmp_path: Path) -> None:
    rules, packets = lists.made(kind, 40, PACKETS)
    assert floor.is_exact(rules) == (kind == "services")
    found = lists.scan(rules, packets, tmp_path, passes=0)()
    wanted = sum(first_matches(rules, packets))
    assert int(found.checksum, 16) == wanted
    assert 0 < wanted < 40 * PACKETS


def first_matches(rules: np.ndarray, packets: Headers) -> Iterator[int]:
    """For each packet the number of the first rule that matches."""
    columns = (packets.src, packets.dst, packets.sport, packets.dport, packets.proto)
    for src, dst, sport, dport, proto in zip(*(c.tolist() for c in columns), strict=True):
        matching = (
            (src & rules["src_mask"] == rules["src"])
            & (dst & rules["dst_mask"] == rules["dst"])
            & (rules["sport_low"] <= sport) & (sport <= rules["sport_high"])
            & (rules["dport_low"] <= dport) & (dport <= rules["dport_high"])
            & (proto & rules["proto_mask"] == rules["proto"])
        )  # fmt: skip
        yield int(matching.argmax()) if matching.any() else len(rules)
