"""The floor step by step, and reading captures."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from _fastpath.capture_tuples import five_tuples as frames_five_tuples
from benchmarks.peers import files, floor, parsers, traffic
from benchmarks.report import Measurement, checksum
from benchmarks.side_by_side import interleaved
from benchmarks.traffic import SEED
from dataplane.replay.capture import FIVE_TUPLE, scan
from dataplane.replay.capture_file import Bytes, read_bytes
from dataplane.replay.capture_stream import Windows
from dataplane.replay.synthetic_frames import repeated

STEPS = {
    "scan": "record headers",
    "columns": "+ 5-tuples to columns",
    "lookup": "+ flow of each packet",
    "way": "whole way",
    "hashed": "whole way, hashed twice",
}
PACKETS = 1_000_000
READ_TIMES, READ_BYTES = 10, 10**9  # so often the capture that is read, as long as it fits
READING = (
    ("scan", "scan", "floor scan"),
    ("kernels", "scan and 5-tuples, mapped", "floor columns"),
    ("door", "scan and 5-tuples, by windows", "floor columns"),
)


def floor_steps(flows: int, mix: str, runs: int, folder: Path) -> list[Measurement]:
    """What each step of the floor costs, with those before it."""
    capture = files.write(folder / "capture", traffic.established(flows, PACKETS, mix))
    rest = (
        files.write(folder / "flows", floor.flow_rows(flows).tobytes()),
        files.write(folder / "links", floor.links()),
    )
    answers: dict[str, str] = {}

    def side(mode: str) -> Callable[[], float]:
        def run() -> float:
            ran = floor.run(mode, capture, PACKETS, 3, *rest)
            answers[mode] = ran.checksum
            return ran.ns_per_packet

        return run

    found = interleaved({mode: side(mode) for mode in STEPS}, runs)
    return [
        Measurement(f"floor, {mix}: {name}", flows, found[mode], answers[mode], SEED)
        for mode, name in STEPS.items()
    ]


def reading(mix: str, runs: int, folder: Path) -> list[Measurement]:
    """From the file to every packet's 5-tuple; the Python parsers read its beginning."""
    some = traffic.established(1_000, PACKETS, mix)
    times = max(1, min(READ_TIMES, READ_BYTES // len(some)))
    capture = files.write(folder / "capture", repeated(some, times))
    packets = PACKETS * times
    mapped, _ = read_bytes(str(capture))
    kept = np.zeros(packets, FIVE_TUPLE)
    answers: dict[str, str] = {}

    def door() -> float:
        ns, answers["door"] = parsers.measured_parts(tuples_by_window(capture))
        return ns

    def kernels() -> float:
        ran = parsers.measured_all(lambda: in_place(mapped, kept))
        answers["kernels"] = checksum(ran.found)
        return ran.ns_per_packet

    found = interleaved(
        {
            "scan": lambda: parsers.measured_all(lambda: scan(mapped).frames).ns_per_packet,
            "kernels": kernels,
            "door": door,
            "floor scan": lambda: floor.run("scan", capture, packets, 1).ns_per_packet,
            "floor columns": lambda: floor.run("columns", capture, packets, 1).ns_per_packet,
        },
        runs,
    )
    capture.unlink()
    rows = [
        Measurement(
            f"read, {mix}: {name}", packets, found[side], answers.get(side, ""), SEED,
            floor_ns=found[least],
        )
        for side, name, least in READING
    ]  # fmt: skip
    return rows + [python_parser(name, mix, runs, folder) for name in parsers.installed()]


def in_place(data: Bytes, kept: np.ndarray) -> np.ndarray:
    frames_five_tuples(scan(data).frames, np.frombuffer(data, np.uint8), kept)
    return kept


def tuples_by_window(capture: Path) -> Iterator[np.ndarray]:
    """By the library's door; no more than a window is in memory."""
    return (window.five_tuples() for window in Windows([str(capture)]))


def five_tuples(capture: Path) -> np.ndarray:
    return np.concatenate(list(tuples_by_window(capture)))


def python_parser(name: str, mix: str, runs: int, folder: Path) -> Measurement:
    """Raises RuntimeError if it finds other 5-tuples than ours."""
    packets = parsers.PACKETS[name]
    capture = files.write(folder / "some", traffic.established(1_000, packets, mix))
    last: list[parsers.Ran] = []

    def side() -> float:
        last[:] = [parsers.measured(parsers.PARSERS[name], capture)]
        return last[0].ns_per_packet

    ns = interleaved({name: side}, runs)[name]
    found, wanted = last[0].found, parsers.host(five_tuples(capture))
    if (found != wanted).any():
        raise RuntimeError(f"{name} finds other 5-tuples than ours")
    return Measurement(f"read, {mix}: {name}", packets, ns, checksum(found), SEED)
