"""The executable specification over whole captures: the twin of what `_fastpath.inject` does.

Slower by three orders of magnitude, and readable: `--engine reference`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from _fastpath.packet import FRAME_MAX
from dataplane.cluster.objects import Cluster
from dataplane.image import dtypes, encode
from dataplane.image.image import NO_DEVICE, Image
from dataplane.image.state import State
from dataplane.node.state import ConntrackEntry, NodeState
from dataplane.reference import engine as reference
from dataplane.reference.flows import Flow
from dataplane.reference.inject import Injector
from dataplane.reference.steps import Step, Tap
from dataplane.replay import after
from dataplane.replay.capture import Frames
from dataplane.replay.fast import NO_FLOW
from dataplane.replay.record import Record
from dataplane.replay.result import NO_PATH, Array, Output, Result

if TYPE_CHECKING:
    from dataplane.replay.replay import Options

WINDOW_FRAMES = 256
Place = tuple[str, str | None]


class SlowEngine:
    """Recorded frames through the reference engine, one after the other."""

    def __init__(self, nodes: Mapping[str, NodeState], options: "Options"):
        self.nodes = nodes
        self.engine = reference.Engine(
            nodes, seed=options.seed, choices=options.choices, has_listed=options.listed
        )
        self.injector = Injector(
            self.engine, clients=options.clients, one_way=options.one_way, at=options.at
        )

    def inject(self, time_ns: int, frame: bytes, length: int) -> Record:
        """What became of one frame, in the order of the capture.

        frame  as Ethernet; the kernels keep no more of it than FRAME_MAX bytes either
        """
        self.engine.begin(time_ns)
        record, flow, is_reply = self.injector.inject(time_ns, frame[:FRAME_MAX], length)
        fields = {
            name: getattr(record, name)
            for name in ("verdict", "reason", "place", "entry", "length", "family", "proto",
                         "src", "dst", "sport", "dport", "tcp_flags",
                         "end_src", "end_dst", "end_sport", "end_dport", "end_ttl")
        }  # fmt: skip
        return Record(
            **fields,
            time_ns=time_ns,
            flow=flow,
            is_reply=is_reply,
            steps=tuple(record.steps),
            events=tuple(record.events),
            taps=tuple(record.taps),
        )

    def counters(self) -> after.Counts:
        """Of the rules that were met."""
        return {
            (node, *rule): counts
            for node in self.nodes
            for rule, counts in self.engine.counters(node).items()
        }

    def connections(self, node: str, now_ns: int) -> list[ConntrackEntry]:
        return sorted(self.engine.conntrack(node, now_ns), key=after.order)

    def flow_rows(self, image: Image) -> Array:
        """(n,) FLOW"""
        return _array([_flow_row(image, flow) for flow in self.injector.flows], dtypes.FLOW)


@dataclass(frozen=True)
class SlowResult(Result):
    """What the reference engine left behind.  Its columns are made of its records."""

    engine: SlowEngine = field(kw_only=True, repr=False)
    records: list[Record] = field(kw_only=True, repr=False)
    stored_paths: list[tuple[Step, ...]] = field(kw_only=True, repr=False)

    def path(self, index: int) -> tuple[Step, ...]:
        return self.stored_paths[index]

    def record(self, index: int) -> Record:
        return self.records[index]

    def states(self) -> dict[str, NodeState]:
        counts: after.Counts = {tuple(rule): (0, 0) for rule in self.image.names.rules}  # type: ignore[misc]
        counts |= self.engine.counters()
        return {
            name: replace(
                after.counted(state, counts),
                conntrack=tuple(self.engine.connections(name, self.end_ns)),
            )
            for name, state in self.image.states.items()
        }


def run(
    image: Image,
    frames: Frames,
    options: "Options",
    wanted: frozenset[int],
    cluster: Cluster | None,
) -> SlowResult:
    """Carry every frame through the nodes.

    wanted  devices (indices) whose frames are kept
    """
    engine = SlowEngine(image.states, options)
    records = []
    for start in range(0, len(frames), WINDOW_FRAMES):
        rows, data = frames.ethernet(start, start + WINDOW_FRAMES)
        for row in rows:
            record = engine.inject(*frame_of(row, data))
            taps = tuple(tap for tap in record.taps if _device(image, tap) in wanted)
            events = record.events if options.events else ()
            records.append(replace(record, taps=taps, events=events))
    return _result(image, frames, engine, records, cluster)


def frame_of(row: Any, data: Array) -> tuple[int, bytes, int]:
    """Time, bytes, length on the wire."""
    start, size = int(row["offset"]), int(row["captured"])
    return int(row["time_ns"]), data[start : start + size].tobytes(), int(row["length"])


def _result(
    image: Image,
    frames: Frames,
    engine: SlowEngine,
    records: list[Record],
    cluster: Cluster | None,
) -> SlowResult:
    paths: dict[tuple[Step, ...], int] = {}
    rows = [_row(image, number, record, paths) for number, record in enumerate(records)]
    return SlowResult(
        image=image,
        frames=frames,
        columns=np.array(rows, dtypes.RECORD),
        state=State(image, connections=1),
        count_flows=lambda: engine.flow_rows(image),
        output=_output(image, records),
        event_rows=_events(records),
        cluster=cluster,
        engine=engine,
        records=records,
        stored_paths=list(paths),
    )


# Columns.


def _array(rows: list[tuple[Any, ...]], dtype: Any) -> Array:
    return np.array(rows, dtype) if rows else np.zeros(0, dtype)


def _row(
    image: Image, number: int, record: Record, paths: dict[tuple[Step, ...], int]
) -> tuple[Any, ...]:
    """RECORD"""
    is_walked = record.entry != ("", None)
    path = paths.setdefault(record.steps, len(paths)) if is_walked else NO_PATH
    return (
        record.time_ns, number, record.flow if record.flow >= 0 else NO_FLOW, path,
        _place(image, record.place), _place(image, record.entry), record.reason, record.verdict,
        int(record.is_reply), record.family, record.proto, record.sport, record.dport,
        record.end_sport, record.end_dport, record.end_ttl, record.tcp_flags,
        record.end_src.version if record.end_src else 0, (0, 0, 0), record.length,
        *(encode.pair(each) for each in (record.src, record.dst, record.end_src, record.end_dst)),
    )  # fmt: skip


def _place(image: Image, place: Place) -> int:
    node, device = place
    if not node:
        return NO_DEVICE
    if device is None:
        return ~image.names.nodes.index(node)
    index = image.device(node, device)
    return index if index >= 0 else ~image.names.nodes.index(node)  # a loopback nobody listed


def _flow_row(image: Image, flow: Flow) -> tuple[Any, ...]:
    """FLOW"""
    ends, arrived = flow.ends, flow.arrived
    return (
        encode.pair(ends.src), encode.pair(ends.dst),
        encode.pair(arrived.end_src if arrived else None),
        encode.pair(arrived.end_dst if arrived else None),
        int.from_bytes(arrived.end_frame[6:12]) if arrived else 0,
        int.from_bytes(arrived.end_frame[0:6]) if arrived else 0,
        ends.sport, ends.dport,
        arrived.end_sport if arrived else 0, arrived.end_dport if arrived else 0,
        _place(image, flow.entry or ("", None)), -1,
        _place(image, arrived.place if arrived else ("", None)), flow.packets,
        ends.family, ends.protocol, flow.verdict, int(flow.is_answered),
    )  # fmt: skip


def _device(image: Image, tap: Tap) -> int:
    return image.device(tap.node, tap.device)


def _output(image: Image, records: list[Record]) -> Output:
    rows, data = [], bytearray()
    for number, record in enumerate(records):
        for tap in record.taps:
            rows.append((
                record.time_ns, len(data), len(tap.frame), tap.length, number,
                _device(image, tap), int(tap.outgoing), int(tap.generated), 0,
            ))  # fmt: skip
            data += tap.frame
    return Output(_array(rows, dtypes.TAP), np.frombuffer(bytes(data), np.uint8))


def _events(records: list[Record]) -> Array:
    rows: list[tuple[Any, ...]] = [
        (number, event.step, event.kind, encode.pair(event.before), encode.pair(event.after))
        for number, record in enumerate(records)
        for event in record.events
    ]
    return _array(rows, dtypes.EVENT)
