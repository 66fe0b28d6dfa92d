"""Replay: captures through the nodes of a cluster, packet by packet.

Python opens, allocates and grows; which packet enters where, and what becomes of it, is
decided in `_fastpath.inject` and `_fastpath.path`, window by window, without the GIL.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _fastpath.engine import Engine
from _fastpath.inject import Injector
from dataplane.cluster.objects import Cluster
from dataplane.errors import CaptureError, UsageError
from dataplane.image import dtypes, encode
from dataplane.image.image import Image, assemble
from dataplane.image.state import State
from dataplane.node.state import Address, NodeState
from dataplane.replay import both, slow
from dataplane.replay.capture import Frames, open_captures
from dataplane.replay.fast import make_room
from dataplane.replay.result import Output, Result

Array = NDArray[Any]
Warn = Callable[[str], None]

WINDOW_FRAMES = 4096
FLOWS = 1 << 12
EVENTS = 1 << 16
ENGINES = ("fast", "reference", "both")


def _silent(message: str) -> None:
    """The default `warn`."""


@dataclass(frozen=True)
class Options:
    """How the frames of a capture enter the cluster, and what of their way is kept.

    seed       what all chance depends on
    choices    choice key (seed 0) -> values that take chance's place, in order of use
    clients    addresses that are initiators whatever is seen first
    one_way    initiators' frames only
    listed     begin with the connections that the nodes list; else with none
    at         (node, device) where every frame enters as it stands; needs `raw`
    raw        every frame as it stands
    taps       (node, device) pairs whose frames are kept, or "all"
    events     keep the values that changed, and the draws
    """

    seed: int = 0
    choices: Mapping[int, list[int]] = field(default_factory=dict)
    clients: Collection[Address] = ()
    one_way: bool = False
    listed: bool = False
    raw: bool = False
    at: tuple[str, str] | None = None
    taps: Collection[tuple[str, str]] | str = ()
    events: bool = False
    connections: int = 1 << 16


def replay(
    nodes: Mapping[str, NodeState],
    captures: Sequence[str] | Frames,
    options: Options | None = None,
    *,
    engine: str = "fast",
    cluster: Cluster | None = None,
    warn: Warn = _silent,
) -> Result:
    """Carry every frame of the captures through the nodes.

    engine   "fast": the kernels; "reference": their specification; "both": the kernels, after
             the two agreed on every packet
    cluster  whose nodes they are; traces then name its objects
    raises  CaptureError if there is no packet in them, TableError for nodes that a kernel
            would refuse, UsageError for options that do not fit together, Difference if
            the engines disagree
    """
    if engine not in ENGINES:
        raise UsageError(f"no engine {engine!r}; there are {', '.join(ENGINES)}")
    options = options or Options()
    frames = captures if isinstance(captures, Frames) else open_captures(captures)
    for warning in frames.warnings:
        warn(warning)
    if not len(frames):
        names = ", ".join(capture.path for capture in frames.captures)
        raise CaptureError(f"{names or 'the capture'}: no packets")
    image = assemble(nodes, seed=options.seed, warn=warn)
    if engine == "reference":
        _entry(image, options)
        return slow.run(image, frames, options, _tapped(image, options.taps), cluster)
    if engine == "both":
        everything = replace(options, taps="all", events=True)
        both.check(lambda some: _Run(image, some, everything), nodes, frames, options)
    return _Run(image, frames, options, cluster).run(warn)


class _Run:
    """The arrays of one replay, while it runs."""

    def __init__(
        self, image: Image, frames: Frames, options: Options, cluster: Cluster | None = None
    ):
        self.image, self.frames, self.options, self.cluster = image, frames, options, cluster
        self.state = State(
            image,
            connections=options.connections,
            choices=options.choices,
            events_max=EVENTS if options.events else 0,
            taps=_tapped(image, options.taps),
            has_listed=options.listed,
        )
        self.engine = Engine(image.arrays, self.state.arrays, image.seed)
        self.flows = np.zeros(FLOWS, dtypes.FLOW)
        self.injector = Injector(
            self.engine, self.flows, _buckets(FLOWS), _clients(options.clients),
            _entry(image, options), options.one_way,
        )  # fmt: skip
        self.records = np.zeros(len(frames), dtypes.RECORD)
        self.events: list[Array] = []
        self.tap_rows: list[Array] = []
        self.tap_data: list[Array] = []
        self.tap_bytes = 0

    def run(self, warn: Warn) -> Result:
        done = 0
        while done < len(self.frames):
            stop = min(done + WINDOW_FRAMES, len(self.frames))
            rows, data = self.frames.ethernet(done, stop)
            self.window(rows, data, done)
            done = stop
        result = self.result()
        if self.engine.lost:
            warn(f"{self.engine.lost} output frames of floods were not kept")
        return result

    def result(self) -> Result:
        """What there is so far; events and output frames since the last one was asked for."""
        self._take()
        result = Result(
            image=self.image,
            frames=self.frames,
            columns=self.records,
            state=self.state,
            flow_rows=self.flows[: self.injector.flow_count],
            output=Output(_joined(self.tap_rows, dtypes.TAP), _joined(self.tap_data, np.uint8)),
            event_rows=_joined(self.events, dtypes.EVENT),
            cluster=self.cluster,
        )
        self.events, self.tap_rows, self.tap_data, self.tap_bytes = [], [], [], 0
        return result

    def window(self, rows: Array, data: Array, first: int) -> None:
        """Frames in Ethernet form; `first` is the index of the first."""
        done = 0
        if self.state.listed and len(rows):
            self.state.begin(int(rows["time_ns"][0]))
        while done < len(rows):
            done += self.injector.run(
                rows[done:], data, self.records[first + done : first + len(rows)], first + done
            )
            if done < len(rows):
                self._make_room(int(rows["time_ns"][done]))

    def _make_room(self, now_ns: int) -> None:
        self._take()
        if self.injector.flow_count == len(self.flows):
            self._grow_flows()
        make_room(self.state, self.engine, now_ns)

    def _grow_flows(self) -> None:
        grown = np.zeros(2 * len(self.flows), dtypes.FLOW)
        grown[: len(self.flows)] = self.flows
        self.flows = grown
        self.injector.point_flows(grown, _buckets(len(grown)))

    def _take(self) -> None:
        """Move events and output frames out of the kernels' reach."""
        events, taps, size = self.engine.taken
        if events:
            self.events.append(self.state.arrays["events"][:events].copy())
        if taps:
            rows = self.state.arrays["taps"][:taps].copy()
            rows["offset"] += np.uint64(self.tap_bytes)
            self.tap_rows.append(rows)
            self.tap_data.append(self.state.arrays["output"][:size].copy())
            self.tap_bytes += size
        self.engine.clear_output()


def _joined(parts: list[Array], dtype: Any) -> Array:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def _buckets(flows: int) -> Array:
    return np.full(2 * flows, -1, np.int32)


def _clients(addresses: Collection[Address]) -> Array:
    return np.array([encode.pair(address) for address in addresses], dtypes.ADDR)


def _entry(image: Image, options: Options) -> int | None:
    if options.raw != (options.at is not None):
        raise UsageError("frames enter as they stand at a device: --raw and --at go together")
    if options.at is None:
        return None
    return _device(image, options.at)


def _device(image: Image, name: tuple[str, str]) -> int:
    device = image.device(*name)
    if device < 0:
        node, wanted = name
        if node not in image.names.nodes:
            raise UsageError(f"no node {node!r}; there are {', '.join(image.names.nodes)}")
        known = ", ".join(found for owner, found in image.names.devices if owner == node)
        raise UsageError(f"node {node} has no device {wanted!r}; it has {known}")
    return device


def _tapped(image: Image, taps: Collection[tuple[str, str]] | str) -> frozenset[int]:
    if taps == "all":
        return frozenset(range(len(image.names.devices)))
    assert not isinstance(taps, str)
    return frozenset(_device(image, tap) for tap in taps)
