"""The recorded conversation of pcaps/two-nodes, and the choices that Linux made in it.

What Linux draws at random is read from the recording and fed into the emulator; RANDOM
names each kind.  Everything else must come out byte for byte.
"""

import json
from collections import defaultdict
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataplane.node.state import Address
from dataplane.replay.capture import Capture, Frames, merge, read

ROOT = Path(__file__).parent.parent
CASE = ROOT / "pcaps" / "two-nodes"

RANDOM = {
    "endpoint": "statistic --mode random: which endpoint of a Service",
    "nat-port": "MASQUERADE --random-fully: source port of the translated flow",
    "vxlan-port": "source port of the outer UDP header: a hash with a boot-time key",
    "ip-id": "IP identification of packets that a node makes: outer headers, ICMP errors",
}


class Packet(NamedTuple):
    """An IPv4 packet in an Ethernet frame, as far as telling flows apart needs."""

    proto: int
    src: Address
    dst: Address
    sport: int  # ICMP: identifier
    dport: int  # ICMP: type << 8 | code
    ip_id: int
    payload: bytes  # after the IP header
    inner: "Packet | None" = None  # of VXLAN

    @property
    def name(self) -> str:
        """As `--choose` writes a flow."""
        if self.proto == 1:
            kind, code = divmod(self.dport, 256)
            return f"icmp {self.src} > {self.dst} id {self.sport} type {kind} code {code}"
        proto = {6: "tcp", 17: "udp"}[self.proto]
        return f"{proto} {self.src}:{self.sport} > {self.dst}:{self.dport}"

    @property
    def flow(self) -> tuple[object, ...]:
        """Flow and direction; of a tunnel, the inner one's."""
        own = (self.proto, self.src, self.dst, self.sport, self.dport)
        if self.inner is not None:
            return ("vxlan", self.src, self.dst, *self.inner.flow)
        return own


def parse(frame: bytes) -> Packet:
    ip = frame[14:]
    assert frame[12:14] == b"\x08\x00", frame[:14].hex()
    header = (ip[0] & 15) * 4
    payload = ip[header : int.from_bytes(ip[2:4], "big")]
    sport, dport = int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:4], "big")
    inner = None
    if ip[9] == 1:
        sport, dport = int.from_bytes(payload[4:6], "big"), int.from_bytes(payload[:2], "big")
    if ip[9] == 17 and dport == 8472:
        inner = parse(payload[16:])
    return Packet(
        ip[9], IPv4Address(ip[12:16]), IPv4Address(ip[16:20]), sport, dport,
        int.from_bytes(ip[4:6], "big"), payload, inner,
    )  # fmt: skip


class Tap(NamedTuple):
    file: str
    node: str  # "" for the outside host
    device: str  # of the node: a pod's tap is its host veth


@lru_cache(maxsize=1)
def taps() -> list[Tap]:
    described = json.loads((CASE / "taps.json").read_text())
    return [
        Tap(file, where.get("node", ""), where.get("port", where["device"]))
        for file, where in sorted(described.items())
    ]


@lru_cache(maxsize=32)
def frames(file: str) -> list[bytes]:
    capture = merge([read(str(CASE / file))])
    return [capture.raw(index) for index in range(len(capture))]


def conversation() -> Frames:
    """What the replay is given: the client's capture, the outside's, and web-1's own flows."""
    own = read(str(CASE / "web-1.pcap"))
    return merge(
        [read(str(CASE / "client.pcap")), read(str(CASE / "outside.pcap")), _initiated(own)]
    )


def _initiated(capture: Capture) -> Capture:
    """Of a pod's capture, the flows that the pod began: to a Service, and its answers."""
    service = IPv4Address("10.96.10.10")
    alone = merge([capture])
    packets = [parse(alone.raw(index)) for index in range(len(alone))]
    keep = np.array([service in (packet.src, packet.dst) for packet in packets])
    return replace(capture, frames=capture.frames[keep])


def choices() -> list[dict[str, object]]:
    """Every random choice of the recording, as lines of a `--choose` file."""
    return [*_endpoints(), *_tunnels(), *_errors()]


def _opens(packet: Packet) -> bool:
    return packet.proto == 17 or (packet.proto == 6 and packet.payload[13] & 0x12 == 2)


def _endpoints() -> list[dict[str, object]]:
    """A first packet is known again at the endpoint's tap by its IP identification and payload."""
    lines: list[dict[str, object]] = []
    arrived = defaultdict(list)
    for tap in taps():
        if tap.device.startswith("veth"):
            for frame in frames(tap.file):
                packet = parse(frame)
                if _opens(packet):
                    arrived[packet.ip_id, packet.payload[4:8]].append(packet)
    for file, node in (
        ("client.pcap", "node-a"),
        ("outside.pcap", "node-a"),
        ("web-1.pcap", "node-a"),
    ):
        for frame in frames(file):
            packet = parse(frame)
            if not _opens(packet) or packet.dst in range_of_pods():
                continue
            for end in arrived[packet.ip_id, packet.payload[4:8]]:
                if end.dst == packet.dst:
                    continue
                lines.append({"choice": "endpoint", "node": node, "flow": packet.name,
                              "value": f"{end.dst}:{end.dport}"})  # fmt: skip
                if end.sport != packet.sport:
                    lines.append({"choice": "nat-port", "node": node, "flow": packet.name,
                                  "value": [end.sport]})  # fmt: skip
    return lines


class range_of_pods:  # noqa: N801
    """10.244.0.0/16"""

    def __contains__(self, address: object) -> bool:
        return str(address).startswith("10.244.")


def _tunnels() -> list[dict[str, object]]:
    ports: dict[tuple[str, str], int] = {}
    ids: dict[tuple[str, str], list[int]] = defaultdict(list)
    for node, address in (("node-a", "192.168.50.11"), ("node-b", "192.168.50.12")):
        for frame in frames(f"{node}-eth0.pcap"):
            packet = parse(frame)
            if packet.inner is None or str(packet.src) != address:
                continue
            key = node, packet.inner.name
            assert ports.setdefault(key, packet.sport) == packet.sport
            ids[key].append(packet.ip_id)
    lines: list[dict[str, object]] = [
        {"choice": "vxlan-port", "node": node, "flow": flow, "value": [port]}
        for (node, flow), port in ports.items()
    ]
    return lines + [
        {"choice": "ip-id", "node": node, "flow": flow, "value": values}
        for (node, flow), values in ids.items()
    ]


def _errors() -> list[dict[str, object]]:
    """ICMP errors about client's packets: the quoted packet names the flow."""
    lines: list[dict[str, object]] = []
    for frame in frames("client.pcap"):
        packet = parse(frame)
        if packet.proto == 1 and packet.dport >> 8 == 3:
            quoted = parse(b"\0" * 12 + b"\x08\x00" + packet.payload[8:])
            lines.append({"choice": "ip-id", "node": "node-a", "flow": quoted.name,
                          "value": [packet.ip_id]})  # fmt: skip
    return lines
