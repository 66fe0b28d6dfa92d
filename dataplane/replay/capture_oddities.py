"""What is odd about a capture, and what is wrong with it, in words."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from _fastpath.capture import MAX_FRAME, FrameFlag, Status
from dataplane.errors import CaptureError, Source
from dataplane.replay import linktypes

Array = NDArray[Any]

CORRUPT = {
    Status.BAD_VERSION: "a version that is not known (pcap 2.x and pcapng 1.0 are)",
    Status.BAD_FRAME: f"a frame longer than its block or than {MAX_FRAME} bytes",
    Status.BAD_BLOCK: "a block whose length cannot be right",
    Status.BAD_SECTION: "a section header without a byte-order magic",
    Status.BAD_OPTION: "an interface option whose length cannot be right",
    Status.NO_INTERFACE: "a packet of an interface that was not described",
}
ODDITIES = {
    FrameFlag.FRAME_LATE: "has a fraction of one second or more; carried into the seconds",
    FrameFlag.FRAME_TIMELESS: "has no time; the time of the packet before is used",
    FrameFlag.FRAME_CLAMPED: "has a time before 1970 or after 2554; the nearest one is used",
    FrameFlag.FRAME_RAISED: "is said to be shorter than what was captured of it",
}
BACKWARDS = "is earlier than the packet before it"


class Oddities:
    """What is odd about the packets of one capture: the first of each kind, and how many."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._found: dict[str, tuple[int, int]] = {}  # text -> first packet, packets
        self._last_ns = 0

    def say(self, text: str) -> None:
        """Something that is odd about the whole."""
        if text not in self._said:
            self._said.append(text)

    def look(self, frames: Array, before: int) -> None:
        """At the next frames, (n,) FRAME, of which there were `before` before."""
        if not len(frames):
            return
        flags, times = frames["flags"], frames["time_ns"]
        if flags.any():
            for flag, text in ODDITIES.items():
                self._count(flags & flag != 0, text, before)
        backwards = times < np.concatenate([[np.uint64(self._last_ns)], times[:-1]])
        self._count(backwards, BACKWARDS, before)
        self._last_ns = int(times[-1])

    def _count(self, is_odd: Array, text: str, before: int) -> None:
        count = int(np.count_nonzero(is_odd))
        if count:
            first, so_far = self._found.get(text, (before + int(np.argmax(is_odd)) + 1, 0))
            self._found[text] = first, so_far + count

    def texts(self) -> list[str]:
        """`packet 3 is odd`, and how many more are."""
        return self._said + [
            f"packet {first} {text}{f' (and {count - 1} more)' if count > 1 else ''}"
            for text in (*ODDITIES.values(), BACKWARDS)
            for first, count in ([self._found[text]] if text in self._found else [])
        ]


def truncated(frames: Array, count: int, offset: int) -> str:
    """The capture ends within the record at `offset`; `frames` are its last, `count` all."""
    is_cut = len(frames) and frames["flags"][-1] & FrameFlag.FRAME_CUT
    kept = f"; {frames['captured'][-1]} bytes of packet {count} are kept" if is_cut else ""
    return f"the file ends within the record at byte {offset}{kept}"


def corrupt(status: int, offset: int, source: Source) -> CaptureError:
    if status == Status.NOT_CAPTURE:
        return CaptureError("neither pcap nor pcapng", source)
    return CaptureError(f"corrupt at byte {offset}: {CORRUPT[Status(status)]}", source)


def unreadable(frames: Array, before: int, source: Source) -> tuple[int, CaptureError] | None:
    """The first frame of a link type that is not read, and the error it is."""
    if not len(frames):
        return None
    first_type = int(frames["linktype"][0])
    if first_type in linktypes.SUPPORTED and (frames["linktype"] == first_type).all():
        return None  # as in most captures: nothing to sort
    # Without an index asked for, np.unique loads numpy.ma, which takes 8 ms.
    found, _ = np.unique(frames["linktype"], return_index=True)
    for linktype in found.tolist():
        if linktype not in linktypes.SUPPORTED:
            break
    else:
        return None
    is_known = np.isin(frames["linktype"], list(linktypes.SUPPORTED))
    first = int(np.argmin(is_known))
    name = linktypes.describe(int(frames["linktype"][first]))
    readable = ", ".join(linktypes.describe(known) for known in sorted(linktypes.SUPPORTED))
    return first, CaptureError(
        f"packet {before + first + 1} has link type {name}, but only these are read: {readable}",
        source,
    )
