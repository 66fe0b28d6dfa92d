"""Rows of matches that ask where the packet is, and to whom it belongs."""

from _fastpath.image import MatchKind
from dataplane.image.match_rows import UNKNOWN, Row, Rows, masked, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match

IPSEC_KINDS = ("xfrm", "vti", "vti6")  # devices of packets that are, or were, encrypted


def _mark(match: Match, pools: Pools, family: int) -> list[Row]:
    (option,) = match.options
    return [row(MatchKind.MATCH_MARK, *masked(option), invert=option.negated)]


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
    "owner": _owner,
    "policy": _policy,
}
