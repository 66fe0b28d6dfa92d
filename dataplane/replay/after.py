"""The nodes as a replay left them: rule counters and connections, in the tools' own shape."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import numpy as np

from _fastpath.conntrack_sctp import SctpState
from _fastpath.conntrack_tcp import TcpState
from _fastpath.packet import Proto
from _fastpath.state import CtStatus
from dataplane.image import dtypes
from dataplane.image.image import Image
from dataplane.image.state import State
from dataplane.node.iptables import Ruleset
from dataplane.node.state import ConntrackEntry, ConntrackTuple, NodeState
from dataplane.replay.after_sets import ipsets

SECOND_NS = 10**9
Counts = dict[tuple[str, int, str, str, int], tuple[int, int]]


def states(image: Image, state: State, now_ns: int) -> dict[str, NodeState]:
    counts = counters(image, state)
    return {
        name: replace(
            counted(before, counts),
            conntrack=tuple(connections(image, state, name, now_ns)),
            ipsets=ipsets(image, state, name, now_ns),
        )
        for name, before in image.states.items()
    }


def counted(node: NodeState, counts: Counts) -> NodeState:
    """The node with other rule counters."""
    return replace(
        node,
        iptables=_counted(node.iptables, node.name, 4, counts),
        ip6tables=_counted(node.ip6tables, node.name, 6, counts),
    )


def counters(image: Image, state: State) -> Counts:
    """(node, family, table, chain, rule number; 0 = policy) -> (packets, bytes)"""
    found = state.arrays["counters"].reshape(-1, 2).tolist()
    names = image.names.rules
    return {tuple(name): (found[i][0], found[i][1]) for i, name in enumerate(names)}  # type: ignore[misc]


def _counted(ruleset: Ruleset, node: str, family: int, counts: Counts) -> Ruleset:
    tables = {}
    for table in ruleset.tables.values():
        chains = {}
        for chain in table.chains.values():
            rules = []
            for number, rule in enumerate(chain.rules, start=1):
                packets, octets = counts[node, family, table.name, chain.name, number]
                rules.append(replace(rule, packets=packets, bytes=octets))
            packets, octets = counts[node, family, table.name, chain.name, 0]
            chains[chain.name] = replace(chain, rules=tuple(rules), packets=packets, bytes=octets)
        tables[table.name] = replace(table, chains=chains)
    return replace(ruleset, tables=tables)


def connections(image: Image, state: State, node: str, now_ns: int) -> Iterator[ConntrackEntry]:
    """Live connections of a node, sorted: the kernel's own order is that of a hash table."""
    rows = state.arrays["connections"]
    number = image.names.nodes.index(node)
    alive = (
        (rows["status"] & CtStatus.IPS_CONFIRMED != 0)
        & (rows["expires_ns"] > np.uint64(now_ns))
        & (rows["original"]["node"] == number)
    )
    counts = state.arrays["accounting"].reshape(-1, 2, 2)
    is_counted = bool(image.arrays["nodes"]["conntrack_acct"][number])
    entries = [
        _entry(rows[at], now_ns, counts[at].tolist() if is_counted else None)
        for at in np.flatnonzero(alive)
    ]
    yield from sorted(entries, key=order)


def order(entry: ConntrackEntry) -> tuple[object, ...]:
    original = entry.original
    return (
        original.src.version, entry.protocol, original.src, original.dst,
        original.sport, original.dport, original.icmp_id, original.icmp_type,
    )  # fmt: skip


def _entry(row: Any, now_ns: int, counts: list[list[int]] | None) -> ConntrackEntry:
    protocol = int(row["original"]["proto"])
    status = int(row["status"])
    return ConntrackEntry(
        protocol=protocol,
        original=_tuple(row["original"], protocol, counts[0] if counts else None),
        reply=_tuple(row["reply"], protocol, counts[1] if counts else None),
        timeout=(int(row["expires_ns"]) - now_ns) // SECOND_NS,
        state=_protocol_state(row, protocol),
        unreplied=not status & CtStatus.IPS_SEEN_REPLY,
        assured=bool(status & CtStatus.IPS_ASSURED),
        mark=int(row["mark"]),
    )


def _protocol_state(row: Any, protocol: int) -> str:
    if protocol == Proto.PROTO_TCP:
        return str(TcpState(int(row["tcp"]["state"])).name.removeprefix("TCP_"))
    if protocol == Proto.PROTO_SCTP:
        sctp = np.frombuffer(row["tcp"].tobytes(), dtypes.SCTP, 1)[0]
        return str(SctpState(int(sctp["state"])).name.removeprefix("SCTP_"))
    return ""


def _tuple(row: Any, protocol: int, counts: list[int] | None) -> ConntrackTuple:
    build = IPv4Address if int(row["family"]) == 4 else IPv6Address
    src, dst = (build(int(row[end]["hi"]) << 64 | int(row[end]["lo"])) for end in ("src", "dst"))
    sport, dport = int(row["sport"]), int(row["dport"])
    if protocol in (Proto.PROTO_ICMP, Proto.PROTO_ICMPV6):
        found = ConntrackTuple(
            src, dst, icmp_type=dport >> 8, icmp_code=dport & 0xFF, icmp_id=sport
        )
    else:
        found = ConntrackTuple(src, dst, sport, dport)
    packets, octets = counts or (None, None)
    return replace(found, zone=int(row["zone"]), packets=packets, bytes=octets)
