"""Where two engines disagree about a packet, and a case that shows it again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from _fastpath.trace import StepKind
from dataplane.errors import DataplaneError, Source
from dataplane.node.folder import write_node
from dataplane.node.state import NodeState
from dataplane.reference.steps import Step, Tap
from dataplane.replay import capture_write
from dataplane.replay.capture import Frames
from dataplane.replay.record import Record

if TYPE_CHECKING:
    from dataplane.replay.replay import Options

LISTS = ("steps", "events", "taps")
FIELDS = tuple(each.name for each in fields(Record) if each.name not in LISTS)
MOST_REPLAYED = 50_000  # packets in search of a smaller case: about a minute
Again = Callable[[Frames], "Difference | None"]


class Found(NamedTuple):
    """One thing that two engines see differently."""

    what: str  # a Record's field, counters, conntrack
    where: str  # "step 12", "tap 3", "verdict", "node-a nat KUBE-SVC-X 2"
    fast: Any
    reference: Any


class Difference(DataplaneError):  # noqa: N818  what was looked for, and found
    """The engines disagree: one of them is wrong, or both.

    found      what they do not agree on
    again      replays frames, and returns the first difference that the engines have then
    packet     index of the packet; None: they agreed on each, but not on what was left behind
    fast       its record by the kernels; None as for `packet`
    reference  its record by the reference engine
    """

    def __init__(
        self,
        found: Found,
        nodes: Mapping[str, NodeState],
        frames: Frames,
        options: "Options",
        again: Again,
        packet: int | None = None,
        fast: Record | None = None,
        reference: Record | None = None,
    ):
        self.found, self.packet = found, packet
        self.fast, self.reference = fast, reference
        self.nodes, self.frames, self.options = nodes, frames, options
        self._again = again
        super().__init__(
            f"the engines differ at {found.where}:"
            f" the kernels have {_shown(found.fast)}, the reference {_shown(found.reference)}",
            Source("after the last packet", 0) if packet is None else frames.where(packet),
        )

    def case(self) -> "Case":
        """Few packets that show the same difference."""
        last = len(self.frames) if self.packet is None else self.packet + 1
        indices = _fewer(list(range(last)), self._recurs)
        return Case(self.nodes, selected(self.frames, indices), self.options)

    def _recurs(self, indices: Sequence[int]) -> bool:
        other = self._again(selected(self.frames, indices))
        return other is not None and other.found.what == self.found.what


@dataclass(frozen=True)
class Case:
    """What it takes to see a difference again."""

    nodes: Mapping[str, NodeState]
    frames: Frames
    options: "Options"

    def write(self, folder: str | Path) -> list[str]:
        """`packets.pcap`, and a folder for each node; the arguments for `dataplane replay`.

        raises  UsageError, CaptureError if it cannot be written
        """
        for name, state in self.nodes.items():
            write_node(state, Path(folder) / _folder_name(name))
        capture = str(Path(folder) / "packets.pcap")
        capture_write.write(capture, *self.frames.ethernet())
        return [*self._arguments(folder), "-r", capture]

    def _arguments(self, folder: str | Path) -> list[str]:
        options = self.options
        found = [f"--node={name}={Path(folder) / _folder_name(name)}" for name in self.nodes]
        found += ["--engine", "both", "--seed", str(options.seed)]
        found += [f"--client={address}" for address in sorted(map(str, options.clients))]
        found += ["--one-way"] if options.one_way else []
        found += ["--listed"] if options.listed else []
        found += ["--raw", "--at", ":".join(options.at)] if options.at else []
        return found


def compare(fast: Record, reference: Record) -> Found | None:
    """The first thing in which two records of a packet differ: its steps first."""
    for name in LISTS:
        what = name.removesuffix("s")
        found = compare_lists(name, what, getattr(fast, name), getattr(reference, name))
        if found is not None:
            return found
    for name in FIELDS:
        if getattr(fast, name) != getattr(reference, name):
            return Found(name, name, getattr(fast, name), getattr(reference, name))
    return None


def compare_lists(
    what: str, where: str, fast: Sequence[Any], reference: Sequence[Any]
) -> Found | None:
    """The first element in which they differ, counted from 1."""
    for number, (one, other) in enumerate(zip_longest(fast, reference), start=1):
        if one != other:
            return Found(what, f"{where} {number}", one, other)
    return None


def _shown(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case Step():
            words = (StepKind(value.kind).name.removeprefix("STEP_"), *value[1:])
            return " ".join(str(word) for word in words if word not in ("", 0))
        case Tap():
            way = "out" if value.outgoing else "in"
            return f"{value.node} {value.device} {way} {value.frame.hex()}"
        case tuple() | list():
            return " ".join(map(str, value))
        case _:
            return str(value)


def _folder_name(node: str) -> str:
    """Nodes' names come from dumps too: none leads out of the folder."""
    name = node.replace("/", "_").replace("\0", "_")
    return f"_{name}" if name in ("", ".", "..") else name


def selected(frames: Frames, indices: Sequence[int]) -> Frames:
    """Some of the frames."""
    keep = np.asarray(indices, np.intp)
    return replace(
        frames,
        records=frames.records[keep],
        source=frames.source[keep],
        number=frames.number[keep],
    )


def _fewer(indices: list[int], shows: Callable[[list[int]], bool]) -> list[int]:
    """A shorter list that still shows it: Zeller's delta debugging, cut short.  The last one
    is where it is seen, and stays."""
    left = MOST_REPLAYED
    size = len(indices) - 1
    while size > 0:
        start = 0
        while start < len(indices) - 1:
            rest = indices[:start] + indices[min(start + size, len(indices) - 1) :]
            if len(rest) > left:
                return indices
            left -= len(rest)
            if shows(rest):
                indices = rest
            else:
                start += size
        size //= 2
    return indices
