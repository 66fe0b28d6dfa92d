"""The order of everything that happens to a packet, from device to device.

    receive ─┬─ bridge_input (bridge.py)
             └─ ip_input ── PREROUTING ── route ─┬─ local_in ── INPUT ── process, or decapsulate
                                                 └─ forward ─── FORWARD ──┐
    local_out ── route ── OUTPUT ── [route again] ────────────────────────┤
                                                                 POSTROUTING
                                                                          │
    transmit ◄─┬─ bridge_output (bridge.py) ◄─┬──── ip_output (neighbour) ┘
               └─ encapsulate (tunnel.py)   ◄─┘

Each function returns the next arrival at a device, or raises Ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from _fastpath.reason import Reason, Verdict
from _fastpath.trace import STEPS_MAX, EventKind, StepKind
from dataplane.node.multipath import UNMODELLED
from dataplane.node.route_text import route_text
from dataplane.node.state import Address, Route
from dataplane.reference import (
    answers,
    bridge,
    conntrack,
    cuts,
    duplicate,
    forwarding,
    fragments,
    hooks,
    icmp,
    ip_options,
    neighbour,
    netfilter,
    realms,
    tunnel,
    vxlan,
)
from dataplane.reference.answers import Made
from dataplane.reference.choice import Choices, Fields
from dataplane.reference.fib_rules import Flow, output_flow
from dataplane.reference.headers import header_refusal, is_unheard_of, refusal
from dataplane.reference.node import Node
from dataplane.reference.packet import ARP, ETHER_SIZE, TCP, VLAN_SIZE, Packet
from dataplane.reference.place import Place
from dataplane.reference.source_address import leaving_address, recorded_address
from dataplane.reference.steps import Ended, Tap, Trace, dropped, unknown
from dataplane.reference.topology import Device, Kind, Topology, group_mac, is_group

BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"
NO_MAC = "00:00:00:00:00:00"
MOST_ARRIVALS = 600  # of one packet: where it loops below IP, no TTL ends it
# What a route's refusal is answered with.
ANSWERS = {
    Reason.NO_ROUTE: icmp.NET_UNREACHABLE,
    Reason.ROUTE_UNREACHABLE: icmp.HOST_UNREACHABLE,
    Reason.ROUTE_PROHIBIT: icmp.PROHIBITED,
}

# Refusals that ip_error knows: the packet was no martian.
UNROUTED = (Reason.FORWARDING_DISABLED, Reason.ROUTE_BLACKHOLE)


class Arrival(NamedTuple):
    """A packet that is about to be received by a device."""

    device: Device
    packet: Packet
    is_looped: bool = False  # it left by the loopback, and keeps its connection


class Path:
    """The way of one packet, and of those that it provokes."""

    def __init__(
        self,
        topology: Topology,
        nodes: Mapping[str, Node],
        choices: Choices,
        now_ns: int,
        node: str,
    ):
        self.topology = topology
        self.nodes = nodes
        self.choices = choices
        self.now_ns = now_ns
        self.trace = Trace()
        self.pending: list[Made] = []
        self.rerouted: Route | None = None  # what OUTPUT made of a packet's route
        self.open_cuts = 0  # packets of which fragments have not been sent yet
        self.is_copying = False  # a copy is on its way out, of which no copies are sent
        self.is_aside = False  # the packet was made on the way of another
        self.made = 0  # packets made on this packet's way
        self.node = node  # where the packet is
        self.packet = Packet(b"")

    # Following.

    def run(self, start: Callable[[], Arrival]) -> tuple[Ended, str, Packet]:
        """How the packet ended, on which node, and what it was then.  Those that nodes made on its
        way follow it in the same trace."""
        end = self.follow(start)
        node, packet = self.node, self.packet
        self.is_aside = True
        while self.pending:
            self.follow(self.begin_made)
        if len(self.trace.steps) > STEPS_MAX:
            del self.trace.steps[STEPS_MAX:]
            end = unknown(Reason.TRACE_FULL)
        return end, node, packet

    def begin_made(self, index: int = 0) -> Arrival:
        made = self.pending.pop(index)
        self.trace.step(StepKind.STEP_GENERATE, made.node.name, number=made.kind)
        if made.arrival is not None:
            return made.arrival
        if made.out is not None:
            return self.send(made.out, made.packet)
        return self.local_out(made.node, made.packet, route=made.route)

    def follow(self, start: Callable[[], Arrival]) -> Ended:
        try:
            arrival = start()
            for _ in range(MOST_ARRIVALS):
                arrival = self.receive(arrival)
            raise unknown(Reason.TRACE_FULL)
        except Ended as end:
            self.tell_unknown(end)
            conntrack.abandon(self.nodes[self.node], self.packet)
            return end

    def tell_unknown(self, end: Ended) -> None:
        """Of a packet made on the way nothing else says that its own is not known."""
        is_side = self.is_aside or self.is_copying
        if end.verdict == Verdict.UNKNOWN and is_side and not end.is_told:
            end.is_told = True
            self.trace.step(StepKind.STEP_UNKNOWN, self.node, number=end.reason)

    def follow_copy(self, device: Device, packet: Packet) -> Ended:
        """One copy of a flooded frame, to its end."""
        return self.follow(lambda: self.send(device, packet.copy()))

    # What is left behind.

    def node_of(self, device: Device) -> Node:
        return self.nodes[device.node]

    def tap(self, device: Device, packet: Packet, outgoing: bool) -> None:
        self.trace.taps.append(
            Tap(
                device.node,
                device.name,
                outgoing,
                packet.is_generated,
                bytes(packet.frame),
                packet.length,
            )
        )

    def route_step(self, node: Node, route: Route) -> None:
        is_known = route.type != UNMODELLED
        self.trace.step(
            StepKind.STEP_ROUTE,
            node.name,
            family=route.dst.version,
            table=route.table,
            name=route_text(route) if is_known else UNMODELLED,
        )

    def ether_event(self, kind: int, before: str, after: str) -> None:
        numbers = (int(mac.replace(":", ""), 16) for mac in (before, after))
        self.trace.event(kind, *numbers)

    # Arrival.

    def receive(self, arrival: Arrival) -> Arrival:
        device, packet = arrival.device, arrival.packet
        self.packet, self.node = packet, device.node
        if not device.link.is_up and not arrival.is_looped:
            raise dropped(Reason.DEVICE_DOWN)
        self.trace.step(StepKind.STEP_DEVICE_IN, device.node, name=device.name)
        self.tap(device, packet, outgoing=False)
        if len(packet.frame) < ETHER_SIZE:
            raise dropped(Reason.FRAME_TOO_SHORT)
        if arrival.is_looped and packet.family:
            packet.forget_sizes()
            packet.options = None
            self.hook("PREROUTING", self.node_of(device), packet, in_device=device)
            return self.local_in(device, packet)
        if self._master_kind(device) == Kind.BRIDGE:
            return bridge.bridge_input(self, device, packet)
        if packet.ethertype == ARP:
            return self.arp_input(device, packet)
        if not packet.family:
            raise dropped(Reason.UNHANDLED_PROTOCOL)
        if not _is_for(device, packet):
            raise dropped(Reason.OTHER_HOST)
        return self.ip_input(device, packet)

    def _master_kind(self, device: Device) -> Kind | None:
        master = self.topology.devices.get((device.node, device.link.master or ""))
        return master.kind if master else None

    def arp_input(self, device: Device, packet: Packet, is_for_port: bool = False) -> Arrival:
        """`is_for_port`: the frame is for the bridge port's own address, hence for the node."""
        if is_for_port or _is_for(device, packet):
            answers.arp_reply(self, device, packet)
        raise Ended(Verdict.CONSUMED, Reason.ARP_HANDLED, device.name)

    # IP input.

    def ip_input(self, device: Device, packet: Packet) -> Arrival:
        """ip_rcv, for a frame that is for this device."""
        node = self.node_of(device)
        packet.options = None  # ip_rcv_core clears the control block
        if packet.family == 6 and device.kind != Kind.LOOPBACK and is_unheard_of(packet):
            raise dropped(Reason.IP_HEADER_INVALID)
        if not packet.is_prerouted:
            refused = refusal(packet)
            if refused:
                raise refused
            packet.trim()
            packet.arrived_on = device.name
            self.hook("PREROUTING", node, packet, in_device=device)
        if packet.protocol == TCP:
            packet.pull(20)  # tcp_v4_early_demux
        route, end = forwarding.route_input(node, device.name, packet, self.choices)
        if route is not None:
            self.route_step(node, route)
        if packet.family == 4 and packet.frame[ETHER_SIZE] & 15 > 5:
            route, end = self._read_options(device, packet, route, end)
        if end is not None and end.reason in ANSWERS:
            raise answers.refuse(self, node, packet, ANSWERS[end.reason], end.reason)
        if end is not None:
            raise end
        packet.realms = realms.of_input(node, device.name, packet, route)
        if route is None or forwarding.is_for_node(node, device.name, route):
            return self.local_in(device, packet)
        return self.forward(device, packet, route)

    def _read_options(
        self, device: Device, packet: Packet, route: Route | None, end: Ended | None
    ) -> tuple[Route | None, Ended | None]:
        """ip_rcv_options; what is no martian comes so far."""
        node = self.node_of(device)
        if end is not None and end.reason not in (*ANSWERS, *UNROUTED):
            return route, end
        wrong = ip_options.read(
            packet,
            lambda: recorded_address(node, device.name, packet, None if end else route),
            lambda address: forwarding.address_type(node, address) == "unicast",
            self.now_ns,
        )
        if wrong is not None:
            what, reason = icmp.parameter_problem(wrong), Reason.IP_HEADER_INVALID
            raise answers.error(self, node, packet, what, reason)
        if not ip_options.options_of(packet).source_at:
            return route, end
        if not node.both_settings(device.name, "accept_source_route", 1):
            raise dropped(Reason.SOURCE_ROUTED)
        return self._follow_source_route(device, packet, None if end else route), None

    def _follow_source_route(
        self, device: Device, packet: Packet, route: Route | None
    ) -> Route | None:
        """ip_options_rcv_srr"""
        node, reason = self.node_of(device), Reason.SOURCE_ROUTED
        kind = forwarding.kind_of(route)
        is_for_one = device.link.link_type != "ether" or not is_group(packet.ether_dst)
        if not is_for_one or kind not in ("unicast", "local"):
            raise dropped(reason)
        if kind == "unicast" and ip_options.is_strict(packet):
            raise answers.error(self, node, packet, icmp.parameter_problem(16), reason)
        if kind == "unicast":
            return route
        for _, address in ip_options.hops(packet):
            if address is None:
                at = ip_options.options_of(packet).source_at + 2
                raise answers.error(self, node, packet, icmp.parameter_problem(at), reason)
            asked = packet.copy()
            ip_options.write(asked, 16, address.packed)
            found, end = forwarding.route_input(node, device.name, asked, self.choices)
            if end is not None or forwarding.kind_of(found) not in ("unicast", "local"):
                raise dropped(reason)
            if forwarding.kind_of(found) == "unicast":
                ip_options.go_on_to(packet, address)
                self.route_step(node, found)  # type: ignore[arg-type]
                return found
            ip_options.arrive_at(packet, address)
        return route

    def local_in(self, device: Device, packet: Packet) -> Arrival:
        """ip_local_deliver."""
        node = self.node_of(device)
        if packet.family == 4:
            self._gather(node, device, packet)
        self.hook("INPUT", node, packet, in_device=device)
        if packet.family == 6:  # the fragment header is one like others: INPUT saw the fragments
            self._gather(node, device, packet)
        self.trace.step(StepKind.STEP_LOCAL_IN, node.name)
        receiver = vxlan.receiver(node.state.links, packet)
        if receiver is None:
            raise Ended(Verdict.DELIVERED, Reason.LOCAL_PROCESS)
        tunnel_device = self.topology.device(node.name, receiver.name)
        return Arrival(tunnel_device, tunnel.decapsulate(self, tunnel_device, packet))

    def _gather(self, node: Node, device: Device, packet: Packet) -> None:
        now_ns, user, reason = self.now_ns, fragments.LOCAL, Reason.FRAGMENT_INVALID
        try:
            fragments.gather(node, packet, user, device.name, now_ns, self.trace)
        except fragments.Refused as refused:
            error = {6: icmp.Error(4, refused.code, refused.pointer)}
            raise answers.error(self, node, packet, error, reason) from None

    def forward(self, device: Device, packet: Packet, route: Route) -> Arrival:
        """ip_forward: errors about TTL and size come before the hooks, and the hooks see the
        TTL that the next node will."""
        node, out = self.node_of(device), self._out_device(device.node, route)
        if device.link.link_type == "ether" and is_group(packet.ether_dst):
            raise dropped(Reason.OTHER_HOST)  # pkt_type: not for this host alone
        if packet.ttl <= 1:
            raise answers.error(self, node, packet, icmp.TIME_EXCEEDED, Reason.TTL_EXPIRED)
        longest = device.link.mtu + VLAN_SIZE
        if packet.protocol == TCP and packet.ip_length > longest and not packet.ignore_df:
            # Too long already for the device it came by, even as a tagged frame
            # (is_skb_forwardable): it never was one frame.  Its sender left it to a device to be
            # cut up (GSO), and so may we, whatever carries it.
            packet.is_gso = True
        if packet.family == 6:
            self._look_at_source(node, packet, device, out, route)
        if packet.family == 4 and ip_options.is_strict(packet) and route.gateway is not None:
            what = icmp.SOURCE_ROUTE_FAILED
            raise answers.error(self, node, packet, what, Reason.SOURCE_ROUTED)
        mtu = forwarding.mtu_of(node, route, out.name)
        if packet.family == 6:  # the route's own is asked only when the packet leaves
            mtu = max(forwarding.device_mtu(node, out.name, 6), cuts.LEAST_MTU6)
        if cuts.exceeds(packet, mtu):
            raise self._too_big(node, packet, mtu)
        before = packet.ttl
        packet.set_ttl(before - 1)
        self.trace.event(EventKind.EVENT_TTL, before, packet.ttl)
        if packet.family == 4 and forwarding.goes_back(node, packet, device.name, route):
            self._redirect(node, packet, route)
        self.hook("FORWARD", node, packet, in_device=device, out_device=out, route=route)
        if packet.options is not None:
            ip_options.forward(
                packet, lambda: leaving_address(node, device.name, packet, route, out.name)
            )
        self.hook("POSTROUTING", node, packet, out_device=out, route=route)
        return self.ip_output(out, packet, route)

    def _redirect(self, node: Node, packet: Packet, route: Route) -> None:
        if not ip_options.options_of(packet).source_at:
            answers.redirect(self, node, packet, _next_hop(packet, route) or packet.dst)

    def _look_at_source(
        self, node: Node, packet: Packet, device: Device, out: Device, route: Route
    ) -> None:
        """ip6_forward: between links only packets of a host that can be told from others go; on
        one link, the sender is told that it could have sent there itself."""
        if out is device:
            target = route.gateway or packet.dst
            return answers.redirect6(self, node, packet, device, target)
        if packet.src.is_unspecified:
            raise dropped(Reason.SOURCE_SCOPE)
        if packet.src.is_link_local:
            raise answers.error(self, node, packet, icmp.BEYOND_SCOPE, Reason.SOURCE_SCOPE)

    def _too_big(self, node: Node, packet: Packet, mtu: int) -> Ended:
        reason = Reason.FRAGMENTATION_NEEDED
        return answers.error(self, node, packet, icmp.too_big(mtu), reason)

    def _out_device(self, node: str, route: Route) -> Device:
        name = forwarding.output_device(self.nodes[node], route)
        device = self.topology.devices.get((node, name or ""))
        if device is None:
            raise unknown(Reason.ROUTE_UNMODELLED)
        return device

    # IP output.

    def local_out(
        self, node: Node, packet: Packet, flow: Flow | None = None, route: Route | None = None
    ) -> Arrival:
        """What a process of the node, or the kernel itself, sends (ip_local_out).

        flow   what its route is asked with, if not with what the packet says
        route  where it is known already
        """
        self.packet, self.node = packet, node.name
        self.trace.step(StepKind.STEP_LOCAL_OUT, node.name)
        if route is None:
            flow = flow or self._output_flow(packet)
            route = forwarding.route_output(node, self.choices, flow)
        self.route_step(node, route)
        packet.realms = realms.of_output(node, flow or output_flow(packet, None), route)
        packet.has_sender, packet.arrived_on = not packet.is_copy, None
        out = self._out_device(node.name, route)
        self.hook("OUTPUT", node, packet, out_device=out, route=route)
        route = self.rerouted or route
        out = self._out_device(node.name, route)
        self.hook("POSTROUTING", node, packet, out_device=out, route=route)
        return self.ip_output(out, packet, route)

    def _output_flow(self, packet: Packet) -> Flow:
        flow = output_flow(packet, None)
        if packet.is_generated and packet.family == 4:  # nf_send_reset, ip_route_me_harder
            flow = flow._replace(protocol=0, sport=0, dport=0)
        return flow

    def route_again(self, node: Node, packet: Packet) -> None:
        """ip_route_me_harder, ip6_route_me_harder.  IPv4's asks for no protocol, and with no
        source that is neither this node's nor a host's."""
        flow = output_flow(packet, None)._replace(protocol=0, sport=0, dport=0)
        if packet.family == 6:
            flow = flow._replace(tos=0)
        elif forwarding.address_type(node, packet.src) not in ("local", "unicast"):
            flow = flow._replace(src=forwarding.NONE4)
        self.rerouted = forwarding.route_output(node, self.choices, flow, packet)
        packet.realms = realms.of_output(node, flow, self.rerouted)
        packet.next_hop = None
        self.route_step(node, self.rerouted)

    def ip_output(self, out: Device, packet: Packet, route: Route) -> Arrival:
        """ip_finish_output: in fragments, if the packet is too long or came in such."""
        node = self.node_of(out)
        mtu = forwarding.mtu_of(node, route, out.name)
        try:
            most = cuts.limit(packet, mtu)
        except ValueError:
            if packet.has_sender:  # a process is told without a packet (EMSGSIZE)
                raise dropped(Reason.FRAGMENTATION_NEEDED) from None
            raise self._too_big(node, packet, mtu) from None
        if most is None:
            return self.link_output(out, packet, route)
        return self.fragment(packet, most, lambda part: self.link_output(out, part, route))

    def fragment(self, packet: Packet, most: int, send: Callable[[Packet], Arrival]) -> Arrival:
        """Each fragment to its end, then the end of the one that tells of the whole packet."""
        if self.open_cuts == cuts.MOST_CUTS:
            raise unknown(Reason.FRAGMENTATION_UNMODELLED)
        name, ends = self.node, []
        fields = packet.fields
        parts = cuts.cut(packet, most, lambda: self._fragment_id(name, fields))
        self.trace.step(StepKind.STEP_FRAGMENT, name)
        self.open_cuts += 1
        for number, part in enumerate(parts, 1):
            self.open_cuts -= number == len(parts)
            end = self.follow(lambda part=part: send(part))  # type: ignore[misc]
            ends.append((end, self.node, self.packet))
            if len(self.trace.steps) > STEPS_MAX:
                self.open_cuts -= number < len(parts)
                break
        end, self.node, self.packet = max(ends, key=lambda each: cuts.rank(each[0]))
        raise end

    def _fragment_id(self, node: str, fields: Fields) -> int:
        number = self.choices.fragment_id(node, fields)
        self.trace.value(EventKind.EVENT_IP_ID, 0, number)
        return number

    def link_output(self, out: Device, packet: Packet, route: Route) -> Arrival:
        """ip_finish_output2: the next hop's MAC address, and the Ethernet header."""
        self.packet, self.node = packet, out.node
        before = packet.ether_src, packet.ether_dst
        packet.ether_dst = self._next_mac(out, packet, route)
        packet.ether_src = out.link.mac or NO_MAC
        self.ether_event(EventKind.EVENT_ETHER_SRC, before[0], packet.ether_src)
        self.ether_event(EventKind.EVENT_ETHER_DST, before[1], packet.ether_dst)
        return self.send(out, packet)

    def _next_mac(self, out: Device, packet: Packet, route: Route) -> str:
        if out.link.link_type != "ether":
            return NO_MAC
        if route.type == "broadcast":
            return group_mac(packet.dst) if packet.dst.is_multicast else BROADCAST_MAC
        if packet.next_hop is None and packet.dst.is_multicast:
            return group_mac(packet.dst)
        if packet.next_hop is None and packet.dst == forwarding.LIMITED_BROADCAST:
            return BROADCAST_MAC
        node = self.node_of(out)
        try:
            return self.resolve(node, out, route.gateway or packet.next_hop or packet.dst)
        except Ended as end:
            if end.reason == Reason.NEIGHBOUR_FAILED:  # arp_error_report, ndisc_error_report
                raise answers.error(self, node, packet, icmp.NO_NEIGHBOUR, end.reason) from None
            raise

    def resolve(self, node: Node, device: Device, next_hop: Address) -> str:
        """The next hop's MAC address."""
        mac, entry = neighbour.resolve(self.topology, node, device, next_hop)
        if entry:
            family = next_hop.version
            self.trace.step(StepKind.STEP_NEIGHBOUR, node.name, family=family, name=entry)
        return mac

    def send(self, device: Device, packet: Packet) -> Arrival:
        """dev_queue_xmit."""
        self.packet, self.node = packet, device.node
        if device.kind == Kind.LOOPBACK:  # loopback_xmit: received where it was sent
            packet.has_sender = False
            return Arrival(device, packet, is_looped=True)
        if not device.link.is_up:
            raise dropped(Reason.DEVICE_DOWN)
        if device.kind == Kind.BRIDGE:
            return bridge.bridge_output(self, device, packet)
        if device.kind == Kind.VXLAN:
            return tunnel.encapsulate(self, device, packet)
        return self.transmit(device, packet)

    def transmit(self, device: Device, packet: Packet) -> Arrival:
        """The frame leaves the node, and meets what is behind the device."""
        self.trace.step(StepKind.STEP_DEVICE_OUT, device.node, name=device.name)
        self.tap(device, packet, outgoing=True)
        conntrack.abandon(self.node_of(device), packet)
        packet.forget()
        packet.mark = 0
        if device.kind == Kind.DUMMY:
            raise Ended(Verdict.CONSUMED, Reason.LEFT_BY_DEVICE, device.name)
        if is_group(packet.ether_dst):
            raise Ended(Verdict.CONSUMED, Reason.GROUP_ADDRESS, device.name)
        for mate in self.topology.wire_mates(device):
            if mate.link.mac == packet.ether_dst:
                return Arrival(mate, packet)
        raise self._end_behind(device, packet)

    def _end_behind(self, device: Device, packet: Packet) -> Ended:
        hosts = self.topology.hosts[device.node, device.name]
        if device.kind == Kind.WIRE or not hosts:
            return Ended(Verdict.FORWARDED, Reason.LEFT_BY_DEVICE, device.name)
        for host in hosts:
            if host.mac == packet.ether_dst:
                known = [each for each in host.addresses if each.version == packet.family]
                if known and not header_refusal(packet) and packet.dst not in known:
                    return Ended(Verdict.DROPPED, Reason.HOST_ADDRESS, device.name)
                return Ended(Verdict.DELIVERED, Reason.HOST, device.name)
        return Ended(Verdict.DROPPED, Reason.OTHER_HOST, device.name)

    # Netfilter.

    def hook(
        self,
        name: str,
        node: Node,
        packet: Packet,
        in_device: Device | None = None,
        out_device: Device | None = None,
        route: Route | None = None,
    ) -> None:
        """NF_HOOK: everything that stands at one hook, by priority."""
        place = Place(
            node=node,
            family=packet.family,
            hook=name,
            in_device=in_device.name if in_device else None,
            out_device=out_device.name if out_device else None,
            next_hop=_next_hop(packet, route),
            mtu=_mtu(node, route, out_device),
            trace=self.trace,
            choices=self.choices,
            now_ns=self.now_ns,
            duplicate=lambda *copied: duplicate.duplicate(self, node, name, packet, *copied),
        )
        self.rerouted = None
        try:
            hooks.run(place, packet, lambda: self.route_again(node, packet))
        except netfilter.Rejected as rejected:
            raise answers.reject(self, node, packet, name, rejected.reject_with) from None


def _next_hop(packet: Packet, route: Route | None) -> Address | None:
    """rt_nexthop: a gateway of the packet's own family."""
    if route is None or route.gateway is None or route.gateway.version != packet.family:
        return None
    return route.gateway


def _mtu(node: Node, route: Route | None, out: Device | None) -> int | None:
    if route is None or out is None:
        return None
    return forwarding.mtu_of(node, route, out.name)


def _is_for(device: Device, packet: Packet) -> bool:
    """The frame is for this device, or for everybody."""
    if device.link.link_type != "ether" or is_group(packet.ether_dst):
        return True
    return packet.ether_dst == device.link.mac
