"""Longest-prefix match tries, many in one array."""

from ipaddress import IPv4Network, IPv6Network

import numpy as np
from numpy.typing import NDArray

from dataplane.image.dtypes import LPM_NODE


class Tries:
    """Tries under construction.  A child of 0 means none, so node 0 is no trie's child."""

    def __init__(self) -> None:
        self.nodes: list[list[int]] = []

    def new(self) -> int:
        """Root of a new, empty trie."""
        self.nodes.append([0, 0, -1])
        return len(self.nodes) - 1

    def add(self, root: int, network: IPv4Network | IPv6Network, value: int) -> None:
        """Give a prefix its value; the first value given stays."""
        here, bits, width = root, int(network.network_address), network.max_prefixlen
        for depth in range(network.prefixlen):
            bit = bits >> (width - 1 - depth) & 1
            if self.nodes[here][bit] == 0:
                self.nodes[here][bit] = self.new()
            here = self.nodes[here][bit]
        if self.nodes[here][2] < 0:
            self.nodes[here][2] = value

    def array(self) -> NDArray[np.void]:
        """(n,) LPM_NODE, n >= 1"""
        nodes = self.nodes or [[0, 0, -1]]
        return np.array([((left, right), value) for left, right, value in nodes], LPM_NODE)


def assemble_lpm(routes: dict[IPv4Network, int]) -> NDArray[np.void]:
    """(n,) LPM_NODE: one trie of prefixes with its root at node 0."""
    tries = Tries()
    root = tries.new()
    for network, value in routes.items():
        tries.add(root, network, value)
    return tries.array()
