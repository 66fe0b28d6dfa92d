"""Random rule sets and traffic: this kernel and ours must do the same.

    python -m tests.kernel.fuzz --packets 100000 --seed 1 --cases DIR

Compared for each rule set: every frame that leaves by every device, every rule and policy
counter, and the conntrack table.  A disagreement is made smaller while it lasts, and kept as a
case that `--case FILE` runs again.  Ends with one line: packets, rule sets, disagreements.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import NamedTuple

from _fastpath.reason import Reason
from dataplane.errors import NOWHERE
from dataplane.node import (
    addresses,
    conntrack,
    iptables,
    links,
    neighbours,
    routes,
    rules,
    sysctl,
)
from dataplane.node.state import ConntrackEntry, NodeState
from dataplane.reference.choice import ChoiceKind, Fields, choice_key, identity
from dataplane.reference.nat import DESTINATION, SOURCE
from dataplane.replay.after import connections, counters, order
from dataplane.replay.fast import FastEngine
from tests.kernel.dumps import sysctl_text
from tests.kernel.random_rules import HOOKS, rule_set
from tests.kernel.random_traffic import Traffic
from tests.kernel.router import SIDES, Router, Sent

FLAVOURS = ("legacy", "nft")
FAMILIES = (4, 6)
LATE = 3  # seconds between a packet and the listing
# Errors are sent as often as they are due; nothing is logged.
QUIET = {
    "net.ipv4.icmp_ratemask": "0", "net.ipv4.icmp_ratelimit": "0", "net.ipv6.icmp.ratemask": "",
    "net.ipv6.icmp.ratelimit": "0", "net.ipv4.icmp_msgs_per_sec": "1000000",
    "net.ipv4.icmp_msgs_burst": "1000000", "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv6.auto_flowlabels": "0",
    "net.ipv4.conf.all.send_redirects": "0", "net.ipv4.conf.eth0.send_redirects": "0",
    "net.ipv4.conf.eth1.send_redirects": "0",
}  # fmt: skip
SETTINGS = {
    "net.netfilter.nf_conntrack_tcp_be_liberal": ["0", "0", "0", "1"],
    "net.netfilter.nf_conntrack_tcp_loose": ["1", "1", "0"],
    "net.netfilter.nf_conntrack_checksum": ["1", "1", "0"],
}


@dataclass(frozen=True)
class Case:
    """A rule set, and what is sent through it."""

    family: int
    flavour: str
    rules: str
    sysctls: dict[str, str] = field(default_factory=dict)
    frames: tuple[Sent, ...] = ()

    def text(self) -> str:
        plain = {**self.__dict__, "frames": [(f.side, f.frame.hex()) for f in self.frames]}
        return json.dumps(plain, indent=1) + "\n"


def read_case(text: str) -> Case:
    plain = json.loads(text)
    sent = tuple(Sent(side, bytes.fromhex(frame)) for side, frame in plain.pop("frames"))
    return Case(**plain, frames=sent)


Counters = dict[tuple[str, str, int], tuple[int, int]]  # table, chain, number; 0: the policy


class Seen(NamedTuple):
    """What is compared."""

    frames: dict[str, list[bytes]]
    counters: Counters
    connections: list[ConntrackEntry]


class Node:
    """One kernel's node, which sees one family and flavour of rule sets; and what ours is of."""

    def __init__(self, family: int, flavour: str) -> None:
        self.family, self.flavour = family, flavour
        self.tool = f"{'iptables' if family == 4 else 'ip6tables'}-{flavour}"
        self.router = Router()
        for name, value in QUIET.items():
            self.router.node.sysctl(name, value)
        self.run = self.router.node.run
        self.run("ip", "route", "add", "default", "via", "10.0.1.9")
        self.run("ip", "-6", "route", "add", "default", "via", "fd00:1::9")
        self.plain = self._dump()

    def _dump(self) -> NodeState:
        run = self.run
        return NodeState(
            name="node",
            links=links.parse(run("ip", "-j", "-d", "link"), "links"),
            addresses=addresses.parse(run("ip", "-j", "addr"), "addresses"),
            routes=routes.parse(run("ip", "-j", "route", "show", "table", "all"), "routes"),
            rules=rules.parse(run("ip", "-j", "rule"), "rules"),
            neighbours=neighbours.parse(run("ip", "-j", "neigh"), "neighbours"),
        )

    def load(self, case: Case) -> NodeState:
        """The node as its own tools print it, with the case's rules."""
        for name, value in case.sysctls.items():
            self.router.node.sysctl(name, value)
        self.run(f"{self.tool}-restore", stdin=case.rules)
        self.run("conntrack", "-F", check=False)
        self.router.heard()
        saved = iptables.parse(self.run(f"{self.tool}-save"), "save", family=case.family)
        settings = sysctl.parse(sysctl_text(self.router.node), "sysctl")
        kind = {"iptables": saved} if case.family == 4 else {"ip6tables": saved}
        return replace(self.plain, sysctls=settings, **kind)

    def send(self, sent: Sent) -> dict[str, list[bytes]]:
        self.router.send([sent])
        return self.router.heard()

    def left(self) -> tuple[Counters, list[ConntrackEntry]]:
        saved = iptables.parse(self.run(f"{self.tool}-save", "-c"), "save", family=self.family)
        listed = self.run("conntrack", "-L", "-f", "ipv4" if self.family == 4 else "ipv6")
        entries = conntrack.parse(listed, "conntrack -L")
        return counted(saved), sorted(entries, key=order)


