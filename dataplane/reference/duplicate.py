"""TEE: a copy of the packet goes to a gateway: nf_dup_ipv4.c, nf_dup_ipv6.c, v6.18.

Nobody tracks the copy.  It is sent before the packet goes on, and what is sent of it is not
copied again; where it arrives, that happens when the packet has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from _fastpath.reason import Reason
from _fastpath.trace import Generated, StepKind
from dataplane.node.state import Address
from dataplane.reference import answers, forwarding
from dataplane.reference.conntrack_table import CtInfo
from dataplane.reference.fib_rules import Flow
from dataplane.reference.node import Node
from dataplane.reference.packet import Packet
from dataplane.reference.steps import Ended, unknown

if TYPE_CHECKING:
    from dataplane.reference.path import Path

COPY = int(Generated.GENERATED_COPY)


def duplicate(
    path: Path, node: Node, hook: str, packet: Packet, gateway: Address, oif: str | None
) -> None:
    """Raises Ended, UNKNOWN, where no more packets can be followed."""
    if path.is_copying:
        return
    flow = _flow(node, packet, gateway, oif)
    try:
        route = forwarding.route_output(node, path.choices, flow)
    except Ended:
        if packet.family == 4 and flow.oif:
            # ip_route_output_key_hash_rcu: "Apparently, routing tables are wrong", it is on that
            # link.
            raise unknown(Reason.TARGET_UNMODELLED) from None
        return
    if packet.family == 6 and packet.bridge_port is not None and packet.fragment_max:
        # nf_bridge_info's frag_max_size is the copy's too: its fragments are cut once more.
        raise unknown(Reason.TARGET_UNMODELLED)
    path.trace.step(StepKind.STEP_GENERATE, node.name, number=COPY)
    kept, made, waiting = (path.packet, path.node, path.rerouted), path.made, len(path.pending)
    path.is_copying = True
    arrival = None
    try:
        arrival = path.local_out(node, _copy(packet, hook, gateway), flow, route)
    except Ended as end:  # which is nobody's
        path.tell_unknown(end)
    while len(path.pending) > waiting:  # what its source is told
        path.follow(lambda: path.begin_made(waiting))
    path.made = made
    path.is_copying = False
    path.packet, path.node, path.rerouted = kept
    path.trace.step(StepKind.STEP_RESUME, node.name)
    if arrival is not None:
        if path.made == answers.MOST_MADE:
            raise unknown(Reason.TRACE_FULL)
        path.made += 1
        path.pending.append(answers.Made(node, COPY, arrival.packet, None, arrival=arrival))


def _flow(node: Node, packet: Packet, gateway: Address, oif: str | None) -> Flow:
    """With no source and no mark; a device that is not there is not asked for."""
    is_there = oif in {link.name for link in node.state.links}
    tos = packet.tos if packet.family == 4 else 0
    return Flow(gateway, oif=oif if is_there else None, tos=tos)


def _copy(packet: Packet, hook: str, gateway: Address) -> Packet:
    copy = packet.copy()
    copy.connection, copy.ctinfo = None, CtInfo.UNTRACKED
    copy.has_template = copy.zone_is_mark = copy.is_occupied = False
    copy.zone, copy.zone_directions = 0, frozenset()
    copy.is_generated = copy.is_copy = True
    copy.next_hop = gateway
    copy.pieces, copy.pieces_from = [], 0  # shared: it is cut as any other (ip_do_fragment)
    if copy.family == 4:  # its source shall learn of a smaller MTU on this way
        copy.forbid_fragments()
    if hook in ("PREROUTING", "INPUT"):
        copy.set_ttl(copy.ttl - 1 & 0xFF)
    return copy
