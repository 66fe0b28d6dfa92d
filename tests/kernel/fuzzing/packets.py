"""Random packets and conversations for the fuzz lab.

A conversation goes on with what came of it: the answer to a packet is made of the packet as it
left the node, so replies are those that a translated flow would have.  `follow` is told what an
engine of ours put out; nothing else is random but by `random`.
"""

import struct
from dataclasses import dataclass, field
from ipaddress import ip_address
from random import Random

from dataplane.reference.checksum import checksum, pseudo_header
from tests import frames as fr
from tests.kernel.fuzzing.lab import BEYOND, BEYOND6, PORTS, address, host_mac, node_mac, port_of
from tests.kernel.fuzzing.rules import PORT_POOL

TCP, UDP, ICMP, ICMPV6, SCTP, UDPLITE, DCCP, GRE, ESP, AH = 6, 17, 1, 58, 132, 136, 33, 47, 50, 51
WEIGHTS = (10, 7, 4, 1.5, 0.7, 0.5, 0.7, 0.4, 0.4)
PAYLOADS = (b"", b"abc", b"0123456789", b"aaaa" * 20, b"x" * 700)
FLAGS = (fr.SYN, fr.SYN | fr.ACK, fr.ACK, fr.ACK | fr.PSH, fr.FIN | fr.ACK, fr.RST, fr.RST | fr.ACK)
ODD_FLAGS = (0, fr.SYN | fr.FIN, 0x3F, fr.FIN, fr.SYN | fr.RST, fr.ACK | 0x40, fr.SYN | 0xC0, 0x29)
Frame = tuple[str, bytes]  # device of the node at which it arrives, and its bytes


@dataclass
class End:
    subnet: int
    host: int  # 0: behind the gateway of eth1
    address: str

    @property
    def device(self) -> str:
        return port_of(self.host) if self.subnet == 2 else f"eth{self.subnet}"

    @property
    def mac(self) -> str:
        return host_mac(self.subnet, self.host or 2)


@dataclass
class Flow:
    """One conversation, as its initiator sees it."""

    protocol: int
    client: End
    src: str
    dst: str
    sport: int
    dport: int
    seq: list[int]  # next of client and server
    stage: int = 0
    left: tuple[str, str, str, int, int] | None = (
        None  # as its packets left: device, src, dst, ports
    )
    frames: list[tuple[int, Frame]] = field(default_factory=list)  # (direction, frame)
    last_out: tuple[str, bytes] | None = None


