"""What a node sends back of its own accord, and whether it may.

The packet made waits until the one that provoked it has ended; then it begins a way of its
own, as part of the same trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, NamedTuple

from _fastpath.reason import Reason, Verdict
from _fastpath.trace import EventKind, Generated
from dataplane.node.state import Address, Route
from dataplane.reference import conntrack, forwarding, icmp
from dataplane.reference.fib_rules import Flow
from dataplane.reference.node import Node
from dataplane.reference.packet import ICMP, ICMPV6, Packet
from dataplane.reference.steps import Ended
from dataplane.reference.topology import Device

if TYPE_CHECKING:
    from dataplane.reference.path import Path

MOST_MADE = 4  # on one packet's way
DUMMY = IPv4Address("192.0.0.8")  # INADDR_DUMMY: RFC 7600


class Made(NamedTuple):
    node: Node
    kind: int  # Generated
    packet: Packet
    out: Device | None  # it leaves there as it stands; None: the node sends it by its routes
    route: Route | None = None  # of them, where it is known


def reject(path: Path, node: Node, packet: Packet, reject_with: str) -> Ended:
    """The REJECT target."""
    if reject_with == "tcp-reset":
        return _ended(_reset(path, node, packet), Reason.NETFILTER_REJECT)
    if not icmp.is_checksum_right(packet, node.tracks_dccp):
        return _ended(False, Reason.NETFILTER_REJECT)
    what = dict.fromkeys((4, 6), icmp.REJECTS[reject_with])
    return error(path, node, packet, what, Reason.NETFILTER_REJECT)


def _ended(is_told: bool, reason: int) -> Ended:
    """Whether its sender is told makes the verdict."""
    return Ended(Verdict.REJECTED if is_told else Verdict.DROPPED, reason)


def _reset(path: Path, node: Node, packet: Packet) -> bool:
    """nf_send_reset.  A frame that came by a bridge port is answered there, past all hooks,
    as if its own destination answered."""
    kind = forwarding.address_type(node, packet.dst)
    if not icmp.may_reset(packet) or kind in ("broadcast", "multicast"):
        return False
    made, out = icmp.reset(packet, node.default_ttl), None
    conntrack.attach(made, packet)
    if packet.connection is not None:
        conntrack.set_closing(node, packet.connection, path.now_ns)
    if packet.bridge_port is not None:
        made.ether_dst, made.ether_src = packet.ether_src, packet.ether_dst
        out = path.topology.device(node.name, packet.bridge_port)
    return _queue(path, Made(node, Generated.GENERATED_TCP_RESET, made, out))


def error(
    path: Path, node: Node, packet: Packet, what: Mapping[int, icmp.Error], reason: int
) -> Ended:
    """icmp_send: the end of a packet that goes no further, and an error about it, unless its
    sender may not be told, or there is no way back.  `what` is by family."""
    kind = forwarding.address_type(node, packet.dst)
    if not icmp.may_answer(packet, kind) or path.made == MOST_MADE:
        return _ended(False, reason)
    found = _way_back(path, node, packet, what[packet.family], kind)
    if found is None:
        return _ended(False, reason)
    back, src = found
    ip_id = 0
    if packet.family == 4:
        ip_id = path.choices.ip_id(node.name, packet.fields)
        path.trace.value(EventKind.EVENT_IP_ID, 0, ip_id)
    made = icmp.error(packet, what[packet.family], src, node.default_ttl, ip_id)
    conntrack.attach(made, packet)
    generated = icmp.generated_kind(packet.family, what[packet.family])
    return _ended(_queue(path, Made(node, generated, made, None, back)), reason)


def _way_back(
    path: Path, node: Node, packet: Packet, what: icmp.Error, kind: str
) -> tuple[Route, Address] | None:
    """icmp_route_lookup, icmp6_send: the route of an error and its source, which is the address
    that was asked for, if it is this node's."""
    flow = Flow(
        dst=packet.src,
        src=packet.dst if kind == "local" else None,
        protocol=ICMP if packet.family == 4 else ICMPV6,
        dport=what.type << 8 | what.code,  # fl4_icmp_type shares the port's place
        tos=packet.tos | icmp.INTERNETWORK_CONTROL if packet.family == 4 else 0,
    )
    try:
        back = forwarding.route_output(node, path.choices, flow, packet)
    except Ended:
        return None
    src = packet.dst if kind == "local" else _error_source(node, packet, back)
    return None if src is None else (back, src)


def _error_source(node: Node, packet: Packet, back: Route) -> Address | None:
    """IPv6: an address of the device it came by.  IPv4 has one for when there is none."""
    """ipv6_dev_get_saddr prefers the very address that it is asked about."""
    if back.type == "local":
        return packet.src
    if packet.family == 6 and packet.arrived_on is not None and back.prefsrc is None:
        own = forwarding.device_address(node, packet.arrived_on, packet.src)
        if own is not None:
            return own
    found = forwarding.source_address(node, back, packet.src)
    return DUMMY if found is None and packet.family == 4 else found


def arp_reply(path: Path, device: Device, packet: Packet) -> None:
    """arp_process: the node answers for its own addresses, whichever device has them."""
    target, node = icmp.arp_request(packet), path.node_of(device)
    if target is not None and forwarding.address_type(node, target) == "local":
        made = icmp.arp_reply(packet, device.link.mac)
        _queue(path, Made(node, Generated.GENERATED_ARP_REPLY, made, device))


def _queue(path: Path, made: Made) -> bool:
    if path.made == MOST_MADE:
        return False
    path.made += 1
    made.packet.is_generated = True
    path.pending.append(made)
    return True
