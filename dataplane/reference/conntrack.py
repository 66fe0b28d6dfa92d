"""Connection tracking: which connection a packet belongs to, and what it does to it.

nf_conntrack_core.c, v6.12.  A packet that opens a connection carries it, unconfirmed, until
it leaves the node or reaches a process; if it is dropped before, nothing remains.

Time is the packet's own.  A connection that has expired is not there.
"""

from _fastpath.reason import Reason
from dataplane.reference import conntrack_tcp
from dataplane.reference.conntrack_table import (
    ORIGINAL,
    REPLY,
    Connection,
    CtInfo,
    Status,
    Tuple,
)
from dataplane.reference.conntrack_window import Header, Segment, TcpConnection, TcpState
from dataplane.reference.node import Node
from dataplane.reference.packet import ETHER_SIZE, ICMP, ICMPV6, TCP, TRANSPORT_SIZES, UDP, Packet
from dataplane.reference.steps import dropped

SECOND = 10**9
ICMP_ERRORS = frozenset((3, 4, 5, 11, 12))
ICMP_QUERIES = frozenset((8, 13, 15, 17))  # may open a connection
ICMPV6_QUERIES = frozenset((128, 139))
# Neighbour discovery and multicast listeners: never tracked (nf_conntrack_proto_icmpv6.c).
ICMPV6_UNTRACKED = frozenset((130, 131, 132, 133, 134, 135, 136, 143))


def track(node: Node, packet: Packet, now_ns: int, arrives: bool) -> CtInfo | None:
    """nf_conntrack_in: gives the packet its connection.

    arrives  it came by a device: checksums are looked at then only
    returns  what was found; None if the packet had been looked at already, or is not to be
    raises   Ended when the table is full
    """
    if packet.ctinfo is not None:
        return None
    if _is_untracked_icmp(packet):
        packet.ctinfo = CtInfo.UNTRACKED
    elif arrives and _is_broken(node, packet):
        packet.ctinfo = CtInfo.INVALID
    elif _is_icmp_error(packet):
        _relate(node, packet, now_ns)
    else:
        _assign(node, packet, now_ns)
    return packet.ctinfo


def _is_broken(node: Node, packet: Packet) -> bool:
    checks = node.setting("net.netfilter.nf_conntrack_checksum", 1)
    return bool(checks) and packet.is_checksum_wrong()


def tuple_of(packet: Packet) -> Tuple | None:
    """The packet's own tuple; None if too little of its transport header is there."""
    if packet.protocol in TRANSPORT_SIZES and not packet.has_transport:
        return None
    return Tuple(packet.protocol, packet.src, packet.sport, packet.dst, packet.dport)


# ICMP.


def _is_untracked_icmp(packet: Packet) -> bool:
    return packet.protocol == ICMPV6 and packet.dport >> 8 in ICMPV6_UNTRACKED


def _is_icmp_error(packet: Packet) -> bool:
    kind = packet.dport >> 8
    if packet.family == 4:
        return packet.protocol == ICMP and kind in ICMP_ERRORS
    return packet.protocol == ICMPV6 and kind < 128


def _relate(node: Node, packet: Packet, now_ns: int) -> None:
    """nf_conntrack_inet_error: an ICMP error belongs to the connection it quotes."""
    packet.ctinfo = CtInfo.INVALID
    quoted = quoted_packet(packet)
    original = tuple_of(quoted) if quoted else None
    wanted = original.inverted() if original else None
    found = node.conntrack.find(wanted, now_ns) if wanted else None
    if found is None:
        return
    connection, direction = found
    if packet.dst != connection.tuples[direction].dst:
        return  # an error to somebody who never sent what it quotes
    packet.connection = connection
    packet.ctinfo = CtInfo.RELATED if direction == ORIGINAL else CtInfo.RELATED_REPLY


def quoted_packet(packet: Packet) -> Packet | None:
    """What an ICMP error quotes, as a packet of its own; None if it is not one."""
    inside = packet.payload[8:]
    fixed = 20 if packet.family == 4 else 40
    if len(inside) < fixed or inside[0] >> 4 != packet.family:
        return None
    quoted = Packet(bytes(packet.frame[:ETHER_SIZE]) + inside)
    needed = 8 if quoted.is_icmp else 4  # nf_ct_get_tuple: no more than the ports
    if quoted.transport.offset + needed > len(quoted.frame) or not quoted.is_first:
        return None
    quoted.is_quoted = True
    quoted.is_partial = False  # Linux edits it as it would a finished one
    return quoted


