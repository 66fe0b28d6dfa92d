"""Established flows on the recorded way: the same records, traces, frames, counters and state as
on the long way, packet by packet."""

from dataclasses import replace
from ipaddress import ip_address
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.image.image import assemble
from dataplane.replay.capture import Frames, merge
from dataplane.replay.replay import Options
from dataplane.replay.run import Run

from . import capture_files as files
from . import frames as fr
from .captures import START, capture_of
from .clusters import WEB6, clusters, with_ipv6
from .test_engines_equal import rule_texts
from .two_nodes import CLIENT, NODE_B, OUTSIDE, RULES, WEB, WEB1, WEB2, mac, two_nodes

CLIENT6, FAR6 = ip_address("fd00:1::2"), ip_address("fd00:2::2")
WINDOW = 60000
UNTRACKED = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p udp -j CT --notrack\nCOMMIT\n"
ACK, PSH = fr.ACK, fr.ACK | fr.PSH

# (client, server, protocol, client's port, server's port)
TALKS = [
    (CLIENT, WEB, 6, 40000, 80),
    (CLIENT, WEB, 6, 40001, 80),
    (CLIENT, WEB2, 6, 40000, 8080),
    (CLIENT, WEB1, 17, 40000, 53),
    (CLIENT, WEB2, 17, 40000, 53),
    (OUTSIDE, NODE_B, 6, 40000, 30080),
    (WEB2, OUTSIDE, 17, 40000, 53),
    (CLIENT6, FAR6, 6, 40000, 8080),
    (CLIENT6, WEB6, 6, 40000, 80),
    (CLIENT6, FAR6, 17, 40000, 53),
]


class Talk:
    """Two ends that mostly say what they may."""

    def __init__(self, talk: tuple[object, object, int, int, int], random: Random):
        self.ends, self.protocol, self.ports = talk[:2], talk[2], talk[3:]
        self.random = random
        self.said = 0
        self.seq = [1000, 5000]

    def next(self) -> bytes:
        """An Ethernet frame as the client's side saw it."""
        is_reply = self.random.random() < 0.5 if self.said > 3 else self.said % 2
        self.said += 1
        body = self.datagram(is_reply) if self.protocol == 17 else self.segment(is_reply)
        return self.framed(is_reply, body)

    def way(self, is_reply: bool) -> tuple[object, int, object, int]:
        (a, b), (sport, dport) = self.ends, self.ports
        return (b, dport, a, sport) if is_reply else (a, sport, b, dport)

    def datagram(self, is_reply: bool) -> bytes:
        src, sport, dst, dport = self.way(is_reply)
        payload = b"x" * self.random.choice([0, 1, 8, 100, 1380, 1440])
        return fr.udp(src, sport, dst, dport, payload, self.random.random() < 0.1)

    def segment(self, is_reply: bool) -> bytes:
        src, sport, dst, dport = self.way(is_reply)
        seq, ack = self.seq[is_reply], self.seq[1 - is_reply]
        if self.said <= 2:
            self.seq[is_reply] += 1
            flags = fr.SYN | fr.ACK * is_reply
            return fr.tcp(src, sport, dst, dport, flags, seq=seq, ack=ack * is_reply,
                          window=WINDOW)  # fmt: skip
        payload = b"d" * self.random.choice([0, 0, 1, 7, 100, 1360, 1400])
        odd = self.random.random()
        flags = self.random.choice([ACK, ACK, PSH])
        if odd < 0.01:
            flags = self.random.choice([fr.FIN | ACK, fr.RST | ACK, fr.SYN, fr.RST, ACK | 32])
        elif odd < 0.04:
            seq += self.random.choice([-3000, -1, 1, 3000])
        elif odd < 0.06:
            ack += self.random.choice([-70000, 5, 100000])
        else:
            self.seq[is_reply] += len(payload)
        return fr.tcp(src, sport, dst, dport, flags, seq=seq % 2**32, ack=ack % 2**32,
                      window=self.random.choice([WINDOW, WINDOW, 2000, 0]), payload=payload,
                      partial=self.random.random() < 0.03)  # fmt: skip

    def framed(self, is_reply: bool, body: bytes) -> bytes:
        random = self.random
        src, _, dst, _ = self.way(is_reply)
        ttl = random.choice([64] * 40 + [63, 128, 3, 2, 1])
        if src.version == 6:
            packet, ethertype = fr.ipv6(src, dst, self.protocol, body, hop_limit=ttl), b"\x86\xdd"
        else:
            packet = fr.ipv4(
                src, dst, self.protocol, body, ttl=ttl, id=random.randrange(4),
                tos=random.choice([0] * 40 + [2, 3, 8]),
                fragment=random.choice([0x4000] * 20 + [0, 0x2000]),
            )  # fmt: skip
            ethertype = b"\x08\x00"
        if random.random() < 0.03:
            at = random.randrange(len(packet))
            packet = packet[:at] + bytes([packet[at] ^ 0x11]) + packet[at + 1 :]
        macs = [mac("10.244.1.2"), mac("10.9.9.9")]
        source = random.choice([macs[0]] * 20 + macs)
        padding = b"\0" * (7 * (random.random() < 0.05))
        return fr.ether(source, macs[1], ethertype, packet + padding)


