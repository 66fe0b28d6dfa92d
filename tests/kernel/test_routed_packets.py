"""Packets whose way hangs on their addresses, options and size: this kernel's answer and ours."""

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from _fastpath.reason import Reason
from dataplane.node import groups
from tests import frames as fr
from tests.kernel.asked import Asked, Ours
from tests.kernel.router import HOST_MACS, Sent, ether

pytestmark = pytest.mark.kernel

START_NS = 10**18


def group_mac(group: str) -> str:
    packed = ip_address(group).packed
    if len(packed) == 16:
        return "33:33:" + packed[12:].hex(":")
    return "01:00:5e:" + bytes([packed[1] & 0x7F, *packed[2:]]).hex(":")


def udp(src: str, dst: str, size: int = 8, ttl: int = 64, **fields: int) -> bytes:
    body = fr.udp(src, 1000, dst, 2000, b"x" * size)
    if ":" in src:
        return fr.ipv6(src, dst, 17, body, ttl)
    return fr.ipv4(src, dst, 17, body, ttl=ttl, **fields)


def to(mac: str, packet: bytes, side: str = "eth0") -> Sent:
    head = bytes.fromhex((mac + HOST_MACS[side]).replace(":", ""))
    return Sent(side, head + (b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet)


def sent(packet: bytes, side: str = "eth0") -> Sent:
    return ether(side, packet, 4 if packet[0] >> 4 == 4 else 6)


GROUPS = ("224.0.0.1", "224.0.0.2", "224.0.0.251", "239.1.1.1")
GROUPS6 = (
    "ff02::1", "ff02::2", "ff05::2", "ff05::1", "ff01::1", "ff02::1:ff00:1", "ff02::1:ff00:2",
    "ff02::5", "ff0e::1", "ff00::1", "ff03::1",
)  # fmt: skip
SOURCES = ("10.0.0.2", "0.0.0.0", "127.0.0.1", "10.0.0.1", "224.0.0.5", "10.0.1.7", "8.8.8.8")
SOURCES6 = (
    "fd00::2", "::", "::1", "fe80::2", "ff02::1", "fd00:1::7", "fd00::1", "::ffff:1.2.3.4",
    "fec0::1",
)  # fmt: skip
TO_GROUPS = [
    *(to(group_mac(group), udp(src, group)) for group in GROUPS for src in SOURCES),
    *(to(group_mac(group), udp(src, group)) for group in GROUPS6 for src in SOURCES6),
    *(sent(udp("10.0.0.2", group)) for group in GROUPS),
    *(sent(udp("fd00::2", group)) for group in GROUPS6),
]
TO_HOSTS = [
    *(sent(udp(src, dst, ttl=ttl)) for src in SOURCES6 for ttl in (64, 1)
      for dst in ("fd00:1::3", "fd00::3", "fd00:1::1", "fd00::1")),
    *(sent(udp(src, dst)) for src in ("fd00::2", "fe80::2")
      for dst in ("fe80::5", "fe80::1", "::", "::1", "fec0::5", "fd00::", "fd00:1::")),
]  # fmt: skip


def compare(router: Asked, ours: Ours, frames: list[Sent], settled: float = 0.005) -> None:
    for number, frame in enumerate(frames):
        theirs = router.ask(frame, settled)
        fast, slow, reason = ours.ask(START_NS + number * 10**10, frame)
        said = (number, Reason(reason).name, frame.frame.hex())
        assert theirs == fast, said
        assert theirs == slow, said


@pytest.mark.parametrize("rp_filter", ["0", "1", "2"])
def test_groups_and_scopes(rp_filter: str, tmp_path: Path) -> None:
    with Asked({"net.ipv4.conf.all.rp_filter": rp_filter}) as router:
        state = router.state(tmp_path)
        compare(router, Ours(state), TO_GROUPS)


def test_groups_that_the_kernel_joins_itself(tmp_path: Path) -> None:
    with Asked() as router:
        state = router.state(tmp_path)
        listed = groups.joined(state)
        assert groups.joined(replace(state, groups=None)) == listed


MTUS = ((1, "eth1", 1400), (2, "eth1", 1280), (3, "eth1", 2000))


def test_the_mtu_of_a_route(tmp_path: Path) -> None:
    with Asked() as router:
        for number, side, mtu in MTUS:
            for family, via in (("-4", "10.0.1.2"), ("-6", "fd00:1::2")):
                dst = f"10.{number}.0.0/16" if family == "-4" else f"fd0{number}::/16"
                router.node.run("ip", family, "route", "add", dst, "via", via, "dev", side,
                                "mtu", str(mtu))  # fmt: skip
        frames = [
            sent(udp("10.0.0.2", f"10.{number}.0.1", size - 28, fragment=df))
            for number, _, mtu in MTUS
            for size in (mtu, mtu + 1)
            for df in (0, 0x4000)
            if size <= 1500
        ] + [
            sent(udp("fd00::2", f"fd0{number}::1", size - 48))
            for number, _, mtu in MTUS
            for size in (mtu, mtu + 1, 1500)
            if size <= 1500
        ]
        compare(router, Ours(router.state(tmp_path / "a")), frames)
        router.node.sysctl("net.ipv6.conf.eth1.mtu", "1300")
        state = router.state(tmp_path / "b")
        state.sysctls["net.ipv6.conf.eth1.mtu"] = "1300"
        compare(router, Ours(state), frames)


SHORT = [
    sent((fr.ipv4 if family == 4 else fr.ipv6)(src, dst, protocol, bytes([0x50] * size)))
    for family, src, hosts in (
        (4, "10.0.0.2", ("10.0.0.1", "10.0.1.3")), (6, "fd00::2", ("fd00::1", "fd00:1::3"))
    )
    for dst in hosts
    for protocol, size in ((6, 0), (6, 8), (6, 19), (6, 20), (17, 4), (1, 4), (132, 4), (47, 0))
]  # fmt: skip


def test_packets_cut_short(tmp_path: Path) -> None:
    """They are met by INPUT and FORWARD like others."""
    with Asked() as router:
        compare(router, Ours(router.state(tmp_path)), SHORT)
