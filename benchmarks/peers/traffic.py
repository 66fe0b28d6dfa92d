"""Conversations from a seed: what opens every flow, and the packets that are measured.

A flow is one client port and one Service.  Every other flow is UDP, the rest TCP.  The opening is
a datagram and its answer, or a handshake with window scaling and the server's first window; then
only the client speaks, payload after payload, sequence numbers in the window, one flow at random
after the other.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address

import numpy as np

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
from benchmarks.peers.frames import L4, TCP, UDP, Array, Ends, Segment, capture, frames
from benchmarks.traffic import SEED

# Frame sizes and how often they come.  The largest is what the pods' MTU of 1450 allows, in place
# of the 1518 bytes of a simple IMIX.
SIZES = {"64 B": ((64, 1),), "IMIX": ((64, 7), (594, 4), (1464, 1))}
FIRST_PORT, LAST_PORT = 1024, 65535
MOST_FLOWS = (LAST_PORT - FIRST_PORT + 1) * SERVICES
SYN, ACK, PSH = 2, 16, 8
CLIENT_SEQ, SERVER_SEQ = 1_000_000, 2_000_000
# Maximum segment size, window scale 14: a window of 1 GB, which no run fills.
SYN_OPTIONS = bytes.fromhex("02040582 01 03030e")
DATA_OFFSET = {UDP: 8, TCP: 20}


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


def asked(some: Flows) -> Ends:
    return Ends(_number(CLIENT), some.service_address, some.client_port, PORT, client_macs())


def answered(some: Flows) -> Ends:
    """As a tap at the client sees it."""
    macs = client_macs()
    back = macs[6:] + macs[:6]
    return Ends(some.service_address, _number(CLIENT), PORT, some.client_port, back)


def sent_back(some: Flows) -> Ends:
    """As the endpoint sends it."""
    gateway = link(SERVER_NODE, "cni0").mac
    macs = _mac(gateway) + _mac(pod_port(SERVER_NODE, SERVER)[1])
    return Ends(_number(SERVER), _number(CLIENT), some.target_port, some.client_port, macs)


def client_macs() -> bytes:
    gateway = link(CLIENT_NODE, "cni0").mac
    return _mac(gateway) + _mac(pod_port(CLIENT_NODE, CLIENT)[1])


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _number(address: str) -> int:
    return int(IPv4Address(address))


def opening(count: int, at_endpoint: bool = False) -> list[bytes]:
    """Captures of what opens the flows, sent in turns by clients and servers: every flow's first
    packet, all answers, the third segments of handshakes, and the servers' windows: those of the
    segments before were not scaled (RFC 7323, section 2.2), and would soon be full.

    at_endpoint  the servers' packets are as the endpoint sends them, not as the client sees them
    """
    every = flows(count)
    tcp, udp = (Flows(every.number[every.proto == proto]) for proto in (TCP, UDP))
    back = sent_back if at_endpoint else answered
    syn = Segment(CLIENT_SEQ, 0, SYN, SYN_OPTIONS)
    syn_ack = Segment(SERVER_SEQ, CLIENT_SEQ + 1, SYN | ACK, SYN_OPTIONS)
    third = Segment(CLIENT_SEQ + 1, SERVER_SEQ + 1, ACK)
    window = Segment(SERVER_SEQ + 1, CLIENT_SEQ + 1, ACK)
    return [
        capture(_both(asked(tcp), asked(udp), syn)),
        capture(_both(back(tcp), back(udp), syn_ack)),
        capture(_alone(asked(tcp), third)),
        capture(_alone(back(tcp), window)),
    ]


def _alone(tcp: Ends, segment: Segment) -> list[tuple[Array, Array]]:
    made = frames(tcp, TCP, L4 + 20, segment)
    return [(np.arange(len(made)), made)]


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
            rows.append((place, frames(asked(Flows(number[place])), kind, each, segment, data)))
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


def outgoing(count: int) -> int:
    """How many packets of the opening go through the tunnel from the client's node."""
    return count + int((flows(count).proto == TCP).sum())
