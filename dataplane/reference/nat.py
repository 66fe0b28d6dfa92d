"""Address translation: nf_nat_core.c, v6.18.

A connection is translated once, by what its first packet met; the packets after it are
rewritten to look like the inverse of the other direction's tuple.
"""

from _fastpath.reason import Reason
from _fastpath.trace import EventKind, StepKind
from dataplane.node.state import Address
from dataplane.reference.conntrack import direction_of
from dataplane.reference.conntrack_table import ORIGINAL, REPLY, Connection, Status
from dataplane.reference.conntrack_tuple import Tuple
from dataplane.reference.nat_tuple import DESTINATION, SOURCE, Range, inverse, unique
from dataplane.reference.packet import DCCP, GRE, ICMP, ICMPV6, SCTP, TCP, WITH_PORTS, Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import dropped

NAT = {SOURCE: Status.SRC_NAT, DESTINATION: Status.DST_NAT}
DONE = {SOURCE: Status.SRC_NAT_DONE, DESTINATION: Status.DST_NAT_DONE}


def manip_of(hook: str) -> int:
    return SOURCE if hook in ("POSTROUTING", "INPUT") else DESTINATION


def is_set_up(connection: Connection, manip: int) -> bool:
    return connection.has(DONE[manip])


def set_up_null(place: Place, connection: Connection, manip: int) -> None:
    """nf_nat_alloc_null_binding: no rule translates this.  The address stays; the port too,
    unless another connection's reply would be mistaken for this one's."""
    reply = connection.tuples[REPLY]
    address = reply.dst if manip == SOURCE else reply.src
    set_up(place, connection, Range(address), manip)


def set_up(place: Place, connection: Connection, wanted: Range, manip: int) -> None:
    """nf_nat_setup_info."""
    if connection.has(Status.CONFIRMED):
        return
    current = inverse(connection.tuples[REPLY])
    chosen = unique(place, connection, current, wanted, manip)
    if chosen != current:
        connection.tuples[REPLY] = inverse(chosen)
        connection.status |= NAT[manip]
    if manip == SOURCE:
        place.node.conntrack.bound.append(connection)
    connection.status |= DONE[manip]


def translate(place: Place, packet: Packet, manip: int) -> None:
    """Rewrites one side of a packet as its connection says."""
    connection = packet.connection
    assert connection is not None
    if applies(connection, direction_of(packet), manip):
        _make_writable(packet, manip)
        target = inverse(connection.tuples[1 - direction_of(packet)])
        rewrite(place, packet, target, manip)


def _make_writable(packet: Packet, manip: int) -> None:
    """The manip_pkt of each protocol wants its header."""
    if packet.protocol in (TCP, SCTP):
        packet.pull(20 if packet.protocol == TCP else 12)
    if packet.protocol == GRE:
        check_gre(packet.payload, packet.payload_length, manip)


def check_gre(header: bytes, length: int, manip: int) -> None:
    """gre_manip_pkt: four bytes more than a header may have, and for its receiver a version
    that it knows."""
    if length < 8 or (manip == DESTINATION and header[1:2] and header[1] & 7 > 1):
        raise dropped(Reason.NETFILTER_DROP)


def applies(connection: Connection, direction: int, manip: int) -> bool:
    """A reply's source is what was the destination."""
    return connection.has(NAT[manip if direction == ORIGINAL else 1 - manip])


def rewrite(
    place: Place, packet: Packet, target: Tuple, manip: int, is_changed: bool = False
) -> None:
    """Leaves a step if that changes anything, or something is changed already."""
    before = _sides(packet, manip)
    edit(packet, target, manip)
    after = _sides(packet, manip)
    if before == after and not is_changed:
        return
    place.trace.step(StepKind.STEP_NAT, place.node.name, number=manip)
    kinds = (EventKind.EVENT_SRC, EventKind.EVENT_SPORT)
    if manip == DESTINATION:
        kinds = (EventKind.EVENT_DST, EventKind.EVENT_DPORT)
    place.trace.event(kinds[0], int(before[0]), int(after[0]))
    place.trace.event(kinds[1], before[1], after[1])


def _sides(of: Tuple | Packet, manip: int) -> tuple[Address, int]:
    is_icmp = of.protocol in (ICMP, ICMPV6)
    if manip == SOURCE:
        return of.src, of.sport
    return of.dst, of.sport if is_icmp else of.dport


def edit(packet: Packet, target: Tuple, manip: int) -> None:
    address, port = _sides(target, manip)
    # Linux forgot about DCCP's ports, and its checksum, with 6.16.
    has_port = packet.protocol != DCCP or bool(target.sport or target.dport)
    packet.is_opaque = not has_port
    if manip == SOURCE and packet.src != address:
        packet.set_src(address)
    elif manip == DESTINATION and packet.dst != address:
        packet.set_dst(address)
    if packet.protocol in WITH_PORTS and has_port and _sides(packet, manip)[1] != port:
        if manip == SOURCE:
            packet.set_sport(port)
        else:
            packet.set_dport(port)
    if packet.protocol == SCTP and packet.has_transport:
        packet.fix_sctp()
    if packet.is_icmp and not _is_error(packet) and packet.sport != port:
        packet.set_sport(port)


def _is_error(packet: Packet) -> bool:
    """Not a query or an answer: its second word is no identifier (icmp_manip_pkt)."""
    kind = packet.dport >> 8
    if packet.family == 4:
        return kind not in (0, 8, 13, 14, 15, 16, 17, 18)
    return kind not in (128, 129)
