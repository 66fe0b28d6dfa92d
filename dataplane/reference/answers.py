"""What a node sends back of its own accord, and whether it may.

The packet made waits until the one that provoked it has ended; then it begins a way of its
own, as part of the same trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from _fastpath.reason import Reason, Verdict
from _fastpath.trace import EventKind, Generated
from dataplane.node.state import Address
from dataplane.reference import conntrack, forwarding, icmp
from dataplane.reference.node import Node
from dataplane.reference.packet import Packet
from dataplane.reference.steps import Ended
from dataplane.reference.topology import Device

if TYPE_CHECKING:
    from dataplane.reference.path import Path

MOST_MADE = 4  # on one packet's way


class Made(NamedTuple):
    node: Node
    kind: int  # Generated
    packet: Packet
    out: Device | None  # it leaves there as it stands; None: the node sends it by its routes


def reject(path: Path, node: Node, packet: Packet, reject_with: str) -> Ended:
    """The REJECT target."""
    if reject_with == "tcp-reset":
        _reset(path, node, packet)
    elif icmp.is_checksum_right(packet):
        error(path, node, packet, dict.fromkeys((4, 6), icmp.REJECTS[reject_with]))
    return Ended(Verdict.REJECTED, Reason.NETFILTER_REJECT)


def _reset(path: Path, node: Node, packet: Packet) -> None:
    """nf_send_reset.  A frame that came by a bridge port is answered there, past all hooks,
    as if its own destination answered."""
    kind = forwarding.address_type(node, packet.dst)
    if not icmp.may_reset(packet) or kind in ("broadcast", "multicast"):
        return
    made, out = icmp.reset(packet, node.default_ttl), None
    conntrack.attach(made, packet)
    if packet.bridge_port is not None:
        made.ether_dst, made.ether_src = packet.ether_src, packet.ether_dst
        out = path.topology.device(node.name, packet.bridge_port)
    _queue(path, Made(node, Generated.GENERATED_TCP_RESET, made, out))


def error(path: Path, node: Node, packet: Packet, what: Mapping[int, icmp.Error]) -> None:
    """icmp_send: an error about a packet that goes no further, unless it may not be told, or
    there is no way back.  `what` is by family."""
    kind = forwarding.address_type(node, packet.dst)
    src = _error_source(node, packet, kind)
    if src is None or not icmp.may_answer(packet, kind) or path.made == MOST_MADE:
        return
    ip_id = 0
    if packet.family == 4:
        ip_id = path.choices.ip_id(node.name, packet.fields)
        path.trace.value(EventKind.EVENT_IP_ID, 0, ip_id)
    made = icmp.error(packet, what[packet.family], src, node.default_ttl, ip_id)
    conntrack.attach(made, packet)
    generated = icmp.generated_kind(packet.family, what[packet.family])
    _queue(path, Made(node, generated, made, None))


def _error_source(node: Node, packet: Packet, kind: str) -> Address | None:
    """The address that was asked for, if it is this node's; else what the way back says."""
    if kind == "local":
        return packet.dst
    back = forwarding.lookup(node, forwarding.Query(packet.src))
    if back is None or back.type in forwarding.REFUSALS:
        return None
    return forwarding.source_address(node, back, packet.src)


def arp_reply(path: Path, device: Device, packet: Packet) -> None:
    """arp_process: the node answers for its own addresses, whichever device has them."""
    target, node = icmp.arp_request(packet), path.node_of(device)
    if target is not None and forwarding.address_type(node, target) == "local":
        made = icmp.arp_reply(packet, device.link.mac)
        _queue(path, Made(node, Generated.GENERATED_ARP_REPLY, made, device))


def _queue(path: Path, made: Made) -> None:
    if path.made < MOST_MADE:
        path.made += 1
        made.packet.is_generated = True
        path.pending.append(made)
