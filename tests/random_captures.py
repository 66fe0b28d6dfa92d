"""Hypothesis strategies: captures of traffic through the clusters of tests.clusters.

Few addresses, ports and MAC addresses, so that packets meet again, answer each other, and come
from places where they cannot have been recorded.
"""

from ipaddress import IPv4Address, ip_address
from typing import NamedTuple

from hypothesis import strategies as st

from dataplane.node.state import Address
from dataplane.replay.capture import merge
from dataplane.replay.replay import Options

from . import capture_files as files
from . import frames as fr
from .captures import START, capture_of
from .clusters import PODS6, WEB6
from .two_nodes import CLIENT, EMPTY, NODE_A, NODE_B, OUTSIDE, WEB, WEB1, WEB2, mac

ETHERNET, RAW, COOKED = 1, 101, 113
LINKTYPES = [ETHERNET, ETHERNET, ETHERNET, RAW, COOKED]
CLIENT6, FAR6 = PODS6["node-a"]["veth-client"], PODS6["node-b"]["veth-web-2"]
GATEWAY, UNKNOWN = ip_address("10.244.1.1"), ip_address("203.0.113.9")
ADDRESSES = {
    4: [CLIENT, CLIENT, WEB1, WEB2, WEB, WEB, EMPTY, OUTSIDE, NODE_A, NODE_B, GATEWAY, UNKNOWN,
        *map(ip_address, ("127.0.0.1", "224.0.0.1", "224.0.0.9", "0.0.0.0"))],
    6: [CLIENT6, CLIENT6, FAR6, FAR6, PODS6["node-a"]["veth-web-1"], WEB6,
        *map(ip_address, ("fd00:1::1", "fe80::1", "ff02::1", "2001:db8::9", "::",
                          "ff02::1:ff00:1", "ff02::2"))],
}  # fmt: skip
# Mostly one that means nothing where the frame enters.
MACS = [
    mac(GATEWAY), mac("10.244.2.1"), mac(CLIENT), mac(WEB1), mac(NODE_A), mac(NODE_B),
    *["02:00:00:00:00:99"] * 6, "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01",
]  # fmt: skip
PORTS = [40000, 40000, 80, 8080, 30080, 8472]
FLAGS = [fr.SYN, fr.SYN, fr.SYN | fr.ACK, fr.ACK, fr.FIN | fr.ACK, fr.RST]
ERRORS = {
    4: [(3, 3), (3, 4), (11, 0), (5, 1), (9, 0), (253, 0)],
    6: [(1, 4), (2, 0), (3, 0), (135, 0)],
}
OTHERS = [b"\x88\xcc", b"\x81\x00", b"\x86\xdd", b"\x00\x20"]
PLACES = [("node-a", "veth-client"), ("node-a", "eth0"), ("node-b", "eth0")]

ports = st.sampled_from(PORTS)


def addresses(family):
    return st.sampled_from(ADDRESSES[family])


def network(src, dst, protocol, body, **fields):
    if src.version == 6:
        return fr.ipv6(src, dst, protocol, body, fields.get("ttl", 64))
    return fr.ipv4(src, dst, protocol, body, **fields)


def icmp(src, dst, message):
    """With its checksum, which in IPv6 covers a pseudo-header."""
    if src.version == 6:
        return 58, fr.summed(src, dst, 58, message[:2] + bytes(2) + message[4:], 2)
    return 1, message


def echo(src, dst, identifier, is_reply):
    kind = {4: (8, 0), 6: (128, 129)}[src.version][is_reply]
    return icmp(src, dst, fr.icmp_error(kind, 0, b"data", identifier << 16 | 1))


