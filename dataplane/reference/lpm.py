"""Longest-prefix match."""

from collections.abc import Iterable

from dataplane.node.state import Address, Network, Route


def longest(routes: Iterable[Route], address: Address) -> Route | None:
    """The route whose prefix is the longest that holds `address`; of several, the one of
    the lowest metric, and of those the first."""
    matching = [route for route in routes if holds(route.dst, address)]
    return min(matching, key=lambda route: (-route.dst.prefixlen, route.metric), default=None)


def holds(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network
