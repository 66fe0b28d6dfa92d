"""-m connlimit: how many connections have an address in common, each rule for itself.

nf_conncount.c, v6.18.44.  A packet puts its connection on the list of its masked address and zone,
unless it is there; one that is assured already (it has seen replies) is not put there, but is held
against those that are.  Whoever is on a list and is no connection any more, or a TCP connection
that is over, is taken off when the list is looked through: once in a tick at most, unless it has
grown by 64.  A packet whose list is empty in the end is dropped.
"""

from ipaddress import ip_network
from typing import NamedTuple

from _fastpath.reason import Reason
from dataplane.node.state import Address
from dataplane.reference.conntrack_table import ORIGINAL, Connection, Status
from dataplane.reference.conntrack_tuple import Tuple, tuple_of
from dataplane.reference.conntrack_window import TcpState
from dataplane.reference.match_words import Options, Unmodelled, Where, by_name, tick
from dataplane.reference.memory import Counted, CountedList
from dataplane.reference.packet import TCP, WITH_PORTS, Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import dropped

COLLECT_MAX = 64  # CONNCOUNT_GC_MAX_COLLECT
KNOWN = tuple(f"--connlimit-{name}" for name in ("upto", "above", "mask", "saddr", "daddr"))


class Limit(NamedTuple):
    most: int
    is_upto: bool
    prefix: int
    by_destination: bool


def answer(place: Place, where: Where, options: Options, packet: Packet) -> bool:
    """xt_connlimit.c, connlimit_mt"""
    limit = _limit(options, place.family)
    lists = place.node.counted.setdefault((place.family, *where), {})
    try:
        asked, zone, connection = _asked(place, packet)
    except Unmodelled:  # some connection was counted, and it is not known which
        place.node.uncertain.add((place.family, *where))
        raise
    key = _network(packet.dst if limit.by_destination else packet.src, limit.prefix), zone
    own = lists.get(key)
    if own is None:
        own = lists[key] = CountedList(tick(place), [asked])
    else:
        _add(place, own, asked, connection)
    if not own.held:
        raise dropped(Reason.NETFILTER_DROP)
    return (len(own.held) > limit.most) != limit.is_upto


def _limit(options: Options, family: int) -> Limit:
    asked = by_name(options, *KNOWN)
    bits = 32 if family == 4 else 128
    rates = [asked[name] for name in KNOWN[:2] if name in asked]
    prefix = int(asked["--connlimit-mask"].values[0]) if "--connlimit-mask" in asked else bits
    if len(rates) != 1 or not 0 <= prefix <= bits or asked.keys() >= set(KNOWN[3:]):
        raise Unmodelled
    most = int(rates[0].values[0])
    if not 0 <= most < 1 << 32:
        raise Unmodelled
    is_upto = (rates[0].name == "--connlimit-upto") != rates[0].negated
    return Limit(most, is_upto, prefix, "--connlimit-daddr" in asked)


def _network(address: Address, prefix: int) -> Address:
    return ip_network((address, prefix), strict=False).network_address


def _asked(place: Place, packet: Packet) -> tuple[Counted, int, Connection | None]:
    """get_ct_or_tuple_from_skb: what is counted, the zone of its list, and the connection if
    there is one."""
    connection = packet.connection
    if connection is not None:
        zones = connection.zones
        return _of(connection), zones[0] or zones[1], connection
    tuple_ = _tuple(place, packet)
    zone, zones = 0, (0, 0)
    if packet.has_template and packet.ctinfo is None and not packet.zone_is_mark:
        zone, ways = packet.zone, packet.zone_directions
        zones = zone if "original" in ways else 0, zone if "reply" in ways else 0
    found = place.node.conntrack.find_in_zones(tuple_, zones, place.now_ns)
    # As it looks from here: an answer counts for itself (6.18).
    return Counted(tuple_, zones), zone, found[0] if found else None


def _tuple(place: Place, packet: Packet) -> Tuple:
    """nf_ct_get_tuplepr.  Ports are four bytes, whether or not the rest of their header is there;
    whoever has none is dropped."""
    tuple_ = tuple_of(packet, place.node.tracks_dccp) if packet.is_first else None
    if tuple_:
        return tuple_
    needed = 8 if packet.is_icmp else 4
    has_fields = packet.is_icmp or packet.protocol in WITH_PORTS
    if not packet.is_first or not has_fields or packet.payload_length < needed:
        raise dropped(Reason.NETFILTER_DROP)
    if len(packet.payload) < needed:
        raise Unmodelled  # the capture does not hold them
    sport, dport = (int.from_bytes(packet.payload[at : at + 2]) for at in (0, 2))
    return Tuple(packet.protocol, packet.src, sport, packet.dst, dport)


def _of(connection: Connection) -> Counted:
    return Counted(connection.tuples[ORIGINAL], connection.zones)


def _add(place: Place, own: CountedList, asked: Counted, connection: Connection | None) -> None:
    """__nf_conncount_add"""
    is_confirmed = connection is not None and connection.has(Status.CONFIRMED)
    if connection is not None and is_confirmed and connection.has(Status.ASSURED):
        if own.held and own.collected != tick(place):
            _collect(place, own, None)
        return
    has_grown = len(own.held) - own.collected_count >= COLLECT_MAX
    if (is_confirmed or own.collected != tick(place) or has_grown) and _collect(place, own, asked):
        return
    own.held.append(asked)


def _collect(place: Place, own: CountedList, wanted: Counted | None) -> bool:
    """Forgets connections that are gone or closed, some at a time; whether `wanted` is there.

    Without `wanted` (__nf_conncount_gc_list) more than some are forgotten, as long as no other
    stands between them.
    """
    collected = 0
    for one in list(own.held):
        if wanted and collected > COLLECT_MAX:
            break
        found = place.node.conntrack.find_in_zones(one.original, one.zones, place.now_ns)
        connection = found[0] if found else None
        if wanted and connection and _is_same(one, connection, wanted):
            return True
        if connection is None or _is_closed(connection):
            own.held.remove(one)
            collected += 1
        elif not wanted and collected > COLLECT_MAX:
            break
    own.collected, own.collected_count = tick(place), len(own.held)
    return False


def _is_same(one: Counted, connection: Connection, wanted: Counted) -> bool:
    is_tuple = one.original._replace(zone=0) == wanted.original._replace(zone=0)
    return is_tuple and connection.zones[ORIGINAL] == wanted.zones[ORIGINAL]


def _is_closed(connection: Connection) -> bool:
    """already_closed"""
    is_tcp = connection.tuples[ORIGINAL].protocol == TCP
    return is_tcp and connection.tcp.state in (TcpState.TIME_WAIT, TcpState.CLOSE)
