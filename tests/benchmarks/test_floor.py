"""The plain-C floor does the same work as the engine: the same frames come out, byte for byte."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import floor, frames, traffic
from benchmarks.peers.ours import Ours, arrived
from dataplane.replay.capture import open_captures

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
    udp = [at for at in offsets if data[at + 23] == frames.UDP]
    for at in udp[::WITHOUT_CHECKSUM]:
        changed[at + 40 : at + 42] = b"\0\0"
    assert len(udp) > PACKETS // 3
    return bytes(changed)


def opened(folder: Path) -> Ours:
    return Ours(frames.write_all(folder, "opening", traffic.opening(FLOWS)), FLOWS)


@pytest.mark.parametrize("mode", ["way", "hashed"])
def test_the_floor_sends_what_the_engine_sends(asked: Asked, mode: str, tmp_path: Path) -> None:
    ran = opened(tmp_path).run(asked.capture)
    arrived(ran.result)
    found = asked.frames(mode, floor.first_id(0, traffic.outgoing(FLOWS)))
    assert len(ran.result.output.rows) == 2 * PACKETS
    assert found == ran.frames_out()


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


def exact_rules(count: int) -> np.ndarray:
    """Services that nobody asks for, and one of those that are."""
    rules = np.zeros(count, floor.RULE)
    rules["dst"], rules["dst_mask"] = 0x0A630000 + np.arange(count), 0xFFFFFFFF
    rules["sport_high"], rules["dport_low"], rules["dport_high"] = 0xFFFF, 80, 80
    rules["proto"], rules["proto_mask"] = frames.UDP, 0xFF
    rules["dst"][count // 2] = int(traffic.flows(FLOWS).service_address[3])
    return rules


def mixed_rules(count: int) -> np.ndarray:
    """Prefixes, ranges and protocols, some of which match some of the packets."""
    random = np.random.default_rng(7)
    rules = exact_rules(count)
    length = random.choice([0, 16, 28, 30, 32], count)
    rules["dst_mask"] = (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF
    rules["dst"] = (0x0A601400 + random.integers(0, 16, count)) & rules["dst_mask"]
    rules["sport_low"] = random.integers(1016, 1030, count)
    rules["sport_high"] = rules["sport_low"] + random.integers(0, 8, count)
    rules["proto"] = random.choice([frames.UDP, frames.TCP], count)
    return rules


def expected(rules: np.ndarray, capture: Path) -> int:
    """Sum over all packets of the number of the first rule that matches."""
    total, opened = 0, open_captures([str(capture)])
    for number in range(len(opened)):
        frame = opened.raw(number)
        src, dst, sport, dport = (
            int.from_bytes(frame[at : at + size])
            for at, size in ((26, 4), (30, 4), (34, 2), (36, 2))
        )
        matching = (
            (src & rules["src_mask"] == rules["src"])
            & (dst & rules["dst_mask"] == rules["dst"])
            & (rules["sport_low"] <= sport) & (sport <= rules["sport_high"])
            & (rules["dport_low"] <= dport) & (dport <= rules["dport_high"])
            & (frame[23] & rules["proto_mask"] == rules["proto"])
        )  # fmt: skip
        total += int(matching.argmax()) if matching.any() else len(rules)
    return total


@pytest.mark.parametrize("make", [exact_rules, mixed_rules])
def test_a_linear_scan_finds_the_first_rule(make, asked: Asked, tmp_path: Path) -> None:
    rules = make(40)
    assert floor.is_exact(rules) == (make is exact_rules)
    found = floor.linear_scan(rules, asked.capture, PACKETS, 0, tmp_path)
    wanted = expected(rules, asked.capture)
    assert int(found.checksum, 16) == wanted
    assert 0 < wanted < 40 * PACKETS
