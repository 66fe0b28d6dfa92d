"""The order of things at a bridge (br_input.c, br_forward.c, br_netfilter_hooks.c, v6.12).

    port in -> [PREROUTING -> where did the destination go?] -> learn -> look up
                                            local: up to the bridge device's own IP
                                            port:  [FORWARD -> POSTROUTING] -> port out
                                            else:  all ports

The hooks in brackets run for IP where `bridge-nf-call-iptables` says so; to them both ports
are the bridge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from _fastpath.reason import Reason, Verdict
from _fastpath.trace import EventKind, StepKind
from dataplane.node.state import Route
from dataplane.reference import cuts, fdb, forwarding, realms
from dataplane.reference.headers import refusal
from dataplane.reference.packet import ARP, ETHER_SIZE, TCP, VLAN_SIZE, Packet
from dataplane.reference.steps import Ended, dropped, unknown
from dataplane.reference.topology import Device, is_group

if TYPE_CHECKING:
    from dataplane.reference.path import Arrival, Path

MARTIANS = (
    Reason.MARTIAN_SOURCE,
    Reason.MARTIAN_DESTINATION,
    Reason.REVERSE_PATH,
    Reason.ROUTE_UNMODELLED,
)
NOBODY = "00:00:00:00:00:00"


def bridge_input(path: Path, port: Device, packet: Packet) -> Arrival:
    bridge = path.topology.device(port.node, port.link.master or "")
    if is_group(packet.ether_src) or packet.ether_src == NOBODY:
        raise dropped(Reason.ADDRESS_LEARNED_LOCAL)
    if packet.ether_dst.startswith(fdb.LINK_LOCAL):
        raise dropped(Reason.BRIDGE_LINK_LOCAL)
    if not bridge.link.is_up:
        raise dropped(Reason.DEVICE_DOWN)
    route = _prerouting(path, bridge, port, packet) if _is_filtered(path, bridge, packet) else None
    node = path.node_of(bridge)
    fdb.learn(path.topology, node, bridge, port, packet.ether_src)
    if is_group(packet.ether_dst):
        path.tap(bridge, packet, outgoing=False)
        return _flood(path, bridge, port, packet)
    found = fdb.lookup(path.topology, node, bridge, packet.ether_dst)
    if found is None:
        return _flood(path, bridge, port, packet)
    if found.is_local:
        return _pass_up(path, bridge, port, packet)
    return _forward(path, bridge, port, path.topology.device(port.node, found.port), packet, route)


def _is_filtered(path: Path, bridge: Device, packet: Packet) -> bool:
    return bool(packet.family) and path.node_of(bridge).calls_netfilter(packet.family)


def _prerouting(path: Path, bridge: Device, port: Device, packet: Packet) -> Route | None:
    """br_nf_pre_routing.  Returns the route of a packet that the bridge itself will carry to
    its translated destination."""
    refused = refusal(packet)
    if refused:
        raise refused
    packet.trim()
    packet.bridge_port, packet.arrived_on = port.name, bridge.name
    before = packet.dst
    path.hook("PREROUTING", path.node_of(bridge), packet, in_device=bridge)
    packet.is_prerouted = True
    return _redirect(path, bridge, packet) if packet.dst != before else None


def _redirect(path: Path, bridge: Device, packet: Packet) -> Route | None:
    """br_nf_pre_routing_finish: the frame must now go where its packet goes.  If that is
    another port of this bridge, it is not routed: TTL and source MAC stay ("bridged DNAT")."""
    node = path.node_of(bridge)
    route, end = forwarding.route_input(node, bridge.name, packet, path.choices)
    if end is not None:
        if packet.family == 4 and end.reason not in MARTIANS:
            # An IPv4 packet that is not routed is for ip_error, which stands above the bridge.
            _set_ether_dst(path, packet, bridge.link.mac)
            return None
        # IPv6 asks whether it may forward later (ip6_forward).
        if packet.family == 4 or end.reason != Reason.FORWARDING_DISABLED or route is None:
            raise end
    if route is None or route.type != "unicast" or route.dev != bridge.name:
        _set_ether_dst(path, packet, bridge.link.mac)
        if packet.family == 6 and route is not None and route.dev:
            packet.arrived_on = route.dev  # ip6_rcv_core: a route is known
        return None
    packet.realms = realms.of_input(node, bridge.name, packet, route)
    path.route_step(node, route)
    _set_ether_dst(path, packet, path.resolve(node, bridge, route.gateway or packet.dst))
    return route


def _set_ether_dst(path: Path, packet: Packet, mac: str) -> None:
    before = packet.ether_dst
    packet.ether_dst = mac
    path.ether_event(EventKind.EVENT_ETHER_DST, before, mac)


def _pass_up(path: Path, bridge: Device, port: Device, packet: Packet) -> Arrival:
    """To the bridge device's own IP."""
    packet.forget_sizes()
    path.trace.step(StepKind.STEP_BRIDGE_LOCAL, bridge.node, name=bridge.name)
    path.tap(bridge, packet, outgoing=False)
    if packet.ethertype == ARP:
        return path.arp_input(bridge, packet, packet.ether_dst == port.link.mac)
    if not packet.family:
        raise dropped(Reason.UNHANDLED_PROTOCOL)
    if packet.ether_dst not in (bridge.link.mac, port.link.mac):
        raise dropped(Reason.OTHER_HOST)
    return path.ip_input(bridge, packet)


