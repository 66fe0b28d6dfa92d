"""Conversations from a seed: what opens every flow, and packets of flows that are open.

One client speaks to Services, a flow from each of its ports to each of them.  A flow opens with a
datagram and its answer, or a handshake with window scaling and the server's first window; then
only the client speaks, payload after payload, sequence numbers in the window, one flow at random
after the other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dataplane.replay.synthetic_frames import L4, TCP, UDP, Array, Ends, Part, Segment, frames

# Frame sizes and how often they come.  The largest is what a pod's MTU of 1450 allows, in place
# of the 1518 bytes of a simple IMIX.
SIZES = {"64 B": ((64, 1),), "IMIX": ((64, 7), (594, 4), (1464, 1))}
FIRST_PORT, LAST_PORT = 1024, 65535
SYN, ACK, PSH = 2, 16, 8
CLIENT_SEQ, SERVER_SEQ = 1_000_000, 2_000_000
# Maximum segment size, window scale 14: a window of 1 GB, which no run fills.
SYN_OPTIONS = bytes.fromhex("02040582 01 03030e")
DATA_OFFSET = {UDP: 8, TCP: 20}


@dataclass(frozen=True)
class Talk:
    """Who speaks to whom.

    client, service  the client's address and the first Service's; the others' follow
    services         how many there are
    macs             of the client's frames: destination, source
    has_udp          every other flow is UDP, the rest TCP; else all are TCP
    """

    client: int
    service: int
    services: int
    macs: bytes
    port: int = 80
    has_udp: bool = True

    @property
    def most_flows(self) -> int:
        return (LAST_PORT - FIRST_PORT + 1) * self.services

    def flows(self, count: int) -> "Flows":
        """The first `count` flows.  Raises ValueError if there are not so many."""
        if count > self.most_flows:
            raise ValueError(f"{count} flows, but a client has {self.most_flows}")
        return Flows(self, np.arange(count))


@dataclass(frozen=True)
class Flows:
    """Addresses and ports of some flows by number."""

    talk: Talk
    number: Array

    def only(self, kept: Array) -> "Flows":
        return Flows(self.talk, self.number[kept])

    @property
    def service(self) -> Array:
        return self.number % self.talk.services

    @property
    def client_port(self) -> Array:
        return FIRST_PORT + self.number // self.talk.services

    @property
    def proto(self) -> Array:
        turn = (self.number // self.talk.services + self.number) % 2
        return np.where(turn | (not self.talk.has_udp), TCP, UDP)

    @property
    def service_address(self) -> Array:
        return self.talk.service + self.service

    def asked(self) -> Ends:
        talk = self.talk
        return Ends(talk.client, self.service_address, self.client_port, talk.port, talk.macs)

    def answered(self) -> Ends:
        """As a tap at the client sees it."""
        talk, back = self.talk, self.talk.macs[6:] + self.talk.macs[:6]
        return Ends(self.service_address, talk.client, talk.port, self.client_port, back)


def opening(every: Flows, back: Callable[[Flows], Ends] = Flows.answered) -> list[list[Part]]:
    """What opens the flows, phase by phase, sent in turns by clients and servers: every flow's
    first packet, all answers, the third segments of handshakes, and the servers' windows: those
    of the segments before were not scaled (RFC 7323, section 2.2), and would soon be full.

    back  who sends the answers to whom
    """
    tcp, udp = (every.only(every.proto == proto) for proto in (TCP, UDP))
    syn = Segment(CLIENT_SEQ, 0, SYN, SYN_OPTIONS)
    syn_ack = Segment(SERVER_SEQ, CLIENT_SEQ + 1, SYN | ACK, SYN_OPTIONS)
    third = Segment(CLIENT_SEQ + 1, SERVER_SEQ + 1, ACK)
    window = Segment(SERVER_SEQ + 1, CLIENT_SEQ + 1, ACK)
    return [
        _both(tcp.asked(), udp.asked(), syn),
        _both(back(tcp), back(udp), syn_ack),
        _alone(tcp.asked(), third),
        _alone(back(tcp), window),
    ]


def _alone(tcp: Ends, segment: Segment) -> list[Part]:
    made = frames(tcp, TCP, L4 + 20, segment)
    return [(np.arange(len(made)), made)]


def _both(tcp: Ends, udp: Ends, segment: Segment) -> list[Part]:
    first = frames(tcp, TCP, L4 + 20 + len(segment.options), segment)
    second = frames(udp, UDP, 64, Segment(0, 0, 0))
    together = np.arange(len(first) + len(second))
    return [(together[: len(first)], first), (together[len(first) :], second)]


def established(every: Flows, packets: int, mix: str, seed: int) -> list[Part]:
    """`packets` packets of flows that are open, sizes of SIZES."""
    count = len(every.number)
    random = np.random.default_rng(seed)
    number = random.integers(0, count, packets)
    number[: min(count, packets)] = random.permutation(count)[:packets]  # no flow is left out
    random.shuffle(number)
    sizes, weights = zip(*SIZES[mix], strict=True)
    size = random.choice(sizes, packets, p=np.array(weights) / sum(weights))
    some = every.only(number)
    proto = some.proto
    seq = CLIENT_SEQ + 1 + _before(number, np.where(proto == TCP, size - L4 - 20, 0))
    rows = []
    for kind in (UDP, TCP):
        for each in sizes:
            place = np.flatnonzero((proto == kind) & (size == each))
            size_of_payload = each - L4 - DATA_OFFSET[kind]
            payload = random.bytes(len(place) * size_of_payload)
            data = np.frombuffer(payload, np.uint8).reshape(len(place), size_of_payload)
            segment = Segment(seq[place], SERVER_SEQ + 1, ACK | PSH)
            rows.append((place, frames(some.only(place).asked(), kind, each, segment, data)))
    return rows


def _before(number: Array, payload: Array) -> Array:
    """Bytes that the same flow has sent before each packet."""
    order = np.argsort(number, kind="stable")
    sent = np.cumsum(payload[order]) - payload[order]
    is_first = np.r_[True, np.diff(number[order]) != 0]
    since = sent - np.maximum.accumulate(np.where(is_first, sent, 0))
    before = np.empty_like(since)
    before[order] = since
    return before
