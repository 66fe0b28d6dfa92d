"""Matches that ask how addresses would be routed, on random routes and rules of this kernel.

What is asked of them is counted by both: rpfilter and addrtype of both families, realms of IPv4.
"""

import random
from ipaddress import ip_address, ip_network
from itertools import product
from pathlib import Path

import pytest

from _fastpath.reason import Reason
from dataplane.node import iptables
from dataplane.node.folder import read_node
from dataplane.replay.after import counters
from dataplane.replay.fast import FastEngine
from dataplane.replay.record import Record
from tests import frames as fr
from tests import rule_pool
from tests.kernel import dumps, test_routing
from tests.kernel.fuzzing.lab import CHAINS
from tests.kernel.router import SIDES, Router, address, ether

CASES, PACKETS = 12, 60
LEGS6 = ip_network("fd09:1::/48")
DEVICES_AT = {"PREROUTING": ["in"], "INPUT": ["in"], "FORWARD": ["in", "out"]}
# Routes with classes; so that the counters tell them apart, each has its own.
CLASSES = ("realm 5", "realm 7", "realms 3/5", "realms 3/0", "realm 0")

pytestmark = pytest.mark.kernel


def words_of(family: int) -> list[tuple[str, str]]:
    found = [("PREROUTING", words) for words in rule_pool.REVERSE_PATHS]
    asked = [*rule_pool.ADDRESS_TYPES, *(rule_pool.ADDRESS_TYPES_IPV4 if family == 4 else [])]
    for chain in CHAINS["mangle"].split():
        for words in asked:
            sides = DEVICES_AT.get(chain, ["out"]) if "{" in words else [""]
            found += [(chain, words.format(side=side)) for side in sides]
        if chain != "PREROUTING" and family == 4:
            found += [(chain, words) for words in rule_pool.REALMS]
    return found


def rule_set(family: int) -> str:
    heads = [f":{chain} ACCEPT [0:0]" for chain in CHAINS["mangle"].split()]
    marks = [line for line in test_routing.MARKS.splitlines() if line.startswith("-A")]
    # What the node says of groups it is in is not asked about.
    groups = "224.0.0.0/4" if family == 4 else "ff00::/8"
    marks += [f"-A {chain} -d {groups} -j ACCEPT" for chain in ("OUTPUT", "POSTROUTING")]
    lines = [f"-A {chain} {words}" for chain, words in words_of(family)]
    return "\n".join(["*mangle", *heads, *marks, *lines, "COMMIT", ""])


def classify(router: Router, rng: random.Random) -> None:
    """Further routes, with realms, of several legs, to nowhere, to anybody."""
    run = router.node.run
    for prefix in (
        "10.0.0.3",
        "10.0.0.0/25",
        "10.0.1.3",
        "10.9.1.0/25",
        "10.77.0.0/16",
        "10.9.1.9",
    ):
        if rng.random() < 0.5:
            side = rng.choice(SIDES)
            way = ["via", address(side, 4), "dev", side] if rng.random() < 0.5 else ["dev", side]
            kind = rng.choice((way, way, way, ["blackhole"], ["unreachable"]))
            kind = [*kind[:1], prefix] if len(kind) == 1 else [prefix, *kind]
            classes = rng.choice(CLASSES).split() if rng.random() < 0.8 else []
            run("ip", "route", "replace", *kind, *classes, "metric", "1", check=False)
    if rng.random() < 0.5:
        classes = rng.choice(CLASSES)  # of both: which leg is taken is chance
        legs = [f"nexthop via {address(side, 5)} dev {side} {classes}" for side in SIDES]
        run("ip", "route", "replace", "10.9.0.0/17", *" ".join(legs).split(), check=False)
    for prefix in ("fd00::3", "fd00:1::/96", "fd09:1::/64", "fd77::/32", "fd09:1::9"):
        if rng.random() < 0.5:
            side = rng.choice(SIDES)
            kind = rng.choice(([prefix, "dev", side], [prefix, "via", address(side, 4, 6)],
                               ["unreachable", prefix], ["local", prefix, "dev", side],
                               ["anycast", prefix, "dev", side]))  # fmt: skip
            run("ip", "-6", "route", "replace", *kind, "metric", "1", check=False)
    if rng.random() < 0.5:
        legs = [f"nexthop via {address(side, 5, 6)} dev {side}" for side in SIDES]
        run("ip", "-6", "route", "replace", str(LEGS6), *" ".join(legs).split(), check=False)


def a_frame(rng: random.Random, side: str, family: int) -> bytes:
    """Now and then to the node itself, or from where nobody is."""
    packet = test_routing.a_packet(rng, side, family)
    at, size = (12, 4) if family == 4 else (8, 16)
    odd = {4: ("0a000001", "0a000101", "e0000005", "0a0000ff", "ffffffff", "0a090109"),
           6: ("fd00" + "0" * 27 + "1", "fd000001" + "0" * 23 + "1", "fe80" + "0" * 27 + "2",
               "ff02" + "0" * 27 + "1", "fd00" + "0" * 28, "fd090001" + "0" * 23 + "9",
               "0" * 20 + "ffff0a000002")}[family]  # fmt: skip
    if rng.random() < 0.4:
        start = at + size * rng.randrange(2)
        address_ = bytes.fromhex(rng.choice(odd))
        packet = packet[:start] + address_ + packet[start + size :]
        if family == 4:
            head = bytearray(packet[:20])
            head[10:12] = bytes(2)
            total = sum(int.from_bytes(head[i : i + 2]) for i in range(0, 20, 2))
            total = (total & 0xFFFF) + (total >> 16)
            packet = bytes(head[:10]) + (0xFFFF - total).to_bytes(2) + packet[12:]
    return packet


