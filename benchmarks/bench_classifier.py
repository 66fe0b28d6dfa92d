"""Long chains: a packet that meets the last of many services, or of a firewall's rules."""

from ipaddress import ip_address

import numpy as np
import pytest

from _fastpath.classifier import find_many
from _fastpath.reason import Verdict
from benchmarks.access_lists import LENGTHS, access_list, headers
from benchmarks.report import report
from benchmarks.traffic import SEED, Walker, ended, segment, traffic
from dataplane.image.image import assemble
from tests.reference.one_node import CLIENT, INSIDE, SERVER, node, table

PACKETS = 20_000
FRAMES = traffic([segment(CLIENT, SERVER, 1000, INSIDE)]).repeated(PACKETS)


def services(count):
    addresses = (ip_address("10.96.0.0") + number for number in range(count))
    rules = [f"FORWARD -d {address}/32 -p tcp -m tcp --dport 80 -j DROP" for address in addresses]
    return [*rules, f"FORWARD -d {SERVER}/32 -p tcp -m tcp --dport 80 -j ACCEPT"]


def firewall(count):
    return access_list("fw", count, SEED).rules("FORWARD")


LISTS = {"services": (services, 30_000), "firewall": (firewall, 100_000)}


@pytest.mark.parametrize("count", [10, 100, 1000, 10_000, None])
@pytest.mark.parametrize("kind", LISTS)
def test_chain(benchmark, kind, count):
    make, most = LISTS[kind]
    walker = Walker({"n": node(table("filter", *make(count or most)))})
    records = benchmark(walker.run, ("n", "a"), FRAMES)
    report(benchmark, PACKETS, ended(records, Verdict.FORWARDED), walker.steps)


@pytest.mark.parametrize("count", [100, 1000, 10_000, 100_000])
@pytest.mark.parametrize("kind", LENGTHS)
def test_index(benchmark, kind, count):
    """Which rule of an access list may match first: packets of all its rules."""
    rules = access_list(kind, count, SEED)
    image = assemble({"n": node(table("filter", *rules.rules("FORWARD")))})
    start = next(i for i, name in enumerate(image.names.rules) if name.chain == "FORWARD")
    some = headers(rules, PACKETS, SEED)
    columns = (some.src, some.dst, some.sport, some.dport, some.proto)
    found = np.zeros(PACKETS, np.uint32)
    benchmark(find_many, image.arrays, *columns, start, found)
    report(benchmark, PACKETS, found)
