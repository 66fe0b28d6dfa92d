"""Where a packet is while a hook's tables look at it (struct nf_hook_state)."""

from collections.abc import Callable
from dataclasses import dataclass

from dataplane.node.state import Address
from dataplane.reference.choice import Choices
from dataplane.reference.node import Node
from dataplane.reference.steps import Trace


@dataclass(frozen=True)
class Place:
    node: Node
    family: int
    hook: str  # PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING
    in_device: str | None  # as -i sees it
    out_device: str | None  # as -o sees it
    next_hop: Address | None  # of the packet's route, once it has one
    mtu: int | None  # of that route
    trace: Trace
    choices: Choices
    now_ns: int
    # Sends a copy of the packet to a gateway, by a device.
    duplicate: Callable[[Address, str | None], None]
