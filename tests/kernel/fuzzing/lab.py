"""One node for many rule sets: built once, and only its rules, sysctls and connections change.

    hosts ─── eth0 ┌─────node────┐ eth1 ─── hosts, and beyond them everybody else
                   │             │
              p0 ──┤ br0         │
              p1 ──┤ (a bridge)  │
              p2 ──┤             │
                   └─────────────┘

What is outside is one namespace without addresses: it says nothing.  The node's processes are
silent as well, since an IPsec policy blocks whatever is for them behind the last hook; so all
that leaves was sent in, or made by the kernel on its way.  Every frame at every device of the
node is taken by one packet socket, in the order in which it passed.
"""

import dataclasses
import re
import shutil
import socket
import tempfile
import time
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from dataplane.node import conntrack, iptables
from dataplane.node.folder import read_node
from dataplane.node.iptables import Ruleset
from dataplane.node.state import ConntrackEntry, NodeState
from tests import frames as fr
from tests.kernel.dumps import dump
from tests.kernel.fuzzing.births import Births, Born
from tests.kernel.fuzzing.netlink import Entry, LegacyTrace, NftTrace
from tests.kernel.namespaces import all_forward, batch, quiet_namespace
from tests.kernel.taps import Tap

NAME = "n"
LINKS = ("eth0", "eth1")
PORTS = ("p0", "p1", "p2")
DEVICES = (*LINKS, *PORTS)
SUBNETS = ("eth0", "eth1", "br0")  # third group of 10.0.N.0/24 and fd00:N::/64
MTUS = {"eth0": 1500, "eth1": 1400, "br0": 1500}
HOSTS = range(2, 14)
BEYOND = ("192.0.2.1", "192.0.2.7", "198.51.100.1")
BEYOND6 = ("2001:db8::1", "2001:db8::7", "2001:db8:1::1")
NEVER_MS = "2000000000"  # nobody says which groups it is in
RING_FRAMES = 1 << 13
TICKS_S = 0.009  # more than two of the kernel's: what is looked through once in a tick, is
RULE_TABLES = ("raw", "mangle", "nat", "filter", "security")


def address(subnet: int, host: int, family: int = 4) -> str:
    return f"10.0.{subnet}.{host}" if family == 4 else f"fd00:{subnet}::{host:x}"


def node_mac(device: str) -> str:
    return f"02:00:00:00:{(*SUBNETS, *PORTS).index(device):02x}:01"


def host_mac(subnet: int, host: int) -> str:
    return f"02:00:00:00:{subnet:02x}:{host + 16:02x}"


def port_of(host: int) -> str:
    """Behind which port of the bridge a host is."""
    return PORTS[host % len(PORTS)]


class Seen(NamedTuple):
    """One frame at one device of the node."""

    time_ns: int
    device: str
    is_outgoing: bool
    frame: bytes


class Answer(NamedTuple):
    """What the kernel did with the frames sent."""

    seen: list[Seen]
    trace: list[Entry]
    rules: Ruleset  # with counters
    connections: tuple[ConntrackEntry, ...]
    born: list[Born]  # these, and those that did not last
    listed_ns: int


class Refused(Exception):  # noqa: N818  not an error of ours
    """The kernel does not take the rule set."""


