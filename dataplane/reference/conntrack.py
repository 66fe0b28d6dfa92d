"""Connection tracking: which connection a packet belongs to, and what it does to it.

nf_conntrack_core.c, v6.12.  A packet that opens a connection carries it, unconfirmed, until
it leaves the node or reaches a process; if it is dropped before, nothing remains.

Time is the packet's own.  A connection that has expired is not there.
"""

from _fastpath.reason import Reason
from dataplane.reference import (
    conntrack_datagram,
    conntrack_icmp,
    conntrack_sctp,
    conntrack_tcp,
)
from dataplane.reference.conntrack_table import ORIGINAL, REPLY, Connection, CtInfo, Status
from dataplane.reference.conntrack_tuple import Tuple, tuple_of
from dataplane.reference.conntrack_window import Header, Segment, TcpConnection, TcpState
from dataplane.reference.node import Node
from dataplane.reference.packet import ICMP, SCTP, TCP, UDP, UDPLITE, Packet
from dataplane.reference.steps import dropped

SECOND = 10**9


def track(node: Node, packet: Packet, now_ns: int, arrives: bool) -> CtInfo | None:
    """nf_conntrack_in: gives the packet its connection.

    arrives  it came by a device: checksums are looked at then only
    returns  what was found; None if the packet had been looked at already, or is not to be
    raises   Ended when the table is full
    """
    if packet.ctinfo is not None:
        return None
    packet.ctinfo = CtInfo.INVALID
    own, zones = tuple_of(packet, node.tracks_dccp), zones_of(packet)
    if own is None:
        return packet.ctinfo
    if not packet.is_icmp and node.conntrack.find_in_zones(own, zones, now_ns) is None:
        _make_room(node, now_ns)  # init_conntrack comes before the trackers' checks
    packet.is_verified = arrives and _is_verified(node, packet)
    if arrives and _is_broken(node, packet):
        pass
    elif conntrack_icmp.is_untracked(packet):  # nf_conntrack_icmpv6_error: if it is whole
        packet.ctinfo = CtInfo.UNTRACKED
    elif conntrack_icmp.is_error(packet):
        conntrack_icmp.relate(node, packet, zones, now_ns)
    else:
        _assign(node, packet, own, zones, now_ns)
    return packet.ctinfo


def zones_of(packet: Packet) -> tuple[int, int]:
    """nf_ct_zone_tmpl: what a CT rule said, by direction."""
    zone = packet.mark & 0xFFFF if packet.zone_is_mark else packet.zone
    return (
        zone if "original" in packet.zone_directions else 0,
        zone if "reply" in packet.zone_directions else 0,
    )


def _is_verified(node: Node, packet: Packet) -> bool:
    """Its checksum is looked at, and right."""
    return (
        bool(node.setting("net.netfilter.nf_conntrack_checksum", 1))
        and packet.protocol in (TCP, UDP, ICMP)
        and packet.has_transport
        and packet.is_whole
        and not packet.is_fragment
        and not packet.is_checksum_wrong()
    )


def _is_broken(node: Node, packet: Packet) -> bool:
    if not node.setting("net.netfilter.nf_conntrack_checksum", 1):
        return False
    if packet.protocol == UDPLITE:
        return conntrack_datagram.is_broken(packet)
    return packet.is_crc_wrong() if packet.protocol == SCTP else packet.is_checksum_wrong()


# Lookup.


def _assign(node: Node, packet: Packet, own: Tuple, zones: tuple[int, int], now_ns: int) -> None:
    """resolve_normal_ct and nf_conntrack_handle_packet."""
    found = node.conntrack.find_in_zones(own, zones, now_ns)
    if found is None:
        mirror = own.inverted()
        if mirror is None:
            return
        if packet.is_icmp:  # of others track has asked
            _make_room(node, now_ns)
        tuples = [own._replace(zone=zones[ORIGINAL]), mirror._replace(zone=zones[REPLY])]
        found = Connection(tuples), ORIGINAL
    connection, direction = found
    verdict = _handle(node, connection, direction, packet, now_ns)
    if verdict == conntrack_tcp.Verdict.RESTART:
        node.conntrack.remove(connection)
        _assign(node, packet, own, zones, now_ns)
        return
    if verdict == conntrack_tcp.Verdict.INVALID:
        return
    if verdict == conntrack_tcp.Verdict.ACCEPT and node.accounts:
        connection.counts[direction][0] += 1  # nf_ct_acct_update
        connection.counts[direction][1] += packet.ip_length
    packet.connection = connection
    packet.ctinfo = _ctinfo(connection, direction)
    if direction == REPLY:
        connection.status |= Status.SEEN_REPLY


