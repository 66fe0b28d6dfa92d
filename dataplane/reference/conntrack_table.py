"""Connections, and the table that finds them by either of their tuples."""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import NamedTuple

from dataplane.node.state import Address
from dataplane.reference.conntrack_window import TcpConnection
from dataplane.reference.packet import ICMP, ICMPV6


class CtInfo(IntEnum):
    """enum ip_conntrack_info, and two for packets without a connection."""

    ESTABLISHED = 0
    RELATED = 1
    NEW = 2
    ESTABLISHED_REPLY = 3
    RELATED_REPLY = 4
    INVALID = 5
    UNTRACKED = 6


class Status(IntFlag):
    """IPS_*."""

    SEEN_REPLY = 2
    ASSURED = 4
    CONFIRMED = 8
    SRC_NAT = 16
    DST_NAT = 32
    SRC_NAT_DONE = 128
    DST_NAT_DONE = 256


NOTHING = Status(0)
# An ICMP query's type to its answer's; the only ones that make connections.
ICMP_ANSWERS = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17}
ICMPV6_ANSWERS = {128: 129, 129: 128, 139: 140, 140: 139}


class Tuple(NamedTuple):
    """One direction.  ICMP: sport is the identifier, dport is type << 8 | code."""

    protocol: int
    src: Address
    sport: int
    dst: Address
    dport: int

    def inverted(self) -> "Tuple | None":
        """The other direction; None for ICMP types that have none."""
        if self.protocol not in (ICMP, ICMPV6):
            return Tuple(self.protocol, self.dst, self.dport, self.src, self.sport)
        answers = ICMP_ANSWERS if self.protocol == ICMP else ICMPV6_ANSWERS
        answer = answers.get(self.dport >> 8)
        if answer is None:
            return None
        other = answer << 8 | self.dport & 0xFF
        return Tuple(self.protocol, self.dst, self.sport, self.src, other)


ORIGINAL, REPLY = 0, 1


@dataclass(eq=False)
class Connection:
    tuples: list[Tuple]  # original, reply
    status: Status = NOTHING
    mark: int = 0
    timeout_ns: int = 0  # until the connection is confirmed: how long it will live
    expires_ns: int = 0
    stream_ns: int = 0  # UDP: a reply after this makes it a stream
    tcp: TcpConnection = field(default_factory=TcpConnection)

    def has(self, status: Status) -> bool:
        return bool(self.status & status)


class ConntrackTable:
    """The confirmed connections of one node."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []  # the newest last
        self.bound: list[Connection] = []  # NAT chose their source: the newest last
        self._by_tuple: dict[Tuple, tuple[Connection, int]] = {}

    def find(self, wanted: Tuple, now_ns: int) -> tuple[Connection, int] | None:
        """The connection and the direction."""
        found = self._by_tuple.get(wanted)
        if found and found[0].expires_ns <= now_ns:
            self.remove(found[0])
            return None
        return found

    def is_taken(self, wanted: Tuple, by_other_than: Connection, now_ns: int) -> bool:
        """nf_conntrack_tuple_taken.  Two that begin as one flow do not take from each other."""
        found = self.find(wanted, now_ns)
        return found is not None and found[0].tuples[ORIGINAL] != by_other_than.tuples[ORIGINAL]

    def add(self, connection: Connection) -> None:
        self.connections.append(connection)
        # The reply goes in front: where a host talks to its own port, that one is found.
        for direction in (ORIGINAL, REPLY):
            self._by_tuple[connection.tuples[direction]] = connection, direction

    def remove(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            for each in set(connection.tuples):
                del self._by_tuple[each]
        self.forget(connection)

    def forget(self, connection: Connection) -> None:
        """It will never be confirmed, or is gone: its mapping is free again."""
        if connection in self.bound:
            self.bound.remove(connection)

    def count(self, now_ns: int) -> int:
        for connection in list(self.connections):
            if connection.expires_ns <= now_ns:
                self.remove(connection)
        return len(self.connections)
