"""Matches that ask where the packet is, and whom its addresses belong to."""

from dataplane.node.state import Address
from dataplane.reference.forwarding import address_type
from dataplane.reference.match_words import Answer, Options, Unmodelled
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place

IPV6_TYPES = {"UNICAST", "LOCAL", "MULTICAST"}  # UNREACHABLE and ANYCAST ask the whole table


def _mark(place: Place, options: Options, packet: Packet) -> bool:
    return all(
        _matches_masked(option.values[0], packet.mark) != option.negated for option in options
    )


def _matches_masked(text: str, mark: int) -> bool:
    value, slash, mask = text.partition("/")
    return mark & (int(mask, 0) if slash else 0xFFFFFFFF) == int(value, 0)


def _addrtype(place: Place, options: Options, packet: Packet) -> bool:
    """xt_addrtype.c, addrtype_mt_v1."""
    names = {option.name for option in options}
    device = None
    if "--limit-iface-in" in names:
        device = place.in_device
    elif "--limit-iface-out" in names:
        device = place.out_device
    for option in options:
        if option.name in ("--src-type", "--dst-type"):
            address = packet.src if option.name == "--src-type" else packet.dst
            wanted = set(option.values[0].split(","))
            if _has_type(place, address, wanted, device) == option.negated:
                return False
    return True


def _has_type(place: Place, address: Address, wanted: set[str], device: str | None) -> bool:
    """match_type; of an IPv6 address (match_type6) all that is asked for must hold."""
    kind = address_type(place.node, address, device).upper()
    if place.family == 4:
        return kind in wanted
    if not wanted <= IPV6_TYPES:
        raise Unmodelled
    if "MULTICAST" in wanted and not address.is_multicast:
        return False
    if "UNICAST" in wanted and (address.is_multicast or address.is_unspecified):
        return False
    return "LOCAL" not in wanted or kind == "LOCAL"


def _owner(place: Place, options: Options, packet: Packet) -> bool:
    """A packet that is only passing through has no socket, nor has a reset that the node makes.
    Its ICMP errors have one, but no file and so no user and no group (xt_owner.c, owner_mt:
    sk->sk_socket->file)."""
    if packet.has_sender and not packet.is_generated:
        raise Unmodelled
    if packet.has_sender and packet.is_icmp:
        return all(
            option.negated != (option.name == "--socket-exists")
            for option in options
            if option.name != "--suppl-groups"
        )
    return all(option.negated for option in options)


def _policy(place: Place, options: Options, packet: Packet) -> bool:
    """xt_policy.c.  Of a node without a device of IPsec's nothing says that it has policies."""
    if any(link.kind in ("xfrm", "vti", "vti6") for link in place.node.state.links):
        raise Unmodelled
    wanted = [option.values[0] for option in options if option.name == "--pol"]
    if wanted not in (["none"], ["ipsec"]):
        raise Unmodelled
    return wanted == ["none"]


ANSWERS: dict[str, Answer] = {
    "mark": _mark,
    "addrtype": _addrtype,
    "owner": _owner,
    "policy": _policy,
}
