"""One node between two networks, for tests that need no more.

client 10.0.0.2 ── a [node n] b ── server 10.0.1.2
"""

from ipaddress import ip_address

from dataplane.node import iptables
from dataplane.node.state import InterfaceAddress, Link, Neighbour, NodeState
from dataplane.reference.engine import Engine, Record
from tests import frames as fr
from tests.two_nodes import mac

CLIENT, SERVER = ip_address("10.0.0.2"), ip_address("10.0.1.2")
INSIDE, OUTSIDE = ip_address("10.0.0.1"), ip_address("10.0.1.1")
TRACKED = "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"
# Matches nothing; that it asks for connections makes the node track them.
ASKS = "-A INPUT -d 192.0.2.255/32 -m conntrack --ctstate NEW\n"
SECOND = 10**9
MS = 10**6


def nat(*rules: str) -> str:
    return TRACKED + ASKS + "".join(f"-A {rule}\n" for rule in rules) + "COMMIT\n"


def table(name: str, *rules: str, policy: str = "ACCEPT", chains: str = "") -> str:
    hooks = "INPUT FORWARD OUTPUT" if name == "filter" else "PREROUTING OUTPUT"
    heads = "".join(f":{hook} {policy} [0:0]\n" for hook in hooks.split())
    own = "".join(f":{chain} - [0:0]\n" for chain in chains.split())
    return f"*{name}\n{heads}{own}" + "".join(f"-A {rule}\n" for rule in rules) + "COMMIT\n"


def node(rules: str = "", **changes: object) -> NodeState:
    sysctls = {"net.ipv4.ip_forward": "1", **dict(changes.pop("sysctls", {}))}  # type: ignore
    parts: dict[str, object] = {
        "links": (
            Link(1, "lo", "", 65536, link_type="loopback"),
            Link(2, "a", mac(INSIDE), 1500),
            Link(3, "b", mac(OUTSIDE), 1400),
        ),
        "addresses": (
            InterfaceAddress("lo", ip_address("127.0.0.1"), 8, "host"),
            InterfaceAddress("a", INSIDE, 24),
            InterfaceAddress("b", OUTSIDE, 24),
        ),
        "neighbours": (Neighbour(CLIENT, "a", mac(CLIENT)), Neighbour(SERVER, "b", mac(SERVER))),
        "iptables": iptables.parse(rules, "rules"),
        "sysctls": sysctls,
        **changes,
    }
    return NodeState("n", **parts)  # type: ignore[arg-type]


def engine(rules: str = "", *, seed: int = 0, choices: object = None, **changes: object) -> Engine:
    return Engine({"n": node(rules, **changes)}, seed=seed, choices=choices)  # type: ignore


def send(
    engine: Engine,
    protocol: int,
    body: bytes,
    src: object = CLIENT,
    dst: object = SERVER,
    *,
    time: int = 0,
    device: str | None = None,
    **fields: int,
) -> Record:
    """An IPv4 packet that arrives where its source is (`device` "": the node sends it)."""
    entry = device if device is not None else ("b" if str(src).startswith("10.0.1.") else "a")
    gateway = OUTSIDE if entry == "b" else INSIDE
    frame = fr.ether(
        mac(src), mac(gateway), b"\x08\x00", fr.ipv4(src, dst, protocol, body, **fields)
    )
    return engine.run(time, frame, len(frame), ("n", entry or None))


def rules_met(record: Record) -> list[str]:
    """`table CHAIN number` of each rule step."""
    return [f"{s.table} {s.chain} {s.number}" for s in record.steps if s.kind == 0]


def states(record: Record) -> list[int]:
    return [step.number for step in record.steps if step.kind == 5]
