"""SCTP, GRE, UDPLITE, DCCP and others in conntrack: random conversations, as this kernel follows
them, with windows of TCP beside them."""

import random

import pytest

from dataplane.node import conntrack
from dataplane.replay.after import connections
from dataplane.replay.fast import FastEngine
from tests import frames as fr
from tests.kernel.router import Router, address, ether
from tests.kernel.test_conntrack import LATE, MACS, RULES, START, STATES, state_of
from tests.reference.one_node import nat, node

CONVERSATIONS, LONGEST = 150, 7
CHUNKS = (0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 192)
PORTS = {"o": (1000, 80), "r": (80, 1000)}

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def router():
    with Router() as made:
        made.load(RULES)
        yield made


# Conversations: (side, protocol, transport header and payload).


def sctp(chance: random.Random):
    opening = [("o", fr.sctp_init(7), 0), ("r", fr.sctp_init(8, 2), 7),
               ("o", b"\x0a\0\0\4", 8), ("r", b"\x0b\0\0\4", 7)]  # fmt: skip
    packets = [(s, [chunk], tag) for s, chunk, tag in opening[: chance.randrange(5)]]
    while len(packets) < LONGEST:
        side = chance.choice("or")
        some = [chunk(chance) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
        packets.append((side, some, chance.choice([0, 7, 8, 8 if side == "o" else 7])))
    for side, chunks, tag in packets:
        body = fr.sctp(*PORTS[side], *chunks, vtag=tag, is_summed=True)
        yield side, 132, body if chance.random() < 0.95 else body[:8] + b"\1\2\3\4" + body[12:]


def chunk(chance: random.Random) -> bytes:
    kind = chance.choice((1, 2, *CHUNKS))
    if kind in (1, 2):
        return fr.sctp_init(chance.choice([7, 8, 9]), kind)
    return bytes([kind, chance.choice([0, 0, 1]), 0, chance.choice([4, 4, 4, 4, 4, 0])])


def udplite(chance: random.Random):
    client, server = address("eth0", 2), address("eth1", 2)
    for _ in range(LONGEST):
        side = chance.choice("or")
        src, dst = (client, server) if side == "o" else (server, client)
        sport, dport = PORTS[side]
        covers = chance.choice([0, 8, 12, 9, 7, 13])
        body = fr.udplite(src, sport, dst, dport, b"data", covers)
        yield side, 136, body if chance.random() < 0.8 else body[:6] + b"\0\0" + body[8:]


def gre(chance: random.Random):
    for _ in range(LONGEST):
        version = chance.choice([0, 1])
        protocol = chance.choice([b"\x88\x0b", b"\x08\x00"])
        key = chance.choice([0, 5, 6])
        size = chance.choice([8, 8, 8, 4])
        body = bytes([0x20, version]) + protocol + b"\0\0" + key.to_bytes(2)
        yield chance.choice("or"), 47, body[:size]


def others(chance: random.Random):
    protocol = chance.choice([33, 50, 89, 103])
    for _ in range(LONGEST):
        side = chance.choice("or")
        body = b"".join(port.to_bytes(2) for port in PORTS[side]) + bytes(12)
        yield side, protocol, body[: chance.choice([16, 16, 2])]


def tcp(chance: random.Random):
    """Numbers that are right, or nearly so; scaled windows, selective acknowledgements."""
    number = {"o": chance.choice([1000, 0xFFFFFFFF]), "r": 5000}
    options = chance.choice([b"", b"\x02\x04\x05\xb4\x04\x02\x01\x03\x03\x07", b"\x04\x02\0\0"])
    kinds = [("o", fr.SYN), ("r", fr.SYN | fr.ACK), ("o", fr.ACK)][: chance.choice([0, 1, 2, 3, 3])]
    usual = [fr.ACK, fr.ACK, fr.ACK | fr.PSH, fr.FIN | fr.ACK, fr.RST, fr.RST | fr.ACK, fr.SYN]
    kinds += [(chance.choice("or"), chance.choice(usual)) for _ in range(9)]
    last: tuple[str, int, bytes] | None = None
    for side, kind in kinds:
        if last and chance.random() < 0.2:
            yield last
        other = "r" if side == "o" else "o"
        off, ack_off = (chance.choice([0] * 8 + [-1, 1, 3, -70000, 70000]) for _ in range(2))
        payload = chance.choice([b"", b"", b"abc", b"d" * 1000])
        sack = b"\x01\x01\x05\x0a" + b"".join(
            (number[other] + more & 0xFFFFFFFF).to_bytes(4) for more in (10, 20)
        )
        ends = (address("eth0", 2), 1000, address("eth1", 2), 80)
        ends = ends if side == "o" else (*ends[2:], *ends[:2])
        body = fr.tcp(
            *ends, kind, payload=payload, window=chance.choice([64240, 64240, 0, 10]),
            seq=number[side] + off & 0xFFFFFFFF,
            ack=number[other] + ack_off & 0xFFFFFFFF if kind & fr.ACK else 0,
            options=options if kind & fr.SYN else chance.choice([b"", b"", sack]),
        )  # fmt: skip
        number[side] += 0 if off else len(payload) + bool(kind & (fr.SYN | fr.FIN))
        last = side, 6, body
        yield last


KINDS = {"sctp": sctp, "udplite": udplite, "gre": gre, "others": others, "tcp": tcp}


def packet_of(side: str, protocol: int, body: bytes, mark: int) -> bytes:
    ends = (address("eth0", 2), address("eth1", 2))
    ends = ends if side == "o" else ends[::-1]
    return fr.ipv4(*ends, protocol, body, id=mark)


def asked(router: Router, packets):
    """What the kernel says: the state of each packet, and what is left."""
    router.node.run("conntrack", "-F", check=False)
    router.heard()
    for number, (side, protocol, body) in enumerate(packets):
        frame = packet_of(side, protocol, body, number + 1)
        router.send([ether("eth0" if side == "o" else "eth1", frame)])
    states = {}
    for frames in router.heard().values():
        for frame in frames:
            if frame[12:14] == b"\x08\x00":
                states[int.from_bytes(frame[18:20]) - 1] = STATES[frame[15] // 4 - 1]
    listed = conntrack.parse(router.node.run("conntrack", "-L"), "conntrack -L")
    return [states.get(number) for number in range(len(packets))], listed


def computed(packets):
    engine = FastEngine({"n": node(nat("POSTROUTING -o none -j MASQUERADE"))})
    states = []
    for side, protocol, body in packets:
        arriving = ether("eth0" if side == "o" else "eth1", packet_of(side, protocol, body, 1))
        frame = bytes.fromhex(MACS[side]) + arriving.frame[6:]
        record = engine.run(START, frame, len(frame), ("n", "a" if side == "o" else "b"))
        states.append(state_of(record))
    return states, list(connections(engine.image, engine.state, "n", START))


def without_time(entries):
    return sorted(
        repr((e.protocol, e.original, e.reply, e.state, e.unreplied, e.assured)) for e in entries
    )


@pytest.mark.parametrize("kind", KINDS)
def test_random_conversations(router: Router, kind: str) -> None:
    chance = random.Random(f"{kind} 6.18")
    for _ in range(CONVERSATIONS):
        packets = list(KINDS[kind](chance))
        theirs, mine = asked(router, packets), computed(packets)
        story = [(side, body.hex(" ")) for side, _, body in packets]
        assert mine[0] == theirs[0], story
        assert without_time(mine[1]) == without_time(theirs[1]), story
        key = lambda entry: repr((entry.protocol, entry.original))  # noqa: E731
        for ours, its in zip(sorted(mine[1], key=key), sorted(theirs[1], key=key), strict=True):
            assert 0 <= ours.timeout - its.timeout <= LATE, (story, ours, its)