def conversation(random: Random, packets: int = 60) -> Frames:
    talks = [Talk(talk, random) for talk in random.sample(TALKS, 3)]
    written, now = [], 0
    for _ in range(packets):
        now += random.choice([0, 1000, 10**6] * 6 + [3 * 10**9, 40 * 10**9, 200 * 10**9])
        frame = random.choice(talks).next()
        kept = frame[: random.randrange(14, 90)] if random.random() < 0.1 else frame
        seconds, fraction = divmod(now, 10**9)
        written.append(files.Written(START + seconds, fraction, kept, len(frame)))
    return merge([capture_of(written)])


def both_ways(nodes, frames, **options):
    """The run on recorded ways, after it was found to be that on the long way."""
    image = assemble(nodes)
    runs = [
        Run(image, replace(Options(**options), recorded=recorded)) for recorded in (True, False)
    ]
    short, long = (run.all(frames) for run in runs)
    for number in range(len(frames)):
        assert short.record(number) == long.record(number), number
    for name in long.columns.dtype.names:
        assert np.array_equal(short.columns[name], long.columns[name]), name
    assert np.array_equal(short.output.rows, long.output.rows)
    assert np.array_equal(short.output.data, long.output.data)
    assert np.array_equal(short.flow_rows, long.flow_rows)
    for name in ("counters", "accounting", "ip_ids", "node_connections", "learned", "seen"):
        assert np.array_equal(runs[0].state.arrays[name], runs[1].state.arrays[name]), name
    for name in runs[0].state.arrays["connections"].dtype.names:
        one, other = (run.state.arrays["connections"][name] for run in runs)
        assert np.array_equal(one, other), name
    return runs[0]


@settings(max_examples=150)
@given(
    clusters(rule_texts()), st.integers(0, 2**32), st.integers(1, 60), st.sampled_from(["all", ()])
)
def test_the_recorded_way_equals_the_long_way(nodes, seed, packets, taps):
    both_ways(nodes, conversation(Random(seed), packets), taps=taps)


@pytest.mark.parametrize("taps", ["all", ()])
def test_established_packets_take_it(taps):
    """Else the test above would have said nothing."""
    nodes = {name: with_ipv6(state) for name, state in two_nodes().items()}
    taken = sum(
        both_ways(nodes, conversation(Random(seed), 200), taps=taps).injector.taken
        for seed in range(10)
    )
    assert taken > 200


def test_an_error_that_was_not_due_may_be_due_again():
    """ip_error lets six through at once: the silence after them is not the flow's way."""
    nodes = {
        name: replace(state, routes=tuple(
            route for route in state.routes if route.table == "local" or route.dev == "cni0"
        ))
        for name, state in two_nodes(UNTRACKED + RULES).items()
    }  # fmt: skip
    packet = fr.ipv4(CLIENT, WEB2, 17, fr.udp(CLIENT, 40000, WEB2, 53, b"x"))
    frame = fr.ether(mac(CLIENT), mac("10.244.1.1"), b"\x08\x00", packet)
    written = [files.Written(START, 1000 * number, frame, len(frame)) for number in range(12)]
    written += [files.Written(START + 30, 1000 * number, frame, len(frame)) for number in range(3)]
    run = both_ways(nodes, merge([capture_of(written)]), taps="all")
    assert run.injector.taken == 0
