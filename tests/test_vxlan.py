"""VXLAN: the outer headers are the specification's, and taking them off gives the frame back."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from _fastpath import vxlan as kernel
from _fastpath.packet import parse
from _fastpath.reason import Reason, Verdict
from dataplane.node.state import Vxlan
from dataplane.reference import vxlan as reference
from dataplane.reference.checksum import checksum, ones_sum, pseudo_header
from dataplane.reference.engine import Engine as ReferenceEngine
from dataplane.reference.packet import UDP, Packet
from dataplane.reference.steps import Ended
from dataplane.replay.fast import FastEngine

from . import frames as fr
from .strategies import IPV4, IPV6, damaged_frames, framed, frames, ports
from .two_nodes import CLIENT, WEB2, mac, two_nodes

SRC, DST = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
MACS = ["0a:00:00:00:00:01", "0a:00:00:00:00:02", "ff:ff:ff:ff:ff:ff"]
inner_frames = frames() | damaged_frames().filter(bool)
tunnels = st.builds(
    Vxlan,
    id=st.sampled_from([0, 1, (1 << 24) - 1]),
    port=st.sampled_from([4789, 8472]),
    udp_csum=st.booleans(),
)


def encapsulate(frame, tunnel, ttl=64, sport=40000, ip_id=1):
    return kernel.encapsulate(
        frame, tunnel.id, int(SRC), int(DST), sport, tunnel.port, ip_id, ttl, tunnel.udp_csum
    )


@given(frames(), tunnels, st.sampled_from([1, 64, 255]), ports, st.integers(1, 0xFFFF))
def test_encapsulate_equals_reference(frame, tunnel, ttl, sport, ip_id):
    expected = reference.encapsulated(Packet(frame), tunnel, SRC, DST, ttl, sport, ip_id)
    assert encapsulate(frame, tunnel, ttl, sport, ip_id) == bytes(expected.frame)


@given(inner_frames.filter(lambda frame: len(frame) >= 14), tunnels)
def test_decapsulate_inverts_encapsulate(frame, tunnel):
    """Whatever the inner frame is: it is refused, if at all, where it is received."""
    assert kernel.decapsulate(encapsulate(frame, tunnel)) == (0, frame)


@st.composite
def arrivals(draw):
    """Encapsulated frames as hostile or congested networks deliver them."""
    outer = bytearray(encapsulate(draw(inner_frames), draw(tunnels)))
    outer[15] = outer[15] & 0xFC | draw(st.integers(0, 3))  # ECN of the outer header
    if draw(st.booleans()):
        size = draw(st.integers(28, len(outer) - 14))  # the tunnel's headers cut off
        del outer[14 + size :]
        outer[16:18] = size.to_bytes(2)
    outer[24:26] = b"\0\0"
    outer[24:26] = checksum(bytes(outer[14:34])).to_bytes(2)
    return bytes(outer)


@given(arrivals(), st.sampled_from(MACS))
def test_decapsulate_equals_reference(outer, own_mac):
    reason, inner = kernel.decapsulate(outer, int(own_mac.replace(":", ""), 16))
    try:
        expected = reference.decapsulated(Packet(outer), own_mac)
    except Ended as end:
        assert reason == end.reason
        return
    assert (reason, inner) == (0, bytes(expected.frame))


def summed(frame):
    """Sum of everything a UDP checksum covers."""
    packet = Packet(frame)
    head = pseudo_header(packet.src, packet.dst, UDP, packet.payload_length)
    return ones_sum(head + packet.payload)


@given(frames(truths=["right"]), tunnels)
def test_the_outer_checksum_is_right_or_zero(frame, tunnel):
    outer = encapsulate(frame, tunnel)
    if tunnel.udp_csum:
        assert summed(outer) == 0xFFFF
    else:
        assert outer[40:42] == b"\0\0"


@pytest.mark.parametrize("protocol, build, at", [(6, fr.tcp, 16), (17, fr.udp, 6)])
def test_a_partial_inner_checksum_is_covered_as_if_finished(protocol, build, at):
    """Local checksum offload: what the device writes inside later is already counted."""
    body = build(IPV4[0], 1000, IPV4[1], 80, payload=b"hello", partial=True)
    finished = build(IPV4[0], 1000, IPV4[1], 80, payload=b"hello")
    outer = encapsulate(framed(fr.ipv4(IPV4[0], IPV4[1], protocol, body)), Vxlan(1))
    start = len(outer) - len(body)
    assert outer[start + at : start + at + 2] == body[at : at + 2]
    assert summed(outer[: start + at] + finished[at : at + 2] + outer[start + at + 2 :]) == 0xFFFF


ECN = {"not-ECT": 0, "ECT(1)": 1, "ECT(0)": 2, "CE": 3}


def with_tos(tos, family=4):
    body = fr.udp(IPV4[0], 1000, IPV4[1], 80)
    if family == 4:
        return framed(fr.ipv4(IPV4[0], IPV4[1], UDP, body, tos=tos))
    ip = bytearray(fr.ipv6(IPV6[0], IPV6[1], UDP, body))
    ip[0:2] = (0x6000 | tos << 4).to_bytes(2)
    return framed(bytes(ip))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    "inner, outer",
    [("not-ECT", "not-ECT"), ("ECT(0)", "ECT(0)"), ("ECT(1)", "ECT(1)"), ("CE", "ECT(0)")],
)
def test_congestion_is_hidden_on_the_way_in(inner, outer, family):
    """RFC 3168 section 9.1.1, full functionality."""
    found = encapsulate(with_tos(0xB8 | ECN[inner], family), Vxlan(1))
    assert found[15] == ECN[outer]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    "inner, told",
    [("not-ECT", None), ("ECT(0)", "CE"), ("ECT(1)", "CE"), ("CE", "CE")],
)
def test_congestion_outside_is_told_inside(inner, told, family):
    """RFC 6040 section 4.2; packets whose ends would not understand are dropped."""
    frame = with_tos(0xB8 | ECN[inner], family)
    outer = bytearray(encapsulate(frame, Vxlan(1)))
    outer[15] |= ECN["CE"]
    outer[24:26] = b"\0\0"
    outer[24:26] = checksum(bytes(outer[14:34])).to_bytes(2)
    reason, found = kernel.decapsulate(bytes(outer))
    if told is None:
        assert reason == Reason.VXLAN_INVALID
    else:
        assert (reason, Packet(found).tos) == (0, 0xB8 | ECN[told])
        assert parse(found)[0] == 0  # the header checksum followed


def test_a_frame_from_the_device_itself_is_dropped():
    frame = with_tos(0)
    outer = encapsulate(frame, Vxlan(1))
    own = int.from_bytes(frame[6:12])
    assert kernel.decapsulate(outer, own)[0] == Reason.ADDRESS_LEARNED_LOCAL


def test_what_does_not_fit_into_a_datagram_is_refused():
    longest = b"\0" * (0xFFFF - 36)
    assert len(encapsulate(longest, Vxlan(1))) == 14 + 0xFFFF
    with pytest.raises(ValueError, match="too long"):
        encapsulate(longest + b"\0", Vxlan(1))


@given(frames())
def test_decapsulate_refuses_what_is_no_udp(frame):
    packet = Packet(frame)
    assume(packet.protocol != UDP)
    with pytest.raises(ValueError, match="not a UDP packet"):
        kernel.decapsulate(frame)


def test_a_tunnel_that_is_not_modelled_decides():
    """`ip link` shows an external, group policy or TTL-inheriting device without its settings."""
    nodes = two_nodes()
    for name, state in nodes.items():
        links = tuple(replace(link, vxlan=None) for link in state.links)
        nodes[name] = replace(state, links=links)
    ip = fr.ipv4(CLIENT, WEB2, 6, fr.tcp(CLIENT, 1000, WEB2, 80))
    frame = fr.ether(mac(CLIENT), mac("10.244.1.1"), b"\x08\x00", ip)
    for engine in (FastEngine(nodes), ReferenceEngine(nodes)):
        record = engine.run(0, frame, len(frame), ("node-a", "veth-client"))
        ended = (record.verdict, record.reason, record.place)
        assert ended == (Verdict.UNKNOWN, Reason.UNDERLAY_UNMODELLED, ("node-a", None))