@pytest.mark.parametrize("flavour", ["legacy", "nft"])
@pytest.mark.parametrize("seed", range(CASES))
def test_what_is_counted(seed: int, flavour: str, tmp_path: Path) -> None:
    rng = random.Random(seed)
    with Router() as router:
        for key in ("icmp_ratelimit", "icmp_ratemask"):
            router.node.sysctl(f"net.ipv4.{key}", "0")
        router.node.sysctl("net.ipv6.icmp.ratelimit", "0")
        for anyone in ("0.0.0.0/0", "::/0"):  # no process answers
            words = f"xfrm policy add src {anyone} dst {anyone} dir in action block"
            router.node.run("ip", *words.split())
        test_routing.configure(router, rng, tmp_path)
        classify(router, rng)
        for family in (4, 6):
            router.node.run(f"ip{'6' * (family == 6)}tables-legacy", "-t", "mangle", "-F")
            router.load(rule_set(family), family, flavour)
        dump(router, tmp_path, flavour)
        engine = FastEngine({"n": read_node("n", tmp_path, lambda _: None)})
        for number in range(PACKETS):
            family, side = rng.choice((4, 6)), rng.choice(SIDES)
            sent = ether(side, a_frame(rng, side, family), family)
            before = theirs(router, flavour), ours(engine)
            router.send([sent])
            record = engine.run(10**18 + number, sent.frame, len(sent.frame), ("n", side))
            after = theirs(router, flavour), ours(engine)
            assert differing(before, after, chains(record)) == [], sent.frame.hex()


@pytest.mark.parametrize("flavour", ["legacy", "nft"])
def test_realms_of_policy_rules(flavour: str, tmp_path: Path) -> None:
    """What a route does not say, the rule that led to it does."""
    realms = [f"{high << 16 | low:#x}" for high in range(7) for low in range(7)]
    words = [(chain, f"-m realm --realm {realm}") for chain in ("INPUT", "FORWARD")
             for realm in realms]  # fmt: skip
    heads = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    lines = "".join(f"-A {chain} {text}\n" for chain, text in words)
    with Router() as router:
        run = router.node.run
        for rule in ("from 10.0.0.0/24 lookup main realms 4/6", "to 10.0.0.3 lookup main realms 1",
                     "to 10.0.1.3 lookup 100 realms 5/2"):  # fmt: skip
            run("ip", "rule", "add", *rule.split())
        run("ip", "route", "add", "10.0.1.3", "dev", "eth1", "table", "100", "realm", "3")
        run("ip", "route", "add", "10.0.0.4", "dev", "eth0", "realms", "5/6")
        router.load(f"*mangle\n{heads}{lines}COMMIT\n", 4, flavour)
        dumps.dump(router.node, tmp_path, flavour)
        engine = FastEngine({"n": read_node("n", tmp_path, lambda _: None)})
        before = theirs(router, flavour), ours(engine)
        for number, (source, side, host) in enumerate(product((2, 3, 4), SIDES, (0, 2, 3, 4))):
            src = address(side, source)
            far = SIDES[side == SIDES[0]]
            dst = address(far, host) if host else address(side, 1)
            sent = ether(side, fr.ipv4(src, dst, 17, fr.udp(src, 1, dst, 2)))
            router.send([sent])
            engine.run(10**18 + number, sent.frame, len(sent.frame), ("n", side))
        after = theirs(router, flavour), ours(engine)
        assert differing(before, after, ["INPUT", "FORWARD"]) == []


def chains(record: Record) -> list[str]:
    """Where both are asked: what happens later to some packets is not these matches' matter."""
    ends = [ip_address(str(record.src)), ip_address(str(record.dst))]
    # What leaves by either of two legs; what is forwarded although its addresses are a link's.
    is_chance = ends[1] in LEGS6 or any(end.is_link_local for end in ends)
    if record.reason in (*test_routing.LIMITED, Reason.TTL_EXPIRED):
        return []  # what is told to the node itself meets PREROUTING as well
    if record.reason == Reason.GROUP_ADDRESS or is_chance:
        return ["PREROUTING"]
    return CHAINS["mangle"].split()


def dump(router: Router, folder: Path, flavour: str) -> None:
    settings = (folder / "sysctl").read_text()
    dumps.dump(router.node, folder, flavour)
    (folder / "rules6.json").write_text(router.node.run("ip", "-j", "-6", "rule"))
    (folder / "sysctl").write_text(settings)


Counts = dict[tuple[int, str, int], tuple[int, str]]  # (family, chain, number): packets, words


def theirs(router: Router, flavour: str) -> Counts:
    found: Counts = {}
    for family in (4, 6):
        tool = f"ip{'6' * (family == 6)}tables-{flavour}-save"
        saved = iptables.parse(router.node.run(tool, "-c", "-t", "mangle"), "save", family=family)
        for chain in saved.tables["mangle"].chains.values():
            for number, rule in enumerate(chain.rules, 1):
                words = iptables.render_rule(chain.name, rule)
                found[family, chain.name, number] = rule.packets, words
    return found


def ours(engine: FastEngine) -> Counts:
    return {
        (family, chain, number): (packets, "")
        for (_, family, _, chain, number), (packets, _) in counters(
            engine.image, engine.state
        ).items()
    }


def differing(
    before: tuple[Counts, Counts], after: tuple[Counts, Counts], chains: list[str]
) -> list[str]:
    found = []
    for key, (count, words) in after[0].items():
        their, own = count - before[0][key][0], after[1][key][0] - before[1][key][0]
        if key[1] in chains and their != own and "-j ACCEPT" not in words:
            found.append(f"{words}: {their} {own}")
    return found
