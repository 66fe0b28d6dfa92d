"""`make bench-scale`: what a packet costs as rules, Services and flows grow.

All sizes of a curve are measured in turns on one core, so that noise meets them alike; a point is
the median of the runs, in processor time.  Tables and plots go to benchmarks/results/, and the
table to standard output.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import numpy as np

from _fastpath.classifier import find_many
from _fastpath.engine import Engine
from _fastpath.reason import Verdict
from benchmarks import plot, services
from benchmarks.access_lists import LENGTHS, AccessList, Headers, access_list, headers
from benchmarks.peers import floor
from benchmarks.peers import traffic as peers
from benchmarks.peers.files import write
from benchmarks.peers.linux import reason_not
from benchmarks.peers.new_flows import LinuxNewFlows
from benchmarks.peers.ours import Ours
from benchmarks.report import RESULTS, Measurement, checksum, document, save, table
from benchmarks.side_by_side import RUNS, interleaved, pinned
from benchmarks.traffic import SEED, START, Traffic, Walker, ended
from dataplane.image.state import State
from dataplane.node.state import Neighbour, Route
from dataplane.replay import synthetic_frames
from dataplane.replay.capture import FRAME
from dataplane.replay.synthetic_flows import SYN
from dataplane.replay.synthetic_frames import Ends, Segment
from tests.reference.one_node import CLIENT, INSIDE, SERVER, node
from tests.reference.one_node import table as rules_table
from tests.two_nodes import mac

SERVICES = (10, 100, 1_000, 10_000, 30_000)
LINUX_SERVICES = 10_000
RULES = (10, 100, 1_000, 10_000, 100_000)
EXACT = 1_000
DOCUMENT = "--document"  # write docs/performance.md anew
# Times of TupleMerge, on the machine on which such a scan of EXACT rules takes 137 ns.
TUPLE_MERGE = {10: 26 / 137, 1_000: 56 / 137, 10_000: 82 / 137, 100_000: 364 / 137}
SCANNED_MAX = 10_000  # rules that C looks through one by one: more take too long
FLOWS = (1_000, 10_000, 100_000, 1_000_000)
NEW_FLOWS, PACKETS, ESTABLISHED = 100_000, 100_000, 200_000
FRAME_SIZE = 64
MACS = bytes.fromhex((mac(INSIDE) + mac(CLIENT)).replace(":", ""))


def timed(run: Callable[[], object], packets: int) -> Callable[[], float]:
    def side() -> float:
        start = time.process_time_ns()
        run()
        return (time.process_time_ns() - start) / packets

    return side


def curve(name: str, found: dict[int, float], sums: dict[int, str]) -> list[Measurement]:
    """Growth is from the smallest size."""
    least = found[min(found)]
    return [
        Measurement(name, size, ns, sums.get(size, ""), SEED, growth=ns / least)
        for size, ns in sorted(found.items())
    ]


# ------------------------------------------------------------------------------ Services


class NewFlows:
    """Two nodes with so many Services, of which no flow is known."""

    def __init__(self, count: int):
        self.frames = services.first_packets(count, NEW_FLOWS, SEED)
        self.nodes = services.nodes(count)
        self.walker = Walker(self.nodes)
        self.checksum = ""

    def run(self) -> float:
        walker = self.walker
        walker.state = State(walker.image, connections=2 * NEW_FLOWS + 32_000)
        walker.engine = Engine(walker.image.arrays, walker.state.arrays)
        start = time.process_time_ns()
        records = walker.run(services.ENTRY, self.frames)
        spent = time.process_time_ns() - start
        self.checksum = checksum(ended(records, Verdict.DELIVERED))
        return spent / NEW_FLOWS


def service_curves(sizes: Iterable[int]) -> list[Measurement]:
    """Linux beside it, of one size, where it can be asked."""
    ours = {count: NewFlows(count) for count in sizes}
    sides = {str(count): side.run for count, side in ours.items()}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if LINUX_SERVICES in ours and not reason_not():
            linux = linux_side(ours[LINUX_SERVICES], Path(folder))
            stack.callback(linux.close)
            sides["linux"] = linux.run
        found = interleaved(sides)
    linux_ns = found.pop("linux", None)
    sums = {count: side.checksum for count, side in ours.items()}
    made = curve("new flow, Services", {int(k): ns for k, ns in found.items()}, sums)
    return [replace(one, linux_ns=linux_ns if one.size == LINUX_SERVICES else None) for one in made]


def linux_side(ours: NewFlows, folder: Path) -> LinuxNewFlows:
    """The same frames through the same nodes, with iptables-legacy."""
    made = ours.frames.data.reshape(len(ours.frames), -1)
    ends = (str(services.CLIENT), str(services.WEB2))
    return LinuxNewFlows(ours.nodes, ends, made, folder)


# -------------------------------------------------------------------------- access lists


class Listed:
    """A router with an access list, and packets that meet it."""

    def __init__(self, kind: str, count: int):
        self.list = access_list(kind, count, SEED)
        self.packets = routable(headers(self.list, 2 * PACKETS, SEED))
        self.frames = in_frames(self.packets)
        default = Route(ip_network("0.0.0.0/0"), dev="b", gateway=SERVER)
        rules = rules_table("filter", *self.list.rules("FORWARD", "ACCEPT"))
        self.walker = Walker({"n": node(rules, routes=(default,), neighbours=(
            Neighbour(CLIENT, "a", mac(CLIENT)), Neighbour(SERVER, "b", mac(SERVER)),
        ))})  # fmt: skip
        names = self.walker.image.names.rules
        self.start = next(i for i, name in enumerate(names) if name.chain == "FORWARD")
        self.found = np.zeros(len(self.packets), np.uint32)
        self.records = np.zeros(0)

    @property
    def is_indexed(self) -> bool:
        return bool(self.walker.image.arrays["rule_classifiers"][self.start])

    def classify(self) -> None:
        some = self.packets
        columns = (some.src, some.dst, some.sport, some.dport, some.proto)
        find_many(self.walker.image.arrays, *columns, self.start, self.found)

    def walk(self) -> None:
        records = self.walker.run(("n", "a"), self.frames)
        self.records = ended(records, Verdict.FORWARDED)

    def capture(self, folder: Path) -> Path:
        """As the floor reads it."""
        path = folder / f"{len(self.list)}.pcap"
        rows = [(np.arange(len(self.packets)), self.frames.data.reshape(-1, FRAME_SIZE))]
        path.write_bytes(synthetic_frames.capture(rows))
        return path


def routable(some: Headers) -> Headers:
    """TCP and UDP between addresses that are somebody's beyond the router."""
    kept = np.isin(some.proto, (6, 17))
    for address in (some.src, some.dst):
        kept &= ~np.isin(address >> 24, (0, 10, 127)) & (address >> 24 < 224)
    return some.only(kept & (np.cumsum(kept) <= PACKETS))


