"""NodeStates built out of the real kernel.

                         wire (a bridge; no addresses)
            ┌───────────────┬───────┴───────┬──────────────┐
          eth0            eth0            eth0           eth0
        ┌─node-a───────┐ ┌─node-b───────┐ ┌─outside─┐      …
        │ flannel.1    │ │ flannel.1    │
        │ cni0         │ │ cni0         │
        │  ├ veth…     │ │  ├ veth…     │
        └──┼───────────┘ └──┼───────────┘
         eth0             eth0
        ┌─pod──┐         ┌─pod──┐

Every box is a network namespace.  A device of a node is wired by what it is: a veth that is a
port of a bridge leads to a pod, known by its FDB entry (MAC) and neighbour entry (address); any
other physical device or veth leads to the wire.

Nobody here asks "who has?": every host holds a permanent neighbour entry for every host on its
segment, and the wire's FDB is filled beforehand.  What a tap sees is what was sent on purpose.
"""

import atexit
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from typing import NamedTuple

from dataplane.node import iptables
from dataplane.node.state import Address, Link, NodeState
from tests.kernel import devices, nfacct
from tests.kernel.netns import Namespace

SETTLE_SECONDS = 10


@dataclass(frozen=True)
class Host:
    """A machine on the wire that is not a node."""

    name: str
    mac: str
    address: IPv4Interface
    mtu: int = 1500


@dataclass(frozen=True)
class Pod:
    """What is behind a bridge port.  No MAC or no address: its eth0 is left as it came."""

    node: str
    port: str  # the node's end of the veth
    mac: str
    address: IPv4Interface | None
    namespace: Namespace


@dataclass
class Lab:
    """What was built.  Close it, or use it as a context, and nothing is left."""

    wire: Namespace
    nodes: dict[str, Namespace] = field(default_factory=dict)
    states: dict[str, NodeState] = field(default_factory=dict)
    pods: dict[tuple[str, str], Pod] = field(default_factory=dict)  # by (node, port)
    hosts: dict[str, Namespace] = field(default_factory=dict)
    wire_ports: dict[tuple[str, str], str] = field(default_factory=dict)  # (node, device) -> port
    skipped_sysctls: set[str] = field(default_factory=set)  # this kernel has none of that name

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def namespaces(self) -> list[Namespace]:
        pods = [pod.namespace for pod in self.pods.values()]
        return [self.wire, *self.nodes.values(), *pods, *self.hosts.values()]

    def pod(self, address: str) -> Pod:
        return next(p for p in self.pods.values() if p.address and str(p.address.ip) == address)

    def peer(self, node: str, device: str) -> tuple[Namespace, str]:
        """The other end of a node's veth: what is sent there arrives at the device."""
        if (node, device) in self.pods:
            return self.pods[node, device].namespace, "eth0"
        return self.wire, self.wire_ports[node, device]

    def close(self) -> None:
        atexit.unregister(self.close)
        for namespace in self.namespaces():
            namespace.close()


def build(nodes: Mapping[str, NodeState], hosts: Iterable[Host] = (), ipv6: bool = False) -> Lab:
    """The nodes, the pods behind their bridges, and a wire that connects them and `hosts`."""
    lab = Lab(quiet_namespace("wire", ipv6))
    atexit.register(lab.close)
    try:
        lab.wire.run("ip", "link", "add", "wire", *devices.QUIET_BRIDGE.split())
        lab.wire.run("ip", "link", "set", "wire", "up")
        for name, state in nodes.items():
            build_node(lab, name, state, ipv6)
        for host in hosts:
            build_host(lab, host, ipv6)
        introduce_all(lab, list(hosts))
        settle(lab)
        for name, state in nodes.items():  # a port that does not forward yet takes no entry
            batch(lab.nodes[name], devices.fdb_lines(state), "bridge")
    except BaseException:
        lab.close()
        raise
    return lab


def quiet_namespace(name: str, ipv6: bool) -> Namespace:
    """A namespace that says nothing by itself: no router solicitations, no MLD."""
    namespace = Namespace(name)
    if not ipv6:
        for place in ("all", "default"):
            namespace.sysctl(f"net.ipv6.conf.{place}.disable_ipv6", "1")
    return namespace


