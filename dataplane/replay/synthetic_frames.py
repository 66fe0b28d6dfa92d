"""Frames by the hundred thousand, put together column by column, and captures of them.

IPv4, TCP and UDP, with right checksums.  Nothing in them comes from a clock or from chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Part = tuple[Array, Array]  # place of each frame in a capture; the frames, all of one size
START = 10**18  # the first frame's time, in nanoseconds since 1970

TCP, UDP = 6, 17
APART_NS = 100
PCAP_HEADER = np.array([0xA1B23C4D, 0x00040002, 0, 0, 262144, 1], "<u4").tobytes()
RECORD_BYTES, ETHER, L4 = 16, 14, 34
CHUNK = 1 << 15


@dataclass(frozen=True)
class Ends:
    """Who sends to whom, packet by packet: numbers, or one for all."""

    src: Array | int
    dst: Array | int
    sport: Array | int
    dport: Array | int
    macs: bytes  # destination, source


@dataclass(frozen=True)
class Segment:
    """What a TCP header says besides ports; None for the flows that are UDP."""

    seq: Array | int
    ack: Array | int
    flags: int
    options: bytes = b""


def frames(
    ends: Ends, proto: int, size: int, segment: Segment, payload: Array | None = None
) -> Array:
    """(n, size) uint8: frames of one protocol and size with right checksums."""
    count = np.broadcast(ends.src, ends.dst, ends.sport, ends.dport, segment.seq).size
    made = np.zeros((count, size), np.uint8)
    if payload is not None:
        made[:, size - payload.shape[1] :] = payload
    made[:, :12] = np.frombuffer(ends.macs, np.uint8)
    made[:, 12:24] = np.frombuffer(
        bytes.fromhex("0800 4500") + (size - ETHER).to_bytes(2) + b"\0\1\0\0\x40" + bytes([proto]),
        np.uint8,
    )  # fmt: skip
    _put(made, 26, ">u4", ends.src)
    _put(made, 30, ">u4", ends.dst)
    _put(made, L4, ">u2", ends.sport)
    _put(made, L4 + 2, ">u2", ends.dport)
    if proto == UDP:
        _put(made, L4 + 4, ">u2", size - L4)
    else:
        _put_segment(made, segment)
    _put(made, 24, ">u2", _checksum(_sum(made[:, ETHER:L4])))
    at = L4 + (6 if proto == UDP else 16)
    check = _checksum(_sum(made[:, 26:]) + proto + size - L4)
    _put(made, at, ">u2", np.where(check == 0, 0xFFFF, check) if proto == UDP else check)
    return made


def _put_segment(made: Array, segment: Segment) -> None:
    _put(made, L4 + 4, ">u4", segment.seq)
    _put(made, L4 + 8, ">u4", segment.ack)
    made[:, L4 + 12] = (20 + len(segment.options)) // 4 << 4
    made[:, L4 + 13] = segment.flags
    _put(made, L4 + 14, ">u2", 65535)
    made[:, L4 + 20 : L4 + 20 + len(segment.options)] = np.frombuffer(segment.options, np.uint8)


def _put(made: Array, at: int, dtype: str, values: Array | int) -> None:
    kind = np.dtype(dtype)
    column = np.ascontiguousarray(np.broadcast_to(values, len(made)).astype(kind))
    made[:, at : at + kind.itemsize] = column.view(np.uint8).reshape(len(made), kind.itemsize)


def _sum(some: Array) -> Array:
    """Of the 16-bit words of each row."""
    even = np.ascontiguousarray(np.pad(some, ((0, 0), (0, some.shape[1] % 2))))
    total: Array = even.view(">u2").sum(1, dtype=np.uint64)
    return total


def _checksum(total: Array) -> Array:
    while (total >> 16).any():
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def one_after_the_other(phases: Sequence[Sequence[Part]]) -> list[Part]:
    """Each phase begins when the one before it is over."""
    found, begin = [], 0
    for phase in phases:
        found += [(begin + place, made) for place, made in phase]
        begin += sum(len(place) for place, _ in phase)
    return found


def capture(rows: Sequence[Part]) -> bytes:
    """A pcap, its frames APART_NS from each other."""
    sizes = np.zeros(sum(len(place) for place, _ in rows), np.int64)
    for place, made in rows:
        sizes[place] = RECORD_BYTES + made.shape[1]
    offsets = np.cumsum(sizes) - sizes
    data = np.empty(sizes.sum(), np.uint8)
    for place, made in rows:
        for start in range(0, len(place), CHUNK):
            some = place[start : start + CHUNK]
            whole = np.hstack([_records(some, made.shape[1]), made[start : start + CHUNK]])
            data[offsets[some][:, None] + np.arange(whole.shape[1])] = whole
    return PCAP_HEADER + data.tobytes()


def _records(place: Array, size: int) -> Array:
    record = np.zeros((len(place), 4), "<u4")
    time_ns = START + APART_NS * place
    record[:, 0], record[:, 1] = time_ns // 10**9, time_ns % 10**9
    record[:, 2:] = size
    return record.view(np.uint8)


def repeated(data: bytes, times: int) -> bytes:
    """A capture whose packets come again, at the same times."""
    return PCAP_HEADER + data[len(PCAP_HEADER) :] * times
