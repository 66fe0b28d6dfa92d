"""What ip_rcv refuses."""

import pytest

from _fastpath.reason import Reason
from dataplane.reference.headers import refusal
from dataplane.reference.packet import Packet
from tests import frames as fr

MACS = ("0a:00:00:00:00:01", "0a:00:00:00:00:02")
UDP = fr.ipv4("10.0.0.1", "10.0.0.2", 17, fr.udp("10.0.0.1", 1, "10.0.0.2", 2, b"data"))
UDP6 = fr.ipv6("fd00::1", "fd00::2", 17, fr.udp("fd00::1", 1, "fd00::2", 2, b"data"))


def frame(ip, ethertype=b"\x08\x00"):
    return fr.ether(*MACS, ethertype, ip)


def changed(ip, at, value):
    return ip[:at] + bytes([value]) + ip[at + 1 :]


def fixed(ip):
    """With the header's checksum right again."""
    zeroed = ip[:10] + b"\0\0" + ip[12:]
    return zeroed[:10] + fr.checksum(zeroed[:20]).to_bytes(2) + zeroed[12:]


@pytest.mark.parametrize(
    ("data", "length", "reason"),
    [
        (frame(UDP), None, None),
        (frame(UDP) + bytes(20), None, None),  # padding
        (frame(UDP6, b"\x86\xdd"), None, None),
        (frame(UDP[:19]), None, Reason.IP_HEADER_INVALID),
        (frame(UDP[:19]), 60, Reason.CAPTURE_CUT),
        (frame(changed(UDP, 0, 0x55)), None, Reason.IP_HEADER_INVALID),
        (frame(changed(UDP, 0, 0x44)), None, Reason.IP_HEADER_INVALID),
        (frame(UDP[:-1]), None, Reason.IP_HEADER_INVALID),  # shorter than it says
        (frame(UDP[:-1]), 46, None),  # cut by the capture
        (frame(fixed(changed(UDP, 3, 19))), None, Reason.IP_HEADER_INVALID),
        (frame(changed(UDP, 8, 9)), None, Reason.IP_CHECKSUM_WRONG),
        (frame(UDP[:26]), 46, Reason.CAPTURE_CUT),  # half a UDP header
        (frame(fr.ipv4("10.0.0.1", "10.0.0.2", 17, b"abc")), None, None),  # the wire had no more
        (frame(changed(UDP6, 0, 0x40), b"\x86\xdd"), None, Reason.IP_HEADER_INVALID),
        (frame(UDP6[:-1], b"\x86\xdd"), None, Reason.IP_HEADER_INVALID),
        (frame(UDP6[:39], b"\x86\xdd"), 66, Reason.CAPTURE_CUT),
    ],
)
def test_refusal(data, length, reason):
    found = refusal(Packet(data, length))
    assert (found.reason if found else None) == reason
