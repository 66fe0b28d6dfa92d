"""Every target that changes packets, against this kernel: the frames that leave are the same."""

from collections.abc import Sequence

import pytest

from tests import frames as fr
from tests import rule_pool
from tests.kernel.routed import Case, Node, ask, compute
from tests.kernel.router import HOSTS, SIDES, Sent, address, ether
from tests.kernel.test_matches import frames, source

pytestmark = pytest.mark.kernel

MSS = b"\x02\x04\x05\xb4"
OPTIONS = [b"", MSS, b"\x03\x03\x07" + MSS, b"\x02\x00", b"\x01" * 40, b"\x02\x04\x01\xf4"]
FLAGS = [fr.SYN, fr.SYN | 0xC0, fr.ACK | 0x40]


def edits(family: int) -> list[str]:
    own = rule_pool.EDITS_IPV4 if family == 4 else rule_pool.EDITS_IPV6
    return [
        f"{'POSTROUTING' if 'clamp' in target else 'FORWARD'} {target}"
        for target in (*rule_pool.EDITS, *own)
    ]


def rules(mangle: Sequence[str] = (), nat: Sequence[str] = ()) -> str:
    """Marks are made visible: as the type of service of what leaves."""
    seen = [f"POSTROUTING -m mark --mark {mark} -j TOS --set-tos {mark}4/0xfc" for mark in "123"]
    lines = [
        f"-A {line}" for line in (*mangle, *(seen if any("MARK" in m for m in mangle) else ()))
    ]
    nat_lines = [f"-A {line}" for line in nat]
    return "\n".join(["*mangle", *lines, "COMMIT", "*nat", *nat_lines, "COMMIT", ""])


