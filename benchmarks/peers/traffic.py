"""The conversations that all sides carry: what opens every flow, and the packets measured.

A flow is one client port and one Service; every other flow is UDP, the rest TCP
(dataplane/replay/synthetic_flows.py).
"""

from functools import cache
from ipaddress import IPv4Address

from benchmarks.peers.cluster import (
    CLIENT,
    CLIENT_NODE,
    FIRST_TARGET_PORT,
    PORT,
    SERVER,
    SERVER_NODE,
    SERVICE_NET,
    SERVICES,
    link,
    pod_port,
)
from benchmarks.traffic import SEED
from dataplane.replay import synthetic_flows
from dataplane.replay.synthetic_flows import SIZES, Flows, Talk
from dataplane.replay.synthetic_frames import TCP, Array, Ends, capture

__all__ = ["SIZES", "established", "flows", "opening", "outgoing"]


@cache
def talk() -> Talk:
    return Talk(_number(CLIENT), _number(SERVICE_NET), SERVICES, _client_macs(), PORT)


def flows(count: int) -> Flows:
    return talk().flows(count)


def target_port(some: Flows) -> Array:
    return FIRST_TARGET_PORT + some.service


def sent_back(some: Flows) -> Ends:
    """As the endpoint sends it."""
    gateway = link(SERVER_NODE, "cni0").mac
    macs = _mac(gateway) + _mac(pod_port(SERVER_NODE, SERVER)[1])
    return Ends(_number(SERVER), _number(CLIENT), target_port(some), some.client_port, macs)


def _client_macs() -> bytes:
    gateway = link(CLIENT_NODE, "cni0").mac
    return _mac(gateway) + _mac(pod_port(CLIENT_NODE, CLIENT)[1])


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _number(address: str) -> int:
    return int(IPv4Address(address))


def opening(count: int, at_endpoint: bool = False) -> list[bytes]:
    """Captures of what opens the flows, a capture per phase.

    at_endpoint  the servers' packets are as the endpoint sends them, not as the client sees them
    """
    back = sent_back if at_endpoint else Flows.answered
    return [capture(phase) for phase in synthetic_flows.opening(flows(count), back)]


def established(count: int, packets: int, mix: str, seed: int = SEED) -> bytes:
    """A capture of `packets` packets of `count` flows that are open."""
    return capture(synthetic_flows.established(flows(count), packets, mix, seed))


def outgoing(count: int) -> int:
    """How many packets of the opening go through the tunnel from the client's node."""
    return count + int((flows(count).proto == TCP).sum())
