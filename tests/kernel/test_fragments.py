"""Fragments through one node of the real kernel: what leaves it is what ours says."""

import os
import random
import time
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dataplane.node import iptables
from dataplane.node.state import InterfaceAddress, Neighbour, NodeState
from dataplane.replay.fast import FastEngine
from tests import frames as fr
from tests.fragments import SECURITY, TRACEROUTE, fragment4, fragment6, pieces
from tests.kernel.router import HOST_MACS, HOSTS, MACS, Router, Sent, address, ether
from tests.reference.one_node import SECOND, nat, node
from tests.two_nodes import mac

pytestmark = pytest.mark.kernel

TRAINS = int(os.environ.get("FRAGMENT_TRAINS", "300"))
DEVICES = {"eth0": "a", "eth1": "b"}
OWN = {"a": mac("10.0.0.1"), "b": mac("10.0.1.1")}
TRACKED6 = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m conntrack --ctstate INVALID\nCOMMIT\n"
NATTED = nat(
    "PREROUTING -d 10.0.1.9/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.0.1.8:54",
    "POSTROUTING -s 10.0.0.3/32 -o eth1 -j SNAT --to-source 10.0.1.7",
)
CASES = {
    "tracked": (nat(), TRACKED6),
    "translated": (NATTED, TRACKED6),
    "untracked": ("", ""),
}
Left = dict[str, list[tuple[bytes, int]]]  # by device: packets, and bytes of their frames
MTUS = {"eth0": 1500, "eth1": 1400}
SYSCTLS = {"net.ipv6.conf.all.forwarding": "1", "net.ipv4.ip_forward": "1"}


def state(rules: str, rules6: str) -> NodeState:
    """The router, as its own tools would list it, with the test's names of devices."""
    base = node(iptables_text(rules), sysctls=SYSCTLS)
    links = tuple(
        replace(link, mtu=MTUS["eth0" if link.name == "a" else "eth1"])
        if link.name in OWN else link for link in base.links
    )  # fmt: skip
    found = [
        Neighbour(ip_address(address(side, host, family)), device, HOST_MACS[side])
        for side, device in DEVICES.items() for host in HOSTS for family in (4, 6)
    ]  # fmt: skip
    six = [
        InterfaceAddress(device, ip_address(address(side, 1, 6)), 64)
        for side, device in DEVICES.items()
    ]
    return replace(
        base, links=links, neighbours=tuple(found), addresses=(*base.addresses, *six),
        ip6tables=iptables.parse(iptables_text(rules6), "rules"),
    )  # fmt: skip


def iptables_text(rules: str) -> str:
    for side, device in DEVICES.items():
        rules = rules.replace(side, device)
    return rules


def datagram(draw: random.Random, family: int, size: int, side: str) -> tuple[str, str, int, bytes]:
    other = "eth1" if side == "eth0" else "eth0"
    src, dst = (
        address(side, draw.choice([2, 3]), family),
        address(other, draw.choice([4, 9]), family),
    )
    payload = draw.randbytes(size)
    kind = draw.choice(["udp", "udp", "tcp", "echo"])
    if kind == "udp":
        return src, dst, 17, fr.udp(src, draw.randrange(1024, 60000), dst, 53, payload)
    if kind == "tcp":
        return src, dst, 6, fr.tcp(src, draw.randrange(1024, 60000), dst, 80, payload=payload)
    if family == 4:
        return src, dst, 1, fr.echo(draw.randrange(65536), data=payload)
    body = b"\x80\0\0\0" + draw.randbytes(4) + payload
    return src, dst, 58, fr.summed(src, dst, 58, body, 2)


