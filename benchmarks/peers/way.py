"""The whole way, side by side: pod, ClusterIP, DNAT, VXLAN, second node, pod."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import floor, frames, traffic
from benchmarks.peers.linux import Linux, Sender, flows_that_fit
from benchmarks.peers.ours import Ours, arrived
from benchmarks.report import Measurement, checksum
from benchmarks.side_by_side import interleaved
from benchmarks.traffic import SEED

MOST_PACKETS = 1_000_000
TRIED_PACKETS = 20_000
LINUX_PACKETS = 50_000
FLOOR_PACKETS = 3_000_000  # in one run, however many passes that is
ROOM = 0.75  # of the connections that a node may hold: the kernel's table has other users
Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """One comparison."""

    mix: str
    flows: int
    runs: int
    seconds: float  # that one run of ours takes, about
    folder: Path
    why_not_linux: str = ""

    @property
    def name(self) -> str:
        return f"whole way, {self.mix}, {self.flows:,} flows"


def compare(asked: Asked, ours: Ours, say: Say) -> Measurement:
    """The floor, ours and Linux in turns, over the same packets."""
    say(f"{asked.name}: how many packets?")
    packets = packets_for(asked, ours)
    capture = frames.write(
        asked.folder / "capture", traffic.established(asked.flows, packets, asked.mix)
    )
    answers = same_frames(asked, ours, capture, packets)
    sides = {
        "ours": lambda: ours.run(capture).ns_per_packet,
        **floor_sides(asked.folder, capture, packets),
    }
    more = {"packets": packets, "runs": asked.runs}
    if asked.why_not_linux:
        say(f"{asked.name}: {packets:,} packets; no Linux: {asked.why_not_linux}")
        found = interleaved(sides, asked.runs)
    else:
        say(f"{asked.name}: {packets:,} packets; Linux opens its flows")
        found, more["linux_flows"] = with_linux(asked, sides)
        more["linux_sender_ns"] = found["sender"]
    more["floor_hashed_ns"] = found["hashed"]
    return Measurement(
        asked.name, asked.flows, found["ours"], answers, SEED, floor_ns=found["way"],
        linux_ns=found.get("linux"), more=more,
    )  # fmt: skip


def packets_for(asked: Asked, ours: Ours) -> int:
    data = traffic.established(asked.flows, TRIED_PACKETS, asked.mix)
    ran = ours.run(frames.write(asked.folder / "tried", data))
    arrived(ran.result)
    return max(TRIED_PACKETS, min(MOST_PACKETS, int(asked.seconds * 1e9 / ran.ns_per_packet)))


def same_frames(asked: Asked, ours: Ours, capture: Path, packets: int) -> str:
    """Checksum of all frames that ours sends.  Raises if the floor's are others."""
    given = ours.encapsulated
    ran = ours.run(capture)
    arrived(ran.result)
    out = asked.folder / "out"
    rest = (asked.folder / "flows", asked.folder / "links", floor.first_id(0, given), out)
    floor.run("way", capture, packets, 0, *rest)
    answers, wanted = checksum(ran.frames_out()), checksum(out.read_bytes())
    out.unlink()
    if answers != wanted:
        raise RuntimeError(f"{asked.name}: frames sent are {answers}, the floor's are {wanted}")
    return answers


def floor_sides(folder: Path, capture: Path, packets: int) -> dict[str, Callable[[], float]]:
    passes = math.ceil(FLOOR_PACKETS / packets)

    def side(mode: str) -> Callable[[], float]:
        rest = (folder / "flows", folder / "links")
        return lambda: floor.run(mode, capture, packets, passes, *rest).ns_per_packet

    return {mode: side(mode) for mode in ("way", "hashed")}


def with_linux(asked: Asked, sides: dict[str, Callable[[], float]]) -> tuple[dict[str, float], int]:
    """(medians, how many flows Linux had: no more than a node may hold)"""
    flows = min(asked.flows, int(flows_that_fit() * ROOM))
    opening = frames.write_all(asked.folder, "linux", traffic.opening(flows, at_endpoint=True))
    data = traffic.established(flows, LINUX_PACKETS, asked.mix)
    capture = frames.write(asked.folder / "linux-capture", data)
    linux, sender = Linux(opening, flows), Sender()

    def carried() -> float:
        ran = linux.run(capture)
        if ran.arrived != LINUX_PACKETS:
            raise RuntimeError(f"Linux: {ran.arrived} of {LINUX_PACKETS} packets arrived")
        return ran.ns_per_packet

    try:
        more = {"linux": carried, "sender": lambda: sender.run(capture).ns_per_packet}
        return interleaved(sides | more, asked.runs), flows
    finally:
        linux.close()
        sender.close()


def compare_all(
    flows: int, mixes: list[str], runs: int, seconds: float, folder: Path, why_not: str, say: Say
) -> list[Measurement]:
    """Both sizes of packets over the same open flows."""
    frames.write(folder / "flows", floor.flow_rows(flows).tobytes())
    frames.write(folder / "links", floor.links())
    say(f"{flows:,} flows: ours opens them")
    ours = Ours(frames.write_all(folder, "opening", traffic.opening(flows)), flows)
    return [compare(Asked(mix, flows, runs, seconds, folder, why_not), ours, say) for mix in mixes]