def counted(ruleset: iptables.Ruleset) -> Counters:
    found: Counters = {}
    for table in ruleset.tables.values():
        for chain in table.chains.values():
            if chain.policy is not None:
                found[table.name, chain.name, 0] = chain.packets, chain.bytes
            for number, rule in enumerate(chain.rules, 1):
                found[table.name, chain.name, number] = rule.packets, rule.bytes
    return found


class Run(NamedTuple):
    """A case, when each of its frames was sent, the node that it met, and what came of it."""

    case: Case
    times: list[int]
    state: NodeState
    seen: Seen
    ended_ns: int


def ask(node: Node, case: Case, drawn: Traffic | None = None, count: int = 0) -> Run:
    """Send the case's frames through the kernel; or draw `count` while they are sent."""
    state = node.load(case)
    out: dict[str, list[bytes]] = {side: [] for side in SIDES}
    times, sent = [], []
    for number in range(count if drawn else len(case.frames)):
        frame = drawn.draw() if drawn else case.frames[number]
        times.append(time.time_ns())
        heard = node.send(frame)
        if drawn:
            drawn.heard(heard)
        sent.append(frame)
        for side in SIDES:
            out[side] += heard[side]
    ended = time.time_ns()
    counts, entries = node.left()
    return Run(replace(case, frames=tuple(sent)), times, state, Seen(out, counts, entries), ended)


def learned(entries: list[ConntrackEntry]) -> dict[int, list[int]]:
    """The ports that Linux drew, told from its table: keys and values of choices."""
    found = {}
    for entry in entries:
        own, reply = entry.original, entry.reply
        is_icmp = entry.protocol in (1, 58)
        kind = own.icmp_type << 8 | own.icmp_code
        sport, dport = (own.icmp_id, kind) if is_icmp else (own.sport, own.dport)
        drawn = reply.icmp_id if is_icmp else reply.dport
        fields = Fields(own.src.version, entry.protocol, own.src, sport, own.dst, dport)
        for manip in (SOURCE, DESTINATION):
            key = choice_key(0, ChoiceKind.NAT_PORT, identity("node"), fields, manip)
            found[key] = [drawn if is_icmp or manip == SOURCE else reply.sport]
    return found


def compute(run: Run) -> tuple[Seen, dict[str, list[bool]]]:
    """What ours makes of it; and which frames the node made itself."""
    engine = FastEngine({"node": run.state}, choices=learned(run.seen.connections))
    out: dict[str, list[bytes]] = {side: [] for side in SIDES}
    made: dict[str, list[bool]] = {side: [] for side in SIDES}
    for time_ns, sent in zip(run.times, run.case.frames, strict=True):
        record = engine.run(time_ns, sent.frame, len(sent.frame), ("node", sent.side))
        for tap in record.taps:
            if tap.outgoing and tap.device in SIDES:
                out[tap.device].append(tap.frame)
                made[tap.device].append(tap.generated)
    counts = {
        (table, chain, number): value
        for (_, family, table, chain, number), value in counters(engine.image, engine.state).items()
        if family == run.case.family and (number or chain in HOOKS[table])
    }
    entries = list(connections(engine.image, engine.state, "node", run.ended_ns))
    return Seen(out, counts, entries), made


def delivered_to_node(run: Run) -> set[int]:
    """Numbers of the frames that end at a process of the node."""
    engine = FastEngine({"node": run.state}, choices=learned(run.seen.connections))
    return {
        number
        for number, (time_ns, sent) in enumerate(zip(run.times, run.case.frames, strict=True))
        if engine.run(time_ns, sent.frame, len(sent.frame), ("node", sent.side)).reason
        == Reason.LOCAL_PROCESS
    }


def differences(theirs: Seen, mine: Seen, made: dict[str, list[bool]]) -> list[str]:
    found = []
    for side in SIDES:
        found += frame_differences(side, theirs.frames[side], mine.frames[side], made[side])
    for key in sorted(theirs.counters.keys() | mine.counters.keys()):
        if theirs.counters.get(key) != mine.counters.get(key):
            rule = " ".join(map(str, key))
            found.append(
                f"counter {rule}: Linux {theirs.counters.get(key)}, here {mine.counters.get(key)}"
            )
    return found + connection_differences(theirs.connections, mine.connections)


def frame_differences(
    side: str, theirs: list[bytes], mine: list[bytes], made: list[bool]
) -> list[str]:
    for number, (its, own, is_made) in enumerate(zip(theirs, mine, made, strict=False)):
        its, own = (without_drawn(frame) if is_made else frame for frame in (its, own))
        if its != own:
            return [f"{side} frame {number}: Linux {its.hex()}, here {own.hex()}"]
    if len(theirs) != len(mine):
        return [f"{side}: Linux sent {len(theirs)} frames, here {len(mine)}"]
    return []