def _make_room(node: Node, now_ns: int) -> None:
    most = node.setting("net.netfilter.nf_conntrack_max", 262144)
    if not most or node.conntrack.count(now_ns) < most:
        return
    # Linux looks through eight buckets for one to drop; of a sparse table they are empty.
    buckets = node.setting("net.netfilter.nf_conntrack_buckets", 262144)
    if 16 * most < buckets or not node.conntrack.drop_early():
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
    protocol = packet.protocol
    if protocol == TCP:
        return _handle_tcp(node, connection, direction, packet, now_ns)
    if protocol == SCTP:
        return _handle_sctp(node, connection, direction, packet, now_ns)
    if protocol in conntrack_datagram.TIMEOUTS:
        return _handle_datagram(node, connection, packet, now_ns)
    name, seconds = "generic", 600
    if packet.is_icmp:
        if connection.tuples[ORIGINAL].dport >> 8 not in conntrack_icmp.QUERIES[protocol]:
            return conntrack_tcp.Verdict.INVALID
        name, seconds = ("icmp" if protocol == ICMP else "icmpv6"), 30
    _refresh(connection, _timeout(node, name, seconds), now_ns)
    return conntrack_tcp.Verdict.ACCEPT


def _handle_datagram(
    node: Node, connection: Connection, packet: Packet, now_ns: int
) -> conntrack_tcp.Verdict:
    if not conntrack_datagram.is_sound(packet):
        return conntrack_tcp.Verdict.INVALID
    if not connection.has(Status.CONFIRMED):
        connection.stream_ns = now_ns + conntrack_datagram.STREAM_AFTER
    name, short, long = conntrack_datagram.TIMEOUTS[packet.protocol]
    timeout, is_answered = _timeout(node, name, short), connection.has(Status.SEEN_REPLY)
    if conntrack_datagram.is_stream(packet.protocol, is_answered, connection.stream_ns, now_ns):
        timeout = _timeout(node, name, long, "_stream")
        connection.status |= Status.ASSURED
    _refresh(connection, timeout, now_ns)
    return conntrack_tcp.Verdict.ACCEPT


def _handle_sctp(
    node: Node, connection: Connection, direction: int, packet: Packet, now_ns: int
) -> conntrack_tcp.Verdict:
    is_confirmed = connection.has(Status.CONFIRMED)
    answer, is_established = conntrack_sctp.follow(connection.sctp, packet, direction, is_confirmed)
    if is_established:
        connection.status |= Status.ASSURED
    if answer == conntrack_sctp.Answer.INVALID:
        return conntrack_tcp.Verdict.INVALID
    if answer == conntrack_sctp.Answer.IGNORE:
        return conntrack_tcp.Verdict.IGNORE
    name, seconds = conntrack_sctp.TIMEOUTS[connection.sctp.state]
    _refresh(connection, _timeout(node, "sctp", seconds, f"_{name}"), now_ns)
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
    if verdict != conntrack_tcp.Verdict.ACCEPT:
        return verdict
    return _after_tcp(node, connection, header.segment, before, settings, now_ns)


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
) -> conntrack_tcp.Verdict:
    """Timeout and ASSURED."""
    state = connection.tcp.state
    timeout = conntrack_tcp.timeout_of(
        connection.tcp, segment, settings, lambda *name: _tcp_timeout(node, *name)
    )
    if not connection.has(Status.SEEN_REPLY):
        if segment == Segment.RST:  # nothing was ever established
            node.conntrack.remove(connection)
            return conntrack_tcp.Verdict.ACCEPT
        if segment == Segment.SYN and before == TcpState.SYN_SENT:
            return conntrack_tcp.Verdict.IGNORE  # repeating a SYN must not keep a mapping for ever
        if state == TcpState.ESTABLISHED:  # picked up in its middle
            timeout = min(timeout, _tcp_timeout(node, *conntrack_tcp.UNACKNOWLEDGED))
    elif before in (TcpState.SYN_RECV, TcpState.ESTABLISHED) and state == TcpState.ESTABLISHED:
        connection.status |= Status.ASSURED
    _refresh(connection, timeout, now_ns)
    return conntrack_tcp.Verdict.ACCEPT


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
        if node.conntrack.find(own, connection.zones, now_ns):
            raise dropped(Reason.CONNTRACK_CLASH)
    connection.status |= Status.CONFIRMED
    connection.expires_ns = now_ns + connection.timeout_ns
    node.conntrack.add(connection)


def set_closing(node: Node, connection: Connection, now_ns: int) -> None:
    """nf_conntrack_tcp_set_closing: the node has answered with a reset."""
    if connection.has(Status.CONFIRMED):
        connection.tcp.state = TcpState.CLOSE
        _refresh(connection, _tcp_timeout(node, *conntrack_tcp.TIMEOUTS[TcpState.CLOSE]), now_ns)


def attach(packet: Packet, cause: Packet) -> None:
    """nf_ct_attach: an answer that a node makes belongs to what it answers."""
    if cause.connection is not None:
        packet.connection = cause.connection
        towards = direction_of(cause)
        packet.ctinfo = CtInfo.RELATED_REPLY if towards == ORIGINAL else CtInfo.RELATED
    if cause.ctinfo == CtInfo.UNTRACKED:
        packet.is_occupied = True


def abandon(node: Node, packet: Packet) -> None:
    """The packet is no more: a connection that it opened and nobody confirmed goes with it."""
    if packet.connection is not None and not packet.connection.has(Status.CONFIRMED):
        node.conntrack.forget(packet.connection)
