"""Replay: captures through the nodes of a cluster, packet by packet.

Python opens, allocates and grows; which packet enters where, and what becomes of it, is
decided in `_fastpath.inject` and `_fastpath.path`, window by window, without the GIL.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dataplane.cluster.objects import Cluster
from dataplane.errors import CaptureError, UsageError
from dataplane.image.image import Image, assemble
from dataplane.node.state import Address, NodeState
from dataplane.replay.capture import Frames, open_captures
from dataplane.replay.capture_stream import Windows
from dataplane.replay.places import entry_of, tapped
from dataplane.replay.result import Result
from dataplane.replay.run import Run

Warn = Callable[[str], None]

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
    recorded   established flows take the recorded way; False: every packet the long one
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
    recorded: bool = True
    connections: int = 1 << 16


Nodes = Mapping[str, NodeState] | Image


def replay(
    nodes: Nodes,
    captures: Sequence[str] | Frames,
    options: Options | None = None,
    *,
    engine: str = "fast",
    cluster: Cluster | None = None,
    warn: Warn = _silent,
) -> Result:
    """Carry every frame of the captures through the nodes, or those of an Image.

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
    image = _image(nodes, options.seed, warn)
    if engine == "reference":
        from dataplane.replay import slow  # the specification takes as long to load as NumPy

        entry_of(image, options)
        return slow.run(image, frames, options, tapped(image, options.taps), cluster)
    if engine == "both":
        from dataplane.replay import both

        everything = replace(options, taps="all", events=True)
        both.check(lambda: Run(image, everything), image.states, frames, options)
    run = Run(image, options, cluster)
    result = run.all(frames)
    _lost(run, warn)
    return result


def replay_windows(
    nodes: Nodes,
    captures: Windows,
    options: Options | None = None,
    *,
    cluster: Cluster | None = None,
    warn: Warn = _silent,
) -> Iterator[Result]:
    """The same with the kernels, of captures that may be longer than memory: window by window.

    A Result holds the packets of one window, until the next one is asked for: its arrays are
    used again.  How the captures are cut into windows changes nothing of what is told.
    What was odd about them is known, and said, at the end.

    raises  as `replay`; CaptureError for a capture that is corrupt, after all before that
    """
    options = options or Options()
    run = Run(_image(nodes, options.seed, warn), options, cluster)
    for frames in captures:
        yield from run.window(frames)
    for warning in captures.warnings:
        warn(warning)
    if not run.count:
        raise CaptureError(f"{', '.join(captures.paths) or 'the capture'}: no packets")
    _lost(run, warn)


def _image(nodes: Nodes, seed: int, warn: Warn) -> Image:
    """Of nodes, or one that was made before: nothing in its arrays depends on the seed."""
    if isinstance(nodes, Image):
        return replace(nodes, seed=seed)
    return assemble(nodes, seed=seed, warn=warn)


def _lost(run: Run, warn: Warn) -> None:
    if run.engine.lost:
        warn(f"{run.engine.lost} output frames of floods were not kept")