class Traffic:
    def __init__(self, random: Random, family: int):
        self.random, self.family = random, family
        self.flows: list[Flow] = []
        self.identification = random.randrange(1, 60000)
        self.current: Flow | None = None
        self.direction = 0

    # Ends.

    def end(self) -> End:
        r = self.random
        if r.random() < 0.1:
            return End(1, 0, r.choice(BEYOND if self.family == 4 else BEYOND6))
        subnet, host = r.randrange(3), r.choice((2, 2, 3, 4, 5))
        return End(subnet, host, address(subnet, host, self.family))

    def destination(self) -> str:
        r, chance = self.random, self.random.random()
        if chance < 0.2:
            return address(r.randrange(3), 1, self.family)
        if chance < 0.215:
            odd = ("255.255.255.255", "10.0.0.255", "224.0.0.1", "127.0.0.1", "0.0.0.0")
            odd6 = ("ff02::1", "::1", "ff0e::1", "::")
            return r.choice(odd if self.family == 4 else odd6)
        return self.end().address

    def new_flow(self) -> Flow:
        r = self.random
        protocol = r.choices(
            (TCP, UDP, ICMP, SCTP, UDPLITE, DCCP, GRE, ESP, AH),
            WEIGHTS,
        )[0]
        protocol = ICMPV6 if (protocol, self.family) == (ICMP, 6) else protocol
        client = self.end()
        return Flow(protocol, client, client.address, self.destination(), r.choice(PORT_POOL),
                    r.choice(PORT_POOL), [r.randrange(1 << 32), r.randrange(1 << 32)])  # fmt: skip

    # Choosing.

    def next(self) -> list[Frame]:
        """The next frames; usually one."""
        r = self.random
        self.current = None
        chance = r.random()
        if not self.flows or chance < 0.25:
            flow = self.new_flow()
            self.flows.append(flow)
            self.flows = self.flows[-25:]
            return self.packet(flow, 0)
        flow = r.choice(self.flows[-8:])
        if chance < 0.32 and flow.frames:
            self.current, (self.direction, frame) = flow, r.choice(flow.frames)  # again
            return [frame]
        if chance < 0.40 and flow.last_out:
            return self.error(flow)
        direction = int(r.random() < 0.5)
        if flow.protocol == TCP and r.random() < 0.75:
            direction = (0, 1, 0)[flow.stage] if flow.stage < 3 else direction
        return self.packet(flow, direction)

    def packet(self, flow: Flow, direction: int) -> list[Frame]:
        self.current, self.direction = flow, direction
        if direction == 0:
            device, src, dst, sport, dport = (
                flow.client.device,
                flow.src,
                flow.dst,
                flow.sport,
                flow.dport,
            )
            mac = flow.client.mac
        else:
            if flow.left:
                device, dst, src, dport, sport = flow.left
            else:
                device, dst, src, dport, sport = "", flow.src, flow.dst, flow.sport, flow.dport
            end = self.located(src)
            device, mac = end.device, end.mac
        body = self.body(flow, direction, src, sport, dst, dport)
        fields = self.fields()
        packets = self.network(src, dst, flow.protocol, body, fields)
        frames = [(device, self.ether(device, mac, dst, packet)) for packet in packets]
        if len(frames) == 1:
            flow.frames = [*flow.frames[-5:], (direction, frames[0])]
        return frames

    def located(self, text: str) -> End:
        for subnet in range(3):
            for host in range(2, 14):
                if ip_address(text) == ip_address(address(subnet, host, self.family)):
                    return End(subnet, host, text)
        return End(1, 0, text)

    def fields(self) -> dict[str, int]:
        r = self.random
        self.identification = self.identification % 65000 + 1
        fields = {"id": self.identification}
        if r.random() < 0.15:
            fields["tos"] = r.choice((0x10, 0x08, 0xB8, 1, 2, 3))
        if r.random() < 0.12:
            fields["ttl"] = r.choice((1, 1, 2, 128, 255, 0))
        if r.random() < 0.3:
            fields["fragment"] = 0x4000
        return fields

    # Bytes.

    def body(self, flow: Flow, direction: int, src: str, sport: int, dst: str, dport: int) -> bytes:
        r, payload = self.random, self.random.choice(PAYLOADS)
        if r.random() < 0.03:
            payload = b"y" * r.choice((1370, 1400, 1440, 1452))
        if flow.protocol == TCP:
            body = self.segment(flow, direction, src, sport, dst, dport, payload)
        elif flow.protocol == UDP:
            body = fr.udp(src, sport, dst, dport, payload)
            body = body[:6] + b"\0\0" + body[8:] if r.random() < 0.05 else body
        elif flow.protocol in (ICMP, ICMPV6):
            body = self.echo(flow, direction, src, dst, payload)
        elif flow.protocol == SCTP:
            chunks = (b"\1\0\0\x14" + b"\0\0\0\1" * 4, b"\2\0\0\x14" + b"\0\0\0\2" * 4, b"\x0a\0\0\x04",
                      b"\x0b\0\0\x04", b"\0\3\0\x14" + bytes(16), b"\3\0\0\x10" + bytes(12), b"\6\0\0\4",
                      b"\7\0\0\x08" + bytes(4), b"\x08\0\0\4", b"\x0e\0\0\4", b"\4\0\0\x04", b"\5\0\0\4")  # fmt: skip
            order = (0, 1, 2, 3)
            which = (
                order[flow.stage]
                if flow.stage < 4 and r.random() < 0.6
                else r.randrange(len(chunks))
            )
            flow.stage += 1
            tag = 0 if which == 0 else r.choice((1, 2))
            head = struct.pack(">HHI", sport, dport, tag)
            body = sctp_summed(head, chunks[which])
        elif flow.protocol == UDPLITE:
            body = fr.summed(
                src, dst, UDPLITE, struct.pack(">HHHH", sport, dport, 0, 0) + payload, 6
            )
        elif flow.protocol == DCCP:
            kind = r.choice((0, 1, 2, 3, 4, 7))
            head = struct.pack(
                ">HHBBHBBHI", sport, dport, 6, 0, 0, kind << 1 | 1, 0, 0, r.randrange(9)
            )
            body = fr.summed(src, dst, DCCP, head + bytes(8), 6)
        elif flow.protocol == GRE:
            body = r.choice(
                (
                    b"\0\0\x08\0" + payload,
                    b"\x20\0\x08\0\0\0\0\5",
                    b"\x30\x81\x88\x0b\0\0\0\7\0\0\0\1" + payload,
                )
            )
        elif flow.protocol == ESP:
            body = struct.pack(">II", r.choice((5, 7, 300)), 1) + payload
        else:
            body = struct.pack(">BBHII", 59, 4, 0, r.choice((5, 7)), 1) + bytes(12)
        return self.damaged(body)

    def damaged(self, body: bytes) -> bytes:
        r = self.random
        chance = r.random()
        if chance < 0.02 and body:
            at = r.randrange(len(body))
            return body[:at] + bytes([body[at] ^ r.randint(1, 255)]) + body[at + 1 :]
        if chance < 0.03:
            return body[: r.randrange(len(body) + 1)]
        return body

    def segment(self, flow: Flow, direction: int, src: str, sport: int, dst: str, dport: int,
                payload: bytes) -> bytes:  # fmt: skip
        r = self.random
        sane = (fr.SYN, fr.SYN | fr.ACK, fr.ACK)
        if flow.stage < 3 and direction == (0, 1, 0)[flow.stage] and r.random() < 0.85:
            flags = sane[flow.stage]
            flow.stage += 1
        elif r.random() < 0.75:
            flags = (
                r.choice((fr.ACK, fr.ACK | fr.PSH, fr.ACK | fr.PSH, fr.ACK | fr.FIN))
                if r.random() < 0.85
                else fr.RST | fr.ACK
            )
        else:
            flags = r.choice(FLAGS) if r.random() < 0.7 else r.choice(ODD_FLAGS)
        seq, ack = flow.seq[direction], flow.seq[1 - direction] if flags & fr.ACK else 0
        if r.random() < 0.12:
            seq = seq + r.choice((-1, 1, -100, 1000, 70000, -70000, 1 << 30)) & 0xFFFFFFFF
        elif r.random() < 0.08:
            ack = ack + r.choice((-1, 1, 100, 70000, -70000)) & 0xFFFFFFFF
        else:
            size = len(payload) if flags & fr.PSH else 0
            flow.seq[direction] = (
                seq + size + bool(flags & fr.SYN) + bool(flags & fr.FIN) & 0xFFFFFFFF
            )
        data = payload if flags & fr.PSH or r.random() < 0.03 else b""
        options = b""
        if flags & fr.SYN and r.random() < 0.6:
            options = r.choice(
                (
                    b"\2\4\5\xb4",
                    b"\2\4\5\xb4\1\3\3\7",
                    b"\2\4\5\xb4\4\2\1\1",
                    b"\2\4\2\0\3\3\x0e\0",
                    b"\2\4",
                )
            )
        elif r.random() < 0.1:
            options = b"\1\1\5\x0a" + struct.pack(">II", ack, ack + 10 & 0xFFFFFFFF)
        window = r.choice((64240, 64240, 0, 100, 65535))
        return fr.tcp(src, sport, dst, dport, flags, seq=seq, ack=ack, payload=data, window=window,
                      options=options)  # fmt: skip

    def echo(self, flow: Flow, direction: int, src: str, dst: str, payload: bytes) -> bytes:
        identifier = flow.sport if direction == 0 or not flow.left else flow.left[3]
        kinds = (8, 0) if self.family == 4 else (128, 129)
        kind, code = kinds[direction], 0
        if self.random.random() < 0.06:
            kind = self.random.choice(
                (13, 14, 17, 5, 10, 42) if self.family == 4 else (130, 135, 136, 200, 133)
            )
        body = struct.pack(">BBHHH", kind, code, 0, identifier, 1) + payload
        return self.icmp_summed(src, dst, body)

    def icmp_summed(self, src: str, dst: str, body: bytes) -> bytes:
        head = (
            pseudo_header(ip_address(src), ip_address(dst), ICMPV6, len(body))
            if self.family == 6
            else b""
        )
        return body[:2] + checksum(head + body).to_bytes(2) + body[4:]

    def error(self, flow: Flow) -> list[Frame]:
        """An ICMP error about a packet as it left, from its receiver or from somebody on the way."""
        r = self.random
        _, frame = flow.last_out or ("", b"")
        quoted = frame[14:]
        quoted = (
            quoted[: r.choice((28, 28, 60, 200, 20, 500))]
            if self.family == 4
            else quoted[: r.choice((48, 80, 300))]
        )
        text = str(ip_address(frame[26:30] if self.family == 4 else frame[22:38]))
        receiver = str(ip_address(frame[30:34] if self.family == 4 else frame[38:54]))
        sender = receiver if r.random() < 0.7 else self.end().address
        end = self.located(receiver)
        if self.family == 4:
            kind, code, rest = r.choice(
                (
                    (3, 0, 0),
                    (3, 1, 0),
                    (3, 3, 0),
                    (3, 4, 1300),
                    (11, 0, 0),
                    (12, 0, 0),
                    (4, 0, 0),
                    (5, 1, 0x0A000002),
                )
            )
        else:
            kind, code, rest = r.choice(((1, 0, 0), (1, 4, 0), (2, 0, 1300), (3, 0, 0), (4, 1, 40)))
        body = bytes([kind, code, 0, 0]) + rest.to_bytes(4) + quoted
        body = self.damaged(self.icmp_summed(sender, text, body))
        protocol = ICMP if self.family == 4 else ICMPV6
        packets = self.network(sender, text, protocol, body, self.fields())
        return [(end.device, self.ether(end.device, end.mac, text, packet)) for packet in packets]

    def network(
        self, src: str, dst: str, protocol: int, body: bytes, fields: dict[str, int]
    ) -> list[bytes]:
        r = self.random
        if self.family == 6:
            return self.network6(src, dst, protocol, body, fields)
        if len(body) > 16 and r.random() < 0.06:
            cut = max(8, (len(body) // r.choice((2, 3)) // 8) * 8)
            pieces = [(at, body[at : at + cut]) for at in range(0, len(body), cut)]
            self.shuffle(pieces)
            return [
                fr.ipv4(
                    src,
                    dst,
                    protocol,
                    part,
                    **{
                        **fields,
                        "fragment": at // 8 | (0x2000 if at + len(part) < len(body) else 0),
                    },
                )
                for at, part in pieces
            ]
        packet = fr.ipv4(src, dst, protocol, body, **fields)
        chance = r.random()
        if chance < 0.03:
            packet = with_options(packet, r.choice(IP_OPTIONS))
        elif chance < 0.035:
            packet = packet[:10] + b"\x12\x34" + packet[12:]
        elif chance < 0.04:
            packet = packet[: r.randrange(len(packet))]
        elif chance < 0.05:
            packet += b"trailer"
        return [packet]

    def network6(
        self, src: str, dst: str, protocol: int, body: bytes, fields: dict[str, int]
    ) -> list[bytes]:
        r, chain = self.random, b""
        protocol_first = protocol
        if r.random() < 0.1:
            for kind in r.sample((0, 60, 43), r.choice((1, 1, 2))):
                header = {0: b"\5\2\0\0\1\0", 60: b"\1\4\0\0\0\0", 43: b"\0\0\0\0\0\0"}[kind]
                chain += bytes([0, 0]) + header
            chain, protocol_first = relinked(chain, protocol)
        head = bytearray(fr.ipv6(src, dst, protocol_first, chain + body, fields.get("ttl", 64)))
        tos = fields.get("tos", 0)
        head[0] |= tos >> 4
        head[1] |= (tos & 15) << 4
        if len(body) > 16 and not chain and r.random() < 0.06:
            # Headers that each fragment repeats, behind the fragment header: whether they are cut
            # as they came hangs on the room before a buffer.
            return fragments6(bytes(head[:40]), protocol_first, chain + body, fields["id"], self)
        packet = bytes(head)
        if r.random() < 0.005:
            packet = packet[: r.randrange(len(packet))]
        return [packet]

    def shuffle(self, pieces: list[tuple[int, bytes]]) -> None:
        chance = self.random.random()
        if chance < 0.2:
            self.random.shuffle(pieces)
        elif chance < 0.3:
            del pieces[self.random.randrange(len(pieces))]

    def ether(self, device: str, mac: str, dst: str, packet: bytes) -> bytes:
        to = node_mac("br0" if device in PORTS else device)
        if device in PORTS:
            end = self.located(dst)
            if end.subnet == 2:
                to = end.mac
        # Copies of what a bridge floods are not followed one by one: known, so not asked.
        if device not in PORTS and self.random.random() < 0.01:
            to = self.random.choice(("ff:ff:ff:ff:ff:ff", "02:00:00:00:77:77", "01:00:5e:00:00:01"))
        kind = fr.ETHERTYPES[self.family]
        return bytes.fromhex((to + mac).replace(":", "")) + kind + packet

    # What came of it.

    def follow(self, taps: list[tuple[str, bytes]]) -> None:
        """The frames that left the node by its links, after the last packet."""
        if self.current is None or self.direction or not taps:
            return
        device, frame = taps[-1]
        at = 26 if self.family == 4 else 22
        size = 4 if self.family == 4 else 16
        if len(frame) < at + 2 * size + 8:
            return
        src, dst = frame[at : at + size], frame[at + size : at + 2 * size]
        if frame[23 if self.family == 4 else 20] != self.current.protocol:
            return
        start = at + 2 * size
        sport, dport = struct.unpack_from(">HH", frame, start)
        if self.current.protocol in (ICMP, ICMPV6):
            sport = dport = int.from_bytes(frame[start + 4 : start + 6])
        self.current.left = (device, str(ip_address(src)), str(ip_address(dst)), sport, dport)
        self.current.last_out = device, frame


# Nothing, a router alert, a stream's number, records of the route (whole, full, with a wrong
# pointer), a source route.
IP_OPTIONS = (
    b"\1\1\1\0", b"\x94\4\0\0", b"\x88\4\0\5", b"\7\7\4" + bytes(5), b"\7\x0b\4" + bytes(9),
    b"\7\7\x08" + bytes(5), b"\7\7\3" + bytes(5), b"\x83\7\4\x0a\0\1\5\0",
)  # fmt: skip


def with_options(packet: bytes, options: bytes) -> bytes:
    size = 20 + len(options)
    head = (
        bytes([0x40 | size // 4])
        + packet[1:2]
        + (len(packet) + len(options)).to_bytes(2)
        + packet[4:10]
    )
    head += b"\0\0" + packet[12:20] + options
    return head[:10] + checksum(head).to_bytes(2) + head[12:] + packet[20:]


def relinked(chain: bytes, protocol: int) -> tuple[bytes, int]:
    """Headers of 8 bytes, each told by its first option byte; the last leads to `protocol`."""
    kinds = {5: 0, 1: 60, 0: 43}
    headers = [chain[at : at + 8] for at in range(0, len(chain), 8)]
    names = [kinds[header[2]] for header in headers]
    following = [*names[1:], protocol]
    linked = b"".join(
        bytes([kind]) + header[1:] for kind, header in zip(following, headers, strict=True)
    )
    return linked, names[0]


def fragments6(
    head: bytes, first: int, rest: bytes, identification: int, traffic: Traffic
) -> list[bytes]:
    cut = max(8, (len(rest) // 2 // 8) * 8)
    pieces = [(at, rest[at : at + cut]) for at in range(0, len(rest), cut)]
    traffic.shuffle(pieces)
    packets = []
    for at, part in pieces:
        more = at + len(part) < len(rest)
        fragment = struct.pack(">BBHI", first, 0, at | more, identification)
        body = fragment + part
        packets.append(head[:4] + len(body).to_bytes(2) + bytes([44]) + head[7:40] + body)
    return packets


def sctp_summed(head: bytes, chunk: bytes) -> bytes:
    """RFC 9260: CRC32c, least significant byte first."""
    return head + crc32c(head + bytes(4) + chunk).to_bytes(4, "little") + chunk


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
