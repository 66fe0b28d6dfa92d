"""Address translation: nf_nat_core.c, v6.12.

A connection is translated once, by what its first packet met; the packets after it are
rewritten to look like the inverse of the other direction's tuple.
"""

from typing import NamedTuple

from _fastpath.reason import Reason
from _fastpath.trace import EventKind, StepKind
from dataplane.node.state import Address
from dataplane.reference.checksum import checksum, pseudo_header
from dataplane.reference.choice import Fields
from dataplane.reference.conntrack import direction_of
from dataplane.reference.conntrack_table import ORIGINAL, REPLY, Connection, Status
from dataplane.reference.conntrack_tuple import Tuple, quoted_packet
from dataplane.reference.nat_range import best_address
from dataplane.reference.packet import DCCP, ICMP, ICMPV6, WITH_PORTS, Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import dropped, unknown

SOURCE, DESTINATION = 0, 1  # enum nf_nat_manip_type
MOST_ATTEMPTS = 128  # NF_NAT_MAX_ATTEMPTS
REDIRECT = 5  # ICMP

NAT = {SOURCE: Status.SRC_NAT, DESTINATION: Status.DST_NAT}
DONE = {SOURCE: Status.SRC_NAT_DONE, DESTINATION: Status.DST_NAT_DONE}


class Range(NamedTuple):
    """What a target asks for (struct nf_nat_range2)."""

    address: Address | None = None  # None: any
    ports: tuple[int, int] | None = None  # first and last
    is_random: bool = False  # --random, --random-fully: do not try to keep the port
    last: Address | None = None  # of a range of addresses; None: there is but one
    is_persistent: bool = False


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
    current = _inverse(connection.tuples[REPLY])
    chosen = _unique(place, connection, current, wanted, manip)
    if chosen != current:
        connection.tuples[REPLY] = _inverse(chosen)
        connection.status |= NAT[manip]
    if manip == SOURCE:
        place.node.conntrack.bound.append(connection)
    connection.status |= DONE[manip]


def _inverse(of: Tuple) -> Tuple:
    inverted = of.inverted()
    assert inverted is not None  # a connection's tuples have inverses
    return inverted


# The choice of a tuple: get_unique_tuple.


def _unique(
    place: Place, connection: Connection, current: Tuple, wanted: Range, manip: int
) -> Tuple:
    if manip == SOURCE and not wanted.is_random:
        if _is_inside(current, wanted):
            if not _is_used(place, current, connection):
                return current
        else:
            known = _known_source(place, connection, current, wanted)
            if known and not _is_used(place, known, connection):
                return known
    moved = _with_address(current, _chosen_address(connection, current, wanted, manip), manip)
    if not wanted.is_random and _may_keep_port(place, connection, moved, wanted, manip):
        return moved
    return _search(place, connection, moved, wanted, manip)


def _chosen_address(
    connection: Connection, current: Tuple, wanted: Range, manip: int
) -> Address | None:
    if wanted.address is None or wanted.last is None:
        return wanted.address
    return best_address(
        current.src,
        current.dst,
        wanted.address,
        wanted.last,
        is_persistent=wanted.is_persistent,
        is_destination=manip == DESTINATION,
        zone=max(connection.zones),  # one number, whichever directions it holds for
    )


def _is_inside(own: Tuple, wanted: Range) -> bool:
    first = wanted.address
    is_inside = first is None or int(first) <= int(own.src) <= int(wanted.last or first)
    return is_inside and (wanted.ports is None or _is_port_inside(own, wanted.ports, SOURCE))


def _is_port_inside(own: Tuple, ports: tuple[int, int], manip: int) -> bool:
    if own.protocol not in WITH_PORTS and own.protocol not in (ICMP, ICMPV6):
        return True
    return ports[0] <= _port(own, manip) <= ports[1]


def _port(own: Tuple, manip: int) -> int:
    """ICMP has one number for both: the identifier."""
    return own.sport if manip == SOURCE or own.protocol in (ICMP, ICMPV6) else own.dport


def _with_port(own: Tuple, port: int, manip: int) -> Tuple:
    if manip == SOURCE or own.protocol in (ICMP, ICMPV6):
        return own._replace(sport=port)
    return own._replace(dport=port)


def _with_address(own: Tuple, address: Address | None, manip: int) -> Tuple:
    if address is None:
        return own
    return own._replace(src=address) if manip == SOURCE else own._replace(dst=address)


def _known_source(place: Place, connection: Connection, own: Tuple, wanted: Range) -> Tuple | None:
    """find_appropriate_src: the same source is already mapped into the range: use that."""
    for other in reversed(place.node.conntrack.bound):
        original = other.tuples[ORIGINAL]
        is_same = original[:3] == own[:3] and other.zones[ORIGINAL] == connection.zones[ORIGINAL]
        if is_same and (not other.has(Status.CONFIRMED) or other.expires_ns > place.now_ns):
            mapped = _inverse(other.tuples[REPLY])
            candidate = own._replace(src=mapped.src, sport=mapped.sport)
            if _is_inside(candidate, wanted):
                return candidate
    return None


def _is_used(place: Place, candidate: Tuple, connection: Connection) -> bool:
    """Would the reply be taken for another connection's?"""
    return place.node.conntrack.is_taken(_inverse(candidate), connection, place.now_ns)


def _may_keep_port(
    place: Place, connection: Connection, moved: Tuple, wanted: Range, manip: int
) -> bool:
    if wanted.ports is None:
        return not _is_used(place, moved, connection)
    return _is_port_inside(moved, wanted.ports, manip) and (
        wanted.ports[0] == wanted.ports[1] or not _is_used(place, moved, connection)
    )


