"""A line for each packet of a result, for captures of any length.

Packets that look and fare alike have the same words but for their time and number: those are
put together once, and a window of them is read from the columns at a time.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib.recfunctions import repack_fields

from dataplane.cluster.wording import printable
from dataplane.replay.fast import NO_FLOW
from dataplane.replay.result import Result
from dataplane.trace.caption import Caption
from dataplane.trace.describe import Describer
from dataplane.trace.jsonl import JsonLines
from dataplane.trace.line import Lines

WINDOW = 1 << 14
TEXTS_KEPT = 1 << 16
OBJECTS_KEPT = 1 << 12  # some kilobytes each
OF_ONE_PACKET = ("time_ns", "packet", "flow", "length")


def captions(result: Result, start: int = 0, stop: int | None = None) -> Iterator[Caption]:
    """Which packets they are."""
    frames = result.frames
    first = int(result.columns["time_ns"][0]) if len(result) else 0
    paths = [capture.path for capture in frames.captures]
    columns = (
        frames.source[start:stop].tolist(),
        frames.number[start:stop].tolist(),
        result.columns["time_ns"][start:stop].tolist(),
        result.columns["flow"][start:stop].tolist(),
        result.columns["reply"][start:stop].tolist(),
    )
    for source, number, time_ns, flow, reply in zip(*columns, strict=True):
        known_flow = None if flow == NO_FLOW else flow
        yield Caption(number, paths[source], time_ns, first, known_flow, bool(reply))


def text_lines(result: Result, describer: Describer) -> Iterator[str]:
    lines = Lines(describer)
    rests: dict[bytes, str] = {}
    files = {capture.path: _label(capture.path) for capture in result.frames.captures}
    if len(result.frames.captures) == 1:
        files = dict.fromkeys(files, "")
    for index, key, caption in _rows(result, OF_ONE_PACKET):
        rest = rests.get(key)
        if rest is None:
            if len(rests) == TEXTS_KEPT:
                rests.clear()
            rest = rests[key] = lines.rest(result.record(index), path_of(result, index))
        yield f"{lines.head(caption, files[caption.file])} {rest}\n"


def _label(path: str) -> str:
    return printable(Path(path).name) + ":"


def json_lines(result: Result, describer: Describer) -> Iterator[bytes]:
    lines = JsonLines(describer)
    fates: dict[bytes, bytes] = {}
    for index, key, caption in _rows(result, OF_ONE_PACKET[:2]):
        fate = fates.get(key)
        if fate is None:
            if len(fates) == OBJECTS_KEPT:
                fates.clear()
            record, path = result.record(index), path_of(result, index)
            fate = fates[key] = lines.fate(record, caption, path)
        yield lines.joined(caption, fate)


def path_of(result: Result, index: int) -> int:
    return int(result.columns["path"][index])


def _rows(result: Result, apart: tuple[str, ...]) -> Iterator[tuple[int, bytes, Caption]]:
    """Index, what the packet has in common with others, and which packet it is."""
    common = [name for name in result.columns.dtype.names or () if name not in apart]
    for start in range(0, len(result), WINDOW):
        rows = repack_fields(result.columns[common][start : start + WINDOW])
        # Bytes lose the zeros at their end; being of one length, they stay distinct.
        keys = np.ascontiguousarray(rows).view(f"S{rows.dtype.itemsize}").tolist()
        told = captions(result, start, start + len(rows))
        yield from zip(range(start, start + len(rows)), keys, told, strict=True)
