"""Which tuple a translated connection gets: nf_nat_core.c, get_unique_tuple, v6.18.

1. the tuple as it is, if the range allows it and no other connection answers to it
2. the mapping that this source already has, if it is free for this destination
3. the range's address with the port as it is, if free
4. a port of the range, searched from a random offset
"""

from typing import NamedTuple

from dataplane.node.state import Address
from dataplane.reference.choice import Fields
from dataplane.reference.conntrack_table import ORIGINAL, REPLY, Connection, Status
from dataplane.reference.conntrack_tuple import Tuple
from dataplane.reference.conntrack_window import TcpState
from dataplane.reference.nat_range import best_address
from dataplane.reference.packet import DCCP, ICMP, ICMPV6, TCP, UDP, UDPLITE, WITH_PORTS
from dataplane.reference.place import Place

SOURCE, DESTINATION = 0, 1  # enum nf_nat_manip_type
MOST_ATTEMPTS = 128  # NF_NAT_MAX_ATTEMPTS
ALLOW_CLASH = (UDP, UDPLITE)  # of those with ports
LAST_ATTEMPTS = 32  # NF_NAT_HARDER_THRESH


class Range(NamedTuple):
    """What a target asks for (struct nf_nat_range2)."""

    address: Address | None = None  # None: any
    ports: tuple[int, int] | None = None  # first and last
    is_random: bool = False  # --random, --random-fully: do not try to keep the port
    last: Address | None = None  # of a range of addresses; None: there is but one
    is_persistent: bool = False
    base: int | None = None  # the port that stands for the first of `ports`


def inverse(of: Tuple) -> Tuple:
    inverted = of.inverted()
    assert inverted is not None  # a connection's tuples have inverses
    return inverted


def unique(
    place: Place, connection: Connection, current: Tuple, wanted: Range, manip: int
) -> Tuple:
    if manip == SOURCE and not wanted.is_random:
        if _is_inside(current, wanted):
            if not is_used(place, current, connection) or _is_mirrored(place, current, connection):
                return current
        else:
            known = _known_source(place, connection, current, wanted)
            if known and not is_used(place, known, connection):
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
    if not _is_ported(own):
        return True
    return ports[0] <= port(own, manip) <= ports[1]


def _is_ported(own: Tuple) -> bool:
    """There is a number to vary, and conntrack knows it: Linux forgot about DCCP's with 6.16."""
    if own.protocol == DCCP:
        return bool(own.sport or own.dport)
    return own.protocol in WITH_PORTS or own.protocol in (ICMP, ICMPV6)


def port(own: Tuple, manip: int) -> int:
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
            mapped = inverse(other.tuples[REPLY])
            candidate = own._replace(src=mapped.src, sport=mapped.sport)
            if _is_inside(candidate, wanted):
                return candidate
    return None


def is_used(place: Place, candidate: Tuple, connection: Connection) -> bool:
    """Would the reply be taken for another connection's?"""
    return place.node.conntrack.is_taken(inverse(candidate), connection, place.now_ns)


def _is_mirrored(place: Place, candidate: Tuple, connection: Connection) -> bool:
    """nf_nat_used_tuple_new: it clashes with what is its own other direction, in another zone.
    Then it keeps its ports, and the clash is found when it is confirmed."""
    if candidate.protocol not in ALLOW_CLASH:
        return False
    table, zones = place.node.conntrack, connection.zones
    found = table.find_in_zones(candidate, zones, place.now_ns) or table.find_in_zones(
        inverse(candidate), zones, place.now_ns
    )
    if found is None:
        return True
    other = found[0]
    if other.has(Status.SRC_NAT | Status.DST_NAT):
        return False
    return [own._replace(zone=0) for own in other.tuples] == [
        own._replace(zone=0) for own in reversed(connection.tuples)
    ]


