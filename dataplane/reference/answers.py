"""What a node sends back of its own accord, and whether it may.

The packet made waits until the one that provoked it has ended; then it begins a way of its
own, as part of the same trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from _fastpath.reason import Reason, Verdict
from _fastpath.trace import EventKind, Generated
from dataplane.node.state import Address, Route
from dataplane.reference import conntrack, forwarding, icmp, icmp_rate, ip_options
from dataplane.reference.fib_rules import Flow
from dataplane.reference.node import Node
from dataplane.reference.packet import ICMP, ICMPV6, Packet
from dataplane.reference.source_address import (
    LINK,
    link_local_address,
    select_address,
    select_address6,
    source_address,
)
from dataplane.reference.steps import Ended, unknown
from dataplane.reference.topology import Device

if TYPE_CHECKING:
    from dataplane.reference.path import Arrival, Path

MOST_MADE = 4  # on one packet's way
DUMMY = IPv4Address("192.0.0.8")  # INADDR_DUMMY: RFC 7600


class Made(NamedTuple):
    node: Node
    kind: int  # Generated
    packet: Packet
    out: Device | None  # it leaves there as it stands; None: the node sends it by its routes
    route: Route | None = None  # of them, where it is known
    arrival: Arrival | None = None  # it has left already, and arrives there


def reject(path: Path, node: Node, packet: Packet, hook: str, reject_with: str) -> Ended:
    """The REJECT target."""
    if reject_with == "tcp-reset":
        return _ended(_reset(path, node, packet, hook), Reason.NETFILTER_REJECT)
    if not icmp.is_checksum_right(packet, node.tracks_dccp):
        return _ended(False, Reason.NETFILTER_REJECT)
    what = dict.fromkeys((4, 6), icmp.REJECTS[reject_with])
    return error(path, node, packet, what, Reason.NETFILTER_REJECT)


def _ended(is_told: bool, reason: int) -> Ended:
    """Whether its sender is told makes the verdict."""
    return Ended(Verdict.REJECTED if is_told else Verdict.DROPPED, reason)


def _reset(path: Path, node: Node, packet: Packet, hook: str) -> bool:
    """nf_send_reset.  A frame that came by a bridge port is answered there, past all hooks,
    as if its own destination answered."""
    kind = forwarding.address_type(node, packet.dst)
    if not icmp.may_reset(packet, hook) or kind in ("broadcast", "multicast"):
        return False
    if packet.is_copy and packet.bridge_port is not None:
        # It would take the copy's Ethernet header, which pskb_copy leaves as the memory was.
        raise unknown(Reason.TARGET_UNMODELLED)
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
    return _ended(send_error(path, node, packet, what[packet.family]), reason)


def send_error(path: Path, node: Node, packet: Packet, what: icmp.Error) -> bool:
    """Whether one was sent."""
    kind = forwarding.address_type(node, packet.dst)
    if not icmp.may_answer(packet, kind) or path.made == MOST_MADE:
        return False
    try:
        echoed = ip_options.echo(packet, lambda each: _is_elsewhere(node, each))
    except ip_options.Unanswerable:
        return False
    found = _way_back(path, node, packet, what, kind, echoed.first_hop)
    if found is None:
        return False
    back, src = found
    if not _may_send(path, node, what, back, echoed.first_hop or packet.src):
        return False
    made = _made_error(path, node, packet, what, src, back, echoed)
    if made is None:
        return False
    conntrack.attach(made, packet)
    generated = icmp.generated_kind(packet.family, what)
    return _queue(path, Made(node, generated, made, None, back))


def _may_send(path: Path, node: Node, what: icmp.Error, back: Route, to: Address) -> bool:
    if not icmp_rate.is_limited(node.icmp_limits, to.version, what.type, what.code):
        return True
    if forwarding.kind_of(back) == "local":  # no limit on the loopback
        return True
    now, length = icmp_rate.tick(path.now_ns), back.dst.prefixlen
    return icmp_rate.may_send(node.icmp_rates, node.name, node.icmp_limits, to, length, now)


def refuse(
    path: Path, node: Node, packet: Packet, what: Mapping[int, icmp.Error], reason: int
) -> Ended:
    """ip_error, ip6_pkt_drop: the end of a packet that has no way."""
    now = icmp_rate.tick(path.now_ns)
    if packet.family == 4 and not icmp_rate.may_refuse(node.icmp_rates, node.name, packet.src, now):
        return _ended(False, reason)
    return error(path, node, packet, what, reason)


def redirect(path: Path, node: Node, packet: Packet, next_hop: Address) -> None:
    """ip_rt_send_redirect: the sender is told of a shorter way, and its packet goes on."""
    now = icmp_rate.tick(path.now_ns)
    if icmp_rate.may_redirect(node.icmp_rates, node.name, packet.src, now):
        send_error(path, node, packet, icmp.redirect(next_hop))


def redirect6(path: Path, node: Node, packet: Packet, device: Device, target: Address) -> None:
    """ndisc_send_redirect"""
    rates, now = node.icmp_rates, icmp_rate.tick(path.now_ns)
    if not icmp_rate.may_spend(rates.peer(node.name, packet.dst, now), icmp_rate.SECOND, now):
        return
    src = link_local_address(node, device.name)
    if src is None or (packet.dst != target and not target.is_link_local):
        return
    flow = Flow(
        packet.src,
        src,
        oif=device.name,
        protocol=ICMPV6,
        dport=icmp.REDIRECT6 << 8,
        oif_is_wish=not packet.src.is_link_local,
    )
    try:
        back = forwarding.route_output(node, path.choices, flow)
    except Ended:
        return
    if back.gateway is not None or path.made == MOST_MADE:
        return
    if not icmp_rate.may_spend(rates.peer(node.name, packet.src, now), icmp_rate.SECOND, now):
        return
    made = icmp.redirect6(packet, src, target, _known_mac(node, device.name, target))
    _queue(path, Made(node, Generated.GENERATED_ICMP_REDIRECT, made, None, back))


def _known_mac(node: Node, device: str, address: Address) -> str | None:
    for entry in node.state.neighbours:
        if (entry.dev, entry.dst) == (device, address) and "FAILED" not in entry.state:
            return entry.lladdr
    return None


def _is_elsewhere(node: Node, address: Address) -> bool:
    return forwarding.address_type(node, address) == "unicast"


def _made_error(
    path: Path,
    node: Node,
    packet: Packet,
    what: icmp.Error,
    src: Address,
    back: Route,
    echoed: ip_options.Echo,
) -> Packet | None:
    if packet.family == 6:
        return icmp.error(packet, what, src, node.default_ttl, 0)
    out = forwarding.output_device(node, back) or ""
    room = icmp.room4(forwarding.mtu_of(node, back, out), len(echoed.data))
    if room <= 20:
        return None
    ip_id = path.choices.ip_id(node.name, packet.fields)
    path.trace.value(EventKind.EVENT_IP_ID, 0, ip_id)
    options = ip_options.build(echoed, src, packet.src, path.now_ns)
    dst = echoed.first_hop
    return icmp.error(packet, what, src, node.default_ttl, ip_id, room, dst, options)


def _way_back(
    path: Path,
    node: Node,
    packet: Packet,
    what: icmp.Error,
    kind: str,
    first_hop: Address | None,
) -> tuple[Route, Address] | None:
    """icmp_route_lookup, icmp6_send: the route of an error and its source, which is the address
    that was asked for, if it is this node's."""
    src = packet.dst if kind == "local" else _inbound_address(node, packet)
    flow = Flow(
        dst=first_hop or packet.src,
        src=src,
        oif=packet.arrived_on if packet.family == 6 and packet.src.is_link_local else None,
        protocol=ICMP if packet.family == 4 else ICMPV6,
        dport=what.type << 8 | what.code,  # fl4_icmp_type shares the port's place
        tos=packet.tos | icmp.INTERNETWORK_CONTROL if packet.family == 4 else 0,
    )
    try:
        back = forwarding.route_output(node, path.choices, flow, packet)
    except Ended:
        return None
    src = src or _error_source(node, packet, flow.dst, back)
    return None if src is None else (back, src)


def _inbound_address(node: Node, packet: Packet) -> Address | None:
    is_asked = node.setting("net.ipv4.icmp_errors_use_inbound_ifaddr", 0)
    if packet.family == 6 or packet.arrived_on is None or not is_asked:
        return None
    return select_address(node, packet.arrived_on, packet.src, LINK)


def _error_source(node: Node, packet: Packet, dst: Address, back: Route) -> Address | None:
    """IPv6: the best of the device it came by.  IPv4 has one for when there is none."""
    if isinstance(dst, IPv6Address) and packet.arrived_on is not None and back.prefsrc is None:
        return select_address6(node, packet.arrived_on, dst)
    found = source_address(node, back, dst)
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
