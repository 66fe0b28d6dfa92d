"""Connections: packets of established ones among few and many, and the making of new ones."""

import pytest

from _fastpath.reason import Verdict
from benchmarks.report import report
from benchmarks.traffic import SECOND, Walker, answer, ended, segment, traffic
from tests import frames as fr
from tests.reference.one_node import CLIENT, INSIDE, OUTSIDE, SERVER, nat, node

PACKETS = 50_000
MASQUERADE = "POSTROUTING -o b -j MASQUERADE"


def established(count, *rules):
    """A router that `count` connections have been opened through."""
    walker = Walker({"n": node(nat(*rules))}, connections=1 << 17)
    ports = range(1024, 1024 + count)
    handshake = [
        (("n", "a"), [segment(CLIENT, SERVER, port, INSIDE) for port in ports]),
        (("n", "b"), [answer(CLIENT, SERVER, port, OUTSIDE, fr.SYN | fr.ACK) for port in ports]),
        (("n", "a"), [segment(CLIENT, SERVER, port, INSIDE, flags=fr.ACK) for port in ports]),
    ]
    for entry, frames in handshake[: 1 if rules else 3]:
        walker.run(entry, traffic(frames))
    return walker


def data(count):
    frames = [
        segment(CLIENT, SERVER, port, INSIDE, flags=fr.ACK | fr.PSH, payload=b"data")
        for port in range(1024, 1024 + count)
    ]
    return traffic(frames).repeated(PACKETS // count).shuffled()


@pytest.mark.parametrize("count", [1, 1_000, 50_000])
def test_established(benchmark, count):
    walker, frames = established(count), data(count).later(SECOND)
    records = benchmark(walker.run, ("n", "a"), frames)
    report(benchmark, PACKETS, ended(records, Verdict.FORWARDED), walker.steps)


@pytest.mark.parametrize("rules", [(), (MASQUERADE,)], ids=["plain", "masquerade"])
def test_new(benchmark, rules):
    ports = range(1024, 1024 + PACKETS)
    frames = traffic([segment(CLIENT, SERVER, port, INSIDE) for port in ports])

    def fresh():
        return (Walker({"n": node(nat(*rules))}, connections=1 << 17), ("n", "a"), frames), {}

    found = benchmark.pedantic(Walker.run, setup=fresh, rounds=5)
    report(benchmark, PACKETS, ended(found, Verdict.FORWARDED))


def test_masqueraded(benchmark):
    """Repeated SYNs of connections that are translated: each edits address, port and checksums."""
    walker = established(1_000, MASQUERADE)
    frames = traffic([segment(CLIENT, SERVER, port, INSIDE) for port in range(1024, 2024)])
    frames = frames.repeated(PACKETS // 1_000).shuffled().later(SECOND)
    records = benchmark(walker.run, ("n", "a"), frames)
    report(benchmark, PACKETS, ended(records, Verdict.FORWARDED), walker.steps)
