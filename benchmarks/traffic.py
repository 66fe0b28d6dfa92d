"""Traffic for benchmarks: frames by the ten thousand, and an engine that they enter as they stand.

Everything comes from fixed seeds and fields; two runs measure the same packets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from _fastpath.engine import Engine
from _fastpath.inject import Injector
from _fastpath.reason import Verdict
from dataplane.image import dtypes
from dataplane.image.image import assemble
from dataplane.image.state import State
from dataplane.node.state import NodeState
from dataplane.replay.capture import FRAME, Capture, Frames, merge, scan
from dataplane.replay.fast import make_room
from dataplane.replay.synthetic_frames import START
from tests import frames as fr
from tests.two_nodes import mac

SEED = 1519
SECOND = 10**9
Array = np.ndarray


@dataclass(frozen=True)
class Traffic:
    """Frames in Ethernet form."""

    rows: Array  # (n,) FRAME; offsets are into `data`
    data: Array  # (bytes,) uint8

    def __len__(self) -> int:
        return len(self.rows)

    def later(self, nanoseconds: int) -> "Traffic":
        """The same frames at another time."""
        rows = self.rows.copy()
        rows["time_ns"] += np.uint64(nanoseconds)
        return Traffic(rows, self.data)

    def repeated(self, times: int) -> "Traffic":
        """The same frames again and again, at the same time."""
        return Traffic(np.tile(self.rows, times), self.data)

    def shuffled(self) -> "Traffic":
        order = np.random.default_rng(SEED).permutation(len(self.rows))
        return Traffic(self.rows[order], self.data)


def traffic(frames: Sequence[bytes], time_ns: int = START) -> Traffic:
    """All of them at one time."""
    sizes = np.fromiter(map(len, frames), np.uint64, len(frames))
    rows = np.zeros(len(frames), FRAME)
    rows["time_ns"], rows["linktype"] = time_ns, 1
    rows["captured"] = rows["length"] = sizes
    rows["offset"][1:] = np.cumsum(sizes)[:-1]
    return Traffic(rows, np.frombuffer(b"".join(frames), np.uint8))


def segment(client: object, server: object, port: int, gateway: object, **fields: Any) -> bytes:
    """A TCP segment from a client's `port` to a server's port 80."""
    flags, payload = fields.pop("flags", fr.SYN), fields.pop("payload", b"")
    body = fr.tcp(client, port, server, 80, flags, payload=payload)
    ip = fr.ipv4(client, server, 6, body, **fields)
    return fr.ether(mac(client), mac(gateway), b"\x08\x00", ip)


def answer(client: object, server: object, port: int, gateway: object, flags: int) -> bytes:
    body = fr.tcp(server, 80, client, port, flags)
    ip = fr.ipv4(server, client, 6, body)
    return fr.ether(mac(server), mac(gateway), b"\x08\x00", ip)


class Walker:
    """Nodes into which frames enter at one device, as they stand."""

    def __init__(self, nodes: Mapping[str, NodeState], connections: int = 1 << 12):
        self.image = assemble(nodes)
        self.state = State(self.image, connections=connections)
        self.engine = Engine(self.image.arrays, self.state.arrays)

    def run(self, entry: tuple[str, str], found: Traffic) -> Array:
        """(n,) RECORD"""
        injector = Injector(
            self.engine, np.zeros(1, dtypes.FLOW), np.zeros(2, dtypes.FLOW_WAY),
            np.full(2, -1, np.int32), np.zeros(0, dtypes.ADDR), self.image.device(*entry),
        )  # fmt: skip
        records, done = np.zeros(len(found), dtypes.RECORD), 0
        while done < len(found):
            done += injector.run(found.rows[done:], found.data, records[done:], done)
            if done < len(found):
                make_room(self.state, self.engine, int(found.rows["time_ns"][done]))
        return records

    @property
    def steps(self) -> Array:
        """The decisions of all paths, end to end."""
        stop = int(self.state.arrays["path_start"][self.engine.paths])
        return self.state.arrays["path_steps"][:stop]


def ended(records: Array, verdict: Verdict) -> Array:
    """The records, which all have this verdict: else another thing was measured than was meant."""
    assert (records["verdict"] == verdict).all(), np.unique(records[["verdict", "reason"]])
    return records


def tiled(capture: str, packets: int, apart_ns: int) -> Frames:
    """A capture repeated until it has `packets` packets, each repetition `apart_ns` later."""
    data = Path(capture).read_bytes()
    found = scan(data)
    times = -(-packets // len(found.frames))
    rows = np.tile(found.frames, times)
    rows["time_ns"] += np.repeat(
        np.arange(times, dtype=np.uint64) * np.uint64(apart_ns), len(found.frames)
    )
    return merge([Capture(capture, data, rows[:packets], found.interfaces, [])])
