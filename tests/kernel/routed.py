"""A rule set and frames through one router of the real kernel, and through ours."""

import time
from dataclasses import dataclass, field, replace
from typing import NamedTuple

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
from dataplane.reference.nat_tuple import DESTINATION, SOURCE
from dataplane.replay.after import connections, counters, order
from dataplane.replay.fast import FastEngine
from tests.kernel.dumps import sysctl_text
from tests.kernel.router import SIDES, Router, Sent

FLAVOURS = ("legacy", "nft")
FAMILIES = (4, 6)
# Errors are sent as often as they are due; nothing is logged.
QUIET = {
    "net.ipv4.icmp_ratemask": "0", "net.ipv4.icmp_ratelimit": "0", "net.ipv6.icmp.ratemask": "",
    "net.ipv6.icmp.ratelimit": "0", "net.ipv4.icmp_msgs_per_sec": "1000000",
    "net.ipv4.icmp_msgs_burst": "1000000", "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv6.auto_flowlabels": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv4.conf.all.send_redirects": "0", "net.ipv4.conf.eth0.send_redirects": "0",
    "net.ipv4.conf.eth1.send_redirects": "0",
}  # fmt: skip
HOOKS = {
    "raw": ["PREROUTING", "OUTPUT"],
    "mangle": ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
    "nat": ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
    "filter": ["INPUT", "FORWARD", "OUTPUT"],
}


@dataclass(frozen=True)
class Case:
    """A rule set, and what is sent through it."""

    family: int
    flavour: str
    rules: str
    sysctls: dict[str, str] = field(default_factory=dict)
    frames: tuple[Sent, ...] = ()


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
        self.plain = self.dump()

    def dump(self) -> NodeState:
        run = self.run
        return NodeState(
            name="node",
            links=links.parse(run("ip", "-j", "-d", "link"), "links"),
            addresses=addresses.parse(run("ip", "-j", "addr"), "addresses"),
            routes=routes.parse(run("ip", "-j", "route", "show", "table", "all"), "routes"),
            rules=rules.parse(run("ip", "-j", "rule"), "rules")
            + rules.parse(run("ip", "-j", "-6", "rule"), "rules", family=6),
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


def ask(node: Node, case: Case) -> Run:
    """Send the case's frames through the kernel."""
    state = node.load(case)
    out: dict[str, list[bytes]] = {side: [] for side in SIDES}
    times = []
    for frame in case.frames:
        times.append(time.time_ns())
        for side, heard in node.send(frame).items():
            out[side] += heard
    ended = time.time_ns()
    counts, entries = node.left()
    return Run(case, times, state, Seen(out, counts, entries), ended)


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
