"""Loading and parsing a frame, and the least that any packet costs.

The frames enter by a device that is down: they are copied, parsed, recorded and dropped.
"""

from dataclasses import replace

import pytest

from _fastpath.reason import Verdict
from benchmarks.report import report
from benchmarks.traffic import Walker, ended, segment, traffic
from tests import frames as fr
from tests.reference.one_node import CLIENT, INSIDE, SERVER, node
from tests.two_nodes import mac

PACKETS = 100_000


def over_ipv6(payload):
    body = fr.tcp("fd00::2", 1000, "fd00:1::2", 80, payload=payload)
    ip = fr.ipv6("fd00::2", "fd00:1::2", 6, body)
    return fr.ether(mac(CLIENT), mac(INSIDE), b"\x86\xdd", ip)


FRAMES = {
    "ipv4 60B": segment(CLIENT, SERVER, 1000, INSIDE, payload=b"\0" * 6),
    "ipv4 1500B": segment(CLIENT, SERVER, 1000, INSIDE, payload=b"\0" * 1446),
    "ipv6 1500B": over_ipv6(b"\0" * 1426),
    "arp": fr.ether(mac(CLIENT), "ff:ff:ff:ff:ff:ff", b"\x08\x06", bytes(46)),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_load_and_parse(benchmark, kind):
    state = node()
    down = tuple(replace(link, flags=()) if link.name == "a" else link for link in state.links)
    walker = Walker({"n": replace(state, links=down)})
    frames = traffic([FRAMES[kind]]).repeated(PACKETS)
    records = benchmark(walker.run, ("n", "a"), frames)
    report(benchmark, PACKETS, ended(records, Verdict.DROPPED))