def _search(place: Place, connection: Connection, moved: Tuple, wanted: Range, manip: int) -> Tuple:
    """nf_nat_l4proto_unique_tuple: probe from somewhere, with ever fewer attempts.  When
    none is free the last one tried is kept, and clashes when it is confirmed."""
    ports = _ports_to_search(moved, wanted, manip)
    if ports is None:
        return moved
    first, size = ports[0], ports[1] - ports[0] + 1
    is_drawn = wanted.is_random or manip == SOURCE
    attempts, attempt = min(size, MOST_ATTEMPTS), 0
    while True:
        offset = _offset(place, connection, manip, first, attempt) if is_drawn or attempt else 0
        for i in range(attempts):
            moved = _with_port(moved, first + (offset + i & 0xFFFF) % size, manip)
            if not _is_used(place, moved, connection):
                return moved
        if attempts >= size or attempts < 16:
            return moved
        attempts //= 2
        attempt += 1


def _ports_to_search(moved: Tuple, wanted: Range, manip: int) -> tuple[int, int] | None:
    """None: nothing to vary."""
    is_icmp = moved.protocol in (ICMP, ICMPV6)
    if not is_icmp and moved.protocol not in WITH_PORTS:
        return None
    if wanted.ports is not None:
        return min(wanted.ports), max(wanted.ports)
    if is_icmp:
        return 0, 65535
    if manip == DESTINATION:  # a destination's port is never changed unasked
        return None
    if moved.sport >= 1024:
        return 1024, 65535
    return (1, 511) if moved.sport < 512 else (600, 1023)


def _offset(place: Place, connection: Connection, manip: int, first: int, attempt: int) -> int:
    fields = original_fields(connection)
    return place.choices.nat_offset(place.node.name, fields, manip, first, attempt)


def original_fields(connection: Connection) -> Fields:
    own = connection.tuples[ORIGINAL]
    return Fields(own.src.version, own.protocol, own.src, own.sport, own.dst, own.dport)


# Rewriting: nf_nat_packet.


def translate(place: Place, packet: Packet, manip: int) -> None:
    """Rewrites one side of a packet as its connection says."""
    connection = packet.connection
    assert connection is not None
    if _applies(connection, direction_of(packet), manip):
        target = _inverse(connection.tuples[1 - direction_of(packet)])
        rewrite(place, packet, target, manip)


def _applies(connection: Connection, direction: int, manip: int) -> bool:
    """A reply's source is what was the destination."""
    return connection.has(NAT[manip if direction == ORIGINAL else 1 - manip])


def rewrite(
    place: Place, packet: Packet, target: Tuple, manip: int, is_changed: bool = False
) -> None:
    """Leaves a step if that changes anything, or something is changed already."""
    before = _sides(packet, manip)
    _edit(packet, target, manip)
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


def _edit(packet: Packet, target: Tuple, manip: int) -> None:
    address, port = _sides(target, manip)
    if manip == SOURCE and packet.src != address:
        packet.set_src(address)
    elif manip == DESTINATION and packet.dst != address:
        packet.set_dst(address)
    # Linux forgot about DCCP's ports with 6.16.
    has_port = packet.protocol != DCCP or target.sport or target.dport
    if packet.protocol in WITH_PORTS and has_port and _sides(packet, manip)[1] != port:
        if manip == SOURCE:
            packet.set_sport(port)
        else:
            packet.set_dport(port)
    if packet.is_icmp and not _is_error(packet) and packet.sport != port:
        packet.set_sport(port)


def _is_error(packet: Packet) -> bool:
    """Not a query or an answer: its second word is no identifier (icmp_manip_pkt)."""
    kind = packet.dport >> 8
    if packet.family == 4:
        return kind not in (0, 8, 13, 14, 15, 16, 17, 18)
    return kind not in (128, 129)


def translate_error(place: Place, packet: Packet, manip: int) -> None:
    """nf_nat_icmp_reply_translation: an ICMP error about a translated connection.

    What it quotes must look as its receiver sent it, and it must come from, or go to, the
    address that the receiver knows.
    """
    connection, direction = packet.connection, direction_of(packet)
    assert connection is not None
    if packet.is_checksum_wrong() or (_is_redirect(packet) and _is_bound(connection)):
        raise dropped(Reason.NETFILTER_DROP)
    if not _applies(connection, direction, manip):
        return
    other = connection.tuples[1 - direction]
    quoted = quoted_packet(packet)
    if quoted is None or len(quoted.payload) < 8:
        raise dropped(Reason.NETFILTER_DROP)  # tcp_manip_pkt and its like write within eight bytes
    if not packet.is_whole:  # its checksum could not be computed anew
        raise unknown(Reason.CAPTURE_CUT)
    _edit(quoted, other, 1 - manip)
    start = packet.transport.offset + 8
    packet.frame[start : start + len(quoted.ip)] = quoted.ip
    _finish(packet)
    rewrite(place, packet, _inverse(other), manip, is_changed=True)


def _is_redirect(packet: Packet) -> bool:
    return packet.family == 4 and packet.dport >> 8 == REDIRECT


def _is_bound(connection: Connection) -> bool:
    both = Status.SRC_NAT_DONE | Status.DST_NAT_DONE
    return connection.status & both != both or connection.has(Status.SRC_NAT | Status.DST_NAT)


def _finish(packet: Packet) -> None:
    """The ICMP checksum, computed anew."""
    at = packet.transport.offset + 2
    packet.frame[at : at + 2] = b"\0\0"
    covered = packet.payload
    if packet.family == 6:
        covered = pseudo_header(packet.src, packet.dst, ICMPV6, len(covered)) + covered
    packet.frame[at : at + 2] = checksum(covered).to_bytes(2)
