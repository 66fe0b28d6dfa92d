"""What a packet would be as an element of a set.

The `kadt` functions of ip_set_hash_*.c and ip_set_bitmap_*.c, v6.18.
"""

from dataclasses import dataclass

from dataplane.node.ipset_elements import Masks
from dataplane.node.ipset_rows import Ipset
from dataplane.reference.match_words import Unmodelled
from dataplane.reference.packet import ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE, Packet
from dataplane.reference.place import Place

PORTS = frozenset((TCP, UDP, SCTP, UDPLITE))


class Lacking(Exception):  # noqa: N818  not an error
    """The packet has not what the set's type asks for."""


@dataclass
class Probe:
    """Parts as numbers; None for those that the set's type has not."""

    first: int | None = None
    second: int | None = None
    protocol: int | None = None
    port: int | None = None
    mac: str | None = None
    mark: int | None = None
    device: str | None = None


def probe(found: Ipset, masks: Masks, place: Place, sides: list[str], packet: Packet) -> Probe:
    """Raises Lacking, and Unmodelled for what is not known of the packet."""
    made = Probe()
    is_bitmap = found.type.startswith("bitmap")
    for at, part in enumerate(found.parts):
        is_source = sides[at] == "src"
        if part in ("ip", "net"):
            address = int(packet.src if is_source else packet.dst)
            if is_bitmap and not masks.bounds[0] <= address <= masks.bounds[1]:
                raise Lacking
            if at == 0:
                made.first = address & masks.address
                if found.type == "hash:ip" and made.first == 0:
                    raise Lacking
            else:
                made.second = address & (masks.address if found.type == "hash:net,net" else -1)
        elif part == "port":
            made.protocol, made.port = _port(packet, is_source)
            if is_bitmap:
                if made.protocol not in (TCP, UDP):
                    raise Lacking
                if not masks.bounds[0] <= made.port <= masks.bounds[1]:
                    raise Lacking
                made.protocol = None
        elif part == "mac":
            made.mac = _mac(place, packet, is_source)
        elif part == "mark":
            made.mark = packet.mark & masks.mark
        elif part == "iface":
            made.device = place.in_device if is_source else place.out_device
            if not made.device:
                raise Lacking
    return made


def _port(packet: Packet, is_source: bool) -> tuple[int, int]:
    """ip_set_get_ip4_port, ip_set_get_ip6_port: (protocol, port); ICMP's is type << 8 | code."""
    protocol = packet.protocol
    if packet.family == 4:
        if protocol == 0:
            raise Lacking
        if not packet.is_first:
            if protocol in PORTS or protocol == ICMP:
                raise Lacking
            return protocol, 0  # "Other protocols doesn't have ports, so we can match fragments"
    elif not packet.is_first or not packet.has_protocol:  # ipv6_skip_exthdr
        raise Lacking
    if protocol not in PORTS and protocol not in (ICMP, ICMPV6):
        return protocol, 0
    if not packet.has_transport:
        raise Lacking
    if protocol in PORTS:
        return protocol, packet.sport if is_source else packet.dport
    return protocol, packet.dport


def _mac(place: Place, packet: Packet, is_source: bool) -> str:
    """Of a packet that came with an Ethernet header."""
    if place.in_device is None:
        if packet.has_sender:
            raise Lacking
        raise Unmodelled  # a forwarded packet still has the header it came with
    link = next((x for x in place.node.state.links if x.name == place.in_device), None)
    if link is None or link.link_type != "ether":
        raise Lacking
    mac = packet.ether_src if is_source else packet.ether_dst
    if not mac.strip("0:"):
        raise Lacking
    return mac
