"""Output frames as captures: one file per tapped device."""

from pathlib import Path

import numpy as np

from dataplane.errors import UsageError
from dataplane.replay import capture_write
from dataplane.replay.capture import FRAME
from dataplane.replay.result import Result


def write(result: Result, folder: str | Path) -> list[str]:
    """NODE-DEVICE.pcap for each device at which a frame was seen; the paths, sorted.

    raises  UsageError if there cannot be such a folder, CaptureError if a file cannot be
            written
    """
    rows = result.output.rows
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror or error}") from None
    written = []
    for index in np.unique(rows["device"]).tolist():
        mine = rows[rows["device"] == index]
        frames = np.zeros(len(mine), FRAME)
        frames["time_ns"], frames["offset"] = mine["time_ns"], mine["offset"]
        frames["captured"], frames["length"] = mine["size"], mine["length"]
        path = str(Path(folder) / file_name(*result.image.names.devices[index]))
        capture_write.write(path, frames, result.output.data)
        written.append(path)
    return sorted(written)


def file_name(node: str, device: str) -> str:
    """Names come from dumps too: none leads out of the folder."""
    return f"{node}-{device}.pcap".replace("/", "_").replace("\0", "_")
