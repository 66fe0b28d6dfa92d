"""Connections that a node has when a replay begins, as rows: what `conntrack -L` listed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from _fastpath.conntrack_sctp import SctpFlag, SctpState
from _fastpath.conntrack_tcp import TcpState
from _fastpath.conntrack_window import SegmentIndex, TcpFlags
from _fastpath.packet import Proto
from _fastpath.state import CtStatus
from dataplane.errors import TableError
from dataplane.image import dtypes
from dataplane.image.encode import pair
from dataplane.node.conntrack import distinct
from dataplane.node.state import ConntrackEntry, ConntrackTuple

Row = Any
ICMP = (Proto.PROTO_ICMP, Proto.PROTO_ICMPV6)
IN_USE, EVICTABLE = 1 << 31, 1 << 30
SECOND_NS = 10**9
LISTED = CtStatus.IPS_CONFIRMED | CtStatus.IPS_SRC_NAT_DONE | CtStatus.IPS_DST_NAT_DONE


def load(nodes: list[tuple[ConntrackEntry, ...]], arrays: dict[str, NDArray[Any]]) -> int:
    """Fills the first rows of `connections`; how many.  Their times count from 0."""
    at = 0
    for number, entries in enumerate(nodes):
        newest = -1
        for entry in distinct(entries):
            row = arrays["connections"][at]
            _fill(row, entry, number)
            if not entry.assured:
                row["status"] |= EVICTABLE
                row["older"] = newest
                if newest < 0:
                    arrays["node_oldest"][number] = at
                else:
                    arrays["connections"][newest]["newer"] = at
                newest = at
            if len(arrays["accounting"]):
                arrays["accounting"][4 * at : 4 * at + 4] = _counts(entry)
            at += 1
        arrays["node_newest"][number] = newest
        arrays["node_connections"][number] = len(distinct(entries))
    return at


def _counts(entry: ConntrackEntry) -> list[int]:
    both = (entry.original, entry.reply)
    return [count or 0 for each in both for count in (each.packets, each.bytes)]


def _fill(row: Row, entry: ConntrackEntry, node: int) -> None:
    _fill_tuple(row["original"], entry.original, entry.protocol, node)
    _fill_tuple(row["reply"], entry.reply, entry.protocol, node)
    row["expires_ns"] = entry.timeout * SECOND_NS
    row["original"]["next"] = row["reply"]["next"] = row["next_source"] = -1
    row["older"], row["newer"] = -1, -1
    row["mark"] = entry.mark
    status = IN_USE | LISTED
    status |= 0 if entry.unreplied else CtStatus.IPS_SEEN_REPLY
    status |= CtStatus.IPS_ASSURED if entry.assured else 0
    for bit, ours, theirs in (
        (CtStatus.IPS_SRC_NAT, ("src", "sport"), ("dst", "dport")),
        (CtStatus.IPS_DST_NAT, ("dst", "dport"), ("src", "sport")),
    ):
        if _sides_differ(entry, ours, theirs):
            status |= bit
    row["status"] = status
    if entry.protocol == Proto.PROTO_TCP:
        _fill_tcp(row["tcp"], entry)
    elif entry.protocol == Proto.PROTO_SCTP:
        _fill_sctp(row, entry)


def _sides_differ(entry: ConntrackEntry, ours: tuple[str, str], theirs: tuple[str, str]) -> bool:
    """ICMP: the identifier is its source's, and stands in both."""
    if getattr(entry.original, ours[0]) != getattr(entry.reply, theirs[0]):
        return True
    if entry.protocol in ICMP:
        return ours[0] == "src" and entry.original.icmp_id != entry.reply.icmp_id
    return bool(getattr(entry.original, ours[1]) != getattr(entry.reply, theirs[1]))


def _fill_tuple(row: Row, listed: ConntrackTuple, protocol: int, node: int) -> None:
    row["src"], row["dst"] = pair(listed.src), pair(listed.dst)
    row["sport"], row["dport"] = listed.sport, listed.dport
    if protocol in ICMP:
        row["sport"], row["dport"] = listed.icmp_id, listed.icmp_type << 8 | listed.icmp_code
    row["node"], row["zone"] = node, listed.zone
    row["proto"], row["family"] = protocol, listed.src.version


def _state(entry: ConntrackEntry, states: Any, prefix: str) -> int:
    try:
        return int(states[prefix + (entry.state or "NONE")])
    except KeyError:
        raise TableError(f"no such state: {entry.state!r}", entry.source) from None


def _fill_tcp(row: Row, entry: ConntrackEntry) -> None:
    """Its windows are not known: it is picked up in its middle."""
    row["state"] = _state(entry, TcpState.__members__, "TCP_")
    row["last_index"] = SegmentIndex.INDEX_NONE
    row["seen"]["flags"] = TcpFlags.FLAG_SACK_PERM | TcpFlags.FLAG_BE_LIBERAL


def _fill_sctp(row: Row, entry: ConntrackEntry) -> None:
    sctp = np.zeros(1, dtypes.SCTP)
    sctp["state"] = _state(entry, SctpState.__members__, "SCTP_")
    sctp["flags"] = SctpFlag.SCTP_LEARNS * 3
    data = np.frombuffer(sctp.tobytes().ljust(dtypes.TCP.itemsize, b"\0"), dtypes.TCP)
    row["tcp"] = data[0]
