"""The arrays of one replay, while it runs: frames in, records out, room made where it runs out."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from _fastpath.engine import Engine
from _fastpath.inject import EDIT_SIZE, WAY_SIZE, Injector
from dataplane.cluster.objects import Cluster
from dataplane.image import dtypes, encode
from dataplane.image.image import Image
from dataplane.image.state import State, aligned
from dataplane.node.state import Address
from dataplane.replay.capture import Frames
from dataplane.replay.fast import make_room
from dataplane.replay.places import entry_of, tapped
from dataplane.replay.result import Output, Result

if TYPE_CHECKING:
    from dataplane.replay.replay import Options

Array = NDArray[Any]

BATCH_FRAMES = 4096
FLOWS = 1 << 12
EVENTS = 1 << 16
WAYS = 1 << 10  # recorded ones
PIECE_FRAMES = 1 << 14  # at most, after which what came out is passed on


class Run:
    """The arrays of one replay, while it runs."""

    def __init__(self, image: Image, options: "Options", cluster: Cluster | None = None):
        self.image, self.cluster = image, cluster
        self.state = State(
            image,
            connections=options.connections,
            choices=options.choices,
            events_max=EVENTS if options.events else 0,
            taps=tapped(image, options.taps),
            has_listed=options.listed,
        )
        self.engine = Engine(self.image.arrays, self.state.arrays, image.seed)
        self.flows = np.zeros(FLOWS, dtypes.FLOW)
        self.flow_ways = _flow_ways(FLOWS)
        self.injector = Injector(
            self.engine, self.flows, self.flow_ways, _buckets(FLOWS),
            _clients(options.clients), entry_of(image, options), options.one_way,
        )  # fmt: skip
        self._ways = np.zeros(WAYS * WAY_SIZE, np.uint8)
        self._edits = np.zeros(WAYS * EDIT_SIZE, np.uint8)
        self._is_recording = options.recorded
        self._point_ways()
        self.count = 0  # packets so far
        self._begun_ns: int | None = None
        self._ended_ns = 0
        self._records = np.zeros(0, dtypes.RECORD)  # of one window
        self._events: list[Array] = []
        self._tap_rows: list[Array] = []
        self._tap_data: list[Array] = []
        self._tap_bytes = 0

    def all(self, frames: Frames) -> Result:
        """Every frame, and what became of all of them."""
        records = np.zeros(len(frames), dtypes.RECORD)
        for start in range(0, len(frames), BATCH_FRAMES):
            stop = min(start + BATCH_FRAMES, len(frames))
            rows, data = frames.ethernet(start, stop)
            self._walk(rows, data, records[start:stop])
        return self._result(frames, records)

    def window(self, frames: Frames) -> Iterator[Result]:
        """The next frames: what became of them, in several pieces where much came out.

        A Result holds until the next is asked for: its arrays are used again.
        """
        rows, data = frames.ethernet()
        done = 0
        while done < len(rows):
            start, done = done, done + self._piece(rows[done : done + PIECE_FRAMES], data)
            yield self._result(frames.part(start, done), self._records[: done - start])

    def _piece(self, rows: Array, data: Array) -> int:
        """Walk frames until room runs out for what comes out of them; how many."""
        if len(self._records) < len(rows):
            self._records = np.zeros(len(rows), dtypes.RECORD)
        done = self._run(rows, data, self._records)
        while done < len(rows) and not (done and any(self.engine.taken)):
            self._make_room(int(rows["time_ns"][done]))
            done += self._run(rows[done:], data, self._records[done:])
        return done

    def _result(self, frames: Frames, records: Array) -> Result:
        """Of these frames; with the events and output frames since the last one."""
        events, rows, data = self._output()
        if len(records) and self._begun_ns is None:
            self._begun_ns = int(records["time_ns"][0])
        found = Result(
            image=self.image,
            frames=frames,
            columns=records,
            state=self.state,
            count_flows=self._counted_flows,
            output=Output(rows, data),
            event_rows=events,
            cluster=self.cluster,
            first=self.count - len(records),
            begun_ns=self._begun_ns,
            ended_ns=self._ended_ns,
        )
        self._ended_ns = found.end_ns
        return found

    def _walk(self, rows: Array, data: Array, records: Array) -> None:
        """Frames in Ethernet form."""
        done = self._run(rows, data, records)
        while done < len(rows):
            self._make_room(int(rows["time_ns"][done]))
            done += self._run(rows[done:], data, records[done:])

    def _run(self, rows: Array, data: Array, records: Array) -> int:
        """Frames in Ethernet form, until room runs out; how many."""
        self._grow_ways()
        if self.state.listed and len(rows):
            self.state.begin(int(rows["time_ns"][0]))
        done: int = self.injector.run(rows, data, records, self.count)
        self.count += done
        return done

    def _make_room(self, now_ns: int) -> None:
        self._take()
        if self.injector.flow_count == len(self.flows):
            self._grow_flows()
        make_room(self.state, self.engine, now_ns)

    def _counted_flows(self) -> Array:
        """(m,) FLOW, with all of their packets."""
        count = self.injector.flow_count
        rows = self.flows[:count].copy()
        taken = self.flow_ways["packets"].reshape(-1, 2)[:count]
        rows["packets"] += taken.sum(1, dtype=np.uint32)
        return rows

    def _grow_flows(self) -> None:
        grown, ways = np.zeros(2 * len(self.flows), dtypes.FLOW), _flow_ways(2 * len(self.flows))
        grown[: len(self.flows)] = self.flows
        ways[: len(self.flow_ways)] = self.flow_ways
        self.flows, self.flow_ways = grown, ways
        self.injector.point_flows(grown, ways, _buckets(len(grown)))

    def _point_ways(self) -> None:
        """Room for recorded ways; those before are kept."""
        if self._is_recording:
            slots = np.zeros(4 * len(self._ways) // WAY_SIZE, np.uint32)
            self.injector.point_ways(self._ways, slots, self._edits)

    def _grow_ways(self) -> None:
        """Before they run out: what finds no room is not recorded, and goes the long way."""
        ways, edits = self.injector.recorded
        if 2 * ways * WAY_SIZE > len(self._ways) or 2 * edits * EDIT_SIZE > len(self._edits):
            self._ways = _twice(self._ways)
            self._edits = _twice(self._edits)
            self._point_ways()

    # What came out: events and output frames.

    def _kept(self) -> tuple[Array, Array, Array]:
        """What lies in the kernels' arrays."""
        events, taps, size = self.engine.taken
        arrays = self.state.arrays
        rows = arrays["taps"][:taps]
        if self._tap_bytes:
            rows["offset"] += np.uint64(self._tap_bytes)
        return arrays["events"][:events], rows, arrays["output"][:size]

    def _take(self) -> None:
        """Move events and output frames out of the kernels' reach."""
        events, rows, data = self._kept()
        if len(events):
            self._events.append(events.copy())
        if len(rows):
            self._tap_rows.append(_as_bytes(rows).copy())
            self._tap_data.append(data.copy())
            self._tap_bytes += len(data)
        self.engine.clear_output()

    def _output(self) -> tuple[Array, Array, Array]:
        """Events, rows and bytes of output frames; those still in the kernels' arrays stay there
        until the next packet is walked, and are not copied."""
        events, rows, data = self._kept()
        found = (
            _joined([*self._events, events]),
            _joined([*self._tap_rows, _as_bytes(rows)]).view(dtypes.TAP),
            _joined([*self._tap_data, data]),
        )
        self._events, self._tap_rows, self._tap_data, self._tap_bytes = [], [], [], 0
        self.engine.clear_output()
        return found


def _as_bytes(rows: Array) -> Array:
    """Rows that NumPy copies whole, not field by field."""
    return rows.view(f"V{rows.dtype.itemsize}")


def _joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _twice(rows: Array) -> Array:
    return np.concatenate([rows, np.zeros_like(rows)])


def _flow_ways(flows: int) -> Array:
    return aligned(2 * flows, dtypes.FLOW_WAY)


def _buckets(flows: int) -> Array:
    return np.full(2 * flows, -1, np.int32)


def _clients(addresses: Collection[Address]) -> Array:
    return np.array([encode.pair(address) for address in addresses], dtypes.ADDR)