def in_frames(some: Headers) -> Traffic:
    made = np.zeros((len(some), FRAME_SIZE), np.uint8)
    for proto in (6, 17):
        of = some.proto == proto
        one = some.only(of)
        ends = Ends(one.src, one.dst, one.sport, one.dport, MACS)
        made[of] = synthetic_frames.frames(ends, proto, FRAME_SIZE, Segment(1000, 0, SYN))
    rows = np.zeros(len(some), FRAME)
    rows["time_ns"], rows["linktype"] = START, 1
    rows["captured"] = rows["length"] = FRAME_SIZE
    rows["offset"] = np.arange(len(some)) * FRAME_SIZE
    return Traffic(rows, made.reshape(-1))


def floor_rules(some: AccessList) -> np.ndarray:
    rows = np.zeros(len(some), floor.RULE)
    for side, address, length in (
        ("src", some.src, some.src_length), ("dst", some.dst, some.dst_length),
    ):  # fmt: skip
        rows[side] = address
        rows[f"{side}_mask"] = np.where(length == 0, 0, 0xFFFFFFFF << (32 - length) & 0xFFFFFFFF)
    for side, (low, high) in (("sport", some.sport), ("dport", some.dport)):
        rows[f"{side}_low"], rows[f"{side}_high"] = low, high
    rows["proto"], rows["proto_mask"] = some.proto, np.where(some.proto, 255, 0)
    return rows


def list_curves(sizes: Iterable[int], kinds: Iterable[str] = LENGTHS) -> list[Measurement]:
    found: list[Measurement] = []
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            found += _list_curves(kind, sizes, Path(folder))
    return found


