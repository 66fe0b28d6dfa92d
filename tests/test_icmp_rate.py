"""How often ICMP errors and redirects are sent: kernels equal the specification."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.reason import Reason, Verdict
from dataplane.errors import TableError
from dataplane.node.icmp_limits import icmp_limits
from dataplane.node.state import InterfaceAddress, Neighbour, NodeState, Route
from tests import frames as fr
from tests.reference.one_node import CLIENT, SERVER, node
from tests.test_fragments import Both, sent

SECOND = 10**9


def mac(address: object) -> str:
    return f"0a:00:00:00:00:{ip_address(str(address)).packed[-1]:02x}"


START = 1000 * SECOND
CLIENT6, SERVER6, OWN6 = (ip_address(f"fd0{n}") for n in ("0::2", "1::2", "0::1"))


def both(**sysctls: str) -> Both:
    addresses = (
        *node().addresses,
        *(InterfaceAddress(dev, ip_address(own), 64, scope) for dev, own, scope in (
            ("a", "fd00::1", "global"), ("a", "fe80::1", "link"), ("b", "fd01::1", "global"),
        )),
    )  # fmt: skip
    neighbours = (
        *node().neighbours,
        *(
            Neighbour(ip_address(text), "a", mac(text))
            for text in ("10.0.0.3", "fd00::2", "fd00::3")
        ),
        Neighbour(SERVER6, "b", mac(SERVER6)),
        Neighbour(ip_address("10.0.1.9"), "b", state=("FAILED",)),
        Neighbour(ip_address("fd01::9"), "b", state=("FAILED",)),
    )
    routes = (
        Route(ip_network("10.8.0.0/16"), type="unreachable"),
        Route(ip_network("10.9.0.0/16"), dev="a", gateway=ip_address("10.0.0.3")),
    )
    settings = {"net.ipv6.conf.all.forwarding": "1", **sysctls}
    return Both(addresses=addresses, neighbours=neighbours, routes=routes, sysctls=settings)


def udp(src: object, dst: object, ttl: int = 64, size: int = 5) -> bytes:
    body = fr.udp(src, 1000, dst, 2000, bytes(size))
    if ip_address(str(src)).version == 6:
        return fr.ipv6(src, dst, 17, body, ttl)
    return fr.ipv4(src, dst, 17, body, ttl=ttl)


def answers(
    engines: Both, packets: list[bytes], apart_ns: int = 0, start: int = START
) -> list[int]:
    """How many packets came back for each."""
    found = []
    for number, packet in enumerate(packets):
        record = engines.send(packet, start + number * apart_ns)
        found.append(sum(tap.outgoing and tap.generated for tap in record.taps))
    return found


EXPIRED, UNREACHABLE = udp(CLIENT, SERVER, ttl=1), udp(CLIENT, "10.8.0.1")


@pytest.mark.parametrize(
    ("packet", "count", "sysctls", "expected"),
    [
        (EXPIRED, 9, {}, 6),  # saved up
        (EXPIRED, 9, {"net.ipv4.icmp_ratelimit": "0"}, 9),
        (EXPIRED, 9, {"net.ipv4.icmp_ratemask": "8"}, 9),
        (EXPIRED, 9, {"net.ipv4.icmp_ratelimit": "61000"}, 0),  # no more than a minute
        (EXPIRED, 60, {"net.ipv4.icmp_ratelimit": "0"}, 50),  # the node's budget
        (UNREACHABLE, 9, {"net.ipv4.icmp_ratelimit": "0"}, 5),  # ip_error
        (UNREACHABLE, 9, {}, 2),  # … of the same purse
        (udp(CLIENT6, SERVER6, ttl=1), 9, {}, 6),
    ],
)
def test_bursts(packet, count, sysctls, expected):
    assert sum(answers(both(**sysctls), [packet] * count)) == expected


def test_then_one_a_second():
    engines = both()
    answers(engines, [EXPIRED] * 9)
    assert answers(engines, [EXPIRED] * 8, SECOND // 2, START + SECOND) == [1, 0] * 4


def test_a_packet_whose_sender_is_not_told_is_just_dropped():
    engines = both()
    ends = [engines.send(EXPIRED, START).verdict for _ in range(7)]
    assert ends == [Verdict.REJECTED] * 6 + [Verdict.DROPPED]


def test_redirects_become_rare():
    """After 20 ms, twice that … (ip_rt_redirect_load), and never a tenth (measured)."""
    found = answers(both(), [udp(CLIENT, "10.9.0.1")] * 200, 10**8)
    at = [number for number, count in enumerate(found) if count]
    assert at == [0, 1, 2, 4, 8, 15, 28, 54, 106]
    assert len(at) == 9


def test_what_a_redirect_says():
    record = both().send(udp(CLIENT, "10.9.0.1"), START)
    assert record.reason in (Reason.HOST, Reason.LEFT_BY_DEVICE)
    packet, redirect = sent(record, "a")
    assert redirect[20:22] == bytes([5, 1])
    assert redirect[24:28] == ip_address("10.0.0.3").packed
    assert redirect[28:48] == packet[:20]  # with its TTL decremented


def test_what_a_redirect_of_ipv6_says():
    record = both().send(udp(CLIENT6, "fd00::3"), START)
    _, redirect = sent(record, "a")
    target = ip_address("fd00::3").packed
    assert redirect[7:24] == bytes([255]) + ip_address("fe80::1").packed
    assert redirect[40:42] == bytes([137, 0])
    assert redirect[48:80] == target + target
    assert redirect[80:88] == bytes([2, 1]) + bytes.fromhex(mac("fd00::3").replace(":", ""))


@pytest.mark.parametrize(("src", "dst", "error"), [
    (CLIENT, "10.0.1.9", (3, 1)), (CLIENT6, "fd01::9", (1, 3)),
])  # fmt: skip
def test_a_neighbour_that_does_not_answer(src, dst, error):
    record = both().send(udp(src, dst), START)
    assert (record.verdict, record.reason) == (Verdict.REJECTED, Reason.NEIGHBOUR_FAILED)
    (answer,) = sent(record, "a")
    assert tuple(answer[20:22] if src.version == 4 else answer[40:42]) == error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net.ipv4.icmp_ratelimit", "-1"), ("net.ipv4.icmp_ratelimit", "x"),
        ("net.ipv4.icmp_ratemask", str(2**32)), ("net.ipv6.icmp.ratemask", "3-"),
        ("net.ipv6.icmp.ratemask", "5-3"), ("net.ipv6.icmp.ratemask", "256"),
    ],
)  # fmt: skip
def test_limits_that_no_kernel_takes(name, value):
    with pytest.raises(TableError, match=name):
        icmp_limits(NodeState("n", sysctls={name: value}))


def test_limits_as_kernels_begin_with_them():
    limits = icmp_limits(NodeState("n"))
    assert (limits.ratelimit, limits.per_second, limits.burst) == ((1000, 100), 1000, 50)
    assert limits.ratemask == ({3, 4, 11, 12}, {0, 1, *range(3, 128)})
    old = icmp_limits(replace(NodeState("n"), kernel="6.12.1"))
    assert (old.ratelimit, old.scales) == ((1000, 1000), True)


PACKETS = [
    udp(src, dst, ttl)
    for src in (CLIENT, ip_address("10.0.0.3"))
    for dst in (SERVER, "10.8.0.1", "10.9.0.1", "10.0.0.3", "10.0.1.9")
    for ttl in (64, 1)
] + [
    udp(src, dst, ttl)
    for src in (CLIENT6, ip_address("fd00::3"), ip_address("fe80::7"))
    for dst in (SERVER6, "fd00::3", "fd01::9", "fd05::1")
    for ttl in (64, 1)
]
SETTINGS = {
    "net.ipv4.icmp_ratelimit": ["0", "3", "100", "1000"],
    "net.ipv4.icmp_ratemask": ["0", "2056", "4294967295"],
    "net.ipv6.icmp.ratelimit": ["0", "1000"],
    "net.ipv6.icmp.ratemask": ["", "1", "0-127"],
    "net.ipv4.icmp_msgs_per_sec": ["0", "10", "1000"],
    "net.ipv4.icmp_msgs_burst": ["0", "3"],
    "net.ipv4.conf.a.shared_media": ["0"],
    "net.ipv4.conf.all.shared_media": ["0"],
    "net.ipv4.conf.all.send_redirects": ["0"],
    "net.ipv4.icmp_errors_use_inbound_ifaddr": ["1"],
}


@given(
    st.lists(
        st.tuples(st.sampled_from(PACKETS), st.sampled_from([0, 10**7, 10**8, 10**9, 30 * 10**9])),
        min_size=1,
        max_size=24,
    ),
    st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in SETTINGS.items()}),
)
@settings(deadline=None, max_examples=100)
def test_engines_agree_on_when(drawn, sysctls):
    engines, now = both(**sysctls), START
    for packet, later in drawn:
        now += later
        engines.send(packet, now)
