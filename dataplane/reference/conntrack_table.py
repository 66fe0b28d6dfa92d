"""Connections, and the table that finds them by either of their tuples."""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from dataplane.reference.conntrack_sctp import SctpAssociation
from dataplane.reference.conntrack_tuple import Tuple
from dataplane.reference.conntrack_window import TcpConnection


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
    DYING = 512
    FIXED_TIMEOUT = 1024
    OFFLOAD = 16384
    HW_OFFLOAD = 32768


NOTHING = Status(0)
ORIGINAL, REPLY = 0, 1


@dataclass(eq=False)
class Connection:
    tuples: list[Tuple]  # original, reply
    status: Status = NOTHING
    mark: int = 0
    masqueraded_by: str | None = None  # device whose address it was given
    timeout_ns: int = 0  # until the connection is confirmed: how long it will live
    expires_ns: int = 0
    stream_ns: int = 0  # UDP: a reply after this makes it a stream
    tcp: TcpConnection = field(default_factory=TcpConnection)
    sctp: SctpAssociation = field(default_factory=SctpAssociation)
    counts: list[list[int]] = field(default_factory=lambda: [[0, 0], [0, 0]])  # packets, bytes

    @property
    def zones(self) -> tuple[int, int]:
        return self.tuples[ORIGINAL].zone, self.tuples[REPLY].zone

    def has(self, status: Status) -> bool:
        return bool(self.status & status)


class ConntrackTable:
    """The confirmed connections of one node."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []  # the newest last
        self.bound: list[Connection] = []  # NAT chose their source: the newest last
        self._by_tuple: dict[tuple[Tuple, int], Connection] = {}

    def find(
        self, wanted: Tuple, zones: tuple[int, int], now_ns: int
    ) -> tuple[Connection, int] | None:
        """The connection and the direction, of a tuple in its own zone.  `zones` are those of the
        two directions: what is found in a direction must be in that one's (nf_ct_key_equal)."""
        # The reply was put in front: where a host talks to its own port, that one is found.
        for direction in (REPLY, ORIGINAL):
            found = self._by_tuple.get((wanted, direction))
            if found and found.expires_ns <= now_ns:
                self.remove(found)
            elif found and zones[direction] == wanted.zone:
                return found, direction
        return None

    def find_in_zones(
        self, wanted: Tuple, zones: tuple[int, int], now_ns: int
    ) -> tuple[Connection, int] | None:
        """nf_conntrack_find_get: the tuple may be in the zone of either direction."""
        for zone in dict.fromkeys(zones):
            found = self.find(wanted._replace(zone=zone), zones, now_ns)
            if found:
                return found
        return None

    def is_taken(self, wanted: Tuple, by_other_than: Connection, now_ns: int) -> bool:
        """nf_conntrack_tuple_taken.  Two that begin as one flow do not take from each other."""
        for direction in (REPLY, ORIGINAL):
            found = self._by_tuple.get((wanted, direction))
            if found and found.expires_ns <= now_ns:
                self.remove(found)
            elif found and by_other_than.zones[direction] == wanted.zone:
                if found.tuples[ORIGINAL] != by_other_than.tuples[ORIGINAL]:
                    return True
        return False

    def add(self, connection: Connection) -> None:
        self.connections.append(connection)
        for direction in (ORIGINAL, REPLY):
            self._by_tuple[connection.tuples[direction], direction] = connection

    def remove(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            for direction in (ORIGINAL, REPLY):
                del self._by_tuple[connection.tuples[direction], direction]
        self.forget(connection)

    def drop_early(self) -> bool:
        """early_drop.  Linux takes those of eight buckets of its hash table; here it is the
        oldest that is not assured."""
        victim = next((one for one in self.connections if not one.has(Status.ASSURED)), None)
        if victim is not None:
            self.remove(victim)
        return victim is not None

    def forget(self, connection: Connection) -> None:
        """It will never be confirmed, or is gone: its mapping is free again."""
        if connection in self.bound:
            self.bound.remove(connection)

    def count(self, now_ns: int) -> int:
        for connection in list(self.connections):
            if connection.expires_ns <= now_ns:
                self.remove(connection)
        return len(self.connections)
