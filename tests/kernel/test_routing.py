"""Policy routing, as this kernel does it: random rules, tables and marks, random packets."""

import random
from ipaddress import ip_address
from pathlib import Path

import pytest

from _fastpath.reason import Reason
from dataplane.node.folder import read_node
from dataplane.replay.fast import FastEngine
from tests import frames as fr
from tests.kernel import dumps
from tests.kernel.router import Router, address, ether

CASES, PACKETS = 6, 40
TABLES = ("100", "200")
PREFIXES = {
    4: ("default", "10.9.0.0/16", "10.9.1.0/24", "10.9.1.7"),
    6: ("default", "fd09::/16", "fd09:1::/32", "fd09:1::7"),
}
FAR = {
    4: ("10.9.0.1", "10.9.1.1", "10.9.1.7", "10.77.0.1"),
    6: ("fd09::1", "fd09:1::1", "fd09:1::7", "fd77::1"),
}
MARKS = """\
*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p udp -m udp --dport 80 -j MARK --set-mark 1
-A PREROUTING -p tcp -m tcp --dport 80 -j MARK --set-mark 2
-A PREROUTING -p udp -m udp --sport 1001 -j MARK --set-mark 3
COMMIT
"""
CONF = ("rp_filter", "send_redirects", "src_valid_mark", "forwarding")
PLACES = ("all", "default", "eth0", "eth1")
# ip_error has a bucket per source that no namespace can set: the kernel may fall silent there.
LIMITED = (Reason.NO_ROUTE, Reason.ROUTE_UNREACHABLE, Reason.ROUTE_PROHIBIT)

pytestmark = pytest.mark.kernel


def a_rule(rng: random.Random, family: int) -> list[str]:
    def maybe(chance: float, name: str, *values: str) -> list[str]:
        return [name, rng.choice(values)] if rng.random() < chance else []

    near = (address("eth0", 2, family), address("eth1", 0, family) + ("/24", "/64")[family == 6])
    words = ["not"] if rng.random() < 0.15 else []
    words += ["from", rng.choice(("all", *near))]
    words += maybe(0.3, "to", *PREFIXES[family][1:3])
    words += maybe(0.3, "fwmark", "1", "2", "1/1", "0/2")
    words += maybe(0.3, "iif", "eth0", "eth1", "lo")
    words += maybe(0.2, "tos", "0x10", "0x4")
    words += maybe(0.3, "ipproto", "udp", "tcp", "icmp")
    words += maybe(0.2, "dport", "80", "50-90")
    words += maybe(0.2, "sport", "1000", "900-2000")
    words += maybe(0.1, "uidrange", "0-10", "5-10")
    kind = rng.random()
    if kind < 0.7:
        limit = maybe(0.3, "suppress_prefixlength", "0", "16", "24")
        return [*words, "lookup", rng.choice((*TABLES, "main")), *limit]
    if kind < 0.8:
        return [*words, "goto", rng.choice(("500", "501"))]
    return [*words, rng.choice(("nop", "blackhole", "unreachable", "prohibit"))]


def a_route(rng: random.Random, family: int) -> list[str]:
    dst = rng.choice(PREFIXES[family])
    tos = ["tos", rng.choice(("0x10", "0x4"))] if family == 4 and rng.random() < 0.2 else []
    end = ["table", rng.choice((*TABLES, "main")), "metric", rng.choice("567")]
    if rng.random() < 0.25:
        kind = rng.choice(("blackhole", "unreachable", "prohibit", "throw"))
        return [kind, dst, *tos, *end]
    side = rng.choice(("eth0", "eth1"))
    return [dst, *tos, "via", address(side, rng.randrange(2, 5), family), "dev", side, *end]


