"""A routed packet past rules that do not match, without connection tracking."""

import pytest

from _fastpath.reason import Verdict
from benchmarks.report import report
from benchmarks.traffic import Walker, ended, segment, traffic
from tests.reference.one_node import CLIENT, INSIDE, SERVER, node, table

PACKETS = 50_000
FRAMES = traffic([segment(CLIENT, SERVER, 1000, INSIDE)]).repeated(PACKETS)

RULES = {
    "address": "FORWARD -s 10.9.0.{0}/32 -j DROP",
    "port": "FORWARD -p tcp -m tcp --dport {1} -j DROP",
    "service": 'FORWARD -d 10.96.0.{0}/32 -p tcp -m comment --comment "default/s{1}"'
    " -m tcp --dport 80 -j DROP",
}


@pytest.mark.parametrize("count", [0, 10, 100, 1000])
@pytest.mark.parametrize("kind", RULES)
def test_walk(benchmark, kind, count):
    rules = [RULES[kind].format(number % 256, 1000 + number) for number in range(count)]
    walker = Walker({"n": node(table("filter", *rules))})
    records = benchmark(walker.run, ("n", "a"), FRAMES)
    report(benchmark, PACKETS, ended(records, Verdict.FORWARDED), walker.steps)


@pytest.mark.parametrize("depth", [1, 8, 64])
def test_jumps(benchmark, depth):
    chains = [f"X{number}" for number in range(depth)]
    callers = ["FORWARD", *chains[:-1]]
    rules = [f"{one} -j {other}" for one, other in zip(callers, chains, strict=True)]
    walker = Walker({"n": node(table("filter", *rules, chains=" ".join(chains)))})
    records = benchmark(walker.run, ("n", "a"), FRAMES)
    report(benchmark, PACKETS, ended(records, Verdict.FORWARDED), walker.steps)
