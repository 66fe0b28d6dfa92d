"""Conversations through random translations, as this kernel has them: ports that run out,
connections that clash, closed ones that give way."""

import random
import time
from collections import Counter
from typing import NamedTuple

import pytest

from dataplane.node.conntrack import parse
from dataplane.node.state import NodeState
from dataplane.reference.choice import ChoiceKind, Fields, choice_key, identity
from dataplane.reference.packet import Packet
from dataplane.replay.after import connections, order
from dataplane.replay.fast import FastEngine
from dataplane.replay.record import Record
from tests import frames as fr
from tests import rule_pool
from tests.conversations import Conversation
from tests.kernel.routed import Case, Node, ask, compute, learned
from tests.kernel.router import SIDES, Sent, address, ether

CONVERSATIONS, LONGEST = 60, 40

pytestmark = pytest.mark.kernel


class Story(NamedTuple):
    """What was sent when, what left on each side, and what the table holds."""

    sent: list[Sent]
    times: list[int]
    left: list[dict[str, list[bytes]]]
    entries: list[object]


def told(node: Node, chance: random.Random) -> Story:
    talk = Conversation(node.family, chance)
    sent, times, left = [], [], []
    for _ in range(LONGEST):
        sent.append(talk.next())
        times.append(time.time_ns())
        left.append(node.send(sent[-1]))
        talk.hear(left[-1])
    family = "ipv4" if node.family == 4 else "ipv6"
    listed = parse(node.run("conntrack", "-L", "-f", family), "conntrack -L")
    return Story(sent, times, left, sorted(listed, key=order))


def keys(frame: bytes) -> list[int]:
    """Of the draws for both ends of the flow that the packet would open."""
    own = Packet(frame)
    fields = Fields(own.family, own.protocol, own.src, own.sport, own.dst, own.dport)
    return [choice_key(0, ChoiceKind.NAT_PORT, identity("node"), fields, manip) for manip in (0, 1)]


def drawn(story: Story) -> dict[int, list[int]]:
    """What Linux may have drawn for each packet of a flow: told from the packet as it left, else
    from the one before, else from the table."""
    listed = learned(story.entries)
    found: dict[int, list[int]] = {}
    for sent, left in zip(story.sent, story.left, strict=True):
        out = [Packet(frame) for side in SIDES for frame in left[side]]
        for key, after in zip(keys(sent.frame), ("sport", "dport"), strict=True):
            known = [*found.get(key, listed.get(key, [])), *(getattr(one, after) for one in out)]
            found.setdefault(key, []).extend(known[-1:] or [0])
    return found


class Followed:
    """Ours, which takes for each packet the draw that was told from it."""

    def __init__(self, state: NodeState, story: Story) -> None:
        self.engine = FastEngine({"node": state}, choices=drawn(story))
        arrays = self.engine.state.arrays
        self.used, self.rows = arrays["choice_used"], arrays["choices"]["key"].tolist()
        self.met: Counter[int] = Counter()

    def run(self, at: int, sent: Sent) -> Record:
        for key in keys(sent.frame):
            self.used[self.rows.index(key)] = self.met[key]
            self.met[key] += 1
        return self.engine.run(at, sent.frame, len(sent.frame), ("node", sent.side))


def rules(pairs: list[str]) -> str:
    lines = [f"-A {pair}" for pair in pairs]
    return "\n".join(["*nat", *lines, "COMMIT", ""])


def difference(node: Node, pairs: list[str], chance: random.Random) -> str:
    state = node.load(Case(node.family, node.flavour, rules(pairs)))
    story = told(node, chance)
    ours = Followed(state, story)
    for number, (sent, at) in enumerate(zip(story.sent, story.times, strict=True)):
        record = ours.run(at, sent)
        own = {side: [t.frame for t in record.taps if t.outgoing and t.device == side]
               for side in SIDES}  # fmt: skip
        if own != story.left[number]:
            return f"{number} {sent.side} {sent.frame.hex()}: {story.left[number]}, here {own}"
    mine = list(connections(ours.engine.image, ours.engine.state, "node", story.times[-1]))
    theirs = [(e.protocol, e.original, e.reply, e.state, e.unreplied) for e in story.entries]
    ours = [(e.protocol, e.original, e.reply, e.state, e.unreplied) for e in mine]
    only = [e for e in theirs if e not in ours], [e for e in ours if e not in theirs]
    return "" if only == ([], []) else f"only theirs {only[0]}, only here {only[1]}"


@pytest.mark.parametrize("flavour", ["legacy", "nft"])
@pytest.mark.parametrize("family", [4, 6])
def test_conversations_are_translated_as_by_this_kernel(family: int, flavour: str) -> None:
    node = Node(family, flavour)
    try:
        # The node's processes say nothing: a policy blocks what is for them behind INPUT.
        for anyone in ("0.0.0.0/0", "::/0"):
            node.run(*f"ip xfrm policy add src {anyone} dst {anyone} dir in action block".split())
        for number in range(CONVERSATIONS):
            chance = random.Random(f"{family} {number}")
            pairs = chance.sample(rule_pool.TRANSLATIONS[family], chance.choice([1, 2, 2, 3]))
            assert difference(node, pairs, chance) == "", (number, pairs)
    finally:
        node.router.close()


@pytest.mark.parametrize("family", [4, 6])
def test_a_masqueraded_connection_ends_where_it_leaves_by_another_device(family: int) -> None:
    node = Node(family, "legacy")
    ip = ["ip", f"-{family}"]
    src, dst = address(SIDES[0], 2, family), "192.0.2.9" if family == 4 else "2001:db8::9"
    try:
        node.run(*ip, *["rule", "add", "tos", "0x10", "table", "7"])
        gateway = address(SIDES[0], 9, family)
        node.run(*ip, *f"route add default via {gateway} dev eth0 table 7".split())
        node.plain = node.dump()
        sent = []
        for tos in (0, 0, 0x10, 0x10, 0):
            body = fr.udp(src, 1000, dst, 80)
            if family == 4:
                packet = bytearray(fr.ipv4(src, dst, 17, body, tos=tos))
            else:
                packet = bytearray(fr.ipv6(src, dst, 17, body))
                packet[0] |= tos >> 4
            sent.append(ether(SIDES[0], bytes(packet), family))
        text = rules(["POSTROUTING -j MASQUERADE"])
        run = ask(node, Case(family, "legacy", text, frames=tuple(sent)))
        mine = compute(run)[0]
        assert mine.frames == run.seen.frames
        assert [len(run.seen.frames[side]) for side in SIDES] == [1, 2]
        assert [e.reply for e in mine.connections] == [e.reply for e in run.seen.connections]
    finally:
        node.router.close()
