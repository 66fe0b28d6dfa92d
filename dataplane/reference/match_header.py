"""Matches that look at the network header and the link layer's."""

from ipaddress import ip_address

from dataplane.node.iptables import Option
from dataplane.reference.match_words import Answer, Options, Unmodelled, tcp_bytes
from dataplane.reference.packet import TCP, Packet
from dataplane.reference.place import Place

ECE, CWR = 0x40, 0x80
PACKET_TYPES = ("unicast", "broadcast", "multicast")


def _iprange(place: Place, options: Options, packet: Packet) -> bool:
    sides = {"--src-range": packet.src, "--dst-range": packet.dst}
    for option in options:
        first, _, last = option.values[0].partition("-")
        address = int(sides[option.name])
        found = int(ip_address(first)) <= address <= int(ip_address(last or first))
        if found == option.negated:
            return False
    return True


def _mac(place: Place, options: Options, packet: Packet) -> bool:
    """xt_mac.c: `!` or not, a packet that came by no Ethernet device does not match."""
    link = next((x for x in place.node.state.links if x.name == place.in_device), None)
    if link is None or link.link_type != "ether":
        return False
    return all(
        (packet.ether_src == option.values[0].lower()) != option.negated for option in options
    )


def _in_range(text: str, number: int) -> bool:
    first, colon, last = text.partition(":")
    return int(first or 0) <= number <= int(last or (1 << 32) if colon else first)


def _length(place: Place, options: Options, packet: Packet) -> bool:
    return all(
        _in_range(option.values[0], packet.ip_length) != option.negated for option in options
    )


def _ttl(place: Place, options: Options, packet: Packet) -> bool:
    return all(_matches_ttl(option, packet.ttl) != option.negated for option in options)


def _matches_ttl(option: Option, ttl: int) -> bool:
    wanted = int(option.values[0])
    comparison = option.name[-2:]
    return {"eq": ttl == wanted, "lt": ttl < wanted, "gt": ttl > wanted}[comparison]


def _tos(place: Place, options: Options, packet: Packet) -> bool:
    for option in options:
        value, slash, mask = option.values[0].partition("/")
        found = packet.tos & (int(mask, 0) if slash else 0xFF) == int(value, 0)
        if found == option.negated:
            return False
    return True


def _dscp(place: Place, options: Options, packet: Packet) -> bool:
    return all(
        (packet.tos >> 2 == int(option.values[0], 0)) != option.negated for option in options
    )


def _ecn(place: Place, options: Options, packet: Packet) -> bool:
    """xt_ecn.c: the network header's bits first, then TCP's flags."""
    for option in sorted(options, key=lambda option: option.name != "--ecn-ip-ect"):
        if option.name == "--ecn-ip-ect":
            found = packet.tos & 3 == int(option.values[0])
        else:
            header, length = tcp_bytes(packet)
            if packet.protocol != TCP or length < 20:
                return False
            if len(header) < 20:
                raise Unmodelled  # the capture does not hold it
            flag = CWR if option.name == "--ecn-tcp-cwr" else ECE
            found = bool(header[13] & flag)
        if found == option.negated:
            return False
    return True


def _pkttype(place: Place, options: Options, packet: Packet) -> bool:
    """eth_type_trans: for whom the frame was.  What the node sends is for itself, says Linux."""
    kind = "unicast"
    if not packet.has_sender and packet.frame[0] & 1:
        kind = "broadcast" if packet.ether_dst == "ff:ff:ff:ff:ff:ff" else "multicast"
    return all((option.values[0] == kind) != option.negated for option in options)


ANSWERS: dict[str, Answer] = {
    "iprange": _iprange,
    "mac": _mac,
    "length": _length,
    "ttl": _ttl,
    "hl": _ttl,
    "tos": _tos,
    "dscp": _dscp,
    "ecn": _ecn,
    "pkttype": _pkttype,
}
