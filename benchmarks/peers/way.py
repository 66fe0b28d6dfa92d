"""The whole way, side by side: pod, ClusterIP, DNAT, VXLAN, second node, pod."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers import files, floor, traffic
from benchmarks.peers.linux import Linux, Sender, flows_that_fit
from benchmarks.peers.ours import Ours
from benchmarks.report import Measurement, checksum
from benchmarks.side_by_side import Side, interleaved
from benchmarks.traffic import SEED

MOST_PACKETS = 1_000_000
TRIED_PACKETS = 20_000
LINUX_PACKETS = 50_000
FLOOR_PACKETS = 3_000_000  # in one run, however many passes that is
ROOM = 0.75  # of the connections that a node may hold: the kernel's table has other users
Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What is compared over the same open flows."""

    flows: int
    mixes: list[str]
    runs: int
    seconds: float  # that one run of ours takes, about
    folder: Path
    why_not_linux: str = ""


def compare_all(asked: Asked, say: Say) -> Iterator[Measurement]:
    """One line for each size of packets."""
    folder, flows = asked.folder, asked.flows
    files.write(folder / "flows", floor.flow_rows(flows).tobytes())
    files.write(folder / "links", floor.links())
    say(f"{flows:,} flows: ours opens them")
    ours = Ours(files.write_all(folder, "opening", traffic.opening(flows)), flows)
    with ExitStack() as stack:
        linux = None
        if asked.why_not_linux:
            say(f"{flows:,} flows: no Linux: {asked.why_not_linux}")
        else:
            say(f"{flows:,} flows: Linux opens them")
            linux = stack.enter_context(LinuxSide(flows, folder))
        # All of them before the first is measured: identifications, and so checksums, then
        # depend on nothing that was timed.
        tried = {mix: try_out(asked, mix, ours) for mix in asked.mixes}
        for mix in asked.mixes:
            yield compare(asked, mix, ours, linux, tried[mix], say)


def compare(
    asked: Asked, mix: str, ours: Ours, linux: "LinuxSide | None", tried: "Tried", say: Say
) -> Measurement:
    """The floor, ours and Linux in turns, over the same packets."""
    name = f"whole way, {mix}, {asked.flows:,} flows"
    packets, answers = tried
    say(f"{name}: {packets:,} packets")
    capture = asked.folder / "capture"
    files.write(capture, traffic.established(asked.flows, packets, mix))
    same_frames(asked, ours, capture, packets)
    sides = {"ours": lambda: ours.run(capture)}
    sides |= floor_sides(asked.folder, capture, packets)
    more = {"packets": packets, "runs": asked.runs}
    if linux:
        sides |= linux.sides(mix)
        more["linux_flows"] = linux.flows
    found = interleaved(sides, asked.runs)
    more |= {
        f"{side}_ns": found[side] for side in ("floor_hashed", "linux_sender") if side in found
    }
    return Measurement(
        name, asked.flows, found["ours"], answers, SEED, floor_ns=found["floor"],
        linux_ns=found.get("linux"), more=more,
    )  # fmt: skip


class Tried(NamedTuple):
    packets: int  # so many that a run takes its time and every flow has one
    answers: str


def try_out(asked: Asked, mix: str, ours: Ours) -> Tried:
    data = traffic.established(asked.flows, TRIED_PACKETS, mix)
    capture = files.write(asked.folder / "tried", data)
    answers = same_frames(asked, ours, capture, TRIED_PACKETS)
    wanted = int(asked.seconds * 1e9 / ours.run(capture))
    return Tried(min(MOST_PACKETS, max(wanted, TRIED_PACKETS, asked.flows)), answers)


def same_frames(asked: Asked, ours: Ours, capture: Path, packets: int) -> str:
    """Checksum of all frames that ours sends.  Raises if the floor's are others."""
    given = ours.encapsulated
    sent = ours.frames_out(capture)
    out = asked.folder / "out"
    rest = (asked.folder / "flows", asked.folder / "links", floor.first_id(0, given), out)
    floor.run("way", capture, packets, 0, *rest)
    answers, wanted = checksum(sent), checksum(out.read_bytes())
    out.unlink()
    if answers != wanted:
        raise RuntimeError(f"{capture.name}: frames sent are {answers}, the floor's are {wanted}")
    return answers


def floor_sides(folder: Path, capture: Path, packets: int) -> dict[str, Side]:
    passes = math.ceil(FLOOR_PACKETS / packets)

    def side(mode: str) -> Side:
        rest = (folder / "flows", folder / "links")
        return lambda: floor.run(mode, capture, packets, passes, *rest).ns_per_packet

    return {"floor": side("way"), "floor_hashed": side("hashed")}


class LinuxSide:
    """Linux, and the sender alone; no more flows than a node may hold."""

    def __init__(self, flows: int, folder: Path):
        self.folder = folder
        self.flows = min(flows, int(flows_that_fit() * ROOM))
        opening = traffic.opening(self.flows, at_endpoint=True)
        self.linux = Linux(files.write_all(folder, "linux", opening), self.flows)
        self.sender = Sender()

    def __enter__(self) -> "LinuxSide":
        return self

    def __exit__(self, *_: object) -> None:
        self.linux.close()
        self.sender.close()

    def sides(self, mix: str) -> dict[str, Side]:
        data = traffic.established(self.flows, LINUX_PACKETS, mix)
        capture = files.write(self.folder / "linux-capture", data)
        return {
            "linux": lambda: self.carried(capture),
            "linux_sender": lambda: self.sender.run(capture).ns_per_packet,
        }

    def carried(self, capture: Path) -> float:
        ran = self.linux.run(capture)
        if ran.arrived != LINUX_PACKETS:
            raise RuntimeError(f"Linux: {ran.arrived} of {LINUX_PACKETS} packets arrived")
        return ran.ns_per_packet
