"""Single packets through one router of the real kernel, and through both of our engines.

Processes of the node are silent: an IPsec policy blocks what is for them, behind the last hook.
What is compared is every frame that leaves, and which base chains were met how often.
"""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from dataplane.node import groups
from dataplane.node.folder import read_node
from dataplane.node.iptables import parse
from dataplane.node.state import NodeState
from dataplane.reference.engine import Engine
from dataplane.replay.fast import FastEngine
from tests.kernel import dumps
from tests.kernel.routed import QUIET
from tests.kernel.router import HOST_MACS, SIDES, Router, Sent

HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
CHAINS = "*mangle\n" + "".join(f":{hook} ACCEPT [0:0]\n" for hook in HOOKS) + "COMMIT\n"
SETTLED = 0.005  # seconds after which nothing more comes of a frame


class Met(NamedTuple):
    """What came of one frame."""

    frames: tuple[tuple[str, bytes], ...]  # by device, masked
    hooks: Counter[str]


class Asked(Router):
    def __init__(self, settings: dict[str, str] | None = None) -> None:
        super().__init__()
        for name, value in {**QUIET, **(settings or {})}.items():
            self.node.sysctl(name, value)
        run = self.node.run
        for side in ("eth0", "eth1"):
            run("ip", "addr", "add", "fe80::1/64", "dev", side, "nodad")
            for host in range(2, 10):
                run("ip", "neigh", "replace", f"fe80::{host}", "lladdr", HOST_MACS[side],
                    "dev", side, "nud", "permanent")  # fmt: skip
        run("ip", "link", "set", "lo", "up")
        for anyone in ("0.0.0.0/0", "::/0"):
            run("ip", "xfrm", "policy", "add", "src", anyone, "dst", anyone, "dir", "in",
                "action", "block")  # fmt: skip
        run("ip", "route", "add", "default", "via", "10.0.1.9")
        run("ip", "-6", "route", "add", "default", "via", "fd00:1::9")
        for family in (4, 6):
            self.load(CHAINS, family)

    def state(self, folder: Path) -> NodeState:
        """The node as its own tools print it."""
        dumps.dump(self.node, folder, "legacy")
        listed = groups.parse(self.node.run("ip", "-j", "maddr"), "maddr")
        found = replace(read_node("n", folder, lambda _: None), groups=listed)
        for name in (f"net.ipv4.conf.{side}.{key}" for side in SIDES for key in dumps.CONF):
            found.sysctls[name] = self.node.sysctl(name) or ""
        return found

    def ask(self, sent: Sent, settled: float = SETTLED) -> Met:
        self.heard()
        before = self._hooks()
        self.send([sent])
        time.sleep(settled)
        out = [(side, frame) for side, found in self.heard().items() for frame in found]
        hooks = self._hooks()
        hooks.subtract(before)
        return met(out, hooks)

    def _hooks(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for tool in ("iptables", "ip6tables"):
            saved = parse(self.node.run(f"{tool}-legacy-save", "-c"), tool)
            for chain in saved.tables["mangle"].chains.values():
                counts[chain.name] += chain.packets
        return counts


class Ours:
    """The same node in both engines."""

    def __init__(self, state: NodeState) -> None:
        self.engines = (FastEngine({"n": state}), Engine({"n": state}))

    def ask(self, time_ns: int, sent: Sent) -> tuple[Met, Met, int]:
        """Of the kernels, of the specification; and the reason."""
        found = []
        for engine in self.engines:
            record = engine.run(time_ns, sent.frame, len(sent.frame), ("n", sent.side))
            out = [(tap.device, tap.frame) for tap in record.taps if tap.outgoing]
            hooks = Counter(step.chain for step in record.steps if step.chain in HOOKS)
            found.append(met([each for each in out if each[0] != "lo"], hooks))
        return found[0], found[1], record.reason


def met(frames: list[tuple[str, bytes]], hooks: Counter[str]) -> Met:
    shown = sorted((side, masked(frame)) for side, frame in frames if is_ip(frame))
    return Met(tuple(shown), Counter({hook: count for hook, count in hooks.items() if count}))


def is_ip(frame: bytes) -> bool:
    return frame[12:14] in (b"\x08\x00", b"\x86\xdd")


def masked(frame: bytes) -> bytes:
    """Without what Linux draws: the identification of what the node made, and its checksum."""
    data = bytearray(frame)
    if (
        data[12:14] == b"\x08\x00"
        and data[23] == 1
        and data[14 + (data[14] & 15) * 4] not in (0, 8)
    ):
        data[18:20] = data[24:26] = bytes(2)
    return bytes(data)
