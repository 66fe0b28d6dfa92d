"""Conversations from a seed: what opens every flow, and the packets that are measured.

A flow is one client port and one Service.  Every other flow is UDP, the rest TCP.  The opening is
a datagram and its answer, or the three segments of a handshake with window scaling; then only
the client speaks, payload after payload, sequence numbers in the window, one flow at random
after the other.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.cluster import (
    CLIENT,
    CLIENT_NODE,
    FIRST_TARGET_PORT,
    PORT,
    SERVER,
    SERVER_NODE,
    SERVICE_NET,
    SERVICES,
    link,
    pod_port,
)
from benchmarks.traffic import SEED, START

Array = NDArray[np.generic]

# Frame sizes and how often they come.  The largest is what the pods' MTU of 1450 allows, in place
# of the 1518 bytes of a simple IMIX.
SIZES = {"64 B": ((64, 1),), "IMIX": ((64, 7), (594, 4), (1464, 1))}
APART_NS = 100
FIRST_PORT, LAST_PORT = 1024, 65535
MOST_FLOWS = (LAST_PORT - FIRST_PORT + 1) * SERVICES
TCP, UDP = 6, 17
SYN, ACK, PSH = 2, 16, 8
CLIENT_SEQ, SERVER_SEQ = 1_000_000, 2_000_000
# Maximum segment size, window scale 14: a window of 1 GB, which no run fills.
SYN_OPTIONS = bytes.fromhex("02040582 01 03030e")
PCAP_HEADER = np.array([0xA1B23C4D, 0x00040002, 0, 0, 262144, 1], "<u4").tobytes()
RECORD_BYTES, ETHER, L4 = 16, 14, 34
DATA_OFFSET = {UDP: 8, TCP: 20}
CHUNK = 1 << 15


@dataclass(frozen=True)
class Flows:
    """Addresses and ports of some flows by number."""

    number: Array

    @property
    def service(self) -> Array:
        return self.number % SERVICES

    @property
    def client_port(self) -> Array:
        return FIRST_PORT + self.number // SERVICES

    @property
    def proto(self) -> Array:
        return np.where((self.number // SERVICES + self.number) % 2, TCP, UDP)

    @property
    def service_address(self) -> Array:
        return int(IPv4Address(SERVICE_NET)) + self.service

    @property
    def target_port(self) -> Array:
        return FIRST_TARGET_PORT + self.service


def flows(count: int) -> Flows:
    assert count <= MOST_FLOWS
    return Flows(np.arange(count))


@dataclass(frozen=True)
class Ends:
    """Who sends to whom, packet by packet."""

    src: Array | int
    dst: Array | int
    sport: Array | int
    dport: Array | int
    macs: bytes  # destination, source

    @classmethod
    def asked(cls, some: Flows) -> "Ends":
        macs = client_macs()
        return cls(_number(CLIENT), some.service_address, some.client_port, PORT, macs)

    @classmethod
    def answered(cls, some: Flows) -> "Ends":
        """As a tap at the client sees it."""
        macs = client_macs()
        back = macs[6:] + macs[:6]
        return cls(some.service_address, _number(CLIENT), PORT, some.client_port, back)

    @classmethod
    def sent_back(cls, some: Flows) -> "Ends":
        """As the endpoint sends it."""
        gateway = link(SERVER_NODE, "cni0").mac
        macs = _mac(gateway) + _mac(pod_port(SERVER_NODE, SERVER)[1])
        return cls(_number(SERVER), _number(CLIENT), some.target_port, some.client_port, macs)


def client_macs() -> bytes:
    gateway = link(CLIENT_NODE, "cni0").mac
    return _mac(gateway) + _mac(pod_port(CLIENT_NODE, CLIENT)[1])


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _number(address: str) -> int:
    return int(IPv4Address(address))


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
    return even.view(">u2").sum(1, dtype=np.uint64)


def _checksum(total: Array) -> Array:
    while (total >> 16).any():
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def capture(rows: list[tuple[Array, Array]]) -> bytes:
    """A pcap.  rows: (place of each frame in the capture, frames of one size)"""
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


def opening(count: int, at_endpoint: bool = False) -> list[bytes]:
    """Captures of what opens the flows: every flow's first packet, all answers, and the TCP
    clients' third segment.

    at_endpoint  the answers are as the endpoint sends them, not as the client sees them
    """
    every = flows(count)
    tcp, udp = (Flows(every.number[every.proto == proto]) for proto in (TCP, UDP))
    back = Ends.sent_back if at_endpoint else Ends.answered
    syn = Segment(CLIENT_SEQ, 0, SYN, SYN_OPTIONS)
    syn_ack = Segment(SERVER_SEQ, CLIENT_SEQ + 1, SYN | ACK, SYN_OPTIONS)
    third = Segment(CLIENT_SEQ + 1, SERVER_SEQ + 1, ACK)
    return [
        capture(_both(Ends.asked(tcp), Ends.asked(udp), syn)),
        capture(_both(back(tcp), back(udp), syn_ack)),
        capture([(np.arange(len(tcp.number)), frames(Ends.asked(tcp), TCP, L4 + 20, third))]),
    ]


def _both(tcp: Ends, udp: Ends, segment: Segment) -> list[tuple[Array, Array]]:
    first = frames(tcp, TCP, L4 + 20 + len(segment.options), segment)
    second = frames(udp, UDP, 64, Segment(0, 0, 0))
    together = np.arange(len(first) + len(second))
    return [(together[: len(first)], first), (together[len(first) :], second)]


def established(count: int, packets: int, mix: str, seed: int = SEED) -> bytes:
    """A capture of `packets` packets of `count` flows that are open."""
    random = np.random.default_rng(seed)
    number = random.integers(0, count, packets)
    number[: min(count, packets)] = random.permutation(count)[:packets]  # no flow is left out
    random.shuffle(number)
    sizes, weights = zip(*SIZES[mix], strict=True)
    size = random.choice(sizes, packets, p=np.array(weights) / sum(weights))
    proto = Flows(number).proto
    seq = CLIENT_SEQ + 1 + _before(number, np.where(proto == TCP, size - L4 - 20, 0))
    rows = []
    for kind in (UDP, TCP):
        for each in sizes:
            place = np.flatnonzero((proto == kind) & (size == each))
            payload = random.bytes(len(place) * (each - L4 - DATA_OFFSET[kind]))
            data = np.frombuffer(payload, np.uint8).reshape(len(place), -1)
            segment = Segment(seq[place], SERVER_SEQ + 1, ACK | PSH)
            rows.append(
                (place, frames(Ends.asked(Flows(number[place])), kind, each, segment, data))
            )
    return capture(rows)


def _before(number: Array, payload: Array) -> Array:
    """Bytes that the same flow has sent before each packet."""
    order = np.argsort(number, kind="stable")
    sent = np.cumsum(payload[order]) - payload[order]
    is_first = np.r_[True, np.diff(number[order]) != 0]
    since = sent - np.maximum.accumulate(np.where(is_first, sent, 0))
    before = np.empty_like(since)
    before[order] = since
    return before


def repeated(data: bytes, times: int) -> bytes:
    """A capture whose packets come again, at the same times."""
    return PCAP_HEADER + data[len(PCAP_HEADER) :] * times


def outgoing(count: int) -> int:
    """How many packets of the opening go through the tunnel from the client's node."""
    return count + int((flows(count).proto == TCP).sum())


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def write_all(folder: Path, name: str, parts: list[bytes]) -> list[Path]:
    return [write(folder / f"{name}-{number}", part) for number, part in enumerate(parts)]
