"""Which of its IPv6 addresses a node takes: kernels and specification, through MASQUERADE."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.node.addresses import FLAGS
from dataplane.node.state import InterfaceAddress, Neighbour, Route
from dataplane.reference.engine import Engine as ReferenceEngine
from dataplane.replay.fast import FastEngine

from . import frames as fr
from .kernel.router import HOST_MACS, MACS, SIDES
from .test_nat import router

SOURCES = [
    "2001:db8::1", "2001:db8::2", "2001:db8:1::5", "2001:db8:ffff::5", "fd00:9::1", "fec0::98",
    "fe80::98", "fe80::99", "2002::1", "2001::1", "2001:10::1", "3ffe::1", "::7", "::ffff:1.2.3.4",
]  # fmt: skip
DESTINATIONS = [
    "2001:db8::9", "2001:db8:1::9", "fd00:7::1", "fec0::1", "2002::9", "2001::9", "2001:10::9",
    "3ffe::9", "::9:9", "64:ff9b::1",
]  # fmt: skip
SETTINGS = ["use_tempaddr", "use_oif_addrs_only", "optimistic_dad", "use_optimistic"]
CLIENT = "fd00::2"


@st.composite
def nodes(draw):
    made = router(6, ["POSTROUTING -o eth1 -j MASQUERADE", "PREROUTING -p tcp -j REDIRECT"])
    chosen = draw(st.lists(st.sampled_from(SOURCES), unique=True, max_size=6))
    own = [
        InterfaceAddress(
            draw(st.sampled_from(["lo", *SIDES])), ip_address(source),
            draw(st.sampled_from([16, 48, 64, 128])),
            flags=tuple(flag for flag in FLAGS if draw(st.integers(0, 5)) == 0),
        )
        for source in chosen
    ]  # fmt: skip
    sysctls = {
        f"net.ipv6.conf.{draw(st.sampled_from(['all', 'default', *SIDES]))}.{name}": "2"
        for name in SETTINGS
        if draw(st.booleans())
    }
    beyond = ip_address("fd00:1::9")
    return replace(
        made, addresses=(*made.addresses, *own), sysctls={**made.sysctls, **sysctls},
        routes=(Route(ip_network("::/0"), dev="eth1", gateway=beyond),),
        neighbours=(*made.neighbours, Neighbour(beyond, "eth1", HOST_MACS["eth1"])),
    )  # fmt: skip


@settings(max_examples=300)
@given(nodes(), st.lists(st.sampled_from(DESTINATIONS), min_size=1, max_size=3))
def test_sources_equal_the_specification(node, destinations):
    fast, slow = FastEngine({"n": node}), ReferenceEngine({"n": node})
    for destination in destinations:
        for protocol, body in (
            (17, fr.udp(CLIENT, 7, destination, 80)), (6, fr.tcp(CLIENT, 7, destination, 80))
        ):  # fmt: skip
            ip = fr.ipv6(CLIENT, destination, protocol, body)
            frame = fr.ether(HOST_MACS["eth0"], MACS["eth0"], fr.ETHERTYPES[6], ip)
            mine, its = (engine.run(0, frame, len(frame), ("n", "eth0")) for engine in (fast, slow))
            assert (mine.verdict, mine.reason, mine.end_src, mine.end_dst) == (
                its.verdict, its.reason, its.end_src, its.end_dst
            )  # fmt: skip
