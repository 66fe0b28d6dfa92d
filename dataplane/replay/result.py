"""What a replay left behind: a record per packet, paths, output frames, the nodes' state."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _fastpath.reason import Reason, Verdict
from dataplane.cluster.objects import Cluster
from dataplane.image.image import Image
from dataplane.image.state import State
from dataplane.node.state import Address, NodeState
from dataplane.reference.steps import Event, Step, Tap
from dataplane.replay import after
from dataplane.replay.capture import Frames
from dataplane.replay.fast import NO_FLOW, address, event_of, path_of, record_of, tap_of
from dataplane.replay.record import Record
from dataplane.trace.caption import Caption
from dataplane.trace.describe import Describer
from dataplane.trace.trace import Trace

Array = NDArray[Any]
NO_PATH = 0xFFFFFFFF


@dataclass(frozen=True)
class Flow:
    """One flow of the captures.  ICMP: the ports are the identifier."""

    index: int
    family: int
    proto: int
    initiator: Address
    initiator_port: int
    responder: Address
    responder_port: int
    packets: int
    verdict: Verdict  # of the last initiator's packet that arrived, else of the last one
    end_src: Address  # as its packets arrived
    end_sport: int
    end_dst: Address
    end_dport: int
    place: tuple[str, str | None]


@dataclass(frozen=True)
class Output:
    """Frames that left or arrived at tapped devices, in the order in which that happened.

    rows  (n,) TAP; offsets are into `data`
    """

    rows: Array
    data: Array

    def frame(self, index: int) -> bytes:
        offset, size = int(self.rows["offset"][index]), int(self.rows["size"][index])
        return self.data[offset : offset + size].tobytes()


@dataclass(frozen=True)
class Result:
    """Columns for all packets; `record(n)` for one.

    Of a replay that is told window by window, the packets of one window: `first` were before it.
    Indices count within it; flows, paths and what the nodes hold are those of the whole so far.
    """

    image: Image
    frames: Frames
    columns: Array  # (n,) RECORD: a row per packet, in the order of the frames
    state: State
    count_flows: Callable[[], Array] = field(repr=False)  # see flow_rows
    output: Output
    event_rows: Array = field(repr=False)  # (k,) EVENT, by packet
    cluster: Cluster | None = field(default=None, repr=False)  # names of what was crossed
    first: int = 0
    begun_ns: int | None = None  # time of the replay's first packet
    ended_ns: int = 0  # latest time before this window

    def __len__(self) -> int:
        return len(self.columns)

    @cached_property
    def flow_rows(self) -> Array:
        """(m,) FLOW, as they are when they are first asked for."""
        return self.count_flows()

    @property
    def paths(self) -> list[tuple[Step, ...]]:
        """Every distinct list of decisions; `columns["path"]` indexes it."""
        return [self.path(index) for index in range(self._path_count)]

    @property
    def _path_count(self) -> int:
        used = self.columns["path"][self.columns["path"] != NO_PATH]
        return int(used.max()) + 1 if len(used) else 0

    def path(self, index: int) -> tuple[Step, ...]:
        known = self._paths_known
        if index not in known:
            known[index] = path_of(self.image, self.state, index)
        return known[index]

    @cached_property
    def _paths_known(self) -> dict[int, tuple[Step, ...]]:
        return {}

    def __hash__(self) -> int:
        return id(self)

    def number(self, index: int) -> tuple[str, int]:
        """(file, packet number in it, counted from 1)"""
        where = self.frames.where(index)
        return where.path, where.line

    def record(self, index: int) -> Record:
        row = self.columns[index]
        path = int(row["path"])
        return record_of(
            self.image, row, self.path(path) if path != NO_PATH else (),
            tuple(self._events(index)) if len(self.event_rows) else (),
            tuple(self._taps(index)) if len(self.output.rows) else (),
        )  # fmt: skip

    def trace(self, index: int) -> Trace:
        """What happened to packet `index`, ready to be read."""
        record = self.record(index)
        path, number = self.number(index)
        start_ns = self.start_ns
        flow = record.flow if record.flow >= 0 else None
        caption = Caption(number, path, record.time_ns, start_ns, flow, record.is_reply)
        return Trace(record, self._describer, caption)

    @cached_property
    def _describer(self) -> Describer:
        return Describer(self.image.states, self.cluster)

    def __iter__(self) -> Iterator[Record]:
        return (self.record(index) for index in range(len(self)))

    def _events(self, index: int) -> Iterator[Event]:
        wanted = np.array([index, index + 1], np.uint32) + np.uint32(self.first)
        low, high = np.searchsorted(self.event_rows["packet"], wanted)
        return (event_of(row) for row in self.event_rows[low:high])

    def _taps(self, index: int) -> Iterator[Tap]:
        rows = self.output.rows
        wanted = np.array([index, index + 1], np.uint32) + np.uint32(self.first)
        low, high = np.searchsorted(rows["packet"], wanted)
        return (tap_of(self.image, rows[at], self.output.frame(at)) for at in range(low, high))

    def flow(self, index: int) -> Flow | None:
        """The flow of packet `index`, or None."""
        number = int(self.columns["flow"][index])
        return None if number == NO_FLOW else self._flow(number)

    @property
    def flows(self) -> list[Flow]:
        return [self._flow(number) for number in range(len(self.flow_rows))]

    def _flow(self, number: int) -> Flow:
        return flow_of(self.image, number, self.flow_rows[number])

    def verdicts(self) -> dict[tuple[Verdict, Reason], int]:
        """How many packets ended how."""
        pairs = zip(self.columns["verdict"].tolist(), self.columns["reason"].tolist(), strict=True)
        return {
            (Verdict(verdict), Reason(reason)): count
            for (verdict, reason), count in sorted(Counter(pairs).items())
        }

    def states(self) -> dict[str, NodeState]:
        """The nodes as the replay left them: rule counters, conntrack."""
        return after.states(self.image, self.state, self.end_ns)

    @property
    def end_ns(self) -> int:
        """When the replay ended."""
        return max(int(self.columns["time_ns"].max()) if len(self) else 0, self.ended_ns)

    @property
    def start_ns(self) -> int:
        """Time of the replay's first packet."""
        if self.begun_ns is not None:
            return self.begun_ns
        return int(self.columns["time_ns"][0]) if len(self) else 0


def flow_of(image: Image, number: int, row: Any) -> Flow:
    """A FLOW row in names."""
    family = int(row["family"])
    initiator, responder, end_src, end_dst = (
        address(row[name], family) for name in ("initiator", "responder", "end_src", "end_dst")
    )
    return Flow(
        number, family, int(row["proto"]),
        initiator, int(row["initiator_port"]), responder, int(row["responder_port"]),
        int(row["packets"]), Verdict(int(row["verdict"])),
        end_src, int(row["end_sport"]), end_dst, int(row["end_dport"]),
        image.place(int(row["place"])),
    )  # fmt: skip
