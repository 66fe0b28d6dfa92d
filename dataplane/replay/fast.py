"""The kernels, one packet at a time: for a trace of one packet, and to compare engines."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import numpy as np

from _fastpath.engine import Engine
from dataplane.errors import UsageError
from dataplane.image import dtypes
from dataplane.image.image import Image, assemble
from dataplane.image.state import State
from dataplane.node.state import Address, NodeState
from dataplane.reference.steps import Event, Step, Tap
from dataplane.replay.record import Record, Value

EVENTS = 1 << 14


class FastEngine:
    """The same doors as dataplane.reference.engine.Engine, on the compiled kernels.

    seed     of every draw that Linux would make at random
    choices  {choice key, with seed 0: values to take instead}
    has_listed  begin with the connections that the nodes list
    """

    def __init__(
        self,
        nodes: Mapping[str, NodeState],
        *,
        seed: int = 0,
        choices: Mapping[int, list[int]] | None = None,
        has_listed: bool = False,
    ):
        self.image: Image = assemble(nodes, seed=seed)
        taps = frozenset(range(len(self.image.names.devices)))
        self.state = State(
            self.image,
            choices=choices or {},
            events_max=EVENTS,
            taps=taps,
            has_listed=has_listed,
        )
        self.engine = Engine(self.image.arrays, self.state.arrays, seed)
        self.row = np.zeros(1, dtypes.RECORD)

    def run(self, time_ns: int, frame: bytes, length: int, entry: tuple[str, str | None]) -> Record:
        """Follow one packet to its end.  See the reference engine's `run`."""
        if self.state.listed:
            self.state.begin(time_ns)
        self.engine.clear_output()
        make_room(self.state, self.engine, time_ns)
        self.engine.run_one(time_ns, frame, length, self._entry(entry), self.row)
        events, taps, _ = self.engine.taken
        row = self.row[0]
        return record_of(
            self.image, row, self._steps(int(row["path"])),
            tuple(event_of(event) for event in self.state.arrays["events"][:events]),
            tuple(self._tap(tap) for tap in self.state.arrays["taps"][:taps]),
        )  # fmt: skip

    def _entry(self, entry: tuple[str, str | None]) -> int:
        node, device = entry
        if node not in self.image.names.nodes:
            raise UsageError(f"no node {node!r}")
        if device is None:
            return ~self.image.names.nodes.index(node)
        index = self.image.device(node, device)
        if index < 0:
            raise UsageError(f"node {node} has no device {device!r}")
        return index

    def _steps(self, path: int) -> tuple[Step, ...]:
        return path_of(self.image, self.state, path)

    def _tap(self, row: Any) -> Tap:
        offset, size = int(row["offset"]), int(row["size"])
        frame = self.state.arrays["output"][offset : offset + size].tobytes()
        return tap_of(self.image, row, frame)


def make_room(state: State, engine: Engine, now_ns: int) -> None:
    """Grow whatever is too full for one more packet.  Output must have been taken before."""
    if not engine.has_trace_room:
        state.grow_paths()
        engine.point_trace()
    if engine.has_room:
        return
    engine.collect(now_ns)
    # A quarter at least: else the next packets would only collect again.
    while not engine.has_room or engine.free_connections < len(state.arrays["connections"]) // 4:
        engine.point_connections(state.grow_connections(engine.free_connections))


def path_of(image: Image, state: State, path: int) -> tuple[Step, ...]:
    start, stop = state.arrays["path_start"][path : path + 2].tolist()
    return tuple(map(image.step, state.arrays["path_steps"][start:stop].tolist()))


def tap_of(image: Image, row: Any, frame: bytes) -> Tap:
    node, device = image.names.devices[int(row["device"])]
    return Tap(
        node, device, bool(row["outgoing"]), bool(row["generated"]), frame, int(row["length"])
    )


def event_of(row: Any) -> Event:
    return Event(int(row["kind"]), int(row["step"]), number(row["before"]), number(row["after"]))


def number(addr: Any) -> int:
    """An addr_t as a number."""
    return int(addr["hi"]) << 64 | int(addr["lo"])


def address(addr: Any, family: int) -> Address:
    """`family` is 4 or 6."""
    return _address(int(addr["hi"]), int(addr["lo"]), family)


# Flows are many, addresses few.
@lru_cache(1 << 16)
def _address(hi: int, lo: int, family: int) -> Address:
    return IPv4Address(hi << 64 | lo) if family == 4 else IPv6Address(hi << 64 | lo)


NO_FLOW = 0xFFFFFFFF
RECORD_NAMES = dtypes.RECORD.names or ()
PLAIN = (
    "verdict", "reason", "time_ns", "length", "proto", "sport", "dport", "end_sport", "end_dport",
    "end_ttl", "tcp_flags",
)  # fmt: skip


def record_of(
    image: Image,
    row: Any,
    steps: tuple[Step, ...],
    events: tuple[Event, ...] = (),
    taps: tuple[Tap, ...] = (),
) -> Record:
    """A RECORD row in names."""
    # All fields at once: one by one they take three times as long.
    fields = dict(zip(RECORD_NAMES, row.item(), strict=True))
    family, flow = fields["family"], fields["flow"]
    values: dict[str, Value] = dict.fromkeys(("src", "dst", "end_src", "end_dst"))
    values |= {name: fields[name] for name in PLAIN}
    if family:
        values |= {name: _address(*fields[name], family) for name in ("src", "dst")}
    if fields["end_family"]:
        end_family = fields["end_family"]
        values |= {name: _address(*fields[name], end_family) for name in ("end_src", "end_dst")}
    return Record(
        place=image.place(fields["place"]),
        entry=image.place(fields["entry"]),
        flow=-1 if flow == NO_FLOW else flow,
        is_reply=bool(fields["reply"]),
        family=family,
        steps=steps,
        events=events,
        taps=taps,
        **values,  # type: ignore[arg-type]
    )
