"""What all matches of the specification share."""

from collections.abc import Callable
from typing import NamedTuple

from dataplane.node.iptables import Option
from dataplane.reference.packet import ETHER_SIZE, Packet
from dataplane.reference.place import Place

Options = tuple[Option, ...]


class Unmodelled(Exception):  # noqa: N818  not an error
    """What this match would say is not known."""


class CountedDrop(Exception):  # noqa: N818  not an error
    """The match holds, and once its rule is done with the packet is dropped (par->hotdrop, of an
    answer that was turned round)."""


class Where(NamedTuple):
    """Which match of which rule: what it remembers is its own."""

    table: str
    chain: str
    number: int
    at: int  # of the rule's matches


def by_name(options: Options, *known: str) -> dict[str, Option]:
    """Raises Unmodelled for options other than those, and for the same one twice."""
    found = {option.name: option for option in options}
    if len(found) != len(options) or not found.keys() <= set(known):
        raise Unmodelled
    return found


def tick(place: Place) -> int:
    """Jiffies: what limits are counted in, 250 a second (CONFIG_HZ)."""
    return place.now_ns // 4_000_000


def tcp_bytes(packet: Packet) -> tuple[bytes, int]:
    """What matches that do not ask whether a packet is a fragment take for its TCP header, and
    how long it is on the wire: of an IPv6 fragment, the IPv6 header (ipv6_find_hdr leaves the
    offset at 0)."""
    is_lost = packet.family == 6 and not packet.is_first
    at, end = ETHER_SIZE if is_lost else packet.transport.offset, ETHER_SIZE + packet.ip_length
    return bytes(packet.frame[at:end]), end - at


def flavour(place: Place) -> str:
    """legacy | nft: which iptables loaded the rules."""
    state = place.node.state
    return (state.ip6tables if place.family == 6 else state.iptables).flavour


Answer = Callable[[Place, Options, Packet], bool]
RememberingAnswer = Callable[[Place, Where, Options, Packet], bool]
