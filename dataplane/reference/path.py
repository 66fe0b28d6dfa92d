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
from _fastpath.trace import EventKind, Generated, StepKind
from dataplane.node.route_text import route_text
from dataplane.node.state import Address, Route
from dataplane.reference import bridge, conntrack, forwarding, icmp, nat, netfilter, tunnel, vxlan
from dataplane.reference.choice import Choices
from dataplane.reference.conntrack_table import CtInfo
from dataplane.reference.headers import refusal
from dataplane.reference.node import Node
from dataplane.reference.packet import ARP, TCP, Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import Ended, Tap, Trace, dropped, unknown
from dataplane.reference.topology import Device, Kind, Topology, group_mac, is_group

BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"
MOST_PENDING = 4
# What a route's refusal is answered with.
ANSWERS = {
    Reason.NO_ROUTE: icmp.NET_UNREACHABLE,
    Reason.ROUTE_UNREACHABLE: icmp.HOST_UNREACHABLE,
    Reason.ROUTE_PROHIBIT: icmp.PROHIBITED,
}


class Arrival(NamedTuple):
    """A packet that is about to be received by a device."""

    device: Device
    packet: Packet
    is_looped: bool = False  # it left by the loopback, and keeps its connection


class Pending(NamedTuple):
    """A packet that a node makes on the way; its turn comes when the present one has ended."""

    node: Node
    kind: int  # Generated
    start: Callable[[], Arrival]  # builds and sends it