@st.composite
def transports(draw, src, dst):
    """(protocol, transport header and what follows)"""
    kind = draw(st.sampled_from(["tcp", "tcp", "tcp", "udp", "echo", "error", "other"]))
    sport, dport = draw(ports), draw(ports)
    if kind == "tcp":
        flags, payload = draw(st.sampled_from(FLAGS)), b"x" * draw(st.integers(0, 3))
        partial = draw(st.booleans())
        return 6, fr.tcp(src, sport, dst, dport, flags, payload=payload, partial=partial)
    if kind == "udp":
        return 17, fr.udp(src, sport, dst, dport, b"hello", draw(st.booleans()))
    if kind == "echo":
        return echo(src, dst, draw(st.integers(1, 2)), draw(st.booleans()))
    if kind == "error":
        # Mostly about what the other side may have sent.
        quoted = network(dst, src, *draw(transports(dst, src)))
        quoted = quoted[: draw(st.sampled_from([20, 28, 48, 60, 100]))]
        what = draw(st.sampled_from(ERRORS[src.version]))
        return icmp(src, dst, fr.icmp_error(*what, quoted))
    return draw(st.sampled_from([47, 58, 1, 132])), bytes(draw(st.sampled_from([0, 4, 24])))


class Talk(NamedTuple):
    """Two ends that speak to each other, often."""

    src: Address
    dst: Address
    protocol: str
    sport: int
    dport: int


LIKELY = [
    Talk(CLIENT, WEB, "tcp", 40000, 80),
    Talk(CLIENT, WEB2, "tcp", 40000, 8080),
    Talk(CLIENT, WEB1, "udp", 40000, 53),
    Talk(CLIENT, WEB2, "echo", 1, 0),
    Talk(WEB1, WEB, "tcp", 40000, 80),
    Talk(CLIENT, EMPTY, "tcp", 40000, 80),
    Talk(OUTSIDE, NODE_B, "tcp", 40000, 30080),
    Talk(WEB2, OUTSIDE, "udp", 40000, 53),
    Talk(CLIENT6, FAR6, "tcp", 40000, 8080),
    Talk(CLIENT6, WEB6, "tcp", 40000, 80),
    Talk(FAR6, CLIENT6, "echo", 2, 0),
]


@st.composite
def talks(draw):
    if draw(st.integers(0, 3)):
        return draw(st.sampled_from(LIKELY))
    family = draw(st.sampled_from([4, 4, 4, 6]))
    kind = draw(st.sampled_from(["tcp", "udp", "echo"]))
    return Talk(draw(addresses(family)), draw(addresses(family)), kind, draw(ports), draw(ports))


@st.composite
def spoken(draw, talk):
    """What one of the two says."""
    is_reply = draw(st.sampled_from([False, False, True]))
    src, dst, kind, sport, dport = talk
    if is_reply:
        src, dst, sport, dport = dst, src, dport, sport
    if kind == "echo":
        return network(src, dst, *echo(src, dst, talk.sport, is_reply))
    if kind == "udp":
        return network(src, dst, 17, fr.udp(src, sport, dst, dport, b"hello"))
    flags = draw(
        st.sampled_from([fr.SYN | fr.ACK * is_reply, fr.ACK, fr.ACK, fr.FIN | fr.ACK, fr.RST])
    )
    return network(src, dst, 6, fr.tcp(src, sport, dst, dport, flags), fragment=0x4000)


@st.composite
def damaged(draw, packet):
    """Whole, most of the time; else with another TTL, a fragment, or a byte changed."""
    damage = draw(st.sampled_from(["none"] * 12 + ["ttl", "ttl", "options", "fragment", "byte"]))
    if damage == "byte":
        at = draw(st.integers(0, len(packet) - 1))
        return packet[:at] + bytes([packet[at] ^ 0x11]) + packet[at + 1 :]
    if damage == "none" or packet[0] >> 4 != 4:
        return packet
    fields = {"ttl": draw(st.sampled_from([63, 1, 128, 255, 200]))}
    if damage == "fragment":
        fields = {"fragment": draw(st.sampled_from([0x2000, 4]))}
    src, dst = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    found = draw(ip_options()) if damage == "options" else b""
    return fr.ipv4(src, dst, packet[9], packet[20:], found, **fields)


@st.composite
def ip_options(draw):
    """Some that a router reads, whole or not, and others."""
    parts = b"".join(draw(st.lists(one_option(), min_size=1, max_size=3)))[:40]
    return parts + bytes(-len(parts) % 4)


