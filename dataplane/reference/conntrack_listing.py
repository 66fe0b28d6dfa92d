"""The conntrack table as `conntrack -L` lists it."""

from collections.abc import Iterable

from dataplane.node.conntrack import distinct
from dataplane.node.state import ConntrackEntry, ConntrackTuple
from dataplane.reference.conntrack_sctp import SctpState
from dataplane.reference.conntrack_table import (
    ORIGINAL,
    REPLY,
    Connection,
    ConntrackTable,
    Status,
)
from dataplane.reference.conntrack_tuple import Tuple
from dataplane.reference.conntrack_window import Seen, TcpState
from dataplane.reference.packet import ICMP, ICMPV6, SCTP, TCP

SECOND = 10**9


def listing(table: ConntrackTable, time_ns: int, is_counted: bool) -> list[ConntrackEntry]:
    """In the order of the original tuples; Linux' own order is that of a keyed hash."""
    alive = [each for each in table.connections if each.expires_ns > time_ns]
    return [_entry(each, time_ns, is_counted) for each in sorted(alive, key=_order)]


def _order(connection: Connection) -> tuple[int, int, int, int, int, int]:
    own = connection.tuples[ORIGINAL]
    return own.src.version, own.protocol, int(own.src), own.sport, int(own.dst), own.dport


def _entry(connection: Connection, time_ns: int, is_counted: bool) -> ConntrackEntry:
    own = connection.tuples[ORIGINAL]
    return ConntrackEntry(
        protocol=own.protocol,
        original=_tuple(own, connection.counts[ORIGINAL] if is_counted else None),
        reply=_tuple(connection.tuples[REPLY], connection.counts[REPLY] if is_counted else None),
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


def _tuple(own: Tuple, counts: list[int] | None) -> ConntrackTuple:
    packets, octets = counts or (None, None)
    if own.protocol in (ICMP, ICMPV6):
        return ConntrackTuple(
            own.src,
            own.dst,
            icmp_type=own.dport >> 8,
            icmp_code=own.dport & 0xFF,
            icmp_id=own.sport,
            zone=own.zone,
            packets=packets,
            bytes=octets,
        )
    return ConntrackTuple(
        own.src, own.dst, own.sport, own.dport, zone=own.zone, packets=packets, bytes=octets
    )


def load(table: ConntrackTable, entries: Iterable[ConntrackEntry], now_ns: int) -> None:
    """The table as it was listed, at the time of the first packet."""
    for entry in distinct(entries):
        table.add(_connection(entry, now_ns))
        table.bound.append(table.connections[-1])


def _connection(entry: ConntrackEntry, now_ns: int) -> Connection:
    both = [_listed_tuple(entry.protocol, each) for each in (entry.original, entry.reply)]
    mirror = both[REPLY].inverted() or both[REPLY]
    status = Status.CONFIRMED | Status.SRC_NAT_DONE | Status.DST_NAT_DONE
    status |= Status(0) if entry.unreplied else Status.SEEN_REPLY
    status |= Status.ASSURED if entry.assured else Status(0)
    is_icmp = entry.protocol in (ICMP, ICMPV6)
    if (mirror.src, mirror.sport) != (both[ORIGINAL].src, both[ORIGINAL].sport):
        status |= Status.SRC_NAT
    if mirror.dst != both[ORIGINAL].dst or (not is_icmp and mirror.dport != both[ORIGINAL].dport):
        status |= Status.DST_NAT
    made = Connection(both, status, entry.mark, expires_ns=now_ns + entry.timeout * SECOND)
    made.counts = [[each.packets or 0, each.bytes or 0] for each in (entry.original, entry.reply)]
    if entry.protocol == TCP:  # its windows are not known: it is picked up in its middle
        made.tcp.state = TcpState[entry.state or "NONE"]
        for end in made.tcp.seen:
            end.flags = Seen.SACK_PERM | Seen.BE_LIBERAL
    elif entry.protocol == SCTP:
        made.sctp.state, made.sctp.learns = SctpState[entry.state or "NONE"], [True, True]
    return made


def _listed_tuple(protocol: int, listed: ConntrackTuple) -> Tuple:
    sport, dport = listed.sport, listed.dport
    if protocol in (ICMP, ICMPV6):
        sport, dport = listed.icmp_id, listed.icmp_type << 8 | listed.icmp_code
    return Tuple(protocol, listed.src, sport, listed.dst, dport, listed.zone)
