"""UDP, UDPLITE and GRE in conntrack: two timeouts, the longer for what is answered.

nf_conntrack_proto_udp.c and nf_conntrack_proto_gre.c, v6.18.
"""

from dataplane.reference.checksum import checksum, pseudo_header
from dataplane.reference.packet import GRE, UDP, UDPLITE, Packet

SECOND = 10**9
STREAM_AFTER = 2 * SECOND
# name of the setting, and its two defaults
TIMEOUTS = {UDP: ("udp", 30, 120), UDPLITE: ("udp", 30, 120), GRE: ("gre", 30, 180)}


def is_sound(packet: Packet) -> bool:
    """udp_error, udplite_error: lengths; and UDPLITE must have a checksum (RFC 3828)."""
    if packet.protocol == GRE:
        return True
    at = packet.transport.offset
    length = packet.word(at + 4)
    if packet.protocol == UDP:
        return 8 <= length <= packet.payload_length
    return packet.word(at + 6) != 0 and (length == 0 or 8 <= length <= packet.payload_length)


def is_broken(packet: Packet) -> bool:
    """udplite_error: the checksum over what it covers.

    Linux takes UDP's number for the pseudo-header, where RFC 3828 has UDPLITE's: what is right
    is wrong to it (v6.18).
    """
    data = packet.payload
    if len(data) < 8 or packet.is_fragment or not packet.is_whole or not is_sound(packet):
        return False
    covered = data[: int.from_bytes(data[4:6]) or len(data)]
    return checksum(pseudo_header(packet.src, packet.dst, UDP, len(data)) + covered) != 0


def is_stream(protocol: int, is_answered: bool, stream_ns: int, now_ns: int) -> bool:
    """Two seconds after it began, what is answered is a stream; without UDP's patience, at once."""
    return is_answered and (protocol != UDP or now_ns > stream_ns)
