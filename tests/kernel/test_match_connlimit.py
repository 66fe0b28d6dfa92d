"""-m connlimit against this kernel: conversations and rules at random, of both families.

Packets are some ticks apart, since a list is looked through once in a tick.
"""

import random
import time
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dataplane.node import iptables
from dataplane.node.state import NodeState
from dataplane.replay.after import counters
from dataplane.replay.fast import FastEngine
from tests import frames as fr
from tests.kernel.routed import Node
from tests.kernel.router import Sent, address, ether

CASES, PACKETS, TICKS = 16, 45, 0.011
FLAGS = [fr.SYN, fr.SYN, fr.SYN | fr.ACK, fr.SYN | fr.ACK, fr.ACK, fr.ACK, fr.FIN | fr.ACK, fr.RST]
HOSTS = (2, 3, 9)

pytestmark = pytest.mark.kernel


def a_match(rng: random.Random, family: int) -> str:
    bits = 32 if family == 4 else 128
    words = ["-m connlimit", f"--connlimit-{rng.choice(('upto', 'above'))} {rng.randrange(4)}"]
    words.append(f"--connlimit-mask {rng.choice((bits, bits, bits - 1, bits - 8, 0))}")
    return " ".join([*words, rng.choice(("--connlimit-saddr", "--connlimit-daddr"))])


def rule_set(rng: random.Random, family: int) -> str:
    zones = ["-j CT --zone 7", "-j CT --zone-orig 5", "-p udp -j CT --notrack"]
    raw = [f"-A PREROUTING {rng.choice(zones)}"] if rng.random() < 0.4 else []
    raw += [f"-A PREROUTING {a_match(rng, family)}" for _ in range(rng.randrange(3))]
    own = []
    for _ in range(rng.randrange(1, 5)):
        before = rng.choice(("", "", "-p tcp", f"-s {address('eth0', 2, family)}"))
        target = rng.choice(("", "", "", "-j DROP"))
        own.append(f"-A FORWARD {before} {a_match(rng, family)} {target}")
    heads = ":PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    lines = "\n".join(raw) + "\n" if raw else ""
    filters = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    return f"*raw\n{heads}{lines}COMMIT\n*filter\n{filters}" + "\n".join(own) + "\nCOMMIT\n"


class Talk:
    """TCP conversations that mostly go on as they should, and datagrams."""

    def __init__(self, rng: random.Random, family: int) -> None:
        self.rng, self.family = rng, family
        self.seq: dict[tuple[str, int], list[int]] = {}

    def next(self) -> Sent:
        rng, family = self.rng, self.family
        client = address("eth0", rng.choice(HOSTS), family)
        server, port = address("eth1", rng.choice((2, 3)), family), rng.randrange(1, 4)
        is_reply = rng.random() < 0.35
        ends = (server, 80, client, port) if is_reply else (client, port, server, 80)
        kind = rng.random()
        if kind < 0.7:
            protocol, body = 6, self._segment(ends, port, is_reply)
        elif kind < 0.95:
            protocol, body = 17, fr.udp(*ends)
        else:
            protocol, body = 17, b"\0\1\0"
        build = fr.ipv4 if family == 4 else fr.ipv6
        packet = build(ip_address(ends[0]), ip_address(ends[2]), protocol, body)
        return ether("eth1" if is_reply else "eth0", packet, family)

    def _segment(self, ends: tuple[str, int, str, int], port: int, is_reply: bool) -> bytes:
        key = (ends[2] if is_reply else ends[0]), port
        seq = self.seq.setdefault(key, [1000, 5000])
        flags = self.rng.choice(FLAGS)
        mine = seq[is_reply]
        ack = seq[not is_reply] if flags & fr.ACK else 0
        if flags & (fr.SYN | fr.FIN):
            seq[is_reply] += 1
        return fr.tcp(*ends, flags, seq=mine, ack=ack)


@pytest.fixture(scope="module", params=[(4, "legacy"), (4, "nft"), (6, "legacy"), (6, "nft")])
def asked(request: pytest.FixtureRequest):
    made = Node(*request.param)
    yield made
    made.router.close()


@pytest.mark.parametrize("seed", range(CASES))
def test_what_is_counted(asked: Node, seed: int) -> None:
    rng = random.Random(f"{seed} {asked.family} {asked.flavour}")
    text = rule_set(rng, asked.family)
    asked.run(f"{asked.tool}-restore", stdin=text)
    asked.run("conntrack", "-F", check=False)
    saved = iptables.parse(asked.run(f"{asked.tool}-save"), "save", family=asked.family)
    engine = FastEngine({"n": as_node(asked, saved)})
    talk = Talk(rng, asked.family)
    for number in range(PACKETS):
        sent = talk.next()
        now = time.time_ns()
        asked.router.send([sent])
        engine.run(now, sent.frame, len(sent.frame), ("n", sent.side))
        if number % 9 == 8:
            assert differing(asked, engine) == [], text
        time.sleep(TICKS)
    assert differing(asked, engine) == [], text


def as_node(asked: Node, saved: iptables.Ruleset) -> NodeState:
    kind = {"iptables": saved} if asked.family == 4 else {"ip6tables": saved}
    settings = {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}
    return replace(asked.plain, name="n", sysctls=settings, **kind)


def differing(asked: Node, engine: FastEngine) -> list[str]:
    saved = iptables.parse(asked.run(f"{asked.tool}-save", "-c"), "save", family=asked.family)
    mine, found = counters(engine.image, engine.state), []
    for table in saved.tables.values():
        for chain in table.chains.values():
            for number, rule in enumerate(chain.rules, 1):
                own = mine["n", asked.family, table.name, chain.name, number][0]
                if own != rule.packets:
                    words = iptables.render_rule(chain.name, rule)
                    found.append(f"{table.name} {words}: {rule.packets} {own}")
    return found