class Path:
    """The way of one packet, and of those that it provokes."""

    def __init__(
        self, topology: Topology, nodes: Mapping[str, Node], choices: Choices, now_ns: int
    ):
        self.topology = topology
        self.nodes = nodes
        self.choices = choices
        self.now_ns = now_ns
        self.trace = Trace()
        self.pending: list[Pending] = []
        self.place: tuple[str, str | None] = ("", None)
        self.packet = Packet(b"")

    # Following.

    def run(self, start: Callable[[], Arrival]) -> tuple[Ended, tuple[str, str | None], Packet]:
        """How the packet ended, where, and what it was then.  Those that nodes made on its
        way follow it in the same trace."""
        end = self._follow(start)
        result = end, self.place, self.packet
        while self.pending:
            self._follow(self._begin)
        return result

    def _begin(self) -> Arrival:
        made = self.pending.pop(0)
        self.trace.step(StepKind.STEP_GENERATE, made.node.name, number=made.kind)
        return made.start()

    def _follow(self, start: Callable[[], Arrival]) -> Ended:
        try:
            arrival = start()
            while True:
                arrival = self.receive(arrival)
        except Ended as end:
            if self.place[0]:
                conntrack.abandon(self.nodes[self.place[0]], self.packet)
            return end

    def follow_copy(self, device: Device, packet: Packet) -> Ended:
        """One copy of a flooded frame, to its end."""
        return self._follow(lambda: self.send(device, packet.copy()))

    # What is left behind.

    def node_of(self, device: Device) -> Node:
        return self.nodes[device.node]

    def at(self, device: Device) -> None:
        self.place = device.node, device.name

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
        self.trace.step(
            StepKind.STEP_ROUTE,
            node.name,
            family=route.dst.version,
            table=route.table,
            name=route_text(route),
        )

    def ether_event(self, kind: int, before: str, after: str) -> None:
        numbers = (int(mac.replace(":", ""), 16) for mac in (before, after))
        self.trace.event(kind, *numbers)

    # Arrival.

    def receive(self, arrival: Arrival) -> Arrival:
        device, packet = arrival.device, arrival.packet
        self.packet = packet
        self.at(device)
        if not device.link.is_up and device.kind != Kind.LOOPBACK:
            raise dropped(Reason.DEVICE_DOWN)
        self.trace.step(StepKind.STEP_DEVICE_IN, device.node, name=device.name)
        self.tap(device, packet, outgoing=False)
        if len(packet.frame) < 14:
            raise dropped(Reason.FRAME_TOO_SHORT)
        if arrival.is_looped:
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

    def arp_input(self, device: Device, packet: Packet) -> Arrival:
        target = icmp.arp_request(packet)
        node = self.node_of(device)
        if target is not None and _is_for(device, packet):
            if forwarding.address_type(node, target) == "local":
                self._queue(node, Generated.GENERATED_ARP_REPLY, self._arp_reply(device, packet))
        raise Ended(Verdict.CONSUMED, Reason.ARP_HANDLED)

    def _arp_reply(self, device: Device, request: Packet) -> Callable[[], Arrival]:
        return lambda: self.send(device, self._made(icmp.arp_reply(request, device.link.mac)))

    # IP input.

    def ip_input(self, device: Device, packet: Packet) -> Arrival:
        """ip_rcv, for a frame that is for this device."""
        node = self.node_of(device)
        if not packet.is_prerouted:
            refused = refusal(packet)
            if refused:
                raise refused
            packet.trim()
            self.hook("PREROUTING", node, packet, in_device=device)
        if packet.dst.is_multicast:
            raise Ended(Verdict.CONSUMED, Reason.GROUP_ADDRESS)
        route = forwarding.route_input(node, device.name, packet)
        if route is not None:
            self.route_step(node, route)
        try:
            forwarding.check_input(node, device.name, packet, route)
        except Ended as end:
            if end.reason in ANSWERS:
                raise self.answer(node, packet, ANSWERS[end.reason], end.reason) from None
            raise
        if route is None or forwarding.is_for_node(packet, route):
            return self.local_in(device, packet)
        return self.forward(device, packet, route)

    def local_in(self, device: Device, packet: Packet) -> Arrival:
        """ip_local_deliver."""
        node = self.node_of(device)
        self.hook("INPUT", node, packet, in_device=device)
        self.trace.step(StepKind.STEP_LOCAL_IN, node.name)
        self.place = node.name, None
        receiver = vxlan.receiver(node.state.links, packet)
        if receiver is None:
            raise Ended(Verdict.DELIVERED, Reason.LOCAL_PROCESS)
        tunnel_device = self.topology.device(node.name, receiver.name)
        return Arrival(tunnel_device, tunnel.decapsulate(self, tunnel_device, packet))

    def forward(self, device: Device, packet: Packet, route: Route) -> Arrival:
        """ip_forward: errors about TTL and size come before the hooks, and the hooks see the
        TTL that the next node will."""
        node, out = self.node_of(device), self._out_device(device.node, route)
        if packet.ttl <= 1:
            raise self.answer(node, packet, icmp.TIME_EXCEEDED, Reason.TTL_EXPIRED)
        if packet.protocol == TCP and packet.ip_length > device.link.mtu:
            packet.is_gso = True  # no such segment was on the wire: it will be cut apart
        if packet.ip_length > out.link.mtu and not packet.is_gso:
            if not packet.dont_fragment:
                raise unknown(Reason.FRAGMENTATION_UNMODELLED)
            what = dict.fromkeys((4, 6), icmp.too_big(packet.family, out.link.mtu))
            raise self.answer(node, packet, what, Reason.FRAGMENTATION_NEEDED)
        before = packet.ttl
        packet.set_ttl(before - 1)
        self.trace.event(EventKind.EVENT_TTL, before, packet.ttl)
        self.hook("FORWARD", node, packet, in_device=device, out_device=out, route=route)
        self.hook("POSTROUTING", node, packet, out_device=out, route=route)
        return self.ip_output(out, packet, route)

    def _out_device(self, node: str, route: Route) -> Device:
        if route.type == "local":
            return self.topology.loopback(node)
        device = self.topology.devices.get((node, route.dev or ""))
        if device is None:
            raise unknown(Reason.ROUTE_UNMODELLED)
        return device

    # IP output.

    def local_out(self, node: Node, packet: Packet, oif: str | None = None) -> Arrival:
        """What a process of the node, or the kernel itself, sends (ip_local_out)."""
        self.packet, self.place = packet, (node.name, None)
        route = self._output_route(node, packet, oif)
        self.trace.step(StepKind.STEP_LOCAL_OUT, node.name)
        self.route_step(node, route)
        packet.has_sender = True
        before = packet.dst, packet.mark
        out = self._out_device(node.name, route)
        self.hook("OUTPUT", node, packet, out_device=out, route=route)
        if self._must_route_again(node, packet, *before):
            route = self._output_route(node, packet, None)  # ip_route_me_harder
            self.route_step(node, route)
        out = self._out_device(node.name, route)
        self.hook("POSTROUTING", node, packet, out_device=out, route=route)
        if out.kind == Kind.LOOPBACK:
            packet.has_sender = False
            return Arrival(out, packet, is_looped=True)
        self._check_size(packet, out)
        return self.ip_output(out, packet, route)

    def _output_route(self, node: Node, packet: Packet, oif: str | None) -> Route:
        query = forwarding.Query(packet.dst, packet.src, packet.mark, oif=oif)
        return forwarding.check_route(forwarding.lookup(node, query))

    def _must_route_again(self, node: Node, packet: Packet, dst: Address, mark: int) -> bool:
        looks_at_marks = any(rule.fwmark is not None for rule in node.rules)
        return packet.dst != dst or (looks_at_marks and packet.mark != mark)

    def _check_size(self, packet: Packet, out: Device) -> None:
        """TCP segments that the node's own stack left to the device are cut apart later."""
        if packet.ip_length <= out.link.mtu or packet.is_gso or packet.protocol == TCP:
            return
        if packet.family == 4 and packet.dont_fragment:
            raise dropped(Reason.FRAGMENTATION_NEEDED)
        raise unknown(Reason.FRAGMENTATION_UNMODELLED)

    def ip_output(self, out: Device, packet: Packet, route: Route) -> Arrival:
        """ip_finish_output2: the next hop's MAC address, and the Ethernet header."""
        if out.link.link_type == "ether":
            if route.type == "broadcast" or packet.dst == forwarding.LIMITED_BROADCAST:
                mac = BROADCAST_MAC
            elif packet.dst.is_multicast:
                mac = group_mac(packet.dst)
            else:
                mac = self.resolve(self.node_of(out), out, route.gateway or packet.dst)
            before = packet.ether_src, packet.ether_dst
            packet.ether_src, packet.ether_dst = out.link.mac, mac
            self.ether_event(EventKind.EVENT_ETHER_SRC, before[0], packet.ether_src)
            self.ether_event(EventKind.EVENT_ETHER_DST, before[1], packet.ether_dst)
        return self.send(out, packet)

    def resolve(self, node: Node, device: Device, next_hop: Address) -> str:
        """The next hop's MAC address."""
        entry = forwarding.neighbour(node, device.name, next_hop)
        if entry is not None and entry.lladdr is not None:
            name = f"{entry.dst} dev {entry.dev} lladdr {entry.lladdr}"
            family = entry.dst.version
            self.trace.step(StepKind.STEP_NEIGHBOUR, node.name, family=family, name=name)
            return entry.lladdr
        asked = self.topology.asked(device, next_hop)
        if asked is None:
            raise unknown(Reason.NEIGHBOUR_UNKNOWN)
        return asked

    def send(self, device: Device, packet: Packet) -> Arrival:
        """dev_queue_xmit."""
        self.packet = packet
        self.at(device)
        if not device.link.is_up and device.kind != Kind.LOOPBACK:
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
            raise Ended(Verdict.CONSUMED, Reason.LEFT_BY_DEVICE)
        if device.kind == Kind.LOOPBACK:
            return Arrival(device, packet)
        if is_group(packet.ether_dst):
            raise Ended(Verdict.CONSUMED, Reason.GROUP_ADDRESS)
        for mate in self.topology.wire_mates(device):
            if mate.link.mac == packet.ether_dst:
                return Arrival(mate, packet)
        raise self._end_behind(device, packet)

    def _end_behind(self, device: Device, packet: Packet) -> Ended:
        hosts = self.topology.hosts[device.node, device.name]
        if device.kind == Kind.WIRE or not hosts:
            return Ended(Verdict.FORWARDED, Reason.LEFT_BY_DEVICE)
        for host in hosts:
            if host.mac == packet.ether_dst:
                known = host.addresses if packet.family else []
                if known and packet.dst not in known:
                    return dropped(Reason.HOST_ADDRESS)
                return Ended(Verdict.DELIVERED, Reason.HOST)
        return dropped(Reason.OTHER_HOST)

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
            next_hop=route.gateway if route else None,
            trace=self.trace,
            choices=self.choices,
            now_ns=self.now_ns,
        )
        try:
            self._run_hook(place, packet)
        except netfilter.Rejected as rejected:
            raise self._reject(place, packet, rejected.reject_with) from None

    def _run_hook(self, place: Place, packet: Packet) -> None:
        rules = netfilter.ruleset(place.node.state, place.family)
        is_tracked = netfilter.tracks_connections(rules)
        for table in netfilter.BEFORE_CONNTRACK:
            self._walk_table(place, table, packet)
        if is_tracked and place.hook in ("PREROUTING", "OUTPUT"):
            self._track(place, packet)
        for table in netfilter.tables_after_conntrack(place.hook):
            if table == "nat":
                if "nat" in rules.tables and place.hook != "FORWARD":
                    self._translate(place, packet)
            else:
                self._walk_table(place, table, packet)
        if is_tracked and place.hook in ("INPUT", "POSTROUTING"):
            conntrack.confirm(place.node, packet, self.now_ns)

    def _walk_table(self, place: Place, table: str, packet: Packet) -> None:
        rules = netfilter.ruleset(place.node.state, place.family)
        found = netfilter.base_chain(rules, table, place.hook)
        if found:
            netfilter.walk(place, *found, packet)

    def _track(self, place: Place, packet: Packet) -> None:
        arrives = place.hook == "PREROUTING"
        ctinfo = conntrack.track(place.node, packet, self.now_ns, arrives)
        if ctinfo is not None:
            self.trace.step(StepKind.STEP_CONNTRACK, place.node.name, number=int(ctinfo))

    def _translate(self, place: Place, packet: Packet) -> None:
        """nf_nat_inet_fn.  The nat table's rules see what opens a connection, once per side;
        after that the connection knows."""
        connection, manip = packet.connection, nat.manip_of(place.hook)
        if connection is None:
            return
        is_related = packet.ctinfo in (CtInfo.RELATED, CtInfo.RELATED_REPLY)
        if is_related and packet.is_icmp:
            nat.translate_error(place, packet, manip)
            return
        if (is_related or packet.ctinfo == CtInfo.NEW) and not nat.is_set_up(connection, manip):
            self._walk_table(place, "nat", packet)
            if not nat.is_set_up(connection, manip):
                nat.set_up_null(place, connection, manip)
        nat.translate(place, packet, manip)

    # What goes back.

    def _reject(self, place: Place, packet: Packet, reject_with: str) -> Ended:
        if reject_with != "tcp-reset":
            if not icmp.is_checksum_right(packet):
                return dropped(Reason.NETFILTER_REJECT)
            what = dict.fromkeys((4, 6), icmp.REJECTS[reject_with])
            return self.answer(place.node, packet, what, Reason.NETFILTER_REJECT)
        kind = forwarding.address_type(place.node, packet.dst)
        if not icmp.may_reset(packet) or kind in ("broadcast", "multicast"):
            return dropped(Reason.NETFILTER_REJECT)
        about = packet.copy()
        self._queue(
            place.node, Generated.GENERATED_TCP_RESET, lambda: self._reset(place.node, about)
        )
        return Ended(Verdict.REJECTED, Reason.NETFILTER_REJECT)

    def _reset(self, node: Node, about: Packet) -> Arrival:
        """A frame that came by a bridge port is answered there, past all hooks, as if its
        own destination answered (nf_reject_ipv4.c, nf_send_reset)."""
        made = self._made(icmp.reset(about, node.default_ttl))
        if about.bridge_port is None:
            conntrack.attach(made, about)
            return self.local_out(node, made)
        made.ether_dst, made.ether_src = about.ether_src, about.ether_dst
        return self.send(self.topology.device(node.name, about.bridge_port), made)

    def answer(
        self, node: Node, packet: Packet, what: Mapping[int, icmp.Error], reason: int
    ) -> Ended:
        """icmp_send: an error about a packet that goes no further.  Where none may be sent,
        or none would find its way, the packet is just dropped."""
        error = what[packet.family]
        kind = forwarding.address_type(node, packet.dst)
        src = self._error_source(node, packet, kind)
        if src is None or not icmp.may_answer(packet, kind):
            return dropped(reason)
        about = packet.copy()
        generated = icmp.generated_kind(packet.family, error)
        self._queue(node, generated, lambda: self._error(node, about, error, src))
        return Ended(Verdict.REJECTED, reason)

    def _error_source(self, node: Node, packet: Packet, kind: str) -> Address | None:
        """The address that was asked for, if it is this node's; else what the way back says."""
        back = forwarding.lookup(node, forwarding.Query(packet.src))
        if back is None or back.type in forwarding.REFUSALS:
            return None
        return packet.dst if kind == "local" else forwarding.source_address(node, back, packet.src)

    def _error(self, node: Node, about: Packet, error: icmp.Error, src: Address) -> Arrival:
        ip_id = 0
        if about.family == 4:
            ip_id = self.choices.ip_id(node.name, about.fields)
            self.trace.value(EventKind.EVENT_IP_ID, 0, ip_id)
        made = self._made(icmp.error(about, error, src, node.default_ttl, ip_id))
        conntrack.attach(made, about)
        return self.local_out(node, made)

    def _made(self, packet: Packet) -> Packet:
        packet.is_generated = True
        return packet

    def _queue(self, node: Node, kind: int, start: Callable[[], Arrival]) -> None:
        if len(self.pending) < MOST_PENDING:
            self.pending.append(Pending(node, int(kind), start))


def _is_for(device: Device, packet: Packet) -> bool:
    """The frame is for this device, or for everybody."""
    if device.link.link_type != "ether" or is_group(packet.ether_dst):
        return True
    return packet.ether_dst == device.link.mac
