"""State: what packets change, as arrays of a capacity given from above.

Kernels fill these arrays and allocate nothing.  What runs full is a named outcome
(`CONNTRACK_FULL`), or is grown between two batches (paths, events, output frames).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _fastpath.icmp_rate import PEERS_MAX
from _fastpath.image import PREFIX_LENGTHS
from _fastpath.state import FRAGMENT_QUEUES, FRAGMENT_SLOT
from _fastpath.trace import OUTPUT_RESERVE, STEPS_MAX, TAPS_RESERVE
from dataplane.image import conntrack, dtypes
from dataplane.image.image import Image
from dataplane.image.memory import MemoryRows

CONNECTIONS = 1 << 16
LEARNED = 1 << 12
SEEN = 1 << 16
CACHE_LINE = 64  # bytes
COUNTED = 1 << 18  # connections on connlimit's lists, and lists; a power of two


def _power_of_two(least: int) -> int:
    return 1 << max(least - 1, 1).bit_length()


def aligned(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros that begin where a cache line does: rows of whole lines then lie in no more of them."""
    size = count * dtype.itemsize
    room = np.zeros(size + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    return room[start : start + size].view(dtype)


@dataclass
class State:
    """Everything that packets change.

    connections  how many connections all nodes together may hold
    choices      choice key (seed 0) -> values fed in, in the order of their use
    events_max   how many values may be recorded in one batch; 0 records none
    has_listed   begin with the connections that the nodes list
    taps         devices (indices) whose frames are wanted; empty: none
    """

    image: Image
    connections: int = CONNECTIONS
    choices: Mapping[int, list[int]] = field(default_factory=dict)
    events_max: int = 0
    taps: frozenset[int] = frozenset()
    has_listed: bool = False
    arrays: dict[str, NDArray[Any]] = field(init=False, repr=False)
    listed: int = field(init=False, default=0)  # connections that nobody has begun to time

    def __post_init__(self) -> None:
        if self.has_listed:
            listed = sum(len(state.conntrack) for state in self.image.states.values())
            self.connections = max(self.connections, 2 * listed)
        buckets = _power_of_two(2 * self.connections)
        nodes, rules = len(self.image.arrays["nodes"]), len(self.image.arrays["rules"])
        devices = len(self.image.arrays["devices"])
        wanted = np.zeros(devices, np.uint8)
        wanted[list(self.taps)] = 1
        self.arrays = {
            "connections": aligned(self.connections, dtypes.CONNECTION),
            "accounting": self._accounting(self.connections),
            "buckets": np.full(buckets, -1, np.int32),
            "source_buckets": np.full(buckets, -1, np.int32),
            "free_list": np.arange(self.connections - 1, -1, -1, dtype=np.int32),
            "node_connections": np.zeros(nodes, np.uint32),
            "node_oldest": np.full(nodes, -1, np.int32),
            "node_newest": np.full(nodes, -1, np.int32),
            "learned": np.zeros(LEARNED, dtypes.LEARNED),
            "fragments": np.zeros(FRAGMENT_QUEUES, dtypes.FRAGMENT_QUEUE),
            "fragment_bytes": np.zeros(FRAGMENT_QUEUES * FRAGMENT_SLOT, np.uint8),
            "seen": np.zeros(SEEN, dtypes.SEEN),
            "peers": np.zeros(2 * PEERS_MAX, dtypes.PEER),
            "peer_count": np.zeros(1, np.uint32),
            "budgets": np.zeros(nodes, dtypes.BUDGET),
            "counters": np.zeros(2 * rules, np.uint64),
            **_memory_arrays(self.image.memory),
            **_set_arrays(self.image.arrays),
            "ip_ids": np.zeros(nodes, np.uint32),
            "tap_wanted": wanted,
            **_choice_arrays(self.choices),
            **_trace_arrays(self.events_max, bool(self.taps)),
        }
        if self.has_listed:
            entries = [self.image.states[name].conntrack for name in self.image.names.nodes]
            self.listed = conntrack.load(entries, self.arrays)

    def begin(self, now_ns: int) -> None:
        """The first packet's time: the times left of what was listed count from it."""
        listed = self.arrays["connections"][: self.listed]
        listed["expires_ns"] += np.uint64(now_ns)
        self.listed = 0

    def _accounting(self, connections: int) -> NDArray[Any]:
        """Packets and bytes of each direction; empty when no node counts them."""
        asked = bool(self.image.arrays["nodes"]["conntrack_acct"].any())
        return np.zeros(4 * connections * asked, np.uint64)

    def grow_connections(self, free_count: int) -> int:
        """Twice the room for connections; how many are free then.  The buckets are empty."""
        old = self.arrays
        count = len(old["connections"])
        connections = aligned(2 * count, dtypes.CONNECTION)
        connections[:count] = old["connections"]
        accounting = self._accounting(2 * count)
        accounting[: len(old["accounting"])] = old["accounting"]
        free = np.concatenate(
            [np.arange(2 * count - 1, count - 1, -1, dtype=np.int32), old["free_list"][:free_count]]
        )
        free_list = np.zeros(2 * count, np.int32)
        free_list[: len(free)] = free
        buckets = _power_of_two(4 * count)
        self.arrays |= {
            "connections": connections,
            "accounting": accounting,
            "free_list": free_list,
            "buckets": np.full(buckets, -1, np.int32),
            "source_buckets": np.full(buckets, -1, np.int32),
        }
        return len(free)

    def grow_paths(self) -> None:
        """Twice the room for paths, which stay where they are; their slots are free, and the engine
        fills them."""
        old = self.arrays
        paths = 2 * (len(old["path_start"]) - 1)
        steps = 2 * len(old["path_steps"])
        grown = _path_arrays(paths, steps)
        grown["path_steps"][: len(old["path_steps"])] = old["path_steps"]
        grown["path_start"][: len(old["path_start"])] = old["path_start"]
        grown["path_hash"][: len(old["path_hash"])] = old["path_hash"]
        self.arrays |= grown


def _memory_arrays(memory: MemoryRows) -> dict[str, NDArray[Any]]:
    """Tables have the room that the kernel gives them, so they never grow."""
    rows = np.zeros(max(len(memory.rows), 1), dtypes.MEMORY)
    rows[: len(memory.rows)] = memory.rows
    return {
        "memory": rows,
        "recent": np.zeros(max(memory.recent, 1), dtypes.RECENT),
        "recent_stamps": np.zeros(max(memory.recent_stamps, 1), np.uint64),
        "hashlimit": np.zeros(max(memory.hashlimit, 1), dtypes.HASHLIMIT),
        "hashlimit_buckets": np.zeros(max(memory.hashlimit_buckets, 1), np.uint32),
        "counted": np.zeros(COUNTED if memory.counts else 1, dtypes.COUNTED),
        "counted_buckets": np.zeros(COUNTED if memory.counts else 1, np.uint32),
        "counted_free": np.zeros(2, np.uint32),
    }


def _set_arrays(image: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Room for what packets add; memory that is not touched costs nothing."""
    count, room = image["set_sizes"].tolist()
    elements = np.zeros(max(count + room, 1), dtypes.SET_ELEMENT)
    elements[:count] = image["set_elements"][:count]
    return {
        "set_elements": elements,
        "set_buckets": np.zeros(_power_of_two(2 * len(elements)), np.int32),
        "set_counts": np.zeros(len(image["sets"]), np.uint32),
        "set_uncertain": np.zeros(len(image["sets"]), np.uint8),
        "set_lengths": np.zeros(len(image["sets"]) * 2 * PREFIX_LENGTHS, np.uint32),
        "set_used": np.array([count], np.uint32),
    }


def _path_arrays(paths: int, steps: int) -> dict[str, NDArray[Any]]:
    return {
        "path_steps": np.zeros(steps, np.uint32),
        "path_start": np.zeros(paths + 1, np.uint64),
        "path_hash": np.zeros(paths, np.uint64),
        "path_slots": np.zeros(_power_of_two(2 * paths), np.uint32),
        "path_packets": np.zeros(paths, np.uint64),
        "path_bytes": np.zeros(paths, np.uint64),
        "path_dirty": np.zeros(paths, np.uint32),
    }


def _trace_arrays(events_max: int, has_taps: bool) -> dict[str, NDArray[Any]]:
    taps = 33 * TAPS_RESERVE if has_taps else 1
    output = 4 * OUTPUT_RESERVE if has_taps else 1
    return {
        **_path_arrays(1024, 64 * STEPS_MAX),
        "steps": np.zeros(STEPS_MAX, np.uint32),
        "events": np.zeros(max(events_max, 1), dtypes.EVENT),
        "taps": np.zeros(taps, dtypes.TAP),
        "output": np.zeros(output, np.uint8),
    }


def _choice_arrays(choices: Mapping[int, list[int]]) -> dict[str, NDArray[Any]]:
    rows: list[tuple[int, int, int]] = []
    values: list[int] = []
    for key in sorted(choices):
        if not choices[key]:
            continue
        rows.append((key, len(values), len(choices[key])))
        values += choices[key]
    return {
        "choices": np.array(rows, dtypes.CHOICE) if rows else np.zeros(0, dtypes.CHOICE),
        "choice_values": np.array(values or [0], np.uint32),
        "choice_used": np.zeros(max(len(rows), 1), np.uint32),
    }
