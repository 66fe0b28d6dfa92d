"""Random conversations between few hosts and ports of two links, so that they collide; answers are
to what left."""

import random

from dataplane.reference.packet import Packet
from tests import frames as fr
from tests.kernel.router import HOST_MACS, MACS, SIDES, Sent, address

PORTS = (1000, 1000, 1000, 1001, 53)
CLOSING = (fr.FIN | fr.ACK, fr.ACK, fr.RST | fr.ACK, fr.ACK)


class Conversation:
    """Packets from few hosts and ports, so that they collide, and answers to what left."""

    def __init__(self, family: int, chance: random.Random) -> None:
        self.family, self.chance = family, chance
        self.heard: list[tuple[str, Packet]] = []

    def next(self) -> Sent:
        if self.heard and self.chance.random() < 0.55:
            return self.answer(*self.chance.choice(self.heard[-4:]))
        return self.opening()

    def opening(self) -> Sent:
        chance, family = self.chance, self.family
        side = chance.choice([SIDES[0], SIDES[0], SIDES[1]])
        src = address(side, chance.choice([2, 3, 4]), family)
        dst = address(SIDES[1 - SIDES.index(side)], chance.choice([2, 2, 3, 5]), family)
        sport, dport = chance.choice(PORTS), chance.choice([80, 80, 81, 1000])
        protocol = chance.choice([6, 6, 6, 17, 17, 1 if family == 4 else 58])
        if protocol == 6:
            body = fr.tcp(src, sport, dst, dport, fr.SYN, seq=chance.choice([1000, 9000]))
        elif protocol == 17:
            body = fr.udp(src, sport, dst, dport, b"x")
        else:
            body = echo(family, src, dst, sport, is_reply=False)
        return self.framed(side, src, dst, protocol, body)

    def answer(self, side: str, packet: Packet) -> Sent:
        """As who got it would answer, or go on."""
        src, dst, family = packet.dst, packet.src, self.family
        if packet.is_icmp:
            body = echo(family, src, dst, packet.sport, is_reply=True)
        elif packet.protocol == 17:
            body = fr.udp(src, packet.dport, dst, packet.sport, b"y")
        else:
            head = packet.payload
            seq, ack = int.from_bytes(head[4:8]), int.from_bytes(head[8:12])
            is_syn = head[13] & fr.SYN
            own = ack if head[13] & fr.ACK else 5000
            answers = (fr.SYN | fr.ACK,) * 3 if is_syn and not head[13] & fr.ACK else CLOSING
            body = fr.tcp(
                src, packet.dport, dst, packet.sport, self.chance.choice(answers), seq=own,
                ack=seq + bool(head[13] & (fr.SYN | fr.FIN)),
            )  # fmt: skip
        return self.framed(side, str(src), str(dst), packet.protocol, body)

    def framed(self, side: str, src: object, dst: object, protocol: int, body: bytes) -> Sent:
        make = fr.ipv4 if self.family == 4 else fr.ipv6
        packet = make(src, dst, protocol, body)
        kind = fr.ETHERTYPES[self.family]
        return Sent(side, fr.ether(HOST_MACS[side], MACS[side], kind, packet))

    def hear(self, left: dict[str, list[bytes]]) -> None:
        self.heard += [(side, Packet(frame)) for side in SIDES for frame in left[side]]


def echo(family: int, src: object, dst: object, identifier: int, *, is_reply: bool) -> bytes:
    if family == 4:
        return fr.echo(identifier, reply=is_reply)
    body = bytes([128 + is_reply, 0, 0, 0]) + identifier.to_bytes(2) + b"\0\1"
    return fr.summed(src, dst, 58, body, 2)
