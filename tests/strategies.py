"""Hypothesis strategies: addresses, prefixes and frames.

Values come from pools of a few neighbours.  Uniform addresses would almost never share a
prefix or a flow, and a test in which nothing matches tests nothing.
"""

from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from dataplane.reference.checksum import checksum, pseudo_header
from dataplane.reference.packet import CHECKSUM_AT

from . import frames as fr

IPV4 = [
    ip_address(a) for a in ("10.0.0.1", "10.0.0.2", "10.0.1.1", "10.96.0.10", "255.255.255.255")
]
IPV6 = [ip_address(a) for a in ("fd00::1", "fd00::2", "fd00:0:0:1::1", "fe80::1", "ff02::1")]
POOLS = {4: IPV4, 6: IPV6}
FAMILIES = st.sampled_from([4, 6])
PORTS = [0, 53, 80, 40000, 65535]
TCP, UDP, ICMP, ICMPV6, SCTP, DCCP, UDPLITE, GRE = 6, 17, 1, 58, 132, 33, 136, 47
PROTOCOLS = [TCP, UDP, ICMP, ICMPV6, SCTP, DCCP, UDPLITE, GRE]
FRAGMENT, AH = 44, 51
EXTENSIONS = [0, 43, AH, 60]  # hop-by-hop, routing, AH, destination options
TRUTHS = ["right", "partial", "wrong"]

ports = st.sampled_from(PORTS)
words = st.integers(0, 0xFFFF)


def addresses(family):
    return st.sampled_from(POOLS[family])


def networks(family):
    """Prefixes of the pool's addresses, so that they hold one another."""
    bits = 32 if family == 4 else 128
    return st.builds(
        lambda address, length: ip_network(f"{address}/{length}", strict=False),
        addresses(family),
        st.sampled_from(
            sorted({0, 1, 8, 16, 24, 31, 32, 63, 64, 65, 127, 128} & {*range(bits + 1)})
        ),
    )


def addr(address):
    """addr_t, as the doors of kernels take it."""
    return int(address) >> 64, int(address) & (1 << 64) - 1


def framed(ip):
    """An IP packet in an Ethernet frame."""
    ethertype = fr.ETHERTYPES[ip[0] >> 4]
    return fr.ether("0a:00:00:00:00:01", "0a:00:00:00:00:02", ethertype, ip)


def summed(src, dst, protocol, body):
    """The body with the checksum of its protocol."""
    at = CHECKSUM_AT[protocol]
    body = body[:at] + b"\0\0" + body[at + 2 :]
    value = checksum(pseudo_header(src, dst, protocol, len(body)) + body)
    return body[:at] + value.to_bytes(2) + body[at + 2 :]


def with_options(ip, options):
    """An IPv4 packet with options of a multiple of four bytes."""
    frame = bytearray(framed(ip[:20] + options + ip[20:]))
    frame[14] = 0x40 | (20 + len(options)) // 4
    frame[16:18] = (len(frame) - 14).to_bytes(2)
    right_header(frame)
    return bytes(frame[14:])


def right_header(frame):
    """Puts the right checksum into an IPv4 header, where there is one."""
    size = (frame[14] & 15) * 4 if len(frame) > 33 else 0
    if size >= 20 and len(frame) >= 14 + size:
        frame[24:26] = b"\0\0"
        frame[24:26] = checksum(bytes(frame[14 : 14 + size])).to_bytes(2)


@st.composite
def transports(draw, src, dst, protocol, truth):
    """Transport header and payload; `truth` of its checksum: right, wrong or partial."""
    payload = draw(st.binary(max_size=9))
    sport, dport = draw(ports), draw(ports)
    partial = truth == "partial"
    if protocol == TCP:
        flags = draw(st.sampled_from([fr.SYN, fr.ACK, fr.SYN | fr.ACK, fr.RST]))
        body = fr.tcp(src, sport, dst, dport, flags, payload=payload, partial=partial)
    elif protocol == UDP:
        body = fr.udp(src, sport, dst, dport, payload, partial)
    elif protocol == ICMP:
        body = fr.echo(draw(words), data=payload)
    else:
        ends = sport.to_bytes(2) + dport.to_bytes(2)
        body = ends + draw(st.binary(min_size=8, max_size=8)) + payload
        if protocol in (ICMPV6, DCCP, UDPLITE):
            body = summed(src, dst, protocol, body)
    if protocol in CHECKSUM_AT and truth == "wrong":
        at = CHECKSUM_AT[protocol]
        body = body[:at] + draw(st.sampled_from([0, 0xFFFF, 0x1234])).to_bytes(2) + body[at + 2 :]
    return body


@st.composite
def ip_packets(draw, family=None, protocols=PROTOCOLS, truths=TRUTHS):
    """Whole IP packets, with IPv4 options or IPv6 extension headers now and then."""
    family = family or draw(FAMILIES)
    src, dst = draw(addresses(family)), draw(addresses(family))
    protocol = draw(st.sampled_from(protocols))
    body = draw(transports(src, dst, protocol, draw(st.sampled_from(truths))))
    ttl, tos = draw(st.sampled_from([1, 64, 255])), draw(st.sampled_from([0, 1, 2, 3, 0xB8]))
    if family == 4:
        fragment = draw(st.sampled_from([0, 0, 0, 0x4000, 0x4000, 0x2000, 1, 0x2010]))
        fields = {"ttl": ttl, "tos": tos, "id": draw(words), "fragment": fragment}
        return draw(optioned(fr.ipv4(src, dst, protocol, body, **fields)))
    protocol, body = draw(extended(protocol, body))
    ip = bytearray(fr.ipv6(src, dst, protocol, body, ttl))
    ip[0:2] = (0x6000 | tos << 4).to_bytes(2)
    return bytes(ip)


@st.composite
def extended(draw, protocol, body):
    """IPv6 extension headers before the body."""
    for kind in draw(st.lists(st.sampled_from(EXTENSIONS), max_size=2)):
        size = draw(st.integers(0, 1))
        rest = 6 + size * (4 if kind == AH else 8)
        protocol, body = kind, bytes([protocol, size]) + bytes(rest) + body
    if draw(st.integers(0, 4)) == 0:
        offset = draw(st.sampled_from([0, 1, 8, 9]))
        protocol, body = FRAGMENT, bytes([protocol, 0]) + offset.to_bytes(2) + bytes(4) + body
    return protocol, body


@st.composite
def optioned(draw, ip):
    size = draw(st.sampled_from([0, 0, 0, 4, 40]))
    return with_options(ip, b"\1" * size) if size else ip


def frames(**wanted):
    """Ethernet frames of IP packets; `wanted` as for ip_packets."""
    return ip_packets(**wanted).map(framed)


@st.composite
def damaged_frames(draw):
    """Frames cut short, padded, or with a byte changed."""
    frame = bytearray(draw(frames()))
    for at in draw(st.lists(st.integers(0, len(frame) - 1), max_size=2)):
        frame[at] = draw(st.sampled_from([0, 1, 6, 17, 0x45, 0x4F, 0x60, 0xFF]))
    if draw(st.booleans()):
        right_header(frame)
    frame = bytes(frame[: draw(st.integers(0, len(frame)))] if draw(st.booleans()) else frame)
    return frame + bytes(draw(st.sampled_from([0, 0, 6])))
