"""One packet through the nodes, without a capture."""

from collections.abc import Mapping

from dataplane.cluster.objects import Cluster
from dataplane.node.state import NodeState
from dataplane.replay.fast import FastEngine
from dataplane.trace.caption import Caption
from dataplane.trace.describe import Describer
from dataplane.trace.trace import Trace


def trace_packet(
    nodes: Mapping[str, NodeState],
    frame: bytes,
    at: tuple[str, str | None],
    *,
    cluster: Cluster | None = None,
    seed: int = 0,
) -> Trace:
    """What happens to one Ethernet frame that meets the nodes as they are.

    at       (node, device) where it arrives, or (node, None): a process of the node sends it
    cluster  whose nodes they are; the trace then names its objects
    raises   UsageError for a place that is not there, TableError for nodes that a kernel
             would refuse
    """
    record = FastEngine(nodes, seed=seed).run(0, frame, len(frame), at)
    return Trace(record, Describer(nodes, cluster), Caption(1))
