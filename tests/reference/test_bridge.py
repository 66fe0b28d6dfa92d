"""A bridge: learning, flooding, and the frames that netfilter redirects."""

from dataclasses import replace

import pytest

from _fastpath.reason import Reason, Verdict
from dataplane.node.state import FdbEntry
from dataplane.reference.engine import Engine
from tests import frames as fr
from tests.two_nodes import (
    CLIENT,
    OUTSIDE,
    RULES,
    WEB,
    WEB1,
    mac,
    two_nodes,
    veth_mac,
)

GATEWAY = mac("10.244.1.1")
NEITHER = "0a:00:00:00:00:99"
EVERYBODY = "ff:ff:ff:ff:ff:ff"
IPV4 = b"\x08\x00"


def udp(src=CLIENT, dst=WEB1):
    return fr.ipv4(src, dst, 17, fr.udp(src, 1, dst, 2))


def run(frame, rules="", port="veth-client", engine=None, **changes):
    nodes = two_nodes(rules)
    nodes["node-a"] = replace(nodes["node-a"], **changes)
    return (engine or Engine(nodes)).run(0, frame, len(frame), ("node-a", port))


def outs(record):
    return [tap.device for tap in record.taps if tap.outgoing]


def links(**changes):
    return tuple(
        replace(link, **changes) if link.name == "veth-client" else link
        for link in two_nodes()["node-a"].links
    )


@pytest.mark.parametrize(
    ("src", "dst", "verdict", "reason", "out"),
    [
        (mac(CLIENT), mac(WEB1), Verdict.DELIVERED, Reason.HOST, ["veth-web-1"]),
        ("01:00:5e:00:00:01", mac(WEB1), Verdict.DROPPED, Reason.ADDRESS_LEARNED_LOCAL, []),
        ("00:00:00:00:00:00", mac(WEB1), Verdict.DROPPED, Reason.ADDRESS_LEARNED_LOCAL, []),
        (mac(CLIENT), "01:80:c2:00:00:0e", Verdict.DROPPED, Reason.BRIDGE_LINK_LOCAL, []),
        # Its own address as a source is only warned about: measured on Linux 6.18.
        (GATEWAY, mac(WEB1), Verdict.DELIVERED, Reason.HOST, ["veth-web-1"]),
        # The receiving port's own address is the node's; another port's is nobody's here.
        (
            mac(CLIENT),
            veth_mac("veth-client"),
            Verdict.DELIVERED,
            Reason.HOST,
            ["cni0", "veth-web-1", "cni0", "veth-client"],  # and a redirect
        ),
        (mac(CLIENT), veth_mac("veth-web-1"), Verdict.DROPPED, Reason.OTHER_HOST, []),
        # Ports with hairpin take part in a flood that they began.
        (mac(CLIENT), NEITHER, Verdict.CONSUMED, Reason.FLOODED, ["veth-client", "veth-web-1"]),
        (
            mac(CLIENT),
            EVERYBODY,
            Verdict.CONSUMED,
            Reason.GROUP_ADDRESS,
            ["veth-client", "veth-web-1"],
        ),
    ],
)
def test_addresses(src, dst, verdict, reason, out):
    record = run(fr.ether(src, dst, IPV4, udp()))
    assert (record.verdict, record.reason, outs(record)) == (verdict, reason, out)


def test_a_bridge_keeps_frames_to_itself_only_when_they_are_for_it():
    assert [tap.device for tap in run(fr.ether(mac(CLIENT), mac(WEB1), IPV4, udp())).taps] == [
        "veth-client",
        "veth-web-1",
    ]
    up = run(fr.ether(mac(CLIENT), GATEWAY, IPV4, udp(dst=OUTSIDE)))
    assert [(tap.device, tap.outgoing) for tap in up.taps][:2] == [
        ("veth-client", False),
        ("cni0", False),
    ]


@pytest.mark.parametrize(
    ("hairpin", "reason"), [(True, Reason.HOST), (False, Reason.BRIDGE_SAME_PORT)]
)
def test_hairpin(hairpin, reason):
    frame = fr.ether(mac(CLIENT), mac(CLIENT), IPV4, udp(dst=CLIENT))
    assert run(frame, links=links(hairpin=hairpin)).reason == reason


def test_learning():
    engine = Engine(two_nodes(""))
    run(fr.ether(NEITHER, mac(WEB1), IPV4, udp()), engine=engine)
    back = fr.ether(mac(WEB1), NEITHER, IPV4, udp(WEB1, CLIENT))
    record = run(back, port="veth-web-1", engine=engine)
    # The port is known now; the host that is listed behind it has another address.
    assert (record.reason, outs(record)) == (Reason.OTHER_HOST, ["veth-client"])


def test_listed_entries_do_not_move():
    engine = Engine(two_nodes(""))
    run(fr.ether(mac(WEB1), NEITHER, IPV4, udp()), engine=engine)
    record = run(fr.ether(mac(CLIENT), mac(WEB1), IPV4, udp()), engine=engine)
    assert outs(record) == ["veth-web-1"]


def test_the_host_behind_a_port_has_its_own_addresses():
    frame = fr.ether(mac(CLIENT), mac(WEB1), IPV4, udp(dst=OUTSIDE))
    record = run(frame, sysctls={})
    assert (record.verdict, record.reason) == (Verdict.DROPPED, Reason.HOST_ADDRESS)


def test_nothing_known_behind_a_port():
    record = run(fr.ether(mac(CLIENT), mac(WEB1), IPV4, udp()), neighbours=())
    assert record.reason == Reason.HOST  # known by its MAC address alone
    nobody = tuple(e for e in two_nodes()["node-a"].fdb if e.dev != "veth-web-1")
    other = FdbEntry(mac(WEB1), "veth-client", "cni0")
    moved = run(fr.ether(mac(CLIENT), NEITHER, IPV4, udp()), fdb=(*nobody, other))
    assert moved.reason == Reason.FLOODED


