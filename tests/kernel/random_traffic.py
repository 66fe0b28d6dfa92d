"""Random packets for a router: conversations whose far end answers what really arrived.

The traffic is drawn while it is sent: an answer, or an ICMP error, is made of a frame that the
node put out.  What was sent is a list of frames, and can be sent again without the drawing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from dataplane.reference.packet import Packet
from tests import frames as fr
from tests.kernel.router import HOST_MACS, MACS, SIDES, Sent, address

SEND = Callable[[Sent], dict[str, list[bytes]]]
PORTS = [1000, 1001, 53, 600]
PROTOCOLS = [6, 6, 6, 17, 17, 50]
SERVICES = [80, 85, 443, 1000]
MSS = b"\x02\x04\x05\xb4\x04\x02\x01\x03\x03\x07"
OPTIONS = [b"", b"", b"", MSS, b"\x01\x01\x08\x0a" + bytes(8), b"\x02\x04\x03\xe8"]
TOS = [0, 0, 0, 0x10, 0x28, 2, 3, 0xFF]
ERRORS = {4: [(3, 1), (3, 3), (3, 4), (11, 0), (12, 0)], 6: [(1, 3), (1, 4), (2, 0), (3, 0)]}
QUERIES = {4: (8, 0), 6: (128, 129)}
PAYLOADS = [b"", b"aa", b"Aaaaaaaa", b"x" * 100]


@dataclass
class Flow:
    """One end's view: what it sends next."""

    protocol: int
    src: str
    dst: str
    sport: int
    dport: int
    side: str
    number: int = 1000
    answered: int = 0
    sent: int = 0