def train(draw: random.Random, family: int, number: int) -> list[Sent]:
    """One datagram in fragments: most trains are sound and in disorder, some contradict
    themselves."""
    side = draw.choice(["eth0", "eth0", "eth1"])
    src, dst, protocol, body = datagram(draw, family, draw.choice([30, 100, 1000, 2900]), side)
    step = draw.choice([8, 8, 64, 512])
    cuts = [step * draw.randrange(1, 2 + len(body) // step) for _ in range(draw.randrange(1, 4))]
    if len(body) > 1300:  # nothing longer than a link takes
        cuts += [1200 - 1200 % 8, 2400 - 2400 % 8]
    parts = [(body[a:b], a, b < len(body)) for a, b in pieces(len(body), cuts)]
    if draw.random() < 0.5:
        draw.shuffle(parts)
    for _ in range(draw.choice([0, 0, 0, 1, 1, 2])):
        parts.insert(draw.randrange(len(parts) + 1), damaged(draw, parts, body))
    tos = draw.choice([[0], [0], [0], [2, 3], [1, 2], [0, 1], [1]])
    df, options = draw.choice([0, 0, 1, 0.5]), draw.choice([b""] * 4 + [TRACEROUTE, SECURITY])
    before = draw.choice([b"", b"", b"\0\0\1\4\0\0\0\0"])
    sent = []
    for part, offset, more in parts:
        if family == 6:
            packet = fragment6(src, dst, protocol, part, offset, more, number=number,
                               before=before, tos=draw.choice(tos))  # fmt: skip
        else:
            packet = fragment4(
                src, dst, protocol, part, offset, more, id=number & 0xFFFF,
                df=draw.random() < df, options=options, tos=draw.choice(tos),
            )  # fmt: skip
        sent.append(ether(side, packet, family))
    return sent


def damaged(draw: random.Random, parts, body: bytes) -> tuple[bytes, int, bool]:
    part, offset, more = draw.choice(parts)
    return draw.choice([
        (part, offset, more),
        (part, offset, not more),
        (part[:-8], offset, True),
        (part[:8], offset, True),
        (b"", offset, more),
        (body[offset + 8 : offset + 8 + len(part)], offset + 8, True),
        (part[:5], 65528, False),
        (part[:13], offset, True),
    ])  # fmt: skip


def told(frame: bytes) -> tuple[bytes, int]:
    """A packet without what is drawn: the identification of what a node makes itself."""
    packet = bytearray(frame[14:])
    is_error = packet[9:10] == b"\x01" and packet[20:21] == b"\x03" and packet[1] >= 0xC0
    if packet[0] >> 4 == 4 and is_error:
        packet[4:6] = packet[10:12] = bytes(2)
    if packet[0] >> 4 == 6 and 44 in (packet[6], packet[40] if packet[6] == 60 else 0):
        at = 40 if packet[6] == 44 else 48
        packet[at + 4 : at + 8] = bytes(4)
    return bytes(packet), len(frame)


def asked(router: Router, sent: list[Sent], expected: Left) -> Left:
    """What left the node.  `expected` only says how long it may be worth while to wait."""
    router.heard()
    router.send(sent)
    found: Left = {device: [] for device in OWN}
    for _ in range(20):
        for side, frames in router.heard().items():
            found[DEVICES[side]] += [told(frame) for frame in frames if is_ip(frame)]
        if found == expected:
            break
        time.sleep(0.01)
    return found


def is_ip(frame: bytes) -> bool:
    """And no neighbour discovery."""
    if frame[12:14] == b"\x86\xdd":
        return not (frame[20] == 58 and 133 <= frame[54] <= 137) and frame[20] != 0
    return frame[12:14] == b"\x08\x00"


def computed(engine: FastEngine, sent: list[Sent], now: int):
    left: Left = {device: [] for device in OWN}
    reasons = []
    for side, frame in sent:
        device = DEVICES[side]
        frame = bytes.fromhex(OWN[device].replace(":", "")) + frame[6:]
        record = engine.run(now, frame, len(frame), ("n", device))
        reasons.append(int(record.reason))
        for tap in record.taps:
            if tap.outgoing and tap.device in left:
                left[tap.device].append(told(tap.frame))
    return left, reasons


@pytest.fixture(scope="module")
def router():
    with Router() as made:
        made.node.sysctl("net.ipv4.icmp_ratelimit", "0")
        made.node.sysctl("net.ipv6.icmp.ratelimit", "0")
        made.node.run("ip", "link", "set", "eth1", "mtu", str(MTUS["eth1"]))
        made.node.run("ip", "link", "set", "eth0", "gro", "off", check=False)
        yield made


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("case", CASES)
def test_what_leaves_is_what_leaves_linux(router: Router, case: str, family: int) -> None:
    rules, rules6 = CASES[case]
    router.load(rules or "*nat\nCOMMIT\n*filter\nCOMMIT\n")
    router.load(rules6 or "*filter\nCOMMIT\n", 6)
    engine = FastEngine({"n": state(rules, rules6)})
    draw = random.Random(f"{case} {family}")
    differing = []
    # Fragments of another case may still wait.
    first = 1 + list(CASES).index(case) * TRAINS
    for number in range(first, first + TRAINS):
        sent = train(draw, family, number)
        mine, reasons = computed(engine, sent, number * 100 * SECOND)
        theirs = asked(router, sent, mine)
        if mine != theirs:
            differing.append((number, sent, mine, theirs, reasons))
    assert not differing, report(differing)


def report(differing) -> str:
    lines = [f"{len(differing)} trains differ; the shortest:"]
    for each in sorted(differing, key=lambda each: len(each[1]))[:4]:
        lines += told_of(*each)
    return "\n".join(lines)


def told_of(number, sent, mine, theirs, reasons) -> list[str]:
    lines = [f"{number}: {reasons}"]
    lines += [f"sent {side} {words(frame[14:])}" for side, frame in sent]
    for name, left in (("mine", mine), ("theirs", theirs)):
        lines += [
            f"{name} {device} {words(packet)}" for device in left for packet, _ in left[device]
        ]
    return lines


def words(packet: bytes) -> str:
    if packet[0] >> 4 == 6:
        return f"{len(packet)} {packet[:40].hex()} {packet[40:60].hex()}"
    word = int.from_bytes(packet[6:8])
    size = packet[0] % 16 * 4
    return (
        f"{len(packet)} tos {packet[1]} ttl {packet[8]} proto {packet[9]} flags {word >> 13} "
        f"at {word % 0x2000 * 8} data {len(packet) - size} {packet[size : size + 8].hex()}"
    )


def test_macs() -> None:
    assert set(MACS) == set(DEVICES)
