"""Who speaks to whom in a frame of a capture, before it is walked."""

from dataplane.reference.choice import Fields
from dataplane.reference.headers import refusal
from dataplane.reference.packet import Packet


def five_tuple(frame: bytes, length: int) -> tuple[Fields, int, bool]:
    """What the headers say, the TCP flags, and whether it is a fragment.

    frame   in Ethernet form, as far as it was captured
    length  of it on the wire
    returns  empty fields for a packet that is refused, or is not IP
    """
    packet = Packet(frame, length)
    if len(frame) < 14 or not packet.family or refusal(packet):
        return Fields(), 0, False
    return packet.fields, packet.tcp_flags, packet.is_fragment
