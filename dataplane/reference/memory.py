"""Addresses, flows and connections: what `recent`, `hashlimit` and `connlimit` remember."""

from dataclasses import dataclass, field
from typing import NamedTuple

from dataplane.node.state import Address
from dataplane.reference.conntrack_tuple import Tuple


@dataclass
class Seen:
    """An address of a recent table (struct recent_entry)."""

    ttl: int
    stamps: list[int] = field(default_factory=list)  # ticks, a ring
    index: int = 0


@dataclass
class RecentTable:
    mask: int  # 128 bits; of IPv4 the first 32
    stamps: int  # that an entry keeps
    entries: dict[tuple[int, int], Seen] = field(default_factory=dict)  # the longest unused first


@dataclass
class Flow:
    """An entry of a hashlimit table (struct dsthash_ent)."""

    previous: int  # tick of the last refill
    credit: int
    refills: int
    expires: int = 0
    was_over: bool = False


FlowKey = tuple[Address | None, Address | None, int, int]


@dataclass
class HashlimitTable:
    modes: frozenset[str]
    prefixes: tuple[int, int]  # source, destination
    capacity: int
    expire: int  # ticks
    collect: int  # ticks between collections of what has expired
    interval: int  # ticks
    is_rate_match: bool
    is_in_bytes: bool
    cost: int
    credit: int  # of a new flow
    refills: int
    rate: int
    burst: int
    flows: dict[FlowKey, Flow] = field(default_factory=dict)


class Counted(NamedTuple):
    """A connection on a list: its original tuple, and its zones by direction."""

    original: Tuple
    zones: tuple[int, int]


@dataclass
class CountedList:
    collected: int  # tick when it was last looked through
    held: list[Counted] = field(default_factory=list)
    collected_count: int = 0
