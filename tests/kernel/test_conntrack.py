"""TCP in conntrack: every short conversation, as this kernel follows it."""

import itertools
import os
from operator import itemgetter

import pytest

from _fastpath.trace import StepKind
from dataplane.node import conntrack
from dataplane.replay.after import connections
from dataplane.replay.fast import FastEngine
from tests import frames as fr
from tests.kernel.router import Router, address, ether
from tests.reference.one_node import INSIDE, OUTSIDE, nat, node
from tests.two_nodes import mac

FLAGS = {
    "S": fr.SYN, "SA": fr.SYN | fr.ACK, "A": fr.ACK, "F": fr.FIN | fr.ACK, "R": fr.RST | fr.ACK,
    "D": fr.ACK | fr.PSH,
}  # fmt: skip
SYMBOLS = [side + kind for side in "or" for kind in FLAGS]
DATA = b"0123456789"
SERVER_PORT, FIRST_PORT = 80, 2000
BATCH = 2000  # sequences between two listings: CLOSE lives for 10 seconds
STATES = ("INVALID", "NEW", "ESTABLISHED", "RELATED")
# The packet leaves with its state in its type of service: 4, 8, 12, 16.
MARKS = "".join(
    f"-A FORWARD -m conntrack --ctstate {state} -j TOS --set-tos {4 * number:#x}/0xff\n"
    for number, state in enumerate(STATES, 1)
)
RULES = f"*mangle\n:FORWARD ACCEPT [0:0]\n{MARKS}COMMIT\n*nat\nCOMMIT\n"
DEFAULTS = {
    "net.netfilter.nf_conntrack_tcp_be_liberal": "0",
    "net.netfilter.nf_conntrack_tcp_loose": "1",
}
SETTINGS: dict[str, dict[str, str]] = {
    "strict": {},
    "liberal": {"net.netfilter.nf_conntrack_tcp_be_liberal": "1"},
    "noloose": {"net.netfilter.nf_conntrack_tcp_loose": "0"},
}

START = 10**18
NONE = (None, 0)
LATE = 8  # seconds between a packet and the listing, on a busy machine
NAMES = ["ESTABLISHED", "RELATED", "NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"]
MACS = {"o": mac(INSIDE).replace(":", ""), "r": mac(OUTSIDE).replace(":", "")}

pytestmark = pytest.mark.kernel


def sequences(length: int) -> list[tuple[str, ...]]:
    return [s for n in range(1, length + 1) for s in itertools.product(SYMBOLS, repeat=n)]


def segments(sequence: tuple[str, ...], port: int):
    """(direction, packet); numbered as sound ends do."""
    client, server = address("eth0", 2), address("eth1", 2)
    number = {"o": 1000, "r": 5000}
    for word in sequence:
        side, kind = word[0], FLAGS[word[1:]]
        payload = DATA if word[1:] == "D" else b""
        ends = (client, port, server, SERVER_PORT)
        ends = ends if side == "o" else (*ends[2:], *ends[:2])
        ack = number["r" if side == "o" else "o"] if kind & fr.ACK else 0
        body = fr.tcp(*ends, kind, seq=number[side], ack=ack, payload=payload)
        number[side] += len(payload) + bool(kind & (fr.SYN | fr.FIN))
        yield side, fr.ipv4(ends[0], ends[2], 6, body)


def entries_by_port(entries):
    found = {}
    for entry in entries:
        is_original = entry.original.dport == SERVER_PORT
        port = entry.original.sport if is_original else entry.original.dport
        opener = "o" if is_original else "r"
        left = (entry.state, opener, entry.unreplied, entry.assured)
        found[port] = left, entry.timeout
    return found


def asked(router: Router, batch: list[tuple[str, ...]]):
    """What the kernel says: per sequence its states, and (entry, seconds left) by port."""
    router.node.run("conntrack", "-F", check=False)
    router.heard()
    for number, sequence in enumerate(batch):
        for side, packet in segments(sequence, FIRST_PORT + number):
            router.send([ether("eth0" if side == "o" else "eth1", packet)])
    states: dict[int, list[tuple[str, str]]] = {}
    for side, frames in router.heard().items():
        for frame in frames:
            if frame[12:14] != b"\x08\x00":
                continue
            ports = int.from_bytes(frame[34:36]), int.from_bytes(frame[36:38])
            port = ports[0] if ports[0] != SERVER_PORT else ports[1]
            sent_by = "o" if side == "eth1" else "r"
            states.setdefault(port, []).append((sent_by, STATES[frame[15] // 4 - 1]))
    listed = conntrack.parse(router.node.run("conntrack", "-L"), "conntrack -L")
    return states, entries_by_port(listed)


def computed(settings: dict[str, str], batch: list[tuple[str, ...]]):
    """The same of the kernels of this project."""
    engine = FastEngine({"n": node(nat(), sysctls=settings)})
    states: dict[int, list[tuple[str, str]]] = {}
    for number, sequence in enumerate(batch):
        port = FIRST_PORT + number
        for side, packet in segments(sequence, port):
            frame = ether("eth0" if side == "o" else "eth1", packet).frame
            frame = bytes.fromhex(MACS[side]) + frame[6:]
            record = engine.run(START, frame, len(frame), ("n", "a" if side == "o" else "b"))
            found = next(
                step.number for step in record.steps if step.kind == StepKind.STEP_CONNTRACK
            )
            states.setdefault(port, []).append((side, NAMES[found]))
    return states, entries_by_port(connections(engine.image, engine.state, "n", START))


def state_of(record) -> str:
    return next(NAMES[s.number] for s in record.steps if s.kind == StepKind.STEP_CONNTRACK)


@pytest.fixture(scope="module")
def router():
    with Router() as made:
        made.load(RULES)
        yield made


@pytest.mark.parametrize("name", SETTINGS)
def test_every_sequence_of_segments(router: Router, name: str) -> None:
    """State of each packet, and state, direction, flags and time left of each connection."""
    length = int(os.environ.get("TCP_SEQUENCE_LENGTH", "4"))
    settings = DEFAULTS | SETTINGS[name]
    for setting, value in settings.items():
        router.node.sysctl(setting, value)
    wanted = sequences(length)
    differing = []
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        theirs, mine = asked(router, batch), computed(settings, batch)
        differing += [
            (sequence, *found)
            for number, sequence in enumerate(batch)
            if not is_equal(*(found := outcomes(FIRST_PORT + number, theirs, mine)))
        ]
    assert not differing, f"{len(differing)} of {len(wanted)}: {differing[:5]}"
    print(f"{name}: {len(wanted)} sequences, {sum(map(len, wanted))} packets: equal")


def outcomes(port, *engines):
    """(states by sender, entry, seconds left) of a port, as each engine has it."""
    # How the packets of the two senders lie between each other is not heard.
    return [
        (sorted(states.get(port, []), key=itemgetter(0)), *left.get(port, NONE))
        for states, left in engines
    ]


def is_equal(theirs, mine) -> bool:
    return theirs[:2] == mine[:2] and 0 <= mine[2] - theirs[2] <= LATE