# Lookup.


def _assign(node: Node, packet: Packet, now_ns: int) -> None:
    """resolve_normal_ct and nf_conntrack_handle_packet."""
    packet.ctinfo = CtInfo.INVALID
    own = tuple_of(packet)
    if own is None:
        return
    found = node.conntrack.find(own, now_ns)
    if found is None:
        mirror = own.inverted()
        if mirror is None:
            return
        _check_room(node, now_ns)
        found = Connection([own, mirror]), ORIGINAL
    connection, direction = found
    verdict = _handle(node, connection, direction, packet, now_ns)
    if verdict == conntrack_tcp.Verdict.RESTART:
        node.conntrack.remove(connection)
        _assign(node, packet, now_ns)
        return
    if verdict == conntrack_tcp.Verdict.INVALID:
        return
    packet.connection = connection
    packet.ctinfo = _ctinfo(connection, direction)
    if direction == REPLY:
        connection.status |= Status.SEEN_REPLY


def _check_room(node: Node, now_ns: int) -> None:
    most = node.setting("net.netfilter.nf_conntrack_max", 262144)
    if most and node.conntrack.count(now_ns) >= most:
        raise dropped(Reason.CONNTRACK_FULL)


def _ctinfo(connection: Connection, direction: int) -> CtInfo:
    if direction == REPLY:
        return CtInfo.ESTABLISHED_REPLY
    return CtInfo.ESTABLISHED if connection.has(Status.SEEN_REPLY) else CtInfo.NEW


def direction_of(packet: Packet) -> int:
    """CTINFO2DIR."""
    return REPLY if packet.ctinfo in (CtInfo.ESTABLISHED_REPLY, CtInfo.RELATED_REPLY) else ORIGINAL


# What a packet does to its connection.


def _handle(
    node: Node, connection: Connection, direction: int, packet: Packet, now_ns: int
) -> conntrack_tcp.Verdict:
    if packet.protocol == TCP:
        return _handle_tcp(node, connection, direction, packet, now_ns)
    if packet.protocol == UDP:
        return _handle_udp(node, connection, packet, now_ns)
    name, seconds = "generic", 600
    if packet.is_icmp:
        queries = ICMP_QUERIES if packet.protocol == ICMP else ICMPV6_QUERIES
        if connection.tuples[ORIGINAL].dport >> 8 not in queries:
            return conntrack_tcp.Verdict.INVALID
        name, seconds = ("icmp" if packet.protocol == ICMP else "icmpv6"), 30
    _refresh(connection, _timeout(node, name, seconds), now_ns)
    return conntrack_tcp.Verdict.ACCEPT


def _handle_udp(
    node: Node, connection: Connection, packet: Packet, now_ns: int
) -> conntrack_tcp.Verdict:
    length = packet.word(packet.transport.offset + 4) if packet.payload_length >= 8 else 0
    if not 8 <= length <= packet.payload_length:
        return conntrack_tcp.Verdict.INVALID
    if not connection.has(Status.CONFIRMED):
        connection.stream_ns = now_ns + 2 * SECOND
    timeout = _timeout(node, "udp", 30)
    if connection.has(Status.SEEN_REPLY) and now_ns > connection.stream_ns:
        timeout = _timeout(node, "udp", 120, "_stream")
        connection.status |= Status.ASSURED
    _refresh(connection, timeout, now_ns)
    return conntrack_tcp.Verdict.ACCEPT


def tcp_header(packet: Packet) -> Header | None:
    header = packet.payload[:20]
    if len(header) < 20:
        return None
    size = (header[12] >> 4) * 4
    return Header(
        flags=header[13],
        sequence=int.from_bytes(header[4:8]),
        acknowledgement=int.from_bytes(header[8:12]),
        window=int.from_bytes(header[14:16]),
        size=size,
        payload=packet.payload_length - size,
        options=packet.payload[20:size],
    )


def _tcp_settings(node: Node) -> conntrack_tcp.Settings:
    def number(name: str, default: int) -> int:
        return node.setting(f"net.netfilter.nf_conntrack_tcp_{name}", default)

    return conntrack_tcp.Settings(
        loose=number("loose", 1) > 0,
        be_liberal=number("be_liberal", 0) > 0,
        ignore_invalid_rst=number("ignore_invalid_rst", 0) > 0,
        max_retrans=number("max_retrans", 3),
    )