@dataclass
class Traffic:
    random: Random
    family: int
    flows: list[Flow] = field(default_factory=list)
    arrived: list[tuple[str, bytes]] = field(default_factory=list)  # side, frame

    def draw(self) -> Sent:
        """The next frame to send."""
        chance = self.random.random()
        if self.arrived and chance < 0.35:
            made = self.answer() if chance < 0.28 else self.error()
            if made:
                return made
        if self.flows and chance < 0.75:
            return self.packet(self.random.choice(self.flows))
        return self.packet(self.begin())

    def heard(self, frames: dict[str, list[bytes]]) -> None:
        for side, found in frames.items():
            self.arrived += [(side, frame) for frame in found]
        del self.arrived[:-20]

    def begin(self) -> Flow:
        random = self.random
        here, there = SIDES if random.random() < 0.8 else SIDES[::-1]
        protocol = random.choice([*PROTOCOLS, 1 if self.family == 4 else 58])
        flow = Flow(
            protocol,
            address(here, random.choice([2, 2, 3]), self.family),
            address(there, random.choice([2, 2, 3]), self.family),
            random.choice(PORTS),
            random.choice(SERVICES),
            here,
        )
        self.flows = [*self.flows[-7:], flow]
        return flow

    def packet(self, flow: Flow) -> Sent:
        body = self.body(flow)
        flow.sent += 1
        return self.sent(flow.side, flow.src, flow.dst, flow.protocol, body)

    def body(self, flow: Flow) -> bytes:
        random = self.random
        ends = flow.src, flow.sport, flow.dst, flow.dport
        payload = random.choice(PAYLOADS)
        if flow.protocol == 6:
            return self.segment(flow, ends, payload)
        if flow.protocol == 17:
            return fr.udp(*ends, payload)
        if flow.protocol in (1, 58):
            return self.query(flow, QUERIES[self.family][0])
        if flow.protocol == 132:
            return fr.sctp(flow.sport, flow.dport, random.choice(
                [b"\1\0\0\4", b"\0\3\0\5x\0\0\0", b"\3\0\0\4"]))  # fmt: skip
        if flow.protocol == 50:
            return bytes(3) + bytes([random.choice([5, 7])]) + bytes(12)
        return bytes(12)

    def query(self, flow: Flow, kind: int) -> bytes:
        body = bytes([kind, 0, 0, 0]) + flow.sport.to_bytes(2) + bytes(2) + b"data"
        return self.icmp(flow.src, flow.dst, body)

    def icmp(self, src: str, dst: str, body: bytes) -> bytes:
        if self.family == 6:
            return fr.summed(src, dst, 58, body, 2)
        return body[:2] + fr.checksum(body).to_bytes(2) + body[4:]

    def segment(self, flow: Flow, ends: tuple[str, int, str, int], payload: bytes) -> bytes:
        random = self.random
        flags = fr.SYN if not flow.sent else random.choice(
            [fr.ACK, fr.ACK, fr.ACK | fr.PSH, fr.FIN | fr.ACK, fr.SYN, fr.RST | fr.ACK, fr.RST,
             fr.SYN | fr.ACK, 0, fr.ACK | 0xC0])  # fmt: skip
        if flags & fr.SYN:
            payload = b""
        off = random.choice([0] * 8 + [1, -1, 100000, -100000])
        body = fr.tcp(
            *ends, flags, seq=flow.number + off & 0xFFFFFFFF, payload=payload,
            ack=flow.answered if flags & fr.ACK else 0, options=random.choice(OPTIONS),
            window=random.choice([64240, 64240, 0, 100]),
        )  # fmt: skip
        if not off and random.random() < 0.8:  # else it is sent again
            flow.number += len(payload) + bool(flags & (fr.SYN | fr.FIN))
        return body

    def sent(self, side: str, src: str, dst: str, protocol: int, body: bytes) -> Sent:
        random = self.random
        ttl, tos = random.choice([64, 64, 64, 64, 2, 1]), random.choice(TOS)
        if random.random() < 0.03:
            body = body[: random.choice([4, 8, 12, 16])]
        elif random.random() < 0.03:
            body = body[:-1] + bytes([body[-1] ^ 1])  # its checksum is wrong
        if self.family == 4:
            packet = fr.ipv4(src, dst, protocol, body, ttl=ttl, tos=tos, fragment=0x4000,
                             id=random.randrange(65536))  # fmt: skip
        else:
            packet = bytearray(fr.ipv6(src, dst, protocol, body, ttl))
            packet[0] |= tos >> 4
            packet[1] |= (tos & 15) << 4
        kind = b"\x08\x00" if self.family == 4 else b"\x86\xdd"
        head = bytes.fromhex((MACS[side] + HOST_MACS[side]).replace(":", ""))
        return Sent(side, head + kind + bytes(packet))

    # What answers something that arrived.

    def taken(self) -> tuple[str, Packet] | None:
        side, frame = self.random.choice(self.arrived)
        packet = Packet(frame)
        if not packet.family or not packet.has_headers or not packet.is_first:
            return None
        return side, packet

    def answer(self) -> Sent | None:
        found = self.taken()
        if found is None or not found[1].has_transport:
            return None
        side, packet = found
        ends = str(packet.dst), packet.dport, str(packet.src), packet.sport
        body = self.answer_body(packet, ends)
        return self.sent(side, ends[0], ends[2], packet.protocol, body) if body else None

    def answer_body(self, packet: Packet, ends: tuple[str, int, str, int]) -> bytes | None:
        random = self.random
        if packet.protocol == 6:
            return self.answer_segment(packet, ends)
        if packet.protocol == 17:
            return fr.udp(*ends, random.choice(PAYLOADS))
        if packet.protocol == 132:
            return fr.sctp(ends[1], ends[3], b"\2\0\0\4")
        if packet.is_icmp and packet.payload[0] == QUERIES[self.family][0]:
            kind = 0 if self.family == 4 else 129
            return self.icmp(ends[0], ends[2], bytes([kind, 0, 0, 0]) + packet.payload[4:])
        return None

    def answer_segment(self, packet: Packet, ends: tuple[str, int, str, int]) -> bytes:
        random = self.random
        header = packet.payload
        seq, ack = int.from_bytes(header[4:8]), int.from_bytes(header[8:12])
        flags = header[13]
        size = packet.payload_length - (header[12] >> 4) * 4
        taken = max(size, 0) + bool(flags & fr.SYN) + bool(flags & fr.FIN)
        kind = fr.SYN | fr.ACK if flags & fr.SYN and not flags & fr.ACK else fr.ACK
        kind = random.choice([kind, kind, kind, kind, fr.RST | fr.ACK, fr.FIN | fr.ACK, fr.RST])
        if kind & fr.SYN and not ack:
            ack = 5000
        for flow in self.flows:  # what the opener will acknowledge
            if flow.protocol == 6 and flow.sport == ends[3]:
                flow.answered = ack + bool(kind & (fr.SYN | fr.FIN)) & 0xFFFFFFFF
        return fr.tcp(
            *ends, kind, seq=ack, ack=seq + taken & 0xFFFFFFFF if kind & fr.ACK else 0,
            options=random.choice(OPTIONS), window=random.choice([64240, 0, 100]),
        )  # fmt: skip

    def error(self) -> Sent | None:
        found = self.taken()
        if found is None:
            return None
        side, packet = found
        kind, code = self.random.choice(ERRORS[self.family])
        quoted = bytes(packet.frame[14:])[: self.random.choice([28, 48, 60, 128])]
        src, dst = str(packet.dst), str(packet.src)
        body = self.icmp(src, dst, bytes([kind, code, 0, 0]) + bytes(4) + quoted)
        return self.sent(side, src, dst, 1 if self.family == 4 else 58, body)


def frames(traffic: Traffic, count: int, send: SEND) -> Iterator[Sent]:
    """Draws, sends, and listens."""
    for _ in range(count):
        sent = traffic.draw()
        traffic.heard(send(sent))
        yield sent
