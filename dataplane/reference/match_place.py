"""Matches that ask where the packet is, and to whom it belongs."""

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
    "owner": _owner,
    "policy": _policy,
}
