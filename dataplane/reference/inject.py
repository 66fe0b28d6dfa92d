"""Where recorded frames enter the cluster.

A capture was taken at some tap, often the client's.  Each flow in it has an initiator: the
one whose SYN, first datagram or echo request is seen first.

    IP   of an initiator    enters where its address lives
         of a responder     enters where the initiator's packets arrived, rewritten as that
                            endpoint would have sent it: so both directions are exercised, and
                            conntrack sees a whole conversation
         an ICMP error      enters if the initiator of the flow that it quotes sent it: nodes
                            and endpoints make their own
    ARP                     enters where its sender lives, unless that is a node
    else                    is left out
"""

from collections import deque
from collections.abc import Collection
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any, NamedTuple

from _fastpath.reason import Reason, Verdict
from _fastpath.trace import Generated, StepKind
from dataplane.node.state import Address
from dataplane.reference import entries, flows
from dataplane.reference.engine import Engine, Place, Record
from dataplane.reference.flows import Ends, Flow
from dataplane.reference.headers import header_refusal, refusal
from dataplane.reference.packet import ARP, ETHER_SIZE, WITH_PORTS, Packet
from dataplane.reference.path import BROADCAST_MAC
from dataplane.reference.steps import Ended, Step, dropped, without_copies

NOWHERE: Place = ("", None)
NOBODY = IPv4Address(0)
REQUEST = 1  # of ARP, RFC 826
HEADS = 64  # first fragments that are remembered
INITIAL_TTLS = (64, 128, 255)


class Injected(NamedTuple):
    """What became of one frame of a capture."""

    record: Record
    flow: int = -1  # index; -1 = none
    is_reply: bool = False  # sent by the responder of its flow


