"""Long chains: a packet that meets the last of many services, or of a firewall's rules."""

from ipaddress import ip_address
from random import Random

import pytest

from _fastpath.reason import Verdict
from benchmarks.report import report
from benchmarks.traffic import Walker, ended, segment, traffic
from tests.reference.one_node import CLIENT, INSIDE, SERVER, node, table

PACKETS = 20_000
FRAMES = traffic([segment(CLIENT, SERVER, 1000, INSIDE)]).repeated(PACKETS)
SEED = 1519


def services(count):
    addresses = (ip_address("10.96.0.0") + number for number in range(count))
    rules = [f"FORWARD -d {address}/32 -p tcp -m tcp --dport 80 -j DROP" for address in addresses]
    return [*rules, f"FORWARD -d {SERVER}/32 -p tcp -m tcp --dport 80 -j ACCEPT"]


def firewall(count):
    """Prefixes of many lengths, protocols, ports and ranges, as ClassBench's seeds mix them."""
    random = Random(SEED)
    rules = []
    for _ in range(count):
        src, dst = (random.choice([0, 8, 16, 21, 24, 24, 27, 30, 32, 32]) for _ in range(2))
        words = [f"FORWARD -s {_network(random, src)}", f"-d {_network(random, max(dst, 8))}"]
        port = random.randrange(1, 65000)
        words.append(random.choice([
            "", "-p icmp", "-p tcp", f"-p tcp -m tcp --dport {port}",
            f"-p udp -m udp --dport {port}", f"-p tcp -m tcp --dport {port}:{port + 500}",
        ]))  # fmt: skip
        rules.append(" ".join([*filter(None, words), "-j DROP"]))
    return rules


def _network(random, length):
    address = random.getrandbits(32) | 1 << 31  # none of the packet's own
    return f"{ip_address(address >> (32 - length) << (32 - length))}/{length}" if length else "0/0"


LISTS = {"services": (services, 30_000), "firewall": (firewall, 100_000)}


@pytest.mark.parametrize("count", [10, 100, 1000, 10_000, None])
@pytest.mark.parametrize("kind", LISTS)
def test_chain(benchmark, kind, count):
    make, most = LISTS[kind]
    walker = Walker({"n": node(table("filter", *make(count or most)))})
    records = benchmark(walker.run, ("n", "a"), FRAMES)
    report(benchmark, PACKETS, ended(records, Verdict.FORWARDED), walker.steps)
