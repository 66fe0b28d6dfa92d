"""VXLAN (RFC 7348): writing the outer headers, reading and taking them off.

drivers/net/vxlan/vxlan_core.c, v6.12.
"""

from collections.abc import Iterable

from _fastpath.reason import Reason
from dataplane.node.state import Address, Link, NodeState, Vxlan
from dataplane.reference.checksum import checksum, ones_sum, pseudo_header
from dataplane.reference.choice import Fields
from dataplane.reference.headers import header_refusal
from dataplane.reference.icmp import header4
from dataplane.reference.packet import ETHER_SIZE, IPV4, UDP, WITH_PORTS, Packet
from dataplane.reference.steps import Ended, dropped, unknown

VNI_VALID = 0x08  # the I flag
HEADERS = 16  # UDP and VXLAN
INHERIT = 1  # as a TOS value
CONGESTED, CAPABLE, ECN = 3, 2, 3  # RFC 3168


def remote_of(state: NodeState, link: Link, mac: str) -> tuple[Address, str] | None:
    """Where frames for a MAC address are sent, and the entry that says so, if one does."""
    for entry in state.fdb:
        if entry.dev == link.name and entry.mac == mac and entry.dst is not None:
            return entry.dst, f"{mac} dev {link.name} dst {entry.dst}"
    vxlan = link.vxlan
    if vxlan is None or vxlan.remote is None:
        return None
    return vxlan.remote, ""


def fields_of(packet: Packet) -> Fields:
    """None of a frame that does not read as IP."""
    return packet.fields if reads_as_ip(packet) else Fields()


def reads_as_ip(packet: Packet) -> bool:
    return bool(packet.family) and header_refusal(packet) is None


def flow_of(packet: Packet) -> Fields:
    """What the outer source port hangs on."""
    fields = fields_of(packet)
    if fields.protocol not in WITH_PORTS:
        return fields._replace(sport=0, dport=0)
    return fields


def ports_of(vxlan: Vxlan, local_ports: tuple[int, int]) -> tuple[int, int]:
    if vxlan.port_low < vxlan.port_high:
        return vxlan.port_low, vxlan.port_high
    return local_ports


def outer_tos(vxlan: Vxlan, inner: Packet) -> int:
    """The inner ECN field is copied, but congestion is only told at the end (RFC 3168,
    section 9.1.1; INET_ECN_encapsulate)."""
    inner_tos = inner.tos if reads_as_ip(inner) else 0
    tos = inner_tos if vxlan.tos == INHERIT else vxlan.tos
    ecn = inner_tos & ECN
    return tos & ~ECN | (CAPABLE if ecn == CONGESTED else ecn)


def has_df(vxlan: Vxlan, inner: Packet) -> bool:
    return vxlan.df == "set" or (
        vxlan.df == "inherit" and reads_as_ip(inner) and inner.dont_fragment
    )


def encapsulated(
    inner: Packet, vxlan: Vxlan, src: Address, dst: Address, ttl: int, sport: int, ip_id: int
) -> Packet:
    """The outer packet.  Its Ethernet addresses are written when it leaves."""
    length = HEADERS + inner.length
    if length + 20 > 0xFFFF:
        raise dropped(Reason.TUNNEL_LOOP)
    udp = sport.to_bytes(2) + vxlan.port.to_bytes(2) + length.to_bytes(2) + b"\0\0"
    udp += bytes([VNI_VALID, 0, 0, 0]) + (vxlan.id << 8).to_bytes(4)
    if vxlan.udp_csum:
        udp = udp[:6] + _checksum(inner, udp, src, dst, length).to_bytes(2) + udp[8:]
    ip = header4(
        UDP,
        src,
        dst,
        ttl,
        length,
        tos=outer_tos(vxlan, inner),
        ip_id=ip_id,
        dont_fragment=has_df(vxlan, inner),
    )
    frame = bytes(12) + IPV4.to_bytes(2) + ip + udp + inner.frame
    return Packet(frame, ETHER_SIZE + len(ip) + length)


def _checksum(inner: Packet, udp: bytes, src: Address, dst: Address, length: int) -> int:
    """As the device would compute it, over an inner checksum that was finished before
    (local checksum offload)."""
    frame = bytes(inner.frame)
    if inner.is_partial:
        # From the transport header on, a finished checksum makes the sum the complement of
        # the pseudo-header's, which is what the field holds: no byte behind it matters.
        start = inner.transport.offset
        at = start + (6 if inner.protocol == UDP else 16)
        total = ones_sum(frame[:start]) + (~inner.word(at) & 0xFFFF)
    elif len(frame) < inner.length:
        raise unknown(Reason.CAPTURE_CUT)
    else:
        total = ones_sum(frame)
    total += ones_sum(pseudo_header(src, dst, UDP, length) + udp)
    return checksum(total.to_bytes(4)) or 0xFFFF


# Decapsulation: vxlan_rcv.


def receiver(links: Iterable[Link], packet: Packet) -> Link | None:
    """The VXLAN device that a UDP packet for this node is for; None if no VXLAN socket
    listens on its port.

    raises  Ended for a header that is refused
    """
    devices = [link for link in links if link.vxlan and link.vxlan.port == packet.dport]
    if not devices or packet.protocol != UDP or packet.family != 4 or packet.is_fragment:
        return None
    header = packet.payload[8:16]
    if len(header) < 8 or header[:4] != bytes([VNI_VALID, 0, 0, 0]) or header[7]:
        raise _cut_or(packet, Reason.VXLAN_INVALID)
    vni = int.from_bytes(header[4:7])
    for link in devices:
        if link.vxlan and link.vxlan.id == vni:
            return link
    raise dropped(Reason.VXLAN_UNKNOWN_VNI)


def _cut_or(packet: Packet, reason: int) -> Ended:
    is_cut = len(packet.payload) < 16 <= packet.payload_length
    return unknown(Reason.CAPTURE_CUT) if is_cut else dropped(reason)


def decapsulated(packet: Packet, own_mac: str) -> Packet:
    """The inner frame."""
    start = packet.transport.offset + HEADERS
    length = ETHER_SIZE + packet.ip_length - start
    if length < ETHER_SIZE:
        raise dropped(Reason.VXLAN_INVALID)
    if len(packet.frame) < start + ETHER_SIZE:
        raise unknown(Reason.CAPTURE_CUT)
    inner = Packet(bytes(packet.frame[start : ETHER_SIZE + packet.ip_length]), length)
    if inner.ether_src == own_mac:
        raise dropped(Reason.ADDRESS_LEARNED_LOCAL)
    _take_congestion(inner, packet.tos & ECN)
    inner.is_generated = packet.is_generated
    inner.is_gso = packet.is_gso
    inner.encapsulations = packet.encapsulations - 1
    return inner


def _take_congestion(inner: Packet, outer: int) -> None:
    """INET_ECN_decapsulate (RFC 6040): what the tunnel met is told to the ends."""
    fixed = {4: 20, 6: 40}.get(inner.family, 1 << 16)
    if outer != CONGESTED or len(inner.frame) < ETHER_SIZE + fixed:
        return
    if inner.tos & ECN == 0:  # its ends would not understand
        raise dropped(Reason.VXLAN_INVALID)
    inner.set_tos(inner.tos | CONGESTED)
