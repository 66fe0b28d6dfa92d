"""Both engines side by side: the kernels' records against those of the reference."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from dataplane.node.state import NodeState
from dataplane.replay import after
from dataplane.replay.capture import Frames
from dataplane.replay.difference import Difference, Found, compare, compare_lists
from dataplane.replay.result import Result, flow_of
from dataplane.replay.slow import SlowEngine, frame_of

if TYPE_CHECKING:
    from dataplane.replay.replay import Options

WINDOW_FRAMES = 64  # every frame at every device is kept for so long


class FastRun(Protocol):
    """The kernels, while a replay runs.  It keeps events, and frames of all devices."""

    def all(self, frames: Frames) -> Result: ...


Start = Callable[[], FastRun]


def check(start: Start, nodes: Mapping[str, NodeState], frames: Frames, options: "Options") -> None:
    """Raises Difference unless the engines agree on every packet and on what is left behind.

    start  the kernels, at their beginning
    nodes  what the reference engine walks
    """
    difference = find(start, nodes, frames, options)
    if difference is not None:
        raise difference


def find(
    start: Start, nodes: Mapping[str, NodeState], frames: Frames, options: "Options"
) -> Difference | None:
    """The first difference, packet by packet."""
    fast, slow = start(), SlowEngine(nodes, options)

    def again(some: Frames) -> Difference | None:
        return find(start, nodes, some, options)

    for first in range(0, len(frames), WINDOW_FRAMES):
        some = frames.part(first, first + WINDOW_FRAMES)
        result = fast.all(some)
        rows, data = some.ethernet()
        for index, row in enumerate(rows):
            record, other = result.record(index), slow.inject(*frame_of(row, data))
            found = compare(record, other)
            if found is not None:
                at = first + index
                return Difference(found, nodes, frames, options, again, at, record, other)
    found = left_behind(result, slow)
    return Difference(found, nodes, frames, options, again) if found else None


def left_behind(fast: Result, slow: SlowEngine) -> Found | None:
    """What differs when all is over: rule counters, connections, flows."""
    counts = slow.counters()
    for rule, counted in after.counters(fast.image, fast.state).items():
        other = counts.get(rule, (0, 0))
        if counted != other:
            return Found("counters", " ".join(map(str, rule)), counted, other)
    for node in slow.nodes:
        entries = list(after.connections(fast.image, fast.state, node, fast.end_ns))
        others = slow.connections(node, fast.end_ns)
        found = compare_lists("conntrack", f"{node} connection", entries, others)
        if found is not None:
            return found
    rows = slow.flow_rows(fast.image)
    flows = [flow_of(fast.image, number, row) for number, row in enumerate(rows)]
    return compare_lists("flows", "flow", fast.flows, flows)
