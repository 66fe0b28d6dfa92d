"""What stands at a netfilter hook, in the order of its priority.

defragmentation -400 · raw -300 · conntrack -200 · mangle -150 · destination NAT -100
· filter 0 · security 50 · source NAT 100 · conntrack's confirmation, last
"""

from collections.abc import Callable

from _fastpath.reason import Reason
from _fastpath.trace import StepKind
from dataplane.reference import conntrack, fragments, nat, nat_icmp, netfilter, targets
from dataplane.reference.conntrack import direction_of
from dataplane.reference.conntrack_table import ORIGINAL, Connection, CtInfo, Status
from dataplane.reference.packet import SCTP, Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import dropped


def run(place: Place, packet: Packet, route_again: Callable[[], None]) -> None:
    """Raises Ended, or netfilter.Rejected.

    route_again  called where OUTPUT changed what the packet's route was asked with
    """
    rules = netfilter.ruleset(place.node.state, place.family)
    is_tracked = place.node.is_tracked[place.family]
    gathers = place.node.gathers_fragments[place.family]
    if gathers and place.hook in ("PREROUTING", "OUTPUT"):
        fragments.gather(
            place.node, packet, _fragment_user(place, packet), place.in_device, place.now_ns,
            place.trace,
        )  # fmt: skip
    for table in netfilter.BEFORE_CONNTRACK:
        _walk_table(place, table, packet)
    if is_tracked and place.hook in ("PREROUTING", "OUTPUT"):
        _track(place, packet)
    for table in netfilter.tables_after_conntrack(place.hook, rules.flavour):
        before = _asked(packet, table)
        if table == "nat":
            if "nat" in rules.tables and place.hook != "FORWARD":
                _translate(place, packet)
        else:
            _walk_table(place, table, packet)
        if place.hook == "OUTPUT" and _asked(packet, table) != before:
            route_again()
    if is_tracked and place.hook in ("INPUT", "POSTROUTING"):
        conntrack.confirm(place.node, packet, place.now_ns)


def _asked(packet: Packet, table: str) -> tuple[object, ...]:
    """What a table may change and makes the packet's route be asked for again: ipt_mangle_out,
    ip6t_mangle_out, nf_nat_ipv4_local_fn."""
    if table == "nat":
        return (packet.dst,)
    if table != "mangle":
        return ()
    hop_limit = packet.ttl if packet.family == 6 else 0
    return packet.src, packet.dst, packet.mark, packet.tos, hop_limit


def _fragment_user(place: Place, packet: Packet) -> int:
    """nf_ct_defrag_user."""
    if place.hook == "OUTPUT":
        return fragments.OUT
    return fragments.IN if packet.bridge_port is None else fragments.BRIDGE


def _walk_table(place: Place, table: str, packet: Packet) -> str:
    """targets.ACCEPT or BYPASS."""
    rules = netfilter.ruleset(place.node.state, place.family)
    found = netfilter.base_chain(rules, table, place.hook)
    return netfilter.walk(place, *found, packet) if found else targets.ACCEPT


def _track(place: Place, packet: Packet) -> None:
    arrives = place.hook == "PREROUTING"
    if packet.ctinfo is None and packet.protocol == SCTP:
        packet.pull(12)  # sctp_error
    ctinfo = conntrack.track(place.node, packet, place.now_ns, arrives)
    if ctinfo is not None:
        place.trace.step(StepKind.STEP_CONNTRACK, place.node.name, number=int(ctinfo))


def _has_moved(place: Place, packet: Packet, connection: Connection) -> bool:
    """nf_nat_oif_changed: it leaves by another device than the one whose address it was given."""
    is_way_out = place.hook == "POSTROUTING" and direction_of(packet) == ORIGINAL
    is_masqueraded = connection.masqueraded_by is not None and connection.has(Status.CONFIRMED)
    return is_way_out and is_masqueraded and connection.masqueraded_by != place.out_device


def _translate(place: Place, packet: Packet) -> None:
    """nf_nat_inet_fn.  The nat table's rules see what opens a connection, once per side;
    after that the connection knows."""
    connection, manip = packet.connection, nat.manip_of(place.hook)
    if connection is None:
        return
    is_related = packet.ctinfo in (CtInfo.RELATED, CtInfo.RELATED_REPLY)
    if is_related and packet.is_icmp:
        nat_icmp.translate_error(place, packet, manip)
        return
    if (is_related or packet.ctinfo == CtInfo.NEW) and not nat.is_set_up(connection, manip):
        if _walk_table(place, "nat", packet) == targets.BYPASS:
            return  # it hears NF_QUEUE: nothing is set up
        if not nat.is_set_up(connection, manip):
            nat.set_up_null(place, connection, manip)
    elif _has_moved(place, packet, connection):
        place.node.conntrack.remove(connection)
        packet.connection = None
        raise dropped(Reason.NETFILTER_DROP)
    nat.translate(place, packet, manip)