class Injector:
    """The flows of a capture, and its frames through an Engine.

    clients   those who are initiators whatever is seen first
    one_way   initiators' frames only
    at        where every frame enters as it stands; None: where this module says
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clients: Collection[Address] = (),
        one_way: bool = False,
        at: Place | None = None,
    ):
        self.engine = engine
        self.clients = frozenset(clients)
        self.one_way = one_way
        self.at = at
        self.flows: list[Flow] = []
        self._by_ends: dict[Ends, Flow] = {}
        self._heads: deque[tuple[flows.Datagram, Flow, bool]] = deque(maxlen=HEADS)
        self._now_ns = 0

    def inject(self, time_ns: int, frame: bytes, length: int) -> Injected:
        """One frame, from the Ethernet header on; the next in the order of the capture.

        length  bytes on the wire
        """
        self._now_ns = time_ns
        packet = Packet(frame, length)
        refused = _refused(packet)
        before = _as_recorded(packet)
        injected = self._inject(packet, refused)
        return injected._replace(record=_completed(injected.record, before))

    def _inject(self, packet: Packet, refused: Ended | None) -> Injected:
        if self.at is not None:
            return Injected(self._walk(packet, self.at))
        if refused is not None:
            return Injected(_left_out(refused.verdict, refused.reason))
        if packet.family:
            return self._inject_ip(packet)
        if packet.ethertype == ARP:
            return Injected(self._inject_arp(packet))
        return Injected(_skipped(Reason.NOT_IP))

    def _walk(self, packet: Packet, entry: Place) -> Record:
        return self.engine.run(self._now_ns, bytes(packet.frame), packet.length, entry)

    # Flows.

    def _inject_ip(self, packet: Packet) -> Injected:
        if flows.is_error(packet):
            return self._inject_error(packet)
        ends = flows.ends_of(packet)
        flow, is_reply = self._find_fragment(packet) or self._find(ends)
        if flow is None:
            is_reply = not self._begins(packet, ends)
            flow = self._open(packet, ends, is_reply)
        elif is_reply and flows.opens(packet) and flow.ends.src not in self.clients:
            self._turn(flow, packet, ends)
            is_reply = False
        flow.packets += 1
        if packet.is_fragment and packet.is_first:
            self._heads.append((flows.datagram(packet), flow, is_reply))
        walk = self._inject_responder if is_reply else self._inject_initiator
        return Injected(walk(packet, flow), flow.index, is_reply)

    def _find(self, ends: Ends) -> tuple[Flow | None, bool]:
        """The flow, and whether its responder is the sender."""
        if ends in self._by_ends:
            return self._by_ends[ends], False
        return self._by_ends.get(ends.turned()), True

    def _find_fragment(self, packet: Packet) -> tuple[Flow, bool] | None:
        """The first fragment alone has ports: those that follow belong where it belongs."""
        if packet.is_first:
            return None
        wanted = flows.datagram(packet)
        heads = reversed(self._heads)
        return next(((flow, is_reply) for head, flow, is_reply in heads if head == wanted), None)

    def _begins(self, packet: Packet, ends: Ends) -> bool:
        if ends.src in self.clients or ends.dst in self.clients:
            return ends.src in self.clients
        return flows.begins(packet)

    def _open(self, packet: Packet, ends: Ends, is_reply: bool) -> Flow:
        if is_reply:  # the outside is where the frame was sent to, and the wire whence it came
            ends, mac = ends.turned(), packet.ether_src
        else:
            mac = packet.ether_dst
        flow = Flow(
            len(self.flows),
            ends,
            entries.entry(self.engine, ends, mac),
            entries.host_behind(self.engine.topology, ends.src),
        )
        self.flows.append(flow)
        self._by_ends[ends] = flow
        return flow

    def _turn(self, flow: Flow, packet: Packet, ends: Ends) -> None:
        """The other side opens a connection of its own between the same ports."""
        del self._by_ends[flow.ends]
        self._by_ends[ends] = flow
        flow.ends = ends
        flow.entry = entries.entry(self.engine, ends, packet.ether_dst)
        flow.sender = entries.host_behind(self.engine.topology, ends.src)
        flow.arrived, flow.is_answered = None, False
        flow.verdict = int(Verdict.SKIPPED)

    # Initiators.

    def _inject_initiator(self, packet: Packet, flow: Flow) -> Record:
        if flow.entry is None:
            return _skipped(Reason.NO_ENTRY)
        self._address(packet, flow)
        record = self._walk(packet, flow.entry)
        if any(_is_answer(step) for step in without_copies(record.steps)):
            flow.is_answered = True
        if record.verdict in (Verdict.DELIVERED, Verdict.FORWARDED) and _is_itself(record):
            flow.verdict = record.verdict
            if flow.arrived is None or _has_ports(record):
                flow.arrived = record
        elif flow.arrived is None:
            flow.verdict = record.verdict
        return record

    def _address(self, packet: Packet, flow: Flow) -> None:
        """The MAC addresses that the frame has where it enters, if the recorded ones mean
        nothing there: it was recorded elsewhere, or the capture keeps none."""
        assert flow.entry is not None
        node, name = flow.entry
        if name is None:
            return
        device = self.engine.topology.device(node, name)
        if entries.knows(self.engine, device, packet.ether_dst):
            return
        if flow.sender is None:
            packet.ether_dst = device.link.mac or entries.NO_MAC
            return
        port, host = flow.sender
        packet.ether_dst = entries.next_hop_mac(self.engine, port, flow.ends.src, packet.dst)
        packet.ether_src = host.mac

    def _inject_error(self, packet: Packet) -> Injected:
        quoted = flows.quoted_ends(packet)
        flow, is_about_reply = self._find(quoted) if quoted else (None, False)
        if flow is None:
            return Injected(_skipped(Reason.RECORDED_ERROR))
        if not is_about_reply:  # the other side, or a node, sent it
            answered = Reason.ANSWERED_BY_NODE if flow.is_answered else Reason.RECORDED_ERROR
            return Injected(_skipped(answered), flow.index, True)
        if flow.entry is None:
            return Injected(_skipped(Reason.NO_ENTRY), flow.index)
        self._address(packet, flow)
        return Injected(self._walk(packet, flow.entry), flow.index)

    # Responders.

    def _inject_responder(self, packet: Packet, flow: Flow) -> Record:
        if self.one_way:
            return _skipped(Reason.ONE_WAY)
        if flow.arrived is None:
            return _skipped(Reason.ANSWERED_BY_NODE if flow.is_answered else Reason.UNANSWERED)
        _answer(packet, flow.arrived)
        self._address_answer(packet, flow.arrived)
        return self._walk(packet, flow.arrived.place)

    def _address_answer(self, packet: Packet, arrived: Record) -> None:
        """The MAC addresses of what arrived, turned round; but a host chooses its next hop
        itself."""
        node, name = arrived.place
        if name is None:
            return
        heard = Packet(arrived.end_frame)
        packet.ether_dst, packet.ether_src = heard.ether_src, heard.ether_dst
        device = self.engine.topology.device(node, name)
        if entries.host_behind(self.engine.topology, packet.src, device) is not None:
            packet.ether_dst = entries.next_hop_mac(self.engine, device, packet.src, packet.dst)

    # ARP.

    def _inject_arp(self, packet: Packet) -> Record:
        """What hosts and the outside ask and say.  Nodes speak for themselves."""
        message = bytes(packet.frame[ETHER_SIZE : ETHER_SIZE + 28])
        if len(message) < 28 or message[:6] != bytes([0, 1, 8, 0, 6, 4]):
            return _skipped(Reason.NO_ENTRY)  # not of IPv4 on Ethernet
        sender, target = IPv4Address(message[14:18]), IPv4Address(message[24:28])
        if packet.ether_src == entries.NO_MAC:  # the capture keeps none, but the message does
            is_request = int.from_bytes(message[6:8]) == REQUEST
            packet.ether_src = message[8:14].hex(":")
            packet.ether_dst = BROADCAST_MAC if is_request else message[18:24].hex(":")
        ends = Ends(4, 0, sender, 0, target, 0)
        entry = entries.entry(self.engine, ends, packet.ether_dst) if sender != NOBODY else None
        if entry is None:
            return _skipped(Reason.NO_ENTRY)
        if entry[1] is None:
            return _skipped(Reason.ANSWERED_BY_NODE)
        return self._walk(packet, entry)


def _refused(packet: Packet) -> Ended | None:
    if len(packet.frame) < ETHER_SIZE:
        return dropped(Reason.FRAME_TOO_SHORT)
    return refusal(packet) if packet.family else None


def _is_itself(record: Record) -> bool:
    """What arrived is the packet that was sent, not one that it carried: a tunnel's packets
    are not answered by who is in it."""
    kinds = [step.kind for step in _own_steps(record)]
    opened, closed = (
        kinds.count(kind) for kind in (StepKind.STEP_ENCAPSULATE, StepKind.STEP_DECAPSULATE)
    )
    return opened == closed


def _has_ports(record: Record) -> bool:
    """What arrived is no later fragment, which has none to answer to."""
    packet = Packet(record.end_frame)
    return not packet.has_headers or packet.is_first


def _own_steps(record: Record) -> list[Step]:
    """Without those of the packets that nodes made on its way."""
    steps = without_copies(record.steps)
    kinds = [step.kind for step in steps]
    made = StepKind.STEP_GENERATE
    return steps[: kinds.index(made)] if made in kinds else steps


def _is_answer(step: Step) -> bool:
    is_made: bool = step.kind == StepKind.STEP_GENERATE
    return is_made and step.number != int(Generated.GENERATED_COPY)


def _answer(packet: Packet, arrived: Record) -> None:
    """A recorded reply as the endpoint would have sent it, which heard what `arrived`."""
    assert arrived.end_src is not None and arrived.end_dst is not None
    packet.set_src(arrived.end_dst)
    packet.set_dst(arrived.end_src)
    if flows.is_query(packet):
        packet.set_sport(arrived.end_sport)
    elif packet.protocol in WITH_PORTS and packet.has_transport:
        packet.set_sport(arrived.end_dport)
        packet.set_dport(arrived.end_sport)
    packet.set_ttl(next(ttl for ttl in INITIAL_TTLS if packet.ttl <= ttl))


# Records.


def _skipped(reason: int) -> Record:
    return _left_out(Verdict.SKIPPED, reason)


def _left_out(verdict: int, reason: int) -> Record:
    return Record(int(verdict), int(reason), NOWHERE, NOWHERE, [], [], [])


def _as_recorded(packet: Packet) -> dict[str, Any]:
    """The recorded packet's own fields.  One whose IP header is refused has none."""
    if not packet.family or header_refusal(packet):
        return {"family": 0, "proto": 0, "src": None, "dst": None, "sport": 0, "dport": 0,
                "tcp_flags": 0, "length": packet.length}  # fmt: skip
    return {
        "family": packet.family,
        "proto": packet.protocol,
        "src": packet.src,
        "dst": packet.dst,
        "sport": packet.sport,
        "dport": packet.dport,
        "tcp_flags": packet.tcp_flags,
        "length": packet.length,
    }


def _completed(record: Record, before: dict[str, Any]) -> Record:
    """With the fields of the packet as it was recorded, whatever it was when it entered."""
    if record.entry == NOWHERE:  # it ended as it was
        ends = {f"end_{name}": before[name] for name in ("src", "dst", "sport", "dport")}
        return replace(record, **before, **ends)
    return replace(record, **before)
