"""Linux: first packets through the same nodes, whose connections are forgotten before each run."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.peers import files
from benchmarks.peers.linux import deaf_pods, flows_that_fit, send, to_build
from benchmarks.traffic import Array
from dataplane.node.state import NodeState
from dataplane.replay.synthetic_frames import capture
from tests.kernel.namespaces import build

TUNNEL_PORTS = 60_999 - 32_768 + 1  # a node holds so many connections of the tunnel besides


class LinuxNewFlows:
    """Two nodes of iptables-legacy.  Close it, and nothing is left."""

    def __init__(
        self, nodes: Mapping[str, NodeState], ends: tuple[str, str], made: Array, folder: Path
    ):
        """ends    addresses of the pod that sends and of the one that is sent to
        made    (n, size): frames that each open a connection
        raises  RuntimeError if the machine's nf_conntrack_max does not hold them
        """
        if len(made) + TUNNEL_PORTS > flows_that_fit():
            raise RuntimeError(f"{len(made)} flows, but nf_conntrack_max is {flows_that_fit()}")
        self.flows = len(made)
        whole = capture([(np.arange(len(made)), made)])
        self.capture = files.write(folder / f"new-{len(made)}.pcap", whole)
        self.lab = build({name: to_build(state) for name, state in nodes.items()})
        try:
            self.client, self.server = deaf_pods(self.lab, ends)
        except BaseException:
            self.close()
            raise

    def run(self) -> float:
        """Nanoseconds a packet.  Raises RuntimeError if one does not arrive."""
        for node in self.lab.nodes.values():
            node.run("conntrack", "-F")
        ns, sent, arrived = send(self.client, self.server, self.capture)
        if (sent, arrived) != (self.flows, self.flows):
            raise RuntimeError(f"Linux: {arrived} of {sent} packets arrived")
        return ns

    def close(self) -> None:
        self.lab.close()
