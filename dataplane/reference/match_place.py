"""Matches that ask where the packet is, and whom its addresses belong to."""

from dataplane.reference.forwarding import address_type
from dataplane.reference.match_words import Answer, Options, Unmodelled
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place


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
            kind = address_type(place.node, address, device).upper()
            if (kind in option.values[0].split(",")) == option.negated:
                return False
    return True


def _owner(place: Place, options: Options, packet: Packet) -> bool:
    """A packet that is only passing through belongs to nobody (xt_owner.c)."""
    if packet.has_sender:
        raise Unmodelled
    return all(option.negated for option in options)


ANSWERS: dict[str, Answer] = {
    "mark": _mark,
    "addrtype": _addrtype,
    "owner": _owner,
}
