"""Packets whose way hangs on their addresses, options and size: this kernel's answer and ours."""

import time
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from _fastpath.reason import Reason
from dataplane.node import groups
from tests import frames as fr
from tests.kernel.asked import Asked, Met, Ours
from tests.kernel.router import HOST_MACS, Sent, ether

pytestmark = pytest.mark.kernel

DAY_MS = 86_400_000


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
        now_ns = time.time_ns()
        theirs = timeless(router.ask(frame, settled), now_ns)
        fast, slow, reason = ours.ask(now_ns, frame)
        said = (number, Reason(reason).name, frame.frame.hex())
        assert theirs == timeless(fast, now_ns), said
        assert theirs == timeless(slow, now_ns), said


def timeless(met: Met, now_ns: int) -> Met:
    """Without the times that routers write into options, and the checksums over them."""
    shown = [(side, without_times(frame, now_ns // 10**6 % DAY_MS)) for side, frame in met.frames]
    return met._replace(frames=tuple(sorted(shown)))


def without_times(frame: bytes, now_ms: int) -> bytes:
    data = bytearray(frame)
    if data[12:14] != b"\x08\x00":
        return frame
    for at in range(34, len(data) - 3):
        if 0 <= int.from_bytes(data[at : at + 4]) - now_ms < 60_000:
            data[at : at + 4] = bytes(4)
            data[24:26] = bytes(2)
            if data[23] == 1:
                body = 14 + (data[14] & 15) * 4
                data[body + 2 : body + 4] = bytes(2)
    return bytes(data)


@pytest.mark.parametrize("rp_filter", ["0", "1", "2"])
def test_groups_and_scopes(rp_filter: str, tmp_path: Path) -> None:
    with Asked({"net.ipv4.conf.all.rp_filter": rp_filter}) as router:
        state = router.state(tmp_path)
        compare(router, Ours(state), [*TO_GROUPS, *(TO_HOSTS if rp_filter == "0" else [])])


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


def options(*parts: bytes) -> bytes:
    found = b"".join(parts)
    return found + bytes(-len(found) % 4)


def addresses(*texts: str) -> bytes:
    return b"".join(ip_address(text).packed for text in texts)


RECORD, RECORD_FULL = bytes([7, 7, 4]) + bytes(4), bytes([7, 7, 8]) + bytes(4)
RECORD_SOME = bytes([7, 11, 8]) + addresses("1.1.1.1") + bytes(4)
STAMP, STAMP_BOTH = bytes([68, 8, 5, 0]) + bytes(4), bytes([68, 12, 5, 1]) + bytes(8)
LOOSE, STRICT = bytes([131, 7, 4]), bytes([137, 7, 4])
OPTIONS = [
    options(RECORD), options(RECORD_SOME), options(RECORD_FULL), options(STAMP, RECORD),
    options(bytes([7, 9, 4]) + bytes(6)), options(bytes([7, 15, 4]) + bytes(12)),
    options(bytes([7, 7, 3]) + bytes(4)), options(bytes([7, 7, 5]) + bytes(4)),
    options(bytes([7, 2])), options(bytes([7, 1])), options(RECORD, RECORD),
    options(bytes([7, 40, 4]) + bytes(4)), options(STAMP), options(STAMP_BOTH),
    options(bytes([68, 36, 5, 1]) + bytes(32)), options(STAMP, STAMP),
    options(bytes([68, 12, 5, 3]) + addresses("10.0.0.1") + bytes(4)),
    options(bytes([68, 20, 5, 3]) + addresses("10.0.0.1") + bytes(4) + addresses("10.0.1.1")),
    options(bytes([68, 12, 5, 3]) + addresses("10.0.0.9") + bytes(4)),
    options(bytes([68, 8, 9, 0]) + bytes(4)), options(bytes([68, 8, 9, 0xF0]) + bytes(4)),
    options(bytes([68, 8, 9, 3]) + bytes(4)), options(bytes([68, 8, 5, 2]) + bytes(4)),
    options(bytes([68, 10, 5, 1]) + bytes(6)), options(bytes([68, 6, 5, 0]) + bytes(2)),
    options(bytes([68, 13, 5, 1]) + bytes(9)), options(bytes([68, 3, 5])),
    options(bytes([68, 8, 4, 0]) + bytes(4)), options(bytes([148, 4, 0, 0])),
    options(bytes([148, 4, 0, 1])), options(bytes([148, 3, 0, 0])), options(bytes([1] * 4)),
    options(bytes([0, 1, 1, 5])), options(bytes([30, 4, 1, 2])), options(bytes([30, 0, 1, 2])),
    options(bytes([1, 1, 1, 30])), options(bytes([134, 6, 0, 0, 0, 1])),
    options(bytes([134, 10, 0, 0, 0, 1, 1, 4, 0, 1])), options(bytes([130, 11]) + bytes(9)),
    options(RECORD, STAMP_BOTH, bytes([130, 11]) + bytes(9)),
]  # fmt: skip
ROUTES = [
    options(LOOSE + addresses("10.0.1.4")), options(STRICT + addresses("10.0.1.4")),
    options(LOOSE + addresses("10.0.0.1")), options(STRICT + addresses("10.0.0.1")),
    options(LOOSE + addresses("9.9.9.9")), options(STRICT + addresses("9.9.9.9")),
    options(bytes([131, 11, 4]) + addresses("10.0.1.1", "10.0.1.5")),
    options(bytes([131, 11, 8]) + addresses("10.0.0.2", "10.0.1.5")),
    options(bytes([131, 15, 12]) + addresses("10.0.0.3", "10.0.0.4", "10.0.1.5")),
    options(bytes([131, 15, 16]) + addresses("10.0.0.3", "10.0.0.4", "10.0.0.5")),
    options(bytes([131, 9, 4]) + bytes(6)),
    options(bytes([131, 9, 8]) + addresses("10.0.0.4") + bytes(2)),
    options(bytes([131, 2])), options(bytes([131, 7, 3]) + bytes(4)),
    options(LOOSE + addresses("10.0.1.4"), LOOSE + addresses("10.0.1.4")),
    options(LOOSE + addresses("127.0.0.1")), options(LOOSE + addresses("10.8.0.1")),
    options(LOOSE + addresses("10.0.1.4"), RECORD, STAMP_BOTH),
    options(bytes([131, 7, 8]) + addresses("10.0.0.3"), RECORD, STAMP),
]  # fmt: skip
TARGETS = ("10.0.1.3", "10.0.0.1", "127.0.0.1", "10.0.1.255", "224.0.0.1", "10.0.0.3")


def with_options(dst: str, found: bytes, ttl: int = 64, size: int = 8) -> Sent:
    body = fr.udp("10.0.0.2", 1000, dst, 2000, b"x" * size)
    return sent(fr.ipv4("10.0.0.2", dst, 17, body, found, ttl=ttl))


@pytest.mark.parametrize("accepts", ["0", "1"])
def test_ip_options(accepts: str, tmp_path: Path) -> None:
    settings = {f"net.ipv4.conf.{place}.accept_source_route": accepts for place in ("all", "eth0")}
    with Asked({**settings, "net.ipv4.conf.all.log_martians": "0"}) as router:
        router.node.run("ip", "route", "add", "unreachable", "10.8.0.0/16")
        state = router.state(tmp_path)
        state.sysctls.update(settings)
        asked = OPTIONS + ROUTES if accepts == "0" else ROUTES
        frames = [with_options(dst, found) for found in asked for dst in TARGETS]
        frames += [with_options("10.8.0.1", found) for found in asked[:4]]
        frames += [with_options("10.0.1.3", found, ttl=1) for found in asked]
        frames += [with_options("10.0.1.3", found, size=700, ttl=1) for found in asked]
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


FAILED, FAILED6 = "10.0.1.77", "fd00:1::77"


def test_a_neighbour_that_does_not_answer(tmp_path: Path) -> None:
    """Its sender is told when the kernel has given up asking; ours tells it at once."""
    with Asked() as router:
        for family in ("ipv4", "ipv6"):
            router.node.sysctl(f"net.{family}.neigh.eth1.retrans_time_ms", "10")
        for address in (FAILED, FAILED6):
            router.node.run("ip", "neigh", "add", address, "dev", "eth1", "nud", "failed")
        state = router.state(tmp_path)
        assert {n.state for n in state.neighbours if str(n.dst) in (FAILED, FAILED6)} == {
            ("FAILED",)
        }
        ours = Ours(state)
        for frame in (sent(udp("10.0.0.2", FAILED)), sent(udp("fd00::2", FAILED6))):
            theirs = router.ask(frame, settled=0.5)  # its hooks see solicitations, too
            asked = tuple(each for each in theirs.frames if each[1][:2] != b"\x33\x33")
            fast, slow, _ = ours.ask(time.time_ns(), frame)
            assert asked == fast.frames == slow.frames
            assert len(asked) == 1


REDIRECTS = {f"net.ipv4.conf.{place}.send_redirects": "1" for place in ("all", "eth0", "eth1")}
MEDIA = {f"net.ipv4.conf.{place}.shared_media": "0" for place in ("all", "eth0", "eth1")}


@pytest.mark.parametrize("settings", [{}, MEDIA, {"net.ipv4.conf.all.send_redirects": "0"}])
def test_redirects(settings: dict[str, str], tmp_path: Path) -> None:
    settings = {**REDIRECTS, **settings}
    with Asked(settings) as router:
        run = router.node.run
        run("ip", "addr", "add", "10.5.0.1/24", "dev", "eth0")
        run("ip", "neigh", "add", "10.5.0.7", "lladdr", HOST_MACS["eth0"], "dev", "eth0")
        run("ip", "route", "add", "10.6.0.0/16", "via", "10.0.0.9", "dev", "eth0")
        run("ip", "route", "add", "10.7.0.0/16", "via", "10.0.0.8", "dev", "eth0")
        run("ip", "-6", "route", "add", "fd06::/16", "via", "fd00::9", "dev", "eth0")
        run("ip", "-6", "route", "add", "fd07::/16", "via", "fe80::9", "dev", "eth0")
        run("ip", "-6", "route", "add", "fd08::/16", "dev", "eth0")
        state = router.state(tmp_path)
        state.sysctls.update(settings)
        sources = ("10.0.0.2", "10.0.0.3", "10.7.0.1", "10.0.1.4", "10.5.0.7")
        frames = [
            *(sent(udp(src, dst)) for src in sources for dst in ("10.0.0.5", "10.6.0.1")),
            sent(udp("10.0.0.6", "10.6.0.1", ttl=1)),
            sent(fr.ipv4("10.0.0.6", "10.6.0.1", 1, fr.icmp_error(3, 3, bytes(28)))),
            *(sent(udp(src, dst, size)) for src in ("fd00::2", "fe80::3", "fd07::1", "fd00:1::4")
              for dst in ("fd00::5", "fd06::1", "fd07::1") for size in (8, 1300)),
        ]  # fmt: skip
        # A second redirect to one sender is due after 40 ms.
        compare(router, Ours(state), frames, settled=0.1)


def test_how_often_errors_are_sent(tmp_path: Path) -> None:
    """Bursts: six to one destination, five of ip_error's, of the same purse."""
    settings = {
        "net.ipv4.icmp_ratemask": "6168", "net.ipv4.icmp_ratelimit": "1000",
        "net.ipv6.icmp.ratemask": "0-1,3-127", "net.ipv6.icmp.ratelimit": "1000",
        **REDIRECTS,
    }  # fmt: skip
    with Asked(settings) as router:
        router.node.run("ip", "route", "add", "unreachable", "10.8.0.0/16")
        router.node.run("ip", "-6", "route", "add", "unreachable", "fd08::/16")
        state = router.state(tmp_path)
        state.sysctls.update(settings)
        frames = [
            *[sent(udp("10.0.0.2", "10.0.1.3", ttl=1))] * 8,
            *[sent(udp("10.0.0.3", "10.8.0.1"))] * 8,
            *[sent(udp("10.0.0.4", "10.0.0.5"))] * 4,
            *[sent(udp("fd00::2", "fd00:1::3", ttl=1))] * 14,
            *[sent(udp("fd00::3", "fd08::1"))] * 14,
        ]
        compare(router, Ours(state), frames)


def test_local_and_main_are_one_table_until_a_rule_asks(tmp_path: Path) -> None:
    """A longer route of the main table is taken before a shorter one that is local."""
    with Asked() as router:
        run = router.node.run
        run("ip", "route", "add", "local", "10.9.0.0/16", "dev", "lo", "table", "local")
        run("ip", "route", "add", "10.9.1.0/24", "via", "10.0.1.5")
        run("ip", "route", "add", "unreachable", "10.9.2.0/24")
        frames = [
            sent(udp("10.0.0.2", dst, ttl=ttl))
            for dst in ("10.9.0.1", "10.9.1.1", "10.9.2.1")
            for ttl in (64, 1)
        ]
        compare(router, Ours(router.state(tmp_path / "a")), frames)
        run("ip", "rule", "add", "prio", "9", "fwmark", "7", "lookup", "77")
        compare(router, Ours(router.state(tmp_path / "b")), frames)