def _handle_tcp(
    node: Node, connection: Connection, direction: int, packet: Packet, now_ns: int
) -> conntrack_tcp.Verdict:
    header, settings = tcp_header(packet), _tcp_settings(node)
    if header is None or not conntrack_tcp.is_sound(header):
        return conntrack_tcp.Verdict.INVALID
    if not connection.has(Status.CONFIRMED):
        connection.tcp = TcpConnection()
        if not conntrack_tcp.begin(connection.tcp, header, settings.loose):
            return conntrack_tcp.Verdict.INVALID
    before = connection.tcp.state
    known = conntrack_tcp.Known(connection.has(Status.SEEN_REPLY), connection.has(Status.ASSURED))
    verdict = conntrack_tcp.follow(connection.tcp, direction, header, settings, known)
    if verdict == conntrack_tcp.Verdict.OUTSIDE:
        _shorten(node, connection, direction, header.segment, now_ns)
        return conntrack_tcp.Verdict.INVALID
    if verdict == conntrack_tcp.Verdict.ACCEPT:
        _after_tcp(node, connection, header.segment, before, settings, now_ns)
    return verdict


def _shorten(
    node: Node, connection: Connection, direction: int, segment: Segment, now_ns: int
) -> None:
    """nf_tcp_handle_invalid."""
    if not connection.has(Status.ASSURED):
        return
    if not conntrack_tcp.responds_to_close(connection.tcp, direction, segment):
        return
    if connection.expires_ns - now_ns >= conntrack_tcp.SHORTENED:
        shorter = now_ns + _tcp_timeout(node, *conntrack_tcp.UNACKNOWLEDGED)
        connection.expires_ns = min(connection.expires_ns, shorter)


def _after_tcp(
    node: Node,
    connection: Connection,
    segment: Segment,
    before: TcpState,
    settings: conntrack_tcp.Settings,
    now_ns: int,
) -> None:
    """Timeout and ASSURED."""
    state = connection.tcp.state
    timeout = conntrack_tcp.timeout_of(
        connection.tcp, segment, settings, lambda *name: _tcp_timeout(node, *name)
    )
    if not connection.has(Status.SEEN_REPLY):
        if segment == Segment.RST:  # nothing was ever established
            node.conntrack.remove(connection)
            return
        if segment == Segment.SYN and before == TcpState.SYN_SENT:
            return  # repeating a SYN must not keep a mapping for ever
        if state == TcpState.ESTABLISHED:  # picked up in its middle
            timeout = min(timeout, _tcp_timeout(node, *conntrack_tcp.UNACKNOWLEDGED))
    elif before in (TcpState.SYN_RECV, TcpState.ESTABLISHED) and state == TcpState.ESTABLISHED:
        connection.status |= Status.ASSURED
    _refresh(connection, timeout, now_ns)


def _tcp_timeout(node: Node, name: str, seconds: int) -> int:
    return _timeout(node, "tcp", seconds, f"_{name}")


def _timeout(node: Node, protocol: str, seconds: int, suffix: str = "") -> int:
    setting = f"net.netfilter.nf_conntrack_{protocol}_timeout{suffix}"
    return node.setting(setting, seconds) * SECOND


def _refresh(connection: Connection, timeout_ns: int, now_ns: int) -> None:
    """nf_ct_refresh.  An unconfirmed connection's time begins when it is confirmed."""
    connection.timeout_ns = timeout_ns
    connection.expires_ns = now_ns + timeout_ns


# The end of the packet's way.


def confirm(node: Node, packet: Packet, now_ns: int) -> None:
    """nf_confirm: what the packet opened is entered in the table."""
    connection = packet.connection
    if connection is None or connection.has(Status.CONFIRMED):
        return
    if direction_of(packet) == REPLY:  # a reset or an error about it: not what opened it
        return
    for own in connection.tuples:
        if node.conntrack.find(own, now_ns):
            raise dropped(Reason.CONNTRACK_CLASH)
    connection.status |= Status.CONFIRMED
    connection.expires_ns = now_ns + connection.timeout_ns
    node.conntrack.add(connection)


def attach(packet: Packet, cause: Packet) -> None:
    """nf_ct_attach: an answer that a node makes belongs to what it answers."""
    if cause.connection is not None:
        packet.connection = cause.connection
        towards = direction_of(cause)
        packet.ctinfo = CtInfo.RELATED_REPLY if towards == ORIGINAL else CtInfo.RELATED


def abandon(node: Node, packet: Packet) -> None:
    """The packet is no more: a connection that it opened and nobody confirmed goes with it."""
    if packet.connection is not None and not packet.connection.has(Status.CONFIRMED):
        node.conntrack.forget(packet.connection)