def _is_used_harder(
    place: Place, candidate: Tuple, connection: Connection, attempts_left: int
) -> bool:
    """nf_nat_used_tuple_harder: in its last attempts a new TCP connection takes the place of a
    closed one."""
    is_new = candidate.protocol == TCP and connection.tcp.state == TcpState.SYN_SENT
    if attempts_left > LAST_ATTEMPTS or not is_new:
        return is_used(place, candidate, connection)
    table = place.node.conntrack
    found = table.find_in_zones(inverse(candidate), connection.zones, place.now_ns)
    if found is None:
        return False
    old, direction = found
    if direction == ORIGINAL or not _may_evict(old, connection):
        return True
    table.remove(old)
    return old.has(Status.OFFLOAD | Status.HW_OFFLOAD)


def _may_evict(old: Connection, new: Connection) -> bool:
    """nf_nat_may_kill, nf_seq_has_advanced: its late segments would be out of the window of the
    new one."""
    if old.tcp.state < TcpState.TIME_WAIT or old.has(Status.FIXED_TIMEOUT | Status.DYING):
        return False
    advance = (new.tcp.seen[0].end - old.tcp.seen[0].end) & 0xFFFFFFFF
    return old.has(Status.SRC_NAT) and 0 < advance < 1 << 31


def _may_keep_port(
    place: Place, connection: Connection, moved: Tuple, wanted: Range, manip: int
) -> bool:
    if wanted.ports is None:
        return not is_used(place, moved, connection)
    return (
        wanted.base is None
        and _is_port_inside(moved, wanted.ports, manip)
        and (wanted.ports[0] == wanted.ports[1] or not is_used(place, moved, connection))
    )


def _search(place: Place, connection: Connection, moved: Tuple, wanted: Range, manip: int) -> Tuple:
    """nf_nat_l4proto_unique_tuple: probe from somewhere, with ever fewer attempts.  When
    none is free the last one tried is kept, and clashes when it is confirmed."""
    ports = _ports_to_search(moved, wanted, manip)
    if ports is None:
        return moved
    first, size = ports[0], ports[1] - ports[0] + 1
    offset = _first_offset(place, connection, moved, wanted, manip, first)
    attempts, attempt = min(size, MOST_ATTEMPTS), 0
    while True:
        for i in range(attempts):
            moved = _with_port(moved, first + (offset + i & 0xFFFF) % size, manip)
            if not _is_used_harder(place, moved, connection, attempts - i):
                return moved
        if attempts >= size:
            # Linux is left with the port before the offset.  Both are chance's, and here the draw
            # says with which one it ends.
            last = offset if _is_drawn(wanted, manip) else offset + size - 1
            return _with_port(moved, first + (last & 0xFFFF) % size, manip)
        if attempts < 16:
            return moved
        attempts //= 2
        attempt += 1
        offset = _drawn(place, connection, manip, first, attempt)


def _first_offset(
    place: Place, connection: Connection, moved: Tuple, wanted: Range, manip: int, first: int
) -> int:
    if wanted.base is not None:
        return port(moved, manip) - wanted.base & 0xFFFF
    if not _is_drawn(wanted, manip):
        return 0
    return _drawn(place, connection, manip, first, 0)


def _is_drawn(wanted: Range, manip: int) -> bool:
    return wanted.base is None and (manip == SOURCE or wanted.is_random)


def _ports_to_search(moved: Tuple, wanted: Range, manip: int) -> tuple[int, int] | None:
    """None: nothing to vary."""
    if not _is_ported(moved):
        return None
    if wanted.ports is not None:
        return min(wanted.ports), max(wanted.ports)
    if moved.protocol in (ICMP, ICMPV6):
        return 0, 65535
    if manip == DESTINATION:  # a destination's port is never changed unasked
        return None
    if moved.sport >= 1024:
        return 1024, 65535
    return (1, 511) if moved.sport < 512 else (600, 1023)


def _drawn(place: Place, connection: Connection, manip: int, first: int, attempt: int) -> int:
    fields = original_fields(connection)
    return place.choices.nat_offset(place.node.name, fields, manip, first, attempt)


def original_fields(connection: Connection) -> Fields:
    own = connection.tuples[ORIGINAL]
    return Fields(own.src.version, own.protocol, own.src, own.sport, own.dst, own.dport)