def _forward(
    path: Path, bridge: Device, port: Device, out: Device, packet: Packet, route: Route | None
) -> Arrival:
    if out == port and not out.link.hairpin:
        raise dropped(Reason.BRIDGE_SAME_PORT)
    if _is_filtered(path, bridge, packet):
        node = path.node_of(bridge)
        packet.bridge_port_out = out.name
        path.hook("FORWARD", node, packet, in_device=bridge, out_device=bridge, route=route)
        path.hook("POSTROUTING", node, packet, out_device=bridge, route=route)
    path.trace.step(StepKind.STEP_BRIDGE_PORT, bridge.node, name=out.name)
    longest = port.link.mtu + VLAN_SIZE
    is_long = bool(packet.family) and packet.has_headers and packet.ip_length > longest
    if is_long and packet.protocol == TCP and not packet.ignore_df:
        packet.is_gso = True  # see forward
    if _is_filtered(path, bridge, packet):
        most = cuts.bridge_limit(packet, bridge.link.mtu, out.link.mtu)
        if most is not None:
            return path.fragment(packet, most, lambda part: _push(path, out, part))
    return _push(path, out, packet)


def _push(path: Path, out: Device, packet: Packet) -> Arrival:
    """br_dev_queue_push_xmit, is_skb_forwardable: with room for a VLAN tag."""
    path.packet, path.node = packet, out.node
    if packet.length > out.link.mtu + ETHER_SIZE + VLAN_SIZE and not packet.is_gso:
        raise dropped(Reason.FRAGMENTATION_NEEDED)
    return path.send(out, packet)


def bridge_output(path: Path, bridge: Device, packet: Packet) -> Arrival:
    """br_dev_xmit: what the node sends through the bridge device.  No hooks: it met them
    before, but for a copy of what is bridged."""
    path.trace.step(StepKind.STEP_DEVICE_OUT, bridge.node, name=bridge.name)
    path.tap(bridge, packet, outgoing=True)
    if is_group(packet.ether_dst):
        return _flood(path, bridge, None, packet)
    found = fdb.lookup(path.topology, path.node_of(bridge), bridge, packet.ether_dst)
    if found is None:
        return _flood(path, bridge, None, packet)
    if found.is_local:
        raise dropped(Reason.OTHER_HOST)
    out = path.topology.device(bridge.node, found.port)
    if packet.bridge_port_out is not None:
        return _send_copy(path, bridge, out, packet)
    path.trace.step(StepKind.STEP_BRIDGE_PORT, bridge.node, name=found.port)
    return path.send(out, packet)


def _send_copy(path: Path, bridge: Device, out: Device, packet: Packet) -> Arrival:
    """br_nf_post_routing: a copy of what was bridged (TEE) seems to be bridged too."""
    path.hook("POSTROUTING", path.node_of(bridge), packet, out_device=bridge)
    path.trace.step(StepKind.STEP_BRIDGE_PORT, bridge.node, name=out.name)
    most = cuts.bridge_limit(packet, bridge.link.mtu, out.link.mtu)
    if most is not None:
        return path.fragment(packet, most, lambda part: _push(path, out, part))
    return _push(path, out, packet)


def _flood(path: Path, bridge: Device, port: Device | None, packet: Packet) -> Arrival:
    """A copy to every port but the one it came by.  The packet's end is that of the copy
    that somebody wanted."""
    if packet.ignore_df:  # each port's copy is cut anew
        raise unknown(Reason.FRAGMENTATION_UNMODELLED)
    path.trace.step(StepKind.STEP_BRIDGE_FLOOD, bridge.node, name=bridge.name)
    ends = [
        path.follow_copy(out, packet)
        for out in path.topology.ports(bridge)
        if out != port or out.link.hairpin
    ]
    path.packet, path.node = packet, bridge.node
    if not is_group(packet.ether_dst):
        wanted = [end for end in ends if end.verdict == Verdict.DELIVERED]
        raise wanted[0] if wanted else Ended(Verdict.CONSUMED, Reason.FLOODED, bridge.name)
    if packet.ethertype == ARP and port is not None:
        return path.arp_input(bridge, packet)
    is_arp = packet.ethertype == ARP
    reason = Reason.ARP_HANDLED if is_arp else Reason.GROUP_ADDRESS
    raise Ended(Verdict.CONSUMED, reason, bridge.name)