def without_drawn(frame: bytes) -> bytes:
    """What is drawn where the node makes a packet: IPv4's identification, IPv6's flow label."""
    if frame[12:14] == b"\x86\xdd":
        return frame[:15] + bytes([frame[15] & 0xF0]) + bytes(2) + frame[18:]
    return frame[:18] + bytes(2) + frame[20:24] + bytes(2) + frame[26:]


def connection_differences(theirs: list[ConntrackEntry], mine: list[ConntrackEntry]) -> list[str]:
    bare = [
        [replace(entry, timeout=0, use=1, source=NOWHERE) for entry in entries]
        for entries in (theirs, mine)
    ]
    if bare[0] != bare[1]:
        only = [[e for e in bare[i] if e not in bare[1 - i]] for i in (0, 1)]
        return [f"conntrack: Linux {only[0][:3]}, here {only[1][:3]}"]
    return [
        f"conntrack: {own.original}: {its.timeout} s left on Linux, {own.timeout} here"
        for its, own in zip(theirs, mine, strict=True)
        if not -1 <= own.timeout - its.timeout <= LATE
    ]


def disagreement(node: Node, case: Case) -> list[str]:
    run = ask(node, case)
    return differences(run.seen, *compute(run))


# Making a case smaller.


def shrunk(node: Node, case: Case, seconds: float = 20) -> Case:
    """The case without what it does not need to disagree."""
    until = time.monotonic() + seconds
    for smaller in (without_frames, without_rules, without_frames):
        case = smaller(node, case, until)
    return case


def without_frames(node: Node, case: Case, until: float) -> Case:
    size = max(len(case.frames) // 2, 1)
    while size and time.monotonic() < until:
        at = 0
        while at < len(case.frames) and time.monotonic() < until:
            tried = replace(case, frames=case.frames[:at] + case.frames[at + size :])
            if tried.frames and disagreement(node, tried):
                case = tried
            else:
                at += size
        size //= 2
    return case


def without_rules(node: Node, case: Case, until: float) -> Case:
    lines = case.rules.splitlines(keepends=True)
    for line in [line for line in lines if line.startswith("-A")]:
        if time.monotonic() > until:
            break
        at = lines.index(line)
        tried = replace(case, rules="".join(lines[:at] + lines[at + 1 :]))
        if disagreement(node, tried):
            case, lines = tried, lines[:at] + lines[at + 1 :]
    return case


# The run.


def fuzz(packets: int, seed: int, cases: Path | None, per_set: int = 200) -> int:
    nodes = {(f, v): Node(f, v) for f in FAMILIES for v in FLAVOURS}
    sent = sets = refused = 0
    found: list[str] = []
    while sent < packets:
        random = Random(f"{seed} {sets + refused}")
        family, flavour = random.choice(FAMILIES), random.choice(FLAVOURS)
        sysctls = {name: random.choice(values) for name, values in SETTINGS.items()}
        case = Case(family, flavour, rule_set(random, family), sysctls)
        node = nodes[family, flavour]
        try:
            run = ask(node, case, Traffic(random, family), per_set)
        except RuntimeError as error:
            refused += 1
            print("refused:", *str(error).split("\n")[:3], file=sys.stderr)
            continue
        sent, sets = sent + len(run.case.frames), sets + 1
        if local := delivered_to_node(run):  # whose processes answer, as nobody here does
            kept = (f for n, f in enumerate(run.case.frames) if n not in local)
            run = ask(node, replace(run.case, frames=tuple(kept)))
        differing = differences(run.seen, *compute(run))
        if differing:
            found.append(report(node, run.case, differing, cases, len(found)))
    for node in nodes.values():
        node.router.close()
    print(f"{sent} packets, {sets} rule sets, {len(found)} disagreements"
          + (f" ({refused} rule sets refused)" if refused else ""))  # fmt: skip
    return 1 if found else 0


def report(node: Node, case: Case, differing: list[str], cases: Path | None, number: int) -> str:
    small = shrunk(node, case) if cases else case
    differing = disagreement(node, small) or differing
    if cases:
        cases.mkdir(parents=True, exist_ok=True)
        (cases / f"{number:04}.json").write_text(small.text())
    rules_left = [line for line in small.rules.splitlines() if line.startswith("-A")]
    print(f"{small.family} {small.flavour}: {len(small.frames)} frames, {rules_left[:6]}",
          *(f"  {line[:400]}" for line in differing[:3]), sep="\n", file=sys.stderr)  # fmt: skip
    return differing[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packets", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=Path, help="keep cases here, made smaller")
    parser.add_argument("--case", type=Path, help="run this case again")
    options = parser.parse_args()
    if not options.case:
        return fuzz(options.packets, options.seed, options.cases)
    case = read_case(options.case.read_text())
    node = Node(case.family, case.flavour)
    differing = disagreement(node, case)
    node.router.close()
    print(*differing, sep="\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
