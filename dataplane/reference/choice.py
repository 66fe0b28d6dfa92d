"""Chance as a function.

What Linux draws at random is here a hash of a seed, the place and the flow: the same packets
get the same answers whatever else happens.  A recording's own choices can be fed in instead.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple

from dataplane.node.state import Address

WORD = (1 << 64) - 1


class ChoiceKind(IntEnum):
    STATISTIC = 1  # does `-m statistic --mode random` match?
    NAT_PORT = 2  # port of a source or destination translation
    VXLAN_PORT = 3  # outer UDP source port
    IP_ID = 4  # identification of a packet made here
    MULTIPATH = 5  # leg of a multipath route
    FRAGMENT_ID = 6  # of the fragments of an IPv6 packet


class Fields(NamedTuple):
    """The packet fields that a choice hangs on.  Not IP: family 0, no addresses."""

    family: int = 0
    protocol: int = 0
    src: Address | None = None
    sport: int = 0
    dst: Address | None = None
    dport: int = 0


def mix64(x: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea, Flood: Fast Splittable PRNGs, 2014)."""
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & WORD
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & WORD
    return x ^ x >> 31


def fold(h: int, word: int) -> int:
    return mix64((h + 0x9E3779B97F4A7C15 & WORD) ^ word)


def identity(text: str) -> int:
    return int.from_bytes(
        blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest(), "little"
    )


def rule_identity(family: int, table: str, chain: str, number: int) -> int:
    return identity(f"{family} {table} {chain} {number}")


def choice_key(seed: int, kind: int, node: int, fields: Fields, extra: int) -> int:
    """`node` is the identity of the node's name."""
    ports = fields.sport << 48 | fields.dport << 32 | fields.protocol << 8 | fields.family
    src, dst = (int(address) if address else 0 for address in (fields.src, fields.dst))
    h = fold(seed & WORD, kind)
    for word in (node, src >> 64, src & WORD, dst >> 64, dst & WORD, ports, extra):
        h = fold(h, word)
    return h


class Choices:
    """The draws of one run: hashed, unless values were fed in for them."""

    def __init__(self, seed: int, fed: Mapping[int, Sequence[int]] | None):
        self.seed = seed
        self.fed = dict(fed or {})
        self.uses: dict[int, int] = {}  # per fed key
        self.ip_ids: dict[str, int] = {}  # identifications given, per node

    def statistic_draw(self, node: str, fields: Fields, rule: int) -> int:
        """31 bits; the match is true when they are below its threshold."""
        return self._key(ChoiceKind.STATISTIC, node, fields, rule) >> 33

    def statistic_fed(self, node: str, fields: Fields, rule: int) -> bool | None:
        """What the match answered, `!` and all, if that was fed in."""
        value = self._fed(ChoiceKind.STATISTIC, node, fields, rule)
        return None if value is None else bool(value)

    def nat_offset(self, node: str, fields: Fields, manip: int, first: int, attempt: int) -> int:
        """Where the search for a free port begins: 16 bits.  `first` is the lowest port."""
        value = self._fed(ChoiceKind.NAT_PORT, node, fields, manip) if attempt == 0 else None
        if value is not None:
            return value - first & 0xFFFF
        return fold(self._key(ChoiceKind.NAT_PORT, node, fields, manip), attempt) & 0xFFFF

    def vxlan_port(self, node: str, fields: Fields, low: int, high: int) -> int:
        """`fields` are the inner frame's, ports only where the protocol has them."""
        swapped = fields
        if fields.src is not None and fields.dst is not None:
            if (int(fields.dst), fields.dport) < (int(fields.src), fields.sport):
                swapped = fields._replace(
                    src=fields.dst, sport=fields.dport, dst=fields.src, dport=fields.sport
                )
        value = self._fed(ChoiceKind.VXLAN_PORT, node, swapped, 0)
        if value is not None:
            return value
        key = self._key(ChoiceKind.VXLAN_PORT, node, swapped, 0)
        return low + ((key >> 32) * (high - low) >> 32)

    def multipath_hash(self, node: str, fields: Fields, extra: int) -> int:
        """31 bits; the first leg whose upper bound is not below them is taken."""
        return self._key(ChoiceKind.MULTIPATH, node, fields, extra) >> 33

    def multipath_fed(self, node: str, fields: Fields, extra: int) -> int | None:
        """Number of the leg, from 0, if that was fed in."""
        return self._fed(ChoiceKind.MULTIPATH, node, fields, extra)

    def ip_id(self, node: str, fields: Fields) -> int:
        """`fields` are those of the packet inside, or of the one that provoked this one."""
        return self._identification(ChoiceKind.IP_ID, node, fields, 0xFFFF)

    def fragment_id(self, node: str, fields: Fields) -> int:
        """32 bits."""
        return self._identification(ChoiceKind.FRAGMENT_ID, node, fields, 0xFFFFFFFF)

    def _identification(self, kind: ChoiceKind, node: str, fields: Fields, mask: int) -> int:
        value = self._fed(kind, node, fields, 0)
        if value is not None:
            return value
        start = fold(fold(self.seed & WORD, kind), identity(node))
        number = 0
        while number == 0:  # Linux gives no packet identification 0
            count = self.ip_ids.get(node, 0)
            self.ip_ids[node] = count + 1
            number = start + count & mask
        return number

    def _key(self, kind: int, node: str, fields: Fields, extra: int) -> int:
        return choice_key(self.seed, kind, identity(node), fields, extra)

    def _fed(self, kind: int, node: str, fields: Fields, extra: int) -> int | None:
        """The next value fed in.  After the last, an identification is drawn again, and the
        other kinds keep their last value: a flow keeps its endpoint."""
        key = choice_key(0, kind, identity(node), fields, extra)
        values = self.fed.get(key)
        if not values:
            return None
        use = self.uses.get(key, 0)
        self.uses[key] = use + 1
        if use < len(values):
            return values[use]
        return None if kind in (ChoiceKind.IP_ID, ChoiceKind.FRAGMENT_ID) else values[-1]
