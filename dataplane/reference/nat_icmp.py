"""ICMP errors about translated connections: nf_nat_icmp_reply_translation."""

from _fastpath.reason import Reason
from dataplane.reference.checksum import checksum, pseudo_header
from dataplane.reference.conntrack import direction_of
from dataplane.reference.conntrack_table import Connection, Status
from dataplane.reference.conntrack_tuple import quoted_packet
from dataplane.reference.nat import applies, check_gre, edit, rewrite
from dataplane.reference.nat_tuple import inverse
from dataplane.reference.packet import DCCP, ETHER_SIZE, GRE, ICMPV6, SCTP, TCP, WITH_PORTS, Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import dropped, unknown

REDIRECT = 5  # ICMP


def translate_error(place: Place, packet: Packet, manip: int) -> None:
    """nf_nat_icmp_reply_translation: an ICMP error about a translated connection.

    What it quotes must look as its receiver sent it, and it must come from, or go to, the
    address that the receiver knows.
    """
    connection, direction = packet.connection, direction_of(packet)
    assert connection is not None
    packet.pull(28 if packet.family == 4 else 48)
    if packet.is_checksum_wrong() or (_is_redirect(packet) and _is_bound(connection)):
        raise dropped(Reason.NETFILTER_DROP)
    if not applies(connection, direction, manip):
        return
    other = connection.tuples[1 - direction]
    quoted = quoted_packet(packet)
    if quoted is None or (_is_written(place, quoted) and len(quoted.payload) < 8):
        raise dropped(Reason.NETFILTER_DROP)
    if quoted.protocol == GRE:
        check_gre(quoted.payload, len(quoted.payload), 1 - manip)
    if not packet.is_whole:  # its checksum could not be computed anew
        raise unknown(Reason.CAPTURE_CUT)
    packet.pull(8 + quoted.transport.offset - ETHER_SIZE + _written(place, quoted))
    edit(quoted, other, 1 - manip)
    start = packet.transport.offset + 8
    packet.frame[start : start + len(quoted.ip)] = quoted.ip
    _finish(packet)
    rewrite(place, packet, inverse(other), manip, is_changed=True)


def _is_written(place: Place, quoted: Packet) -> bool:
    """tcp_manip_pkt and its like write within eight bytes."""
    if quoted.protocol == DCCP:
        return place.node.tracks_dccp
    return quoted.protocol in WITH_PORTS or quoted.is_icmp or quoted.protocol == GRE


def _written(place: Place, quoted: Packet) -> int:
    """Bytes of the quoted transport header that the manip_pkt of its protocol wants."""
    whole = {TCP: 20, SCTP: 12}.get(quoted.protocol, 8)
    if not _is_written(place, quoted):
        return 0
    return whole if len(quoted.payload) >= whole else 8


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