class FuzzLab:
    def __init__(self, flavour: str):
        self.flavour = flavour
        self._open()

    def _open(self) -> None:
        self.node = quiet_namespace("node", ipv6=True)
        self.outside = quiet_namespace("outside", ipv6=False)
        self.tables: dict[int, set[str]] = {4: set(), 6: set()}
        self.loads = 0
        self.changed: dict[str, str] = {}  # sysctls and what they were
        self.may_hold = False  # fragments, which nothing makes the kernel forget
        self._build()
        with self.node.inside():
            self.names = {socket.if_nametoindex(d): d for d in (*DEVICES, "br0", "lo")}
        self.tap = Tap(self.node, "", RING_FRAMES, 4096, promiscuous=False)
        self.trace = (LegacyTrace if self.flavour == "legacy" else NftTrace)(self.node)
        self.births = Births(self.node)
        self._warm()
        self.state = self._read()

    def _warm(self) -> None:
        """One packet to each neighbour.  The first one that a bridge sends to where a rule says
        passes the bridge's own device, as long as the neighbour has no header ready
        (br_nf_pre_routing_finish_bridge)."""
        for subnet in range(len(SUBNETS)):
            for host in HOSTS:
                for family, build in ((b"\x08\x00", fr.ipv4), (b"\x86\xdd", fr.ipv6)):
                    words = 4 if build is fr.ipv4 else 6
                    ends = address(0, 2, words), address(subnet, host, words)
                    packet = build(*ends, 17, fr.udp(ends[0], 9, ends[1], 9))
                    macs = bytes.fromhex((node_mac("eth0") + host_mac(0, 2)).replace(":", ""))
                    self.outside.send("eth0", macs + family + packet)

    def close(self) -> None:
        self.tap.close()
        self.trace.close()
        self.births.close()
        self.outside.close()
        self.node.close()

    def _build(self) -> None:
        node, outside = self.node, self.outside
        for name in ("all", "default"):
            for key, value in (
                ("accept_ra", "0"),
                ("addr_gen_mode", "1"),
                ("forwarding", "1"),
                ("router_solicitations", "0"),
                ("dad_transmits", "0"),
                ("mldv2_unsolicited_report_interval", NEVER_MS),
            ):
                node.sysctl(f"net.ipv6.conf.{name}.{key}", value)
            for key in ("send_redirects", "log_martians", "rp_filter"):
                node.sysctl(f"net.ipv4.conf.{name}.{key}", "0")
        for key, value in (
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv4.icmp_ratemask", "0"),
            ("net.ipv4.icmp_ratelimit", "0"),
            ("net.ipv4.icmp_msgs_per_sec", "1000000"),
            ("net.ipv4.icmp_msgs_burst", "1000000"),
            ("net.ipv6.icmp.ratelimit", "0"),
            ("net.ipv4.fib_multipath_hash_policy", "1"),
            ("net.ipv6.icmp.ratemask", ""),
        ):
            node.sysctl(key, value)
        peer = f"peer name {{}} netns {outside.path}"
        lines = [
            "link add br0 address "
            + node_mac("br0")
            + " type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        ]
        for device in DEVICES:
            mtu = MTUS.get(device, 1500)
            lines.append(
                f"link add {device} address {node_mac(device)} mtu {mtu} type veth "
                + peer.format(f"{device} mtu 9000")
            )
            if device in PORTS:
                lines.append(f"link set {device} master br0")
        lines += [f"link set {device} up" for device in ("lo", "br0", *DEVICES)]
        for number, device in enumerate(SUBNETS):
            lines.append(f"addr add {address(number, 1)}/24 dev {device}")
            lines.append(f"addr add {address(number, 1, 6)}/64 dev {device} nodad")
            for host in HOSTS:
                for family in (4, 6):
                    lines.append(
                        f"neigh replace {address(number, host, family)} lladdr "
                        f"{host_mac(number, host)} dev {device} nud permanent"
                    )
        lines.append(f"route add default via {address(1, 2)} realms 2/1")
        lines.append(f"route add default via {address(1, 2, 6)}")
        batch(node, lines)
        batch(outside, [f"link set {device} up" for device in DEVICES])
        for anyone in ("0.0.0.0/0", "::/0"):
            batch(node, [f"xfrm policy add src {anyone} dst {anyone} dir in action block"])
        deadline = time.monotonic() + 5
        while not all_forward(node) and time.monotonic() < deadline:
            time.sleep(0.01)
        batch(
            node,
            [
                f"fdb replace {host_mac(2, host)} dev {port_of(host)} master static"
                for host in HOSTS
            ],
            "bridge",
        )

    def _read(self) -> NodeState:
        folder = Path(tempfile.mkdtemp(prefix="fuzz-node-"))
        try:
            dump(self.node, folder, self.flavour)
            return read_node(NAME, folder, lambda message: None)
        finally:
            shutil.rmtree(folder)

    def _tool(self, family: int, verb: str) -> str:
        return f"ip{'6' if family == 6 else ''}tables-{self.flavour}-{verb}"

    def load(self, rules: str, family: int, sysctls: dict[str, str]) -> NodeState:
        """The node with these rules, all counters zero, no connections.  Raises Refused."""
        if self.may_hold:
            self.close()
            self._open()
        for name, value in {**self.changed, **sysctls}.items():
            before = self.node.sysctl(name)
            if before is None or before == value:
                continue
            self.changed.setdefault(name, before)
            self.node.sysctl(name, value)
            if name.endswith(".forwarding"):
                time.sleep(0.02)  # MLD says at once which groups of routers it leaves
        self.unload()
        self.loads += 1
        # A table of hashlimit lives on while rules old or new name it: every load has its own.
        rules = re.sub(r"(--hashlimit-name \S+)", rf"\1-{self.loads}", rules)
        self.restore(self._emptied(rules, family), family)
        self._forget()
        self.node.run("conntrack", "-F", check=False)
        list(self.tap.read())
        list(self.trace.link.messages(0))
        self.births.read()
        sysctls = {name: self.node.sysctl(name) or "" for name in {**self.state.sysctls, **sysctls}}
        return dataclasses.replace(
            self.state, sysctls=sysctls, iptables=self.saved(4), ip6tables=self.saved(6)
        )

    def unload(self) -> None:
        """No rules, and nothing that they remember."""
        if self.flavour == "nft":
            self.node.run("nft", "flush", "ruleset")
        for family, tables in self.tables.items():
            if tables:
                self.restore(self._emptied("", family), family)

    def _forget(self) -> None:
        """The lists of `recent` outlive an nft rule set for a moment."""
        with self.node.inside():
            for listing in Path("/proc/net/xt_recent").glob("*"):
                listing.write_text("/")

    def _emptied(self, rules: str, family: int) -> str:
        """Legacy tables stay once they were: those that are not asked for are emptied."""
        if self.flavour == "nft":
            return rules
        wanted = {line[1:] for line in rules.splitlines() if line.startswith("*")}
        return (
            "".join(
                f"*{table}\n{policies(table, family)}COMMIT\n"
                for table in sorted(self.tables[family] - wanted)
            )
            + rules
        )

    def restore(self, rules: str, family: int) -> None:
        try:
            self.node.run(self._tool(family, "restore"), stdin=rules)
        except RuntimeError as error:
            raise Refused(str(error)) from None
        finally:
            if self.flavour == "legacy":
                self.tables[family] |= {x[1:] for x in rules.splitlines() if x.startswith("*")}

    def saved(self, family: int) -> Ruleset:
        text = self.node.run(self._tool(family, "save"), "-c")
        return iptables.parse(text, f"save{family}", family=family)

    def run(self, frames: list[tuple[str, bytes]], family: int, state: NodeState) -> Answer:
        """Send all frames, one after the other, each done with before the next."""
        ruleset = state.iptables if family == 4 else state.ip6tables
        pause_s = TICKS_S if asks(ruleset, "connlimit") else 0.0
        for device, frame in frames:
            time.sleep(pause_s)
            self.may_hold |= may_wait(frame)
            self.outside.send(device, frame)
        seen = []
        for frame in self.tap.read():
            name = self.names[frame.device_index]
            if name != "lo":
                seen.append(Seen(frame.time_ns, name, frame.is_outgoing, frame.data))
        self.tap.check_complete()
        trace = self.trace.read(lengths(ruleset))
        listed_ns = time.time_ns()
        text = self.node.run("conntrack", "-L", "-f", f"ipv{family}", "-o", "extended")
        return Answer(
            seen,
            trace,
            self.saved(family),
            conntrack.parse(text, "conntrack -L"),
            self.births.read(),
            listed_ns,
        )


def asks(ruleset: Ruleset, name: str) -> bool:
    return any(
        match.name == name
        for table in ruleset.tables.values()
        for chain in table.chains.values()
        for rule in chain.rules
        for match in rule.matches
    )


def lengths(ruleset: Ruleset) -> dict[tuple[str, str], tuple[bool, int]]:
    return {
        (table.name, chain.name): (chain.policy is not None, len(chain.rules))
        for table in ruleset.tables.values()
        for chain in table.chains.values()
    }


CHAINS = {
    "raw": "PREROUTING OUTPUT",
    "mangle": "PREROUTING INPUT FORWARD OUTPUT POSTROUTING",
    "nat": "PREROUTING INPUT OUTPUT POSTROUTING",
    "filter": "INPUT FORWARD OUTPUT",
    "security": "INPUT FORWARD OUTPUT",
}


def policies(table: str, family: int) -> str:
    return "".join(f":{chain} ACCEPT [0:0]\n" for chain in CHAINS[table].split())


def may_wait(frame: bytes) -> bool:
    """A fragment; or IPv6 with extension headers, of which one may be a fragment's."""
    if frame[12:14] == b"\x86\xdd":
        return frame[20:21] in (b"\0", b"+", b",", b"3", b"<")
    return bool(int.from_bytes(frame[20:22]) & 0x3FFF)


def is_own(text: str) -> bool:
    return any(ip_address(text) == ip_address(address(n, 1, f)) for n in range(3) for f in (4, 6))
