"""How far a long replay has come: on standard error, for who watches it there.

The clock is read for that alone; nothing of it is in a result.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dataplane.replay.capture_stream import Windows
from dataplane.replay.result import Result

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

AFTER_SECONDS = 1.0  # a replay that is done by then has nothing to show


def is_wanted(is_quiet: bool) -> bool:
    """Somebody sees standard error, and no lines of packets go to the same terminal."""
    if is_quiet or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return _is_terminal(sys.stderr) and not _is_terminal(sys.stdout)


def _is_terminal(stream: Any) -> bool:
    return stream is not None and bool(stream.isatty())


def watched(
    results: Iterable[Result], windows: Windows, console: "Console | None" = None
) -> Iterator[Result]:
    """The same results.  While they come: packets a second, share of the captures, time left."""
    begun, packets = time.monotonic(), 0
    bar: Progress | None = None
    task = None
    try:
        for result in results:
            yield result
            packets = result.first + len(result)
            elapsed = time.monotonic() - begun
            if elapsed < AFTER_SECONDS:
                continue
            if bar is None:
                bar = _bar(console)
                bar.start()
                task = bar.add_task("", total=windows.size or None, speed="")
            assert task is not None
            speed = f"{packets / max(elapsed, 1e-9):,.0f} packets/s"
            bar.update(task, completed=windows.position, speed=speed)
    finally:
        if bar is not None:
            bar.stop()


def _bar(console: "Console | None") -> "Progress":
    # Imported here: rich is slow to load, and few replays are long.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = [
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeLeft(),
    ]
    return Progress(*columns, console=console or Console(stderr=True), transient=True)
