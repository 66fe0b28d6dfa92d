"""The stages of a replay, by a clock that counts how often it is asked."""

from itertools import count
from pathlib import Path

import numpy as np
import pytest

from dataplane.cluster import synthetic
from dataplane.control.program import program
from dataplane.image.image import Image, assemble
from dataplane.replay.capture import open_captures
from dataplane.replay.replay import Options, replay
from dataplane.replay.stages import Measured, read, recorded, walk
from dataplane.replay.synthetic_flows import Talk, established, opening
from dataplane.replay.synthetic_frames import capture, one_after_the_other
from dataplane.trace.compared import Comparisons
from dataplane.trace.describe import Describer

FLOWS, PACKETS = 8, 100
OPENING = 4 * FLOWS


@pytest.fixture(scope="module")
def image() -> Image:
    return assemble(program(synthetic.cluster(2)))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    macs = bytes.fromhex("020000000002 020000000001")
    talk = Talk(int(synthetic.CLIENT), int(synthetic.FIRST_SERVICE), 2, macs, has_udp=False)
    some = talk.flows(FLOWS)
    phases = [*opening(some), established(some, PACKETS, "IMIX", 7)]
    found: Path = tmp_path_factory.mktemp("stages") / "synthetic.pcap"
    found.write_bytes(capture(one_after_the_other(phases)))
    return str(found)


def measured(image: Image, path: str, packets: int = 1 << 20, window: int = 1 << 16) -> Measured:
    return Measured(image, [path], Options(), count().__next__, packets, window)


def test_established_packets_take_the_recorded_way(image: Image, path: str) -> None:
    found = recorded(measured(image, path))
    assert len(found) == OPENING + PACKETS
    assert not found[: 2 * FLOWS].any()
    assert found[OPENING + FLOWS :].mean() > 0.8


def test_a_walk_is_that_of_a_replay(image: Image, path: str) -> None:
    seen: list[np.ndarray] = []
    found = walk(measured(image, path), take=lambda result: seen.append(result.columns.copy()))
    wanted = replay(image, [path]).columns
    assert (np.concatenate(seen) == wanted).all()
    assert found.checksum == walk(measured(image, path, window=1 << 20)).checksum
    assert found.walk_ns > 0
    assert found.take_ns == len(seen)


def test_some_packets_by_themselves(image: Image, path: str) -> None:
    of = measured(image, path)
    seen: list[int] = []
    walk(of, ~recorded(of), lambda result: seen.append(len(result)))
    assert sum(seen) == int((~recorded(of)).sum())


@pytest.mark.parametrize("packets", [1, 50, 131, 132, 133])
def test_no_more_packets_than_asked_for(image: Image, path: str, packets: int) -> None:
    of = measured(image, path, packets)
    assert sum(map(len, of.windows())) == min(packets, OPENING + PACKETS)


def test_reading_is_timed_window_by_window(image: Image, path: str) -> None:
    of = measured(image, path)
    windows = len(list(of.windows()))
    found = read(of)
    assert (found.read_ns, found.parse_ns) == (windows + 1, windows)


def test_rules_met_are_counted_by_new_flow(image: Image, path: str) -> None:
    found = walk(measured(image, path))
    met = found.met(Comparisons(Describer(image.states, None).rules))
    assert sum(met.values()) == FLOWS
    assert all(one.compared >= one.matched > 10 for one in met)


def test_the_frames_are_what_they_say(path: str) -> None:
    found = open_captures([path]).five_tuples()
    assert set(found["proto"].tolist()) == {6}
    assert len(np.unique(found[["src", "dst", "sport", "dport"]])) == 2 * FLOWS


def test_a_client_has_only_so_many_ports() -> None:
    talk = Talk(1, 2, 2, bytes(12))
    assert len(talk.flows(talk.most_flows).number) == 2 * 64512
    with pytest.raises(ValueError, match="but a client has 129024"):
        talk.flows(talk.most_flows + 1)
