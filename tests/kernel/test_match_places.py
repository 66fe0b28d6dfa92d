"""Matches that ask where a packet is, at every hook: this kernel's frames, trace and counters.

Packets between all subnets of the fuzzer's node, over its bridge, to itself, and from sources that
have no business there.
"""

import pytest

from tests import frames as fr
from tests import rule_pool
from tests.kernel.fuzzing.case import Case
from tests.kernel.fuzzing.compare import compare
from tests.kernel.fuzzing.lab import BEYOND, BEYOND6, CHAINS, FuzzLab, address, host_mac, node_mac

pytestmark = pytest.mark.kernel

# Where a host of each subnet is heard, and the device that it sends to.
DOORS = {0: ("eth0", "eth0"), 1: ("eth1", "eth1"), 2: ("p2", "br0")}
HOST, OTHER = 2, 4  # of the bridge: behind p2 and p1


@pytest.fixture(scope="module", params=["legacy", "nft"])
def lab(request: pytest.FixtureRequest):
    made = FuzzLab(request.param)
    yield made
    made.close()


def frame(family: int, subnet: int, src: str, dst: str, mac: str = "") -> tuple[str, bytes]:
    device, gateway = DOORS[subnet]
    body = fr.udp(src, 1000, dst, 80)
    packet = (fr.ipv4 if family == 4 else fr.ipv6)(src, dst, 17, body)
    ethertype = fr.ETHERTYPES[family]
    return device, fr.ether(host_mac(subnet, HOST), mac or node_mac(gateway), ethertype, packet)


def frames(family: int) -> list[tuple[str, bytes]]:
    """From each subnet to each other, to the node's own addresses, and across the bridge."""
    hosts = [address(subnet, HOST, family) for subnet in range(3)]
    nodes = [address(subnet, 1, family) for subnet in range(3)]
    strangers = BEYOND if family == 4 else BEYOND6
    found = []
    for subnet in range(3):
        for src in [*hosts, strangers[0], address(subnet, 9, family)]:
            for dst in [*(hosts[n] for n in range(3) if n != subnet), *nodes, strangers[1]]:
                if dst != src:
                    found.append(frame(family, subnet, src, dst))
    bridged = host_mac(2, OTHER)
    for src in (hosts[2], hosts[0]):
        found.append(frame(family, 2, src, address(2, OTHER, family), bridged))
    return found


def rule_set(rules: list[tuple[str, str, str]]) -> str:
    """Of (table, chain, words); each counts.  All is traced."""
    found = []
    for table in ("raw", "mangle"):
        heads = [f":{chain} ACCEPT [0:0]" for chain in CHAINS[table].split()]
        trace = [f"-A {chain} -j TRACE" for chain in CHAINS["raw"].split() if table == "raw"]
        own = [f"-A {chain} {words}" for name, chain, words in rules if name == table]
        found += [f"*{table}", *heads, *trace, *own, "COMMIT"]
    return "\n".join([*found, ""])


def everywhere(words: list[str]) -> list[tuple[str, str, str]]:
    return [
        (table, chain, text)
        for table, chains in (("raw", "PREROUTING"), ("mangle", CHAINS["mangle"]))
        for chain in chains.split()
        for text in words
        if chain != "OUTPUT"
    ]


@pytest.mark.parametrize("calls", ["1", "0"])
@pytest.mark.parametrize("family", [4, 6])
def test_bridge_ports(lab: FuzzLab, family: int, calls: str) -> None:
    sysctls = {f"net.bridge.bridge-nf-call-ip{'6' if family == 6 else ''}tables": calls}
    words = [text.format(a="p2", b="p1") for text in rule_pool.BRIDGE_PORTS]
    rules = rule_set(everywhere(words))
    assert compare(Case(lab.flavour, family, rules, sysctls, tuple(frames(family))), lab) == []


@pytest.mark.parametrize("family", [4, 6])
def test_address_types(lab: FuzzLab, family: int) -> None:
    words = [*rule_pool.ADDRESS_TYPES, *(rule_pool.ADDRESS_TYPES_IPV4 if family == 4 else [])]
    rules = []
    for table, chain, text in everywhere(words):
        sides = {"PREROUTING": ["in"], "INPUT": ["in"], "FORWARD": ["in", "out"]}
        for side in sides.get(chain, ["out"]) if "{" in text else [""]:
            rules.append((table, chain, text.format(side=side)))
    assert compare(Case(lab.flavour, family, rule_set(rules), {}, tuple(frames(family))), lab) == []


@pytest.mark.parametrize("family", [4, 6])
def test_ways_back(lab: FuzzLab, family: int) -> None:
    rules = [
        (table, "PREROUTING", words)
        for table in ("raw", "mangle")
        for words in rule_pool.REVERSE_PATHS
    ]
    assert compare(Case(lab.flavour, family, rule_set(rules), {}, tuple(frames(family))), lab) == []


@pytest.mark.parametrize("family", [4, 6])
def test_ipsec_policies_of_packets_without(lab: FuzzLab, family: int) -> None:
    rules = [
        ("mangle", chain, f"-m policy --dir {way} --pol {kind}")
        for way, chains in (("in", "PREROUTING INPUT FORWARD"), ("out", "FORWARD POSTROUTING"))
        for chain in chains.split()
        for kind in ("none", "ipsec")
    ]
    case = Case(lab.flavour, family, rule_set(rules), {}, tuple(frames(family)))
    assert compare(case, lab) == []