def _list_curves(kind: str, sizes: Iterable[int], folder: Path) -> list[Measurement]:
    lists = {count: Listed(kind, count) for count in sizes}
    sides: dict[str, Callable[[], float]] = {}
    for count, some in lists.items():
        sides[f"walk {count}"] = timed(some.walk, len(some.packets))
        if some.is_indexed:
            sides[f"find {count}"] = timed(some.classify, len(some.packets))
        if count <= SCANNED_MAX:
            sides[f"scan {count}"] = _scan(some, folder)
    sides["exact"] = _exact_scan(folder)
    medians = interleaved(sides)
    made: list[Measurement] = []
    for name, title, answers in (
        ("walk", "whole packet", lambda some: some.records),
        ("find", "index alone", lambda some: some.found),
        ("scan", "linear scan in C", None),
    ):
        of = {count: medians[f"{name} {count}"] for count in lists if f"{name} {count}" in medians}
        sums = {count: checksum(answers(lists[count])) for count in of} if answers else {}
        made += curve(f"access list {kind}, {title}", of, sums)
    return [_beside_scan(one, medians["exact"]) for one in made]


def _beside_scan(one: Measurement, scan_ns: float) -> Measurement:
    """With the ratio by which classifiers can be compared that were measured on other machines."""
    return replace(one, more={"scan_ns": scan_ns, "ratio_scan": one.ns_per_packet / scan_ns})


def _exact_scan(folder: Path) -> Callable[[], float]:
    """A linear scan in C over EXACT rules of one destination, port and protocol each."""
    frames = services.first_packets(EXACT, 20_000, SEED)
    capture = folder / "exact.pcap"
    made = frames.data.reshape(len(frames), -1)
    capture.write_bytes(synthetic_frames.capture([(np.arange(len(frames)), made)]))
    rows = np.zeros(EXACT, floor.RULE)
    rows["dst"], rows["dst_mask"] = services.FIRST + np.arange(EXACT), 0xFFFFFFFF
    rows["sport_high"], rows["dport_low"], rows["dport_high"] = 65535, 80, 80
    rows["proto"], rows["proto_mask"] = 6, 255
    return lambda: floor.linear_scan(rows, capture, len(frames), 1, folder).ns_per_packet


def _scan(some: Listed, folder: Path) -> Callable[[], float]:
    capture, rows = some.capture(folder), floor_rules(some.list)
    packets = min(len(some.packets), 10_000_000 // len(some.list))
    return lambda: floor.linear_scan(rows, capture, packets, 1, folder).ns_per_packet


def beside_scan(found: Iterable[Measurement]) -> Iterator[str]:
    """What is found by the index, in times of a scan."""
    for one in found:
        if "index alone" in one.bench:
            others = f", TupleMerge {TUPLE_MERGE[one.size]:.2f}" if one.size in TUPLE_MERGE else ""
            yield (
                f"{one.bench}, {one.size:,} rules: {one.more['ratio_scan']:.2f} times a scan of "
                f"{EXACT:,} exact rules in C ({one.more['scan_ns']:.0f} ns){others}"
            )


# --------------------------------------------------------------------- established flows


def flow_curves(sizes: Iterable[int]) -> list[Measurement]:
    with tempfile.TemporaryDirectory() as name:
        folder, sides = Path(name), {}
        for count in sizes:
            opening = [
                write(folder / f"{count}-{step}.pcap", data)
                for step, data in enumerate(peers.opening(count))
            ]
            data = peers.established(count, ESTABLISHED, "64 B", SEED)
            capture = write(folder / f"{count}.pcap", data)
            sides[str(count)] = _established(Ours(opening, count, kept=False), capture)
        found = interleaved(sides)
    return curve("established flow", {int(count): ns for count, ns in found.items()}, {})


def _established(ours: Ours, capture: Path) -> Callable[[], float]:
    return lambda: ours.run(capture)


CURVES: dict[str, tuple[str, Callable[[], list[Measurement]]]] = {
    "services": ("Services", lambda: service_curves(SERVICES)),
    "access-lists": ("rules", lambda: list_curves(RULES)),
    "flows": ("flows", lambda: flow_curves(FLOWS)),
}


def main(wanted: list[str]) -> None:
    with pinned() as core:
        print(f"core {core}, {RUNS} runs of each size in turns, medians of processor time")
        names = [name for name in wanted if name != DOCUMENT]
        for name in names or list(CURVES):
            what, measure = CURVES[name]
            found = measure()
            save("scale", found)
            if DOCUMENT in wanted:
                document(name, found)
            curves: dict[str, list[tuple[float, float]]] = {}
            for one in found:
                curves.setdefault(one.bench, []).append((one.size, one.ns_per_packet))
            path = RESULTS / f"scale-{name}.svg"
            plot.save(path, f"Cost of a packet by {what}", what, curves)
            print(
                "\n".join(["", *table(found), "", *beside_scan(found), f"plot: {path}"]), flush=True
            )


if __name__ == "__main__":
    main(sys.argv[1:])
