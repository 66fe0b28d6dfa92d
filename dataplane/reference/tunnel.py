"""The order of things at a VXLAN device: what is sent into it, what comes out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from _fastpath.reason import Reason
from _fastpath.trace import EventKind, StepKind
from dataplane.reference import vxlan
from dataplane.reference.conntrack import abandon
from dataplane.reference.fib_rules import Flow, output_flow
from dataplane.reference.forwarding import route_output
from dataplane.reference.packet import UDP, Packet
from dataplane.reference.source_address import source_address
from dataplane.reference.steps import dropped, unknown
from dataplane.reference.topology import Device

if TYPE_CHECKING:
    from dataplane.reference.path import Arrival, Path

MOST_ENCAPSULATIONS = 3


def encapsulate(path: Path, device: Device, packet: Packet) -> Arrival:
    """vxlan_xmit.  The outer packet begins a way of its own, as if the node had sent it; of
    what conntrack and the rules said about the inner one, only the mark goes with it."""
    path.trace.step(StepKind.STEP_DEVICE_OUT, device.node, name=device.name)
    path.tap(device, packet, outgoing=True)
    node, settings = path.node_of(device), device.link.vxlan
    if settings is None:  # `ip link` names one that is not modelled
        raise unknown(Reason.UNDERLAY_UNMODELLED)
    found = vxlan.remote_of(node.state, device.link, packet.ether_dst)
    if found is None:
        raise dropped(Reason.VXLAN_NO_REMOTE)
    remote, entry = found
    if entry:
        path.trace.step(StepKind.STEP_FDB, device.node, name=entry)
    if remote.version == 6:
        raise unknown(Reason.UNDERLAY_UNMODELLED)
    if packet.encapsulations == MOST_ENCAPSULATIONS:
        raise dropped(Reason.TUNNEL_LOOP)
    src = settings.local
    if src is None:
        asked = Flow(remote, oif=settings.link, protocol=UDP, dport=settings.port)
        src = source_address(node, route_output(node, path.choices, asked), remote)
    if src is None:
        raise dropped(Reason.NO_ROUTE)
    path.trace.step(StepKind.STEP_ENCAPSULATE, device.node, name=device.name)
    low, high = vxlan.ports_of(settings, node.local_ports)
    sport = path.choices.vxlan_port(node.name, vxlan.flow_of(packet), low, high)
    ip_id = path.choices.ip_id(node.name, vxlan.fields_of(packet))
    path.trace.value(EventKind.EVENT_OUTER_SPORT, 0, sport)
    path.trace.value(EventKind.EVENT_IP_ID, 0, ip_id)
    ttl = settings.ttl or node.default_ttl
    outer = vxlan.encapsulated(packet, settings, src, remote, ttl, sport, ip_id)
    outer.mark, outer.is_generated, outer.is_gso = packet.mark, packet.is_generated, packet.is_gso
    outer.encapsulations = packet.encapsulations + 1
    abandon(node, packet)
    # udp_tunnel_dst_lookup: the mark is not asked with
    flow = output_flow(outer, settings.link)._replace(mark=0)
    return path.local_out(node, outer, flow)


def decapsulate(path: Path, device: Device, packet: Packet) -> Packet:
    inner = vxlan.decapsulated(packet, device.link.mac)
    path.trace.step(StepKind.STEP_DECAPSULATE, device.node, name=device.name)
    return inner
