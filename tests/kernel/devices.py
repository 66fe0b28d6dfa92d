"""A NodeState as the lines of `ip -batch` and `bridge -batch` that make it so."""

from collections.abc import Callable, Iterator

from dataplane.node.state import FdbEntry, InterfaceAddress, Link, NodeState, Route, Vxlan

QUIET_BRIDGE = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
LOOPBACK = "lo"


def is_port(link: Link) -> bool:
    """A pod is behind it: one end of a veth, the other end elsewhere, in a bridge."""
    return link.master is not None and link.kind in ("veth", "")


def is_uplink(link: Link) -> bool:
    """The wire is behind it: physical, or (in the dump of a built node) a veth in no bridge."""
    return link.master is None and link.kind in ("veth", "") and link.name != LOOPBACK


def link_lines(state: NodeState, peer: Callable[[Link], str]) -> Iterator[str]:
    """peer(link): what `ip link add … type veth peer` has to say of the other end."""
    for link in sorted(state.links, key=rank):
        if link.name == LOOPBACK:
            continue
        index = f"index {link.index} " if link.index > 1 else ""
        mac = f"address {link.mac} " if link.mac else ""
        common = f"link add name {link.name} {index}{mac}mtu {link.mtu} "
        if is_port(link) or is_uplink(link):
            yield f"{common}type veth peer {peer(link)}"
        elif link.kind == "bridge":
            yield common + QUIET_BRIDGE
        elif link.kind == "vxlan" and link.vxlan:
            yield common + vxlan_words(link.vxlan)
        else:
            yield f"{common}type {link.kind}"
    for link in state.links:
        if link.master:
            yield f"link set dev {link.name} master {link.master}"
            hairpin = "on" if link.hairpin else "off"
            yield f"link set dev {link.name} type bridge_slave hairpin {hairpin}"
    for link in state.links:
        if link.kind == "bridge":  # a bridge follows the smallest MTU of its ports unless told
            yield f"link set dev {link.name} mtu {link.mtu}"


def rank(link: Link) -> int:
    """Bridges before their ports, VXLAN devices after the device they send by."""
    return {"bridge": 0, "vxlan": 2}.get(link.kind, 1)


def vxlan_words(vxlan: Vxlan) -> str:
    words = [f"type vxlan id {vxlan.id} dstport {vxlan.port}"]
    words += [f"dev {vxlan.link}"] if vxlan.link else []
    words += [f"local {vxlan.local}"] if vxlan.local else []
    words += [f"remote {vxlan.remote}"] if vxlan.remote else []
    words += [f"srcport {vxlan.port_low} {vxlan.port_high}"] if vxlan.port_high else []
    words += [f"ttl {vxlan.ttl or 'auto'} tos {vxlan.tos} df {vxlan.df}"]
    words += ["learning" if vxlan.learning else "nolearning"]
    words += ["udpcsum" if vxlan.udp_csum else "noudpcsum"]
    return " ".join(words)


def address_lines(state: NodeState) -> Iterator[str]:
    for address in state.addresses:
        if address.dev == LOOPBACK and address.local.is_loopback:
            continue  # comes with the device
        yield address_line(address)


def address_line(address: InterfaceAddress) -> str:
    broadcast = f" broadcast {address.broadcast}" if address.broadcast else ""
    flags = " nodad" if address.local.version == 6 else ""
    return (
        f"addr add {address.local}/{address.prefixlen}{broadcast} "
        f"dev {address.dev} scope {address.scope}{flags}"
    )


def up_lines(state: NodeState) -> Iterator[str]:
    yield f"link set dev {LOOPBACK} up"
    for link in state.links:
        if link.is_up and link.name != LOOPBACK:
            yield f"link set dev {link.name} up"


def route_lines(state: NodeState) -> Iterator[str]:
    """Connected routes first: a gateway must be reachable when its route is added."""
    for route in sorted(state.routes, key=lambda route: bool(route.gateway or route.nexthops)):
        if route.table != "local":  # the kernel's own, one per address
            yield route_line(route)


def route_line(route: Route) -> str:
    words = [f"route replace {route.type} {route.dst} table {route.table}"]
    words += [f"via {route.gateway}"] if route.gateway else []
    words += [f"dev {route.dev}"] if route.dev else []
    words += [f"proto {route.protocol}"]
    words += [f"scope {route.scope}"] if route.dst.version == 4 and not route.nexthops else []
    words += [f"metric {route.metric}"] if route.metric else []
    words += [f"src {route.prefsrc}"] if route.prefsrc else []
    words += ["onlink"] if route.onlink else []
    for hop in route.nexthops:
        words += [f"nexthop weight {hop.weight}"]
        words += [f"via {hop.gateway}"] if hop.gateway else []
        words += [f"dev {hop.dev}"] if hop.dev else []
        words += ["onlink"] if hop.onlink else []
    return " ".join(words)


def rule_lines(state: NodeState) -> Iterator[str]:
    """All but the kernel's three default rules, which are there already."""
    for rule in state.rules:
        if rule.priority in (0, 32766, 32767):
            continue
        words = [f"-{rule.family} rule add pref {rule.priority}"]
        words += ["not"] if rule.negated else []
        words += [f"from {rule.src or 'all'} to {rule.dst or 'all'}"]
        words += [f"fwmark {rule.fwmark}/{rule.fwmask}"] if rule.fwmark is not None else []
        words += [f"iif {rule.iif}"] if rule.iif else []
        words += [f"oif {rule.oif}"] if rule.oif else []
        words += [f"lookup {rule.table}"] if rule.table else [rule.action]
        yield " ".join(words)


def neighbour_lines(state: NodeState) -> Iterator[str]:
    """Every resolved entry becomes permanent: what was REACHABLE must not expire meanwhile."""
    for entry in state.neighbours:
        if entry.lladdr and not {"FAILED", "NOARP"} & set(entry.state):
            yield f"neigh replace {entry.dst} lladdr {entry.lladdr} dev {entry.dev} nud permanent"


def fdb_lines(state: NodeState) -> Iterator[str]:
    own = {link.mac for link in state.links}
    for entry in state.fdb:
        if entry.dst is not None:
            yield f"fdb append {entry.mac} dev {entry.dev} dst {entry.dst} self permanent"
        elif entry.master and not (entry.state == "permanent" and entry.mac in own):
            yield port_fdb_line(entry)


def port_fdb_line(entry: FdbEntry) -> str:
    """`permanent` would make the MAC the bridge's own; "" is one it learned."""
    kind = entry.state or "dynamic"
    return f"fdb replace {entry.mac} dev {entry.dev} master {kind}"
