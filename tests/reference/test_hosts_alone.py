"""Frames that are not for this host alone, and addresses that no packet on a link may have."""

import pytest

from _fastpath.reason import Reason, Verdict
from tests import frames as fr
from tests.reference.one_node import CLIENT, INSIDE, SERVER, engine, table
from tests.two_nodes import mac

IPV6 = b"\x86\xdd"


def arriving(packet: bytes, ethertype: bytes, dst: str, rules: str = ""):
    frame = fr.ether(mac(CLIENT), dst, ethertype, packet)
    return engine(rules).run(0, frame, len(frame), ("n", "a"))


@pytest.mark.parametrize("ttl", [64, 1])
@pytest.mark.parametrize("dst", ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"])
def test_a_frame_for_everybody_is_not_routed_and_nobody_is_told(dst: str, ttl: int) -> None:
    packet = fr.ipv4(CLIENT, SERVER, 17, fr.udp(CLIENT, 1000, SERVER, 80), ttl=ttl)
    record = arriving(packet, b"\x08\x00", dst)
    assert (record.verdict, record.reason) == (Verdict.DROPPED, Reason.OTHER_HOST)
    assert not any(tap.outgoing for tap in record.taps)


def test_no_icmp_error_about_a_frame_for_everybody() -> None:
    rules = table("filter", "INPUT -p udp -j REJECT")
    packet = fr.ipv4(CLIENT, INSIDE, 17, fr.udp(CLIENT, 1000, INSIDE, 80))
    record = arriving(packet, b"\x08\x00", "ff:ff:ff:ff:ff:ff", rules)
    assert (record.verdict, record.reason) == (Verdict.DROPPED, Reason.NETFILTER_REJECT)


@pytest.mark.parametrize(
    ("src", "dst"),
    [("ff02::1", "fd00::1"), ("::1", "fd00::1"), ("fd00::2", "::1"), ("fd00::2", "ff01::1")],
)
def test_addresses_that_no_ipv6_packet_on_a_link_may_have(src: str, dst: str) -> None:
    packet = fr.ipv6(src, dst, 17, fr.udp(src, 1000, dst, 80))
    record = arriving(packet, IPV6, mac(INSIDE))
    assert (record.verdict, record.reason) == (Verdict.DROPPED, Reason.IP_HEADER_INVALID)
