"""Matches of a rule as rows: what `-m NAME …` asks, in numbers.

Options come in the normal form of `dataplane.node.iptables`.  A match that is not modelled
becomes one row MATCH_UNKNOWN: its outcome is not known, and the walk says so.

    match_packet        matches that look at the transport header
    match_dccp          at that of DCCP
    match_header        at the network header and the link layer's
    match_bytes         anywhere in the packet
    match_extension     at IPv6 extension headers
    match_place         where the packet is
    match_route         how its addresses would be routed
    match_device        which bridge ports it came and leaves by
    match_conntrack     its connection
    match_memory        what the rule remembers, chance and the time
    sets                sets of addresses and ports
"""

from dataplane.image import (
    match_bytes,
    match_conntrack,
    match_dccp,
    match_device,
    match_extension,
    match_header,
    match_memory,
    match_packet,
    match_place,
    match_route,
    sets,
)
from dataplane.image.match_rows import UNKNOWN, Row, Rows
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match, are_listed


def _nothing(match: Match, pools: Pools, family: int) -> list[Row]:
    return []


MATCHES: dict[str, Rows] = {
    "comment": _nothing,
    "nfacct": _nothing,  # it counts, and always matches
    **match_packet.MATCHES,
    **match_dccp.MATCHES,
    **match_header.MATCHES,
    **match_bytes.MATCHES,
    **match_extension.MATCHES,
    **match_place.MATCHES,
    **match_route.MATCHES,
    **match_device.MATCHES,
    **match_conntrack.MATCHES,
    **match_memory.MATCHES,
    **sets.MATCHES,
}


def match_rows(match: Match, pools: Pools, family: int) -> list[Row]:
    """Rows that all must hold.  Appends to `pools` what they refer to."""
    if not are_listed(match.name, match.options):
        return [UNKNOWN]
    try:
        return MATCHES[match.name](match, pools, family)
    except (KeyError, ValueError, ZeroDivisionError):
        return [UNKNOWN]
