"""Linux: the same nodes built in network namespaces, the same frames, one core.

The frames leave the client's end of its veth by a packet socket; the kernel then carries each
in softirq on the sender's core, through both nodes, before the next is sent.  Pods are deaf: their
eth0 has another MAC address than frames are sent to, so the kernel counts what arrives and drops
it at once; no pod answers.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers import floor
from benchmarks.peers.cluster import CLIENT, CONNTRACK_MAX, SERVER, nodes
from dataplane.node.state import NodeState
from tests.kernel.conftest import missing
from tests.kernel.namespaces import Lab, build, quiet_namespace, reset
from tests.kernel.netns import Namespace

DEAF = "02:00:00:00:00:0{}"
LIMIT = Path("/proc/sys", CONNTRACK_MAX.replace(".", "/"))


class Ran(NamedTuple):
    ns_per_packet: float
    arrived: int


def reason_not() -> str:
    """Why Linux cannot be asked here; "" if it can."""
    return missing()


def flows_that_fit() -> int:
    """How many connections a node may hold; the limit is the whole machine's, so it stands."""
    return int(LIMIT.read_text())


def to_build(state: NodeState) -> NodeState:
    """With iptables-legacy, the faster of the two; the machine's own limit stands."""
    sysctls = {name: value for name, value in state.sysctls.items() if name != CONNTRACK_MAX}
    return replace(state, iptables=replace(state.iptables, flavour="legacy"), sysctls=sysctls)


def deaf_pods(lab: Lab, addresses: tuple[str, str]) -> tuple[Namespace, Namespace]:
    """The pods with these addresses, which from now on answer nothing."""
    client, server = (lab.pod(address).namespace for address in addresses)
    for number, pod in enumerate((client, server)):
        pod.run("ip", "link", "set", "eth0", "address", DEAF.format(number))
    return client, server


class Linux:
    """Two nodes whose flows are open.  Close it, and nothing is left."""

    def __init__(self, opening: list[Path], flows: int):
        """opening  traffic.opening, as the endpoint sends it"""
        self.lab = build({name: to_build(state) for name, state in nodes().items()})
        try:
            self.client, self.server = deaf_pods(self.lab, (CLIENT, SERVER))
            reset(self.lab)
            self._open(opening)
            for name, node in self.lab.nodes.items():
                found = int(node.sysctl("net.netfilter.nf_conntrack_count") or 0)
                if found < flows:
                    raise RuntimeError(f"{name} holds {found} connections, but {flows} expected")
        except BaseException:
            self.close()
            raise

    def _open(self, opening: list[Path]) -> None:
        ends = [self.client, self.server]
        for path in opening:
            _, sent, arrived = send(*ends, path)
            if arrived != sent:
                raise RuntimeError(f"{path.name}: {arrived} of {sent} packets arrived")
            ends.reverse()

    def run(self, capture: Path, passes: int = 1) -> Ran:
        ns, _, arrived = send(self.client, self.server, capture, passes)
        return Ran(ns, arrived)

    def close(self) -> None:
        self.lab.close()


def send(
    sender: Namespace, receiver: Namespace, capture: Path, passes: int = 1
) -> tuple[float, int, int]:
    """(nanoseconds a packet, packets sent, packets that arrived)"""
    before = received(receiver)
    said = sender.run(str(floor.program("sender")), "eth0", str(capture), str(passes))
    ns, tried, _ = said.split()
    return float(ns), int(tried), received(receiver) - before


def received(namespace: Namespace) -> int:
    """Packets that came to its eth0."""
    with namespace.inside():
        text = Path("/proc/thread-self/net/dev").read_text()
    found = re.search(r"eth0:\s*\d+\s+(\d+)", text)
    assert found
    return int(found[1])


class Sender:
    """The sender alone: a veth whose other end is deaf."""

    def __init__(self) -> None:
        self.near, self.far = (quiet_namespace(name, ipv6=False) for name in ("near", "far"))
        words = f"link add eth0 type veth peer name eth0 netns {self.far.path}".split()
        self.near.run("ip", *words)
        for end in (self.near, self.far):
            end.run("ip", "link", "set", "eth0", "up")

    def run(self, capture: Path, passes: int = 1) -> Ran:
        ns, _, arrived = send(self.near, self.far, capture, passes)
        return Ran(ns, arrived)

    def close(self) -> None:
        self.near.close()
        self.far.close()
