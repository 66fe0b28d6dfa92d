"""Services as kube-proxy's iptables mode writes them, and first packets to them.

Two nodes (tests/two_nodes.py); each Service has three endpoints, which are ports of a pod on the
second node: a client on the first one reaches it through DNAT and VXLAN.
"""

from ipaddress import IPv4Address, ip_address

import numpy as np

from benchmarks.traffic import START, Traffic
from dataplane.node.state import NodeState
from dataplane.replay.capture import FRAME
from dataplane.replay.synthetic_flows import SYN
from dataplane.replay.synthetic_frames import TCP, Ends, Segment, frames
from tests.two_nodes import CLIENT, RULES, WEB2, mac, two_nodes

ENDPOINTS = 3
SERVICES_APART = 20_000  # then ports of the endpoints are used again
CLIENT_PORTS = 59_999  # a prime, so no multiple of the number of Services
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
    service = number % services
    # A port comes again as late as it can, as it would from a real client, and with another
    # Service: translation looks at all connections from one port.
    sport = 1024 + number % CLIENT_PORTS
    assert packets <= 2 * CLIENT_PORTS
    ends = Ends(int(CLIENT), FIRST + service, sport, 80, MACS)
    made = frames(ends, TCP, SYN_SIZE, Segment(1000, 0, SYN))
    rows = np.zeros(packets, FRAME)
    rows["time_ns"], rows["linktype"] = START, 1
    rows["captured"] = rows["length"] = SYN_SIZE
    rows["offset"] = np.arange(packets) * SYN_SIZE
    return Traffic(rows, made.reshape(-1))
