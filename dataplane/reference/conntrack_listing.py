"""The conntrack table as `conntrack -L` lists it."""

from dataplane.node.state import ConntrackEntry, ConntrackTuple
from dataplane.reference.conntrack_table import (
    ORIGINAL,
    REPLY,
    Connection,
    ConntrackTable,
    Status,
)
from dataplane.reference.conntrack_tuple import Tuple
from dataplane.reference.packet import ICMP, ICMPV6, SCTP, TCP

SECOND = 10**9


def listing(table: ConntrackTable, time_ns: int) -> list[ConntrackEntry]:
    """In the order of the original tuples; Linux' own order is that of a keyed hash."""
    alive = [each for each in table.connections if each.expires_ns > time_ns]
    return [_entry(each, time_ns) for each in sorted(alive, key=_order)]


def _order(connection: Connection) -> tuple[int, int, int, int, int, int]:
    own = connection.tuples[ORIGINAL]
    return own.src.version, own.protocol, int(own.src), own.sport, int(own.dst), own.dport


def _entry(connection: Connection, time_ns: int) -> ConntrackEntry:
    own = connection.tuples[ORIGINAL]
    return ConntrackEntry(
        protocol=own.protocol,
        original=_tuple(own),
        reply=_tuple(connection.tuples[REPLY]),
        timeout=(connection.expires_ns - time_ns) // SECOND,
        state=_state(connection, own.protocol),
        unreplied=not connection.has(Status.SEEN_REPLY),
        assured=connection.has(Status.ASSURED),
        mark=connection.mark,
    )


def _state(connection: Connection, protocol: int) -> str:
    if protocol == TCP:
        return connection.tcp.state.name
    return connection.sctp.state.name if protocol == SCTP else ""


def _tuple(own: Tuple) -> ConntrackTuple:
    if own.protocol in (ICMP, ICMPV6):
        return ConntrackTuple(
            own.src,
            own.dst,
            icmp_type=own.dport >> 8,
            icmp_code=own.dport & 0xFF,
            icmp_id=own.sport,
        )
    return ConntrackTuple(own.src, own.dst, own.sport, own.dport)
