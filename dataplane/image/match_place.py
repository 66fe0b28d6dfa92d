"""Rows of matches that ask where the packet is, and whom its addresses belong to."""

from _fastpath.image import AddrtypeFlag, MatchKind, RouteKind
from dataplane.image.match_rows import UNKNOWN, Row, Rows, masked, names, options_of, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match, Option

ADDRESS_TYPES = {
    "UNICAST": RouteKind.ROUTE_UNICAST, "LOCAL": RouteKind.ROUTE_LOCAL,
    "BROADCAST": RouteKind.ROUTE_BROADCAST, "MULTICAST": RouteKind.ROUTE_MULTICAST,
    "BLACKHOLE": RouteKind.ROUTE_BLACKHOLE, "UNREACHABLE": RouteKind.ROUTE_UNREACHABLE,
    "PROHIBIT": RouteKind.ROUTE_PROHIBIT, "THROW": RouteKind.ROUTE_THROW,
}  # fmt: skip
ADDRESS_TYPE_BITS = {name: 1 << kind for name, kind in ADDRESS_TYPES.items()}
IPSEC_KINDS = ("xfrm", "vti", "vti6")  # devices of packets that are, or were, encrypted


def _mark(match: Match, pools: Pools, family: int) -> list[Row]:
    (option,) = match.options
    return [row(MatchKind.MATCH_MARK, *masked(option), invert=option.negated)]


def _addrtype(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    source = options.pop("--src-type", None)
    destination = options.pop("--dst-type", None)
    flags = 0
    if options.pop("--limit-iface-in", None):
        flags |= AddrtypeFlag.ADDRTYPE_LIMIT_IFACE_IN
    if options.pop("--limit-iface-out", None):
        flags |= AddrtypeFlag.ADDRTYPE_LIMIT_IFACE_OUT
    if source and source.negated:
        flags |= AddrtypeFlag.ADDRTYPE_INVERT_SOURCE
    if destination and destination.negated:
        flags |= AddrtypeFlag.ADDRTYPE_INVERT_DEST
    asked = [option for option in (source, destination) if option]
    if options or (family == 6 and any(_is_unmodelled6(option) for option in asked)):
        return [UNKNOWN]
    return [
        row(
            MatchKind.MATCH_ADDRTYPE,
            names(source, ADDRESS_TYPE_BITS) if source else 0,
            names(destination, ADDRESS_TYPE_BITS) if destination else 0,
            flags,
        )
    ]


def _is_unmodelled6(option: Option) -> bool:
    """Of IPv6 addresses UNREACHABLE and ANYCAST ask the whole table."""
    return not set(option.values[0].split(",")) <= {"UNICAST", "LOCAL", "MULTICAST"}


def _owner(match: Match, pools: Pools, family: int) -> list[Row]:
    """`a`: the answer for a socket of the kernel's own, which no file stands for."""
    of_kernel = all(
        option.negated != (option.name == "--socket-exists")
        for option in match.options
        if option.name != "--suppl-groups"
    )
    invert = all(option.negated for option in match.options)
    return [row(MatchKind.MATCH_NEVER, int(of_kernel), invert=invert)]


def _policy(match: Match, pools: Pools, family: int) -> list[Row]:
    """xt_policy.c: packets that IPsec has nothing to do with have no policy."""
    wanted = [option.values[0] for option in match.options if option.name == "--pol"]
    if pools.has_ipsec or wanted not in (["none"], ["ipsec"]):
        return [UNKNOWN]
    return [] if wanted == ["none"] else [row(MatchKind.MATCH_NO)]


MATCHES: dict[str, Rows] = {
    "mark": _mark,
    "addrtype": _addrtype,
    "owner": _owner,
    "policy": _policy,
}