def batch(namespace: Namespace, lines: Iterable[str], tool: str = "ip") -> None:
    if text := "\n".join(lines):
        namespace.run(tool, "-batch", "-", stdin=text + "\n")


def build_node(lab: Lab, name: str, state: NodeState, ipv6: bool) -> None:
    node = lab.nodes[name] = quiet_namespace(name, ipv6)
    lab.states[name] = state
    set_sysctls(node, state)  # conf.default is inherited by devices, so before them …
    for link in state.links:
        if devices.is_port(link):
            behind = quiet_namespace(f"{name}:{link.name}", ipv6)
            lab.pods[name, link.name] = pod_behind(state, link, behind)
        elif devices.is_uplink(link):
            lab.wire_ports[name, link.name] = f"port{len(lab.wire_ports)}"
    batch(node, devices.link_lines(state, lambda link: peer_words(lab, name, link)))
    lab.skipped_sysctls |= set_sysctls(node, state)  # … and conf.DEVICE after them
    batch(node, devices.address_lines(state))
    batch(node, devices.up_lines(state))
    batch(node, [*devices.route_lines(state), *devices.rule_lines(state)])
    batch(node, devices.neighbour_lines(state))
    for (owner, device), port in lab.wire_ports.items():
        if owner == name:
            join_wire(lab, port, device_mac(state, device))
    for pod in lab.pods.values():
        if pod.node == name:
            build_pod(lab, pod, state)
    restore_rules(node, state)


def set_sysctls(node: Namespace, state: NodeState) -> set[str]:
    """Those that could not be set: not in this kernel, or not in a namespace of their own."""
    skipped = set()
    for name, value in state.sysctls.items():
        found = node.sysctl(name)
        if found is None:
            skipped.add(name)
        elif found.split() != value.split():
            try:
                node.sysctl(name, value)
            except OSError:
                skipped.add(name)
    return skipped


def device_mac(state: NodeState, device: str) -> str:
    return next(link.mac for link in state.links if link.name == device)


def peer_words(lab: Lab, node: str, link: Link) -> str:
    """The far end of a node's veth, as `ip link add … peer` wants it."""
    namespace, device = lab.peer(node, link.name)
    pod = lab.pods.get((node, link.name))
    mac = f"address {pod.mac} " if pod and pod.mac else ""
    return f"name {device} {mac}mtu {link.mtu} netns {namespace.path}"


def pod_behind(state: NodeState, port: Link, namespace: Namespace) -> Pod:
    """FDB: which MAC is behind the port.  Neighbours: which address that MAC has."""
    own = {link.mac for link in state.links}
    macs = [e.mac for e in state.fdb if e.dev == port.name and e.master and e.mac not in own]
    mac = macs[0] if macs else ""
    for entry in state.neighbours:
        if (entry.dev, entry.lladdr) == (port.master, mac) and entry.dst.version == 4:
            subnets = subnets_of(state, entry.dev)
            subnet = next((s for s in subnets if entry.dst in s.network), None)
            length = subnet.network.prefixlen if subnet else 32
            address = IPv4Interface(f"{entry.dst}/{length}")
            return Pod(state.name, port.name, mac, address, namespace)
    return Pod(state.name, port.name, mac, None, namespace)


def subnets_of(state: NodeState, device: str) -> list[IPv4Interface]:
    return [
        IPv4Interface(f"{a.local}/{a.prefixlen}")
        for a in state.addresses
        if a.dev == device and a.local.version == 4
    ]


