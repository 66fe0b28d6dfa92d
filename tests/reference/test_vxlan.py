"""VXLAN: outer headers, and what is refused when they come off."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath.reason import Reason
from dataplane.node.state import FdbEntry, Vxlan
from dataplane.reference.choice import ChoiceKind, Fields, choice_key, identity
from dataplane.reference.engine import Engine
from dataplane.reference.packet import Packet
from dataplane.reference.steps import Ended
from dataplane.reference.vxlan import decapsulated, encapsulated, flow_of, outer_tos, receiver
from tests import frames as fr
from tests.two_nodes import CLIENT, NODE_A, NODE_B, WEB2, mac, two_nodes

SETTINGS = Vxlan(1, udp_csum=False)
IPV4 = b"\x08\x00"


def inner(tos=0, partial=False, fragment=0, payload=b"abc"):
    body = fr.tcp(CLIENT, 40000, WEB2, 8080, payload=payload, partial=partial)
    ip = fr.ipv4(CLIENT, WEB2, 6, body, tos=tos, fragment=fragment)
    return Packet(fr.ether("0a:00:00:00:00:01", "0a:00:00:00:00:02", IPV4, ip))


def wrap(packet, settings=SETTINGS):
    return encapsulated(packet, settings, NODE_A, NODE_B, 64, 50000, 77)


def test_outer_headers():
    """RFC 7348, section 5."""
    frame = inner()
    outer = wrap(frame)
    assert (outer.src, outer.dst, outer.protocol, outer.ttl) == (NODE_A, NODE_B, 17, 64)
    assert (outer.sport, outer.dport, outer.word(18), outer.dont_fragment) == (
        50000,
        8472,
        77,
        False,
    )
    assert outer.payload[4:8] == (16 + len(frame.frame)).to_bytes(2) + b"\0\0"
    assert outer.payload[8:16] == b"\x08\0\0\0\0\0\x01\0"
    assert outer.length == frame.length + 50


@given(st.booleans(), st.binary(max_size=40), st.integers(0, 30))
def test_decapsulation_inverts_encapsulation(partial, payload, cut):
    before = inner(partial=partial, payload=payload)
    del before.frame[max(len(before.frame) - cut, 14) :]
    after = decapsulated(wrap(before), "0a:00:00:00:00:99")
    assert (after.frame, after.length) == (before.frame, before.length)


@pytest.mark.parametrize("partial", [False, True])
def test_outer_checksum(partial):
    """Where the inner one is left to the device, the outer covers what it will become."""
    outer = wrap(inner(partial=partial), replace(SETTINGS, udp_csum=True))
    finished = wrap(inner(), replace(SETTINGS, udp_csum=True))
    assert not finished.is_checksum_wrong()
    assert outer.payload[6:8] == finished.payload[6:8]


def test_no_checksum_over_what_was_not_captured():
    cut = inner()
    del cut.frame[-1:]
    with pytest.raises(Ended) as end:
        wrap(cut, replace(SETTINGS, udp_csum=True))
    assert end.value.reason == Reason.CAPTURE_CUT


@pytest.mark.parametrize(
    ("tos", "inside", "expected"),
    [(0, 0, 0), (0, 3, 2), (0, 2, 2), (0x20, 1, 0x21), (1, 0xB8, 0xB8), (1, 0xBB, 0xBA)],
)
def test_tos(tos, inside, expected):
    """1 inherits.  Congestion inside is not told outside (RFC 3168, section 9.1.1)."""
    assert outer_tos(replace(SETTINGS, tos=tos), inner(tos=inside)) == expected


@pytest.mark.parametrize(
    ("df", "inside", "expected"),
    [("unset", 0x4000, False), ("set", 0, True), ("inherit", 0x4000, True), ("inherit", 0, False)],
)
def test_df(df, inside, expected):
    outer = wrap(inner(fragment=inside), replace(SETTINGS, df=df))
    assert outer.dont_fragment is expected


@pytest.mark.parametrize(
    ("outer", "inside", "expected"),
    [(0, 0, 0), (3, 2, 3), (3, 1, 3), (2, 0, 0), (3, 0, None), (0, 3, 3)],
)
def test_congestion_is_told_inside(outer, inside, expected):
    """RFC 6040, figure 4."""
    packet = wrap(inner(tos=inside))
    packet.set_tos(outer)
    if expected is None:
        with pytest.raises(Ended):
            decapsulated(packet, "")
        return
    after = decapsulated(packet, "")
    assert after.tos == expected
    assert fr.checksum(bytes(after.frame[14:34])) == 0


def header(packet, at, value):
    packet.frame[packet.transport.offset + 8 + at] = value
    return packet


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (wrap(inner()), None),
        (header(wrap(inner()), 0, 0), Reason.VXLAN_INVALID),
        (header(wrap(inner()), 0, 0x18), Reason.VXLAN_INVALID),
        (header(wrap(inner()), 7, 1), Reason.VXLAN_INVALID),
        (header(wrap(inner()), 6, 2), Reason.VXLAN_UNKNOWN_VNI),
        (wrap(Packet(bytes(13))), None),
        (
            Packet(
                fr.ether(
                    mac(NODE_A),
                    mac(NODE_B),
                    IPV4,
                    fr.ipv4(NODE_A, NODE_B, 17, fr.udp(NODE_A, 1, NODE_B, 8472, b"short")),
                )
            ),
            Reason.VXLAN_INVALID,
        ),
    ],
)
def test_headers(packet, reason):
    links = two_nodes()["node-b"].links
    if reason is None:
        assert receiver(links, packet).name == "flannel.1"
        return
    with pytest.raises(Ended) as end:
        receiver(links, packet)
    assert end.value.reason == reason


def test_other_ports_are_no_tunnel():
    packet = wrap(inner(), replace(SETTINGS, port=4789))
    assert receiver(two_nodes()["node-b"].links, packet) is None


@pytest.mark.parametrize(
    ("packet", "mac_address", "reason"),
    [
        (wrap(Packet(bytes(13))), "", Reason.VXLAN_INVALID),
        (wrap(inner()), "0a:00:00:00:00:01", Reason.ADDRESS_LEARNED_LOCAL),
    ],
)
def test_inner_frames_that_are_refused(packet, mac_address, reason):
    with pytest.raises(Ended) as end:
        decapsulated(packet, mac_address)
    assert end.value.reason == reason


# In the cluster.


def to_web2(changes=None, **node_changes):
    nodes = two_nodes("")
    state = nodes["node-a"]
    links = tuple(
        replace(link, vxlan=replace(link.vxlan, **(changes or {}))) if link.vxlan else link
        for link in state.links
    )
    nodes["node-a"] = replace(state, **{"links": links, **node_changes})
    ip = fr.ipv4(CLIENT, WEB2, 6, fr.tcp(CLIENT, 40000, WEB2, 8080), fragment=0x4000)
    frame = fr.ether(mac(CLIENT), mac("10.244.1.1"), IPV4, ip)
    return nodes, frame


def run(nodes, frame, **options):
    return Engine(nodes, **options).run(0, frame, len(frame), ("node-a", "veth-client"))


def outer_of(record):
    return next(Packet(t.frame) for t in record.taps if t.outgoing and t.device == "eth0")


def test_choices_may_be_fed():
    flow = Fields(4, 6, CLIENT, 40000, WEB2, 8080)
    node = identity("node-a")
    fed = {
        choice_key(0, ChoiceKind.VXLAN_PORT, node, flow, 0): [55555],
        choice_key(0, ChoiceKind.IP_ID, node, flow, 0): [99],
    }
    outer = outer_of(run(*to_web2(), choices=fed))
    assert (outer.sport, outer.word(18)) == (55555, 99)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, Reason.HOST),
        ({"local": None}, Reason.HOST),
        ({"link": "cni0"}, Reason.NO_ROUTE),
        ({"port": 4789}, Reason.LOCAL_PROCESS),  # the other node does not listen there
        ({"id": 7}, Reason.VXLAN_UNKNOWN_VNI),
    ],
)
def test_settings(changes, reason):
    assert run(*to_web2(changes)).reason == reason


@pytest.mark.parametrize(
    ("dst", "reason"),
    [
        (None, Reason.VXLAN_NO_REMOTE),
        ("fd00::1", Reason.UNDERLAY_UNMODELLED),
        ("8.8.8.8", Reason.NEIGHBOUR_UNKNOWN),
    ],
)
def test_remotes(dst, reason):
    entries = (FdbEntry(mac("10.244.2.0"), "flannel.1", dst=ip_address(dst)),) if dst else ()
    assert run(*to_web2(fdb=entries)).reason == reason


def test_a_default_remote():
    assert run(*to_web2({"remote": NODE_B}, fdb=())).reason == Reason.HOST


def test_tunnels_within_tunnels_end():
    """The overlay's underlay is the overlay."""
    nodes, frame = to_web2({"link": None, "local": CLIENT})
    loop = FdbEntry(mac("10.244.2.0"), "flannel.1", dst=ip_address("10.244.2.9"))
    nodes["node-a"] = replace(nodes["node-a"], fdb=(loop,))
    assert run(nodes, frame).reason == Reason.TUNNEL_LOOP


def test_the_mark_goes_with_the_outer_packet():
    nodes, frame = to_web2()
    rules = (
        "*mangle\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A FORWARD -j MARK --set-xmark 0x7\n"
        "-A OUTPUT -m mark --mark 0x7 -j DROP\nCOMMIT\n"
    )
    nodes["node-a"] = replace(nodes["node-a"], iptables=two_nodes(rules)["node-a"].iptables)
    assert run(nodes, frame).reason == Reason.NETFILTER_DROP


@pytest.mark.parametrize("payload", [b"", b"\x45" + bytes(18), b"\x55" + bytes(30)])
def test_frames_that_do_not_read_as_ip_are_carried(payload):
    frame = Packet(fr.ether("0a:00:00:00:00:01", "0a:00:00:00:00:02", IPV4, payload))
    assert flow_of(frame) == Fields()
    outer = wrap(frame, replace(SETTINGS, tos=1, df="inherit"))
    assert (outer.tos, outer.dont_fragment) == (0, False)
    assert decapsulated(outer, "").frame == frame.frame
