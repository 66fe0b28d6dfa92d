"""Services as kube-proxy's iptables mode writes them, and first packets to them.

Two nodes (tests/two_nodes.py); each Service has three endpoints, which are ports of a pod on the
second node: a client on the first one reaches it through DNAT and VXLAN.
"""

from ipaddress import IPv4Address, ip_address

import numpy as np

from benchmarks.peers.traffic import SYN, TCP, Ends, Segment, frames
from benchmarks.traffic import START, Traffic
from dataplane.node.state import NodeState
from dataplane.replay.capture import FRAME
from tests.two_nodes import CLIENT, RULES, WEB2, mac, two_nodes

ENDPOINTS = 3
SERVICES_APART = 20_000  # then ports of the endpoints are used again
CLIENTS = 32_000  # of one Service
GATEWAY = ip_address("10.244.1.1")
FIRST = int(ip_address("10.96.16.0"))
ENTRY = ("node-a", "veth-client")
MACS = bytes.fromhex((mac(GATEWAY) + mac(CLIENT)).replace(":", ""))
SYN_SIZE = 54


def address(service: int) -> IPv4Address:
    return IPv4Address(FIRST + service)


def _service(number: int) -> tuple[list[str], list[str], str]:
    """Its chains, their rules, and its rule in KUBE-SERVICES."""
    to = f'-d {address(number)}/32 -p tcp -m comment --comment "default/web-{number}:http'
    own = f"KUBE-SVC-{number:016d}"
    chains, rules = [own], [
        f'-A {own} ! -s 10.244.0.0/16 {to} cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ'
    ]  # fmt: skip
    for which in range(ENDPOINTS):
        sep = f"KUBE-SEP-{ENDPOINTS * number + which:016d}"
        target = f"{WEB2}:{1024 + (ENDPOINTS * number + which) % (ENDPOINTS * SERVICES_APART)}"
        name = f'-m comment --comment "default/web-{number}:http'
        left = ENDPOINTS - which
        chance = f" -m statistic --mode random --probability {1 / left:.11f}" if left > 1 else ""
        chains.append(sep)
        rules += [
            f'-A {own} {name} -> {target}"{chance} -j {sep}',
            f'-A {sep} -s {WEB2}/32 {name}" -j KUBE-MARK-MASQ',
            f'-A {sep} -p tcp {name}" -m tcp -j DNAT --to-destination {target}',
        ]
    return chains, rules, f'-A KUBE-SERVICES {to} cluster IP" -m tcp --dport 80 -j {own}'


def rules(count: int) -> str:
    """Both nodes' iptables-save."""
    made = [_service(number) for number in range(count)]
    kept = [line for line in RULES.splitlines() if not any(
        word in line for word in ("KUBE-SVC-WEB", "KUBE-SEP-", "KUBE-EXT-WEB")
    )]  # fmt: skip
    head = kept.index("*nat") + 1
    last = next(i for i, line in enumerate(kept) if "--dst-type LOCAL" in line)
    lines = [
        *kept[:head],
        *(f":{chain} - [0:0]" for chains, _, _ in made for chain in chains),
        *kept[head:last],
        *(rule for _, _, rule in made),
        *kept[last:-1],
        *(rule for _, own, _ in made for rule in own),
        kept[-1],
    ]
    return "\n".join(lines) + "\n"


def nodes(count: int) -> dict[str, NodeState]:
    return two_nodes(rules(count))


def first_packets(services: int, packets: int, seed: int) -> Traffic:
    """SYNs, each of a connection of its own, as many to each Service, in a random order."""
    number = np.random.default_rng([seed, services]).permutation(packets)
    service, client = number % services, number // services
    # Services whose endpoints' ports are the same have other clients' ports.
    sport = 1024 + client + service // SERVICES_APART * CLIENTS
    assert client.max() < CLIENTS and sport.max() < 65536
    ends = Ends(int(CLIENT), FIRST + service, sport, 80, MACS)
    made = frames(ends, TCP, SYN_SIZE, Segment(1000, 0, SYN))
    rows = np.zeros(packets, FRAME)
    rows["time_ns"], rows["linktype"] = START, 1
    rows["captured"] = rows["length"] = SYN_SIZE
    rows["offset"] = np.arange(packets) * SYN_SIZE
    return Traffic(rows, made.reshape(-1))