def configure(router: Router, rng: random.Random, folder: Path) -> None:
    """A random node; routes and rules that the kernel refuses are left out."""
    node = router.node
    for family in (4, 6):
        ip = ("ip", f"-{family}")
        node.run(*ip, "rule", "flush", check=False)
        for table in TABLES:
            node.run(*ip, "route", "flush", "table", table, check=False)
        for dst in PREFIXES[family]:
            while not node.run(*ip, "route", "del", dst, "table", "main", check=False) and (
                node.run(*ip, "route", "show", "exact", dst)
            ):
                pass
        for priority, table in ((32766, "main"), (32767, "default")):
            node.run(*ip, "rule", "add", "prio", str(priority), "lookup", table)
        node.run(*ip, "rule", "add", "prio", "500", "nop")
        for _ in range(rng.randrange(1, 6)):
            node.run(*ip, "route", "add", *a_route(rng, family), check=False)
        for number in range(rng.randrange(5)):
            rule = a_rule(rng, family)
            node.run(*ip, "rule", "add", "prio", str(10 + number), *rule, check=False)
        router.load(MARKS, family)
    settings = {"rp_filter": rng.choice("0012"), "src_valid_mark": rng.choice("01")}
    for place in PLACES:
        for key, value in settings.items():
            node.sysctl(f"net.ipv4.conf.{place}.{key}", value if place == "all" else "0")
        node.sysctl(f"net.ipv4.conf.{place}.send_redirects", "0")
    dumps.dump(node, folder, "legacy")
    (folder / "rules6.json").write_text(node.run("ip", "-j", "-6", "rule"))
    names = [f"net.ipv4.conf.{place}.{key}" for place in PLACES for key in CONF]
    more = "".join(f"{name} = {node.sysctl(name)}\n" for name in names)
    (folder / "sysctl").write_text((folder / "sysctl").read_text() + more)


def a_packet(rng: random.Random, side: str, family: int) -> bytes:
    other = "eth0" if side == "eth1" else "eth1"
    src = rng.choice((address(side, 2, family), address(side, 3, family),
                      address(other, 2, family), FAR[family][1][:-1] + "9"))  # fmt: skip
    dst = rng.choice((address("eth1", 3, family), address("eth0", 4, family), *FAR[family]))
    ports = rng.choice((1000, 1001, 3000)), rng.choice((80, 60, 5000))
    tos, ttl = rng.choice((0, 0, 0x10, 0x4, 0x11, 0x30)), rng.choice((64, 64, 64, 1))
    protocol = rng.choice((17, 6))
    body = (
        fr.udp(src, ports[0], dst, ports[1], b"payload")
        if protocol == 17
        else fr.tcp(src, ports[0], dst, ports[1], fr.SYN)
    )
    if family == 4:
        return fr.ipv4(src, dst, protocol, body, tos=tos, ttl=ttl)
    head = (6 << 28 | tos << 20).to_bytes(4) + len(body).to_bytes(2) + bytes([protocol, ttl])
    return head + ip_address(src).packed + ip_address(dst).packed + body


def masked(side: str, frame: bytes) -> tuple[str, bytes]:
    """Without what Linux draws: an error's identification, its checksum, its flow label."""
    data = bytearray(frame)
    if data[12:14] == b"\x08\x00" and data[23] == 1:
        data[18:20] = data[24:26] = bytes(2)
    elif data[20] == 58:
        data[15:18] = bytes([data[15] & 0xF0, 0, 0])
    return side, bytes(data)


def is_ip(frame: bytes) -> bool:
    return frame[12:14] in (b"\x08\x00", b"\x86\xdd")


@pytest.mark.parametrize("seed", range(CASES))
def test_policy_routing(seed: int, tmp_path: Path) -> None:
    """Every frame that leaves, by its device; ICMP errors too."""
    rng = random.Random(seed)
    with Router() as router:
        router.node.sysctl("net.ipv4.icmp_ratelimit", "0")
        router.node.sysctl("net.ipv6.icmp.ratelimit", "0")
        configure(router, rng, tmp_path)
        engine = FastEngine({"n": read_node("n", tmp_path, lambda _: None)})
        for number in range(PACKETS):
            family, side = rng.choice((4, 6)), rng.choice(("eth0", "eth1"))
            sent = ether(side, a_packet(rng, side, family), family)
            router.heard()
            router.send([sent])
            heard = router.heard().items()
            theirs = sorted(masked(at, f) for at, found in heard for f in found if is_ip(f))
            record = engine.run(10**18 + number, sent.frame, len(sent.frame), ("n", side))
            mine = sorted(masked(tap.device, tap.frame) for tap in record.taps if tap.outgoing)
            if theirs or record.reason not in LIMITED:
                assert theirs == mine, (number, sent.frame.hex())