@st.composite
def one_option(draw):
    kind = draw(st.sampled_from([7, 7, 68, 68, 131, 137, 148, 134, 30]))
    flag = bytes([draw(st.sampled_from([0, 1, 3, 0xF0, 2]))]) if kind == 68 else b""
    own = st.sampled_from([GATEWAY, NODE_A, NODE_B, WEB1, UNKNOWN, ip_address("0.0.0.0")])
    places = b"".join(address.packed for address in draw(st.lists(own, max_size=4)))
    body = flag + places + bytes(draw(st.sampled_from([0, 0, 0, 1, 3])))
    size = len(body) + 3 + draw(st.sampled_from([0, 0, 0, 0, 1, -1, 200]))
    pointer = len(flag) + 4 + draw(st.sampled_from([0, 0, 4, 8, -1, 1, 40]))
    return bytes([kind, size & 0xFF, pointer]) + body + draw(st.sampled_from([b"", b"\1", b"\0"]))


@st.composite
def packets(draw, family):
    """Between any two."""
    src, dst = draw(addresses(family)), draw(addresses(family))
    return network(src, dst, *draw(transports(src, dst)))


@st.composite
def arp_messages(draw):
    sender, target = (
        draw(st.sampled_from([ip_address("0.0.0.0"), *ADDRESSES[4]])).packed for _ in range(2)
    )
    hardware = bytes.fromhex(draw(st.sampled_from(MACS)).replace(":", ""))
    operation, size = draw(st.sampled_from([1, 1, 2, 3])), draw(st.sampled_from([28, 28, 46, 20]))
    message = bytes([0, 1, 8, 0, 6, 4, 0, operation]) + hardware + sender + bytes(6) + target
    return (message + bytes(18))[:size]


@st.composite
def contents(draw, among):
    """(EtherType, what follows)"""
    kind = draw(st.sampled_from(["talk"] * 12 + ["ip", "ip", "ip6", "arp", "other"]))
    if kind == "arp":
        return b"\x08\x06", draw(arp_messages())
    if kind == "other":
        return draw(st.sampled_from(OTHERS)), b"\x45" + bytes(30)
    packet = draw(
        spoken(draw(st.sampled_from(among)))
        if kind == "talk"
        else packets(6 if kind == "ip6" else 4)
    )
    return fr.ETHERTYPES[packet[0] >> 4], draw(damaged(packet))


def framed(linktype, ethertype, payload, src, dst):
    if linktype == RAW:
        return payload
    if linktype == COOKED:
        return bytes(14) + ethertype + payload
    return fr.ether(src, dst, ethertype, payload)


@st.composite
def link_frames(draw, linktype, among):
    """(frame, how many bytes of its end were not captured)"""
    if draw(st.integers(0, 30)) == 0:
        return draw(st.binary(max_size=60)), 0
    src, dst = draw(st.sampled_from(MACS)), draw(st.sampled_from(MACS))
    frame = framed(linktype, *draw(contents(among)), src, dst)
    cut = draw(st.sampled_from([0] * 20 + [1, 10, 30]))
    return frame + bytes(draw(st.sampled_from([0, 0, 0, 6]))), cut


@st.composite
def captures(draw):
    """One capture file's frames, with pauses in which connections time out."""
    linktype = draw(st.sampled_from(LINKTYPES))
    among = draw(st.lists(talks(), min_size=1, max_size=3))
    seconds, written = START, []
    for frame, cut in draw(st.lists(link_frames(linktype, among), min_size=1, max_size=16)):
        seconds += draw(st.sampled_from([0, 0, 0, 1, 40, 130]))
        kept = frame[: max(len(frame) - cut, 0)]
        written.append(files.Written(seconds, 0, kept, len(frame)))
    return merge([capture_of(written, linktype)])


@st.composite
def options(draw):
    clients = draw(st.sampled_from([(), (), (CLIENT,), (WEB2, CLIENT)]))
    one_way = draw(st.sampled_from([False, False, False, True]))
    at = draw(st.sampled_from([None] * 30 + PLACES))
    return Options(
        seed=draw(st.integers(0, 3)), clients=clients, one_way=one_way, raw=at is not None, at=at
    )
