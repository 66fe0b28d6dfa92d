"""What all matches of the specification share."""

from collections.abc import Callable
from typing import NamedTuple

from dataplane.node.iptables import Option
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place

Options = tuple[Option, ...]


class Unmodelled(Exception):  # noqa: N818  not an error
    """What this match would say is not known."""


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


def flavour(place: Place) -> str:
    """legacy | nft: which iptables loaded the rules."""
    state = place.node.state
    return (state.ip6tables if place.family == 6 else state.iptables).flavour


Answer = Callable[[Place, Options, Packet], bool]
RememberingAnswer = Callable[[Place, Where, Options, Packet], bool]
