"""A line for each packet of a result, for captures of any length.

Packets that look and fare alike have the same words but for their time and number: those are
put together once, and a window of them is read from the columns at a time.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from dataplane.cli import output
from dataplane.cluster.wording import printable
from dataplane.replay.coded import Words
from dataplane.replay.fast import NO_FLOW
from dataplane.replay.result import Result
from dataplane.trace.caption import Caption
from dataplane.trace.describe import Describer
from dataplane.trace.line import Lines

WINDOW = 1 << 14
LINES_AT_ONCE = 1 << 8
TEXTS_KEPT = 1 << 16
OF_ONE_PACKET = ("time_ns", "packet", "flow", "length")


Write = Callable[[Result], None]


def writer(form: str, words: Words) -> Write:
    """Writes what became of each packet of a window to standard output: "text" or "jsonl"."""
    if form == "jsonl":
        return Objects(words, output.bytes_writer()).take
    texts, write = Texts(words.describer), output.text_writer()

    def write_texts(result: Result) -> None:
        lines = texts.lines(result)
        while text := "".join(islice(lines, LINES_AT_ONCE)):
            write(text)

    return write_texts


def captions(result: Result, start: int = 0, stop: int | None = None) -> Iterator[Caption]:
    """Which packets they are."""
    frames = result.frames
    first = result.start_ns
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


class Texts:
    """A line of text for each packet, window by window."""

    def __init__(self, describer: Describer):
        self._lines = Lines(describer)
        self._rests: dict[bytes, str] = {}

    def lines(self, result: Result) -> Iterator[str]:
        captures, rests = result.frames.captures, self._rests
        files = {capture.path: _label(capture.path) for capture in captures}
        if len(captures) == 1:
            files = dict.fromkeys(files, "")
        for index, key, caption in _rows(result, OF_ONE_PACKET):
            rest = rests.get(key)
            if rest is None:
                if len(rests) == TEXTS_KEPT:
                    rests.clear()
                rest = rests[key] = self._lines.rest(result.record(index), path_of(result, index))
            yield f"{self._lines.head(caption, files[caption.file])} {rest}\n"


def _label(path: str) -> str:
    return printable(Path(path).name) + ":"


class Objects:
    """A JSON object for each packet, window by window, in large pieces."""

    def __init__(self, words: Words, write: Callable[[memoryview | bytes], object]):
        # They load msgspec, which no other form needs.
        from dataplane.replay.json_lines import JsonWindows
        from dataplane.trace.jsonl import JsonLines

        self._windows = JsonWindows(words, write)
        self._lines, self._write = JsonLines(words.describer), write

    def take(self, result: Result) -> None:
        if not len(result.event_rows):
            self._windows.take(result)
            return
        for index, caption in enumerate(captions(result)):
            self._write(self._lines.line(result.record(index), caption, path_of(result, index)))


def path_of(result: Result, index: int) -> int:
    return int(result.columns["path"][index])


def _rows(result: Result, apart: tuple[str, ...]) -> Iterator[tuple[int, bytes, Caption]]:
    """Index, what the packet has in common with others, and which packet it is."""
    from numpy.lib.recfunctions import repack_fields  # slow to load; no trace needs it

    common = [name for name in result.columns.dtype.names or () if name not in apart]
    for start in range(0, len(result), WINDOW):
        rows = repack_fields(result.columns[common][start : start + WINDOW])
        # Bytes lose the zeros at their end; being of one length, they stay distinct.
        keys = np.ascontiguousarray(rows).view(f"S{rows.dtype.itemsize}").tolist()
        told = captions(result, start, start + len(rows))
        yield from zip(range(start, start + len(rows)), keys, told, strict=True)