def build_pod(lab: Lab, pod: Pod, state: NodeState) -> None:
    """Address, default route, and who else is on its bridge."""
    lines = ["link set lo up", "link set eth0 up"]
    if pod.address:
        lines.insert(0, f"addr add {pod.address} dev eth0")
        bridge = next(link.master for link in state.links if link.name == pod.port) or ""
        mac = device_mac(state, bridge)
        gateways = [s.ip for s in subnets_of(state, bridge) if pod.address.ip in s.network]
        if gateways:
            lines.append(f"route add default via {gateways[0]} dev eth0")
        known: list[tuple[Address, str]] = [(gateway, mac) for gateway in gateways]
        known += [(e.dst, e.lladdr) for e in state.neighbours if e.dev == bridge and e.lladdr]
        known = [(address, mac) for address, mac in known if address != pod.address.ip]
        lines += [f"neigh replace {a} lladdr {m} dev eth0 nud permanent" for a, m in known]
    batch(pod.namespace, lines)


def join_wire(lab: Lab, port: str, mac: str) -> None:
    """The wire knows beforehand where a MAC is, so no frame is flooded past other taps."""
    batch(lab.wire, [f"link set {port} master wire", f"link set {port} up"])
    if mac:
        batch(lab.wire, [f"fdb replace {mac} dev {port} master static"], "bridge")


def build_host(lab: Lab, host: Host, ipv6: bool) -> None:
    machine = lab.hosts[host.name] = quiet_namespace(host.name, ipv6)
    port = f"host{len(lab.hosts)}"
    peer = f"name {port} mtu {host.mtu} netns {lab.wire.path}"
    batch(
        machine,
        [
            f"link add eth0 address {host.mac} mtu {host.mtu} type veth peer {peer}",
            f"addr add {host.address} dev eth0",
            "link set lo up",
            "link set eth0 up",
        ],
    )
    join_wire(lab, port, host.mac)


class Attachment(NamedTuple):
    """Who is on the wire, and how it is addressed there."""

    namespace: Namespace
    device: str
    mac: str
    addresses: list[IPv4Address]


def attachments(lab: Lab, hosts: Iterable[Host]) -> list[Attachment]:
    found = []
    for name, device in lab.wire_ports:
        state = lab.states[name]
        addresses = [subnet.ip for subnet in subnets_of(state, device)]
        found.append(Attachment(lab.nodes[name], device, device_mac(state, device), addresses))
    for host in hosts:
        found.append(Attachment(lab.hosts[host.name], "eth0", host.mac, [host.address.ip]))
    return found


def introduce_all(lab: Lab, hosts: Iterable[Host]) -> None:
    """Everybody on the wire knows everybody.  What a NodeState says itself stands."""
    everybody = attachments(lab, hosts)
    said = {
        (lab.nodes[name], entry.dev, entry.dst)
        for name, state in lab.states.items()
        for entry in state.neighbours
    }
    for one in everybody:
        batch(
            one.namespace,
            [
                f"neigh replace {address} lladdr {other.mac} dev {one.device} nud permanent"
                for other in everybody
                for address in other.addresses
                if other is not one and (one.namespace, one.device, address) not in said
            ],
        )


def restore_rules(node: Namespace, state: NodeState) -> None:
    """Load the rule sets; all counters are zero after."""
    for family, ruleset in (("", state.iptables), ("6", state.ip6tables)):
        if ruleset.tables:
            for name in sorted(nfacct.names_in(ruleset)):
                nfacct.add(node, name)
            tool = f"ip{family}tables-{ruleset.flavour}-restore"
            node.run(tool, stdin=iptables.render(ruleset))


def reset(lab: Lab) -> None:
    """All counters zero and no connections: what comes next is all that they tell of."""
    for name, node in lab.nodes.items():
        restore_rules(node, lab.states[name])
        node.run("conntrack", "-F")


def settle(lab: Lab) -> None:
    """Return once every bridge port forwards."""
    deadline = time.monotonic() + SETTLE_SECONDS
    waiting = [lab.wire, *lab.nodes.values()]
    while waiting and time.monotonic() < deadline:
        waiting = [namespace for namespace in waiting if not all_forward(namespace)]
    if waiting:
        raise RuntimeError(f"{waiting[0].name}: a bridge port does not forward")


def all_forward(namespace: Namespace) -> bool:
    ports = json.loads(namespace.run("bridge", "-j", "link") or "[]")
    return all(port["state"] == "forwarding" for port in ports if "master" in port)
