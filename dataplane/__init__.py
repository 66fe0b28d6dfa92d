"""Replay packets through a Kubernetes cluster's dataplane and explain every decision.

    import dataplane

    cluster = dataplane.load_cluster(["cluster.yaml"])
    nodes = dataplane.program(cluster)                  # what each node is programmed with
    result = dataplane.replay_captures(nodes, ["client.pcap"], cluster=cluster)
    result.columns["verdict"]                           # NumPy, a row per packet
    print(result.trace(16))                             # every decision of packet 17

Names are loaded when they are used, so that the command starts fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataplane.cluster.load import load as load_cluster
    from dataplane.control.program import program
    from dataplane.image.image import assemble
    from dataplane.image.saved import load_image, save_image
    from dataplane.node.folder import read_node as load_node
    from dataplane.replay.one import trace_packet
    from dataplane.replay.replay import Options
    from dataplane.replay.replay import replay as replay_captures

__all__ = [
    "Options",
    "assemble",
    "load_cluster",
    "load_image",
    "load_node",
    "program",
    "replay_captures",
    "save_image",
    "trace_packet",
]

_HOMES = {
    "load_cluster": ("dataplane.cluster.load", "load"),
    "load_node": ("dataplane.node.folder", "read_node"),
    "program": ("dataplane.control.program", "program"),
    "assemble": ("dataplane.image.image", "assemble"),
    "save_image": ("dataplane.image.saved", "save_image"),
    "load_image": ("dataplane.image.saved", "load_image"),
    "replay_captures": ("dataplane.replay.replay", "replay"),
    "trace_packet": ("dataplane.replay.one", "trace_packet"),
    "Options": ("dataplane.replay.replay", "Options"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