def test_other_protocols_pass():
    record = run(fr.ether(mac(CLIENT), mac(WEB1), b"\x88\xb5", b"hello"))
    assert (record.verdict, record.family) == (Verdict.DELIVERED, 0)
    up = run(fr.ether(mac(CLIENT), GATEWAY, b"\x88\xb5", b"hello"))
    assert up.reason == Reason.UNHANDLED_PROTOCOL


def test_devices_that_are_down():
    frame = fr.ether(mac(CLIENT), mac(WEB1), IPV4, udp())
    assert run(frame, links=links(flags=())).reason == Reason.DEVICE_DOWN
    down = tuple(
        replace(link, flags=()) if link.name == "veth-web-1" else link
        for link in two_nodes()["node-a"].links
    )
    assert run(frame, links=down).reason == Reason.DEVICE_DOWN
    assert (
        run(fr.ether(mac(CLIENT), EVERYBODY, IPV4, udp()), links=down).reason
        == Reason.GROUP_ADDRESS
    )
    assert run(b"", rules="").reason == Reason.FRAME_TOO_SHORT


@pytest.mark.parametrize(("setting", "expected"), [("1", True), ("0", False)])
def test_bridged_packets_meet_netfilter_where_they_are_told_to(setting, expected):
    rules = "*filter\n:FORWARD ACCEPT\n-A FORWARD -i cni0 -o cni0 -j DROP\nCOMMIT\n"
    settings = {"net.bridge.bridge-nf-call-iptables": setting, "net.ipv4.ip_forward": "1"}
    record = run(fr.ether(mac(CLIENT), mac(WEB1), IPV4, udp()), rules, sysctls=settings)
    assert (record.reason == Reason.NETFILTER_DROP) is expected


# What netfilter redirects.

TO_WEB1 = RULES.replace("--probability 0.50000000000", "--probability 1.00000000000")


def test_bridged_dnat():
    """To a pod on the same bridge: TTL and source MAC stay, nothing is routed."""
    frame = fr.ether(
        mac(CLIENT), GATEWAY, IPV4, fr.ipv4(CLIENT, WEB, 6, fr.tcp(CLIENT, 1, WEB, 80))
    )
    record = run(frame, TO_WEB1)
    assert (record.verdict, record.place) == (Verdict.DELIVERED, ("node-a", "veth-web-1"))
    assert (record.end_dst, record.end_dport, record.end_ttl) == (WEB1, 8080, 64)
    assert record.taps[-1].frame[:12].hex(":") == f"{mac(WEB1)}:{mac(CLIENT)}"
    kinds = [step.kind for step in record.steps]
    assert 7 in kinds and 8 in kinds  # ROUTE and NEIGHBOUR
    assert 11 not in kinds  # not BRIDGE_LOCAL


def dnat(target):
    rule = f"-A PREROUTING -d 10.9.9.9 -j DNAT --to-destination {target}"
    return f"*nat\n:PREROUTING ACCEPT\n{rule}\nCOMMIT\n"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("192.168.50.11", Reason.LOCAL_PROCESS),
        ("192.168.50.100", Reason.LEFT_BY_DEVICE),
        ("10.244.1.9", Reason.NEIGHBOUR_UNKNOWN),
        ("0.0.0.1", Reason.MARTIAN_DESTINATION),
    ],
)
def test_dnat_to_elsewhere(target, reason):
    rules = dnat(target)
    frame = fr.ether(mac(CLIENT), mac(WEB1), IPV4, udp(dst="10.9.9.9"))
    assert run(frame, rules).reason == reason


def test_dnat_without_a_route():
    rules = dnat("10.8.0.1")
    frame = fr.ether(mac(CLIENT), GATEWAY, IPV4, udp(dst="10.9.9.9"))
    assert run(frame, rules, routes=()).reason == Reason.NO_ROUTE
    off = {"net.bridge.bridge-nf-call-iptables": "1", "net.ipv4.ip_forward": "0"}
    assert run(frame, rules, sysctls=off).reason == Reason.FORWARDING_DISABLED


def test_resets_leave_by_the_port():
    """nf_send_reset: as if the destination answered, and past all hooks."""
    rules = (
        "*filter\n:FORWARD ACCEPT\n:OUTPUT DROP\n"
        "-A FORWARD -p tcp -j REJECT --reject-with tcp-reset\nCOMMIT\n"
    )
    frame = fr.ether(
        mac(CLIENT), mac(WEB1), IPV4, fr.ipv4(CLIENT, WEB1, 6, fr.tcp(CLIENT, 1, WEB1, 2))
    )
    record = run(frame, rules)
    assert [(tap.device, tap.generated) for tap in record.taps] == [
        ("veth-client", False),
        ("veth-client", True),
    ]
    assert record.taps[-1].frame[:12].hex(":") == f"{mac(CLIENT)}:{mac(WEB1)}"


def test_arp_floods_and_is_answered():
    body = b"\0\1\x08\0\x06\x04\0\1" + bytes.fromhex(mac(CLIENT).replace(":", "")) + CLIENT.packed
    body += bytes(6) + bytes([10, 244, 1, 1])
    record = run(fr.ether(mac(CLIENT), EVERYBODY, b"\x08\x06", body))
    assert record.reason == Reason.ARP_HANDLED
    assert [(tap.device, tap.outgoing) for tap in record.taps] == [
        ("veth-client", False),
        ("cni0", False),
        ("veth-client", True),
        ("veth-web-1", True),
        ("cni0", True),
        ("veth-client", True),
    ]