def without_id(frame: bytes) -> bytes:
    """Of an IPv4 packet that the node made, and without the checksum over it."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 1:
        return frame
    return frame[:18] + bytes(2) + frame[20:24] + bytes(2) + frame[26:]


def packet(family: int, src: str, dst: str, protocol: int, body: bytes, **fields: int) -> Sent:
    if family == 4:
        return ether(SIDES[0], fr.ipv4(src, dst, protocol, body, fragment=0x4000, **fields))
    made = bytearray(fr.ipv6(src, dst, protocol, body, fields.get("ttl", 64)))
    made[0] |= fields.get("tos", 0) >> 4
    made[1] |= (fields.get("tos", 0) & 15) << 4
    return ether(SIDES[0], bytes(made), 6)


def segments(family: int) -> tuple[Sent, ...]:
    src, dst = address(SIDES[0], 2, family), address(SIDES[1], 2, family)
    sent, port = [], 1000
    for flags in FLAGS:
        for options in OPTIONS:
            for payload in (b"", b"data"):
                port += 1
                body = fr.tcp(src, port, dst, 80, flags, options=options, payload=payload)
                sent.append(packet(family, src, dst, 6, body, tos=port % 256, ttl=64 + port % 9))
    sent += [packet(family, src, dst, 6, body[:size]) for size in (8, 19, 22)]
    return (*sent, packet(family, src, dst, 17, fr.udp(src, 7, dst, 80, b"x"), ttl=2))


def datagrams(family: int, network: str) -> tuple[Sent, ...]:
    """From every host to every address, so that a hash of both spreads them."""
    return tuple(
        packet(family, src, dst, 17, fr.udp(src, 1000 + there, dst, 80 + here, b"x"))
        for here in HOSTS
        for there in HOSTS
        for src, dst in [(address(SIDES[0], here, family), f"{network}{there}")]
    )


# Where datagrams are sent to: before a destination is translated, a network that is not there.
NETWORKS = {
    "PREROUTING": {4: "10.0.7.", 6: "fd00:7::"}, "POSTROUTING": {4: "10.0.1.", 6: "fd00:1::"},
}  # fmt: skip


def differing(node: Node, text: str, frames: tuple[Sent, ...]) -> list[str]:
    run = ask(node, Case(node.family, node.flavour, text, frames=frames))
    theirs, mine = run.seen.frames, compute(run)[0].frames
    assert sum(map(len, theirs.values())) > len(frames) // 2, "the kernel lets most of them pass"
    return [
        f"{side} {number}: Linux {its.hex()}, here {own.hex()}"
        for side in SIDES
        for number, (its, own) in enumerate(zip(theirs[side], mine[side], strict=False))
        if its != own
    ] + [f"{side}: {len(theirs[side])}, {len(mine[side])}" for side in SIDES
         if len(theirs[side]) != len(mine[side])]  # fmt: skip


@pytest.fixture(scope="module", params=["legacy", "nft"])
def flavour(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("family", [4, 6])
def test_edits_are_those_of_this_kernel(family: int, flavour: str) -> None:
    node = Node(family, flavour)
    try:
        for rule in edits(family):
            # That it asks for connections makes the node track them.
            text = rules([rule, "POSTROUTING -m conntrack --ctstate NEW"])
            assert differing(node, text, segments(family)) == [], rule
    finally:
        node.router.close()


@pytest.mark.parametrize("family", [4, 6])
def test_copies_are_those_of_this_kernel(family: int, flavour: str) -> None:
    node = Node(family, flavour)
    try:
        for chain in ("PREROUTING", "FORWARD", "POSTROUTING"):
            for target in rule_pool.COPIES[family]:
                lines = [
                    f"{chain} {target.format(a='eth0', b='eth1')}",
                    "POSTROUTING -m conntrack --ctstate UNTRACKED -j TOS --set-tos 0x08/0xff",
                    "POSTROUTING -m pkttype --pkt-type unicast -j DSCP --set-dscp 0x0a",
                    f"OUTPUT -p tcp -j TEE --gateway {address('eth0', 4, family)}",
                ]
                assert differing(node, rules(lines), segments(family)) == [], lines
    finally:
        node.router.close()


@pytest.mark.parametrize("family", [4, 6])
def test_copies_that_are_too_long_are_told_of(family: int, flavour: str) -> None:
    node = Node(family, flavour)
    try:
        node.run("ip", "link", "set", "eth1", "mtu", "1300")
        node.plain = node.dump()
        src, dst = address(SIDES[0], 2, family), address(SIDES[0], 3, family)
        sent = tuple(
            packet(family, src, dst, 17, fr.udp(src, 7, dst, 80, bytes(size)))
            for size in (100, 1200, 1250, 1260, 1300, 1400)
        )
        lines = [f"PREROUTING -j TEE --gateway {address('eth1', 4, family)}",
                 "POSTROUTING -m conntrack --ctstate NEW"]  # fmt: skip
        run = ask(node, Case(family, flavour, rules(lines), frames=sent))
        theirs, mine = run.seen.frames, compute(run)[0].frames
        assert {side: list(map(without_id, theirs[side])) for side in SIDES} == {
            side: list(map(without_id, mine[side])) for side in SIDES
        }
        assert len(theirs[SIDES[0]]) + len(theirs[SIDES[1]]) == 2 * len(sent), "copy, or error"
    finally:
        node.router.close()


@pytest.mark.parametrize("family", [4, 6])
def test_translations_are_those_of_this_kernel(family: int, flavour: str) -> None:
    node = Node(family, flavour)
    try:
        for chain, pool in (
            ("PREROUTING", rule_pool.DESTINATIONS),
            ("POSTROUTING", rule_pool.SOURCES),
        ):
            for target in pool[family]:
                sent = datagrams(family, NETWORKS[chain][family])
                assert differing(node, rules(nat=[f"{chain} {target}"]), sent) == [], target
    finally:
        node.router.close()


MARKS = range(1, 10)


def hash_marks(family: int) -> str:
    """Of each source another HMARK; then what it made of the packet is counted."""
    hashes = [rule for rule in rule_pool.EDITS if "HMARK" in rule and "tuple ct" not in rule]
    targets = [rule.replace("--hmark-mod 3", "--hmark-mod 8") for rule in hashes]
    lines = [f"-A PREROUTING -s {source(family, n)} -g M{n}" for n in range(len(targets))]
    for number, target in enumerate(targets):
        lines.append(f"-A M{number} {target}")
        lines += [f"-A M{number} -m mark --mark {mark} -j DROP" for mark in MARKS]
    heads = [f":M{number} - [0:0]" for number in range(len(targets))]
    return "\n".join(["*raw", ":PREROUTING ACCEPT [0:0]", *heads, *lines, "COMMIT", ""])


@pytest.mark.parametrize("family", [4, 6])
def test_hash_marks_are_those_of_this_kernel(family: int, flavour: str) -> None:
    text = hash_marks(family)
    sent = tuple(frame for n in range(text.count("-j HMARK")) for frame in frames(family, n))
    node = Node(family, flavour)
    try:
        run = ask(node, Case(family, flavour, text, frames=sent))
        theirs, mine = run.seen.counters, compute(run)[0].counters
        rows = [row for row in theirs if row[1].startswith("M")]
        assert {row: theirs[row] for row in rows} == {row: mine[row] for row in rows}
        assert sum(theirs[row][0] > 0 for row in rows) > 20, "they are spread over the marks"
    finally:
        node.router.close()
