"""Image: the nodes of a cluster as one set of NumPy arrays.

Immutable: it can be saved, compared, mapped by many workers and printed in a debugger.
`Image.step` turns the numbers that kernels record back into names.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from _fastpath.image import DeviceKind
from _fastpath.state import CtInfo
from _fastpath.trace import REASONS, Generated, StepKind
from dataplane.errors import TableError
from dataplane.image import dtypes, encode, link_layer
from dataplane.image.classifier import Chain, classifier_arrays
from dataplane.image.devices import Devices, address_row, assemble_devices, own_addresses
from dataplane.image.fib_rules import has_custom_local, is_custom
from dataplane.image.forwarding import RouteName, RouteTables, assemble_routes
from dataplane.image.match_place import IPSEC_KINDS
from dataplane.image.memory import MemoryRows, memory_rows
from dataplane.image.nodes import (
    accounts,
    base_chain_problem,
    fragment_settings,
    hook_rows,
    icmp_settings,
    port_range,
    sysctl,
    timeouts,
    tracks_dccp,
)
from dataplane.image.rule_names import RuleNames
from dataplane.image.rules import RuleTables, add_ruleset
from dataplane.image.sets import SetTables, add_sets
from dataplane.image.source_address import device_setting6
from dataplane.node import realms
from dataplane.node.lasting import lasting
from dataplane.node.state import Link, NodeState
from dataplane.reference.steps import Step

Array = NDArray[np.void]
Warn = Callable[[str], None]

NO_DEVICE = -(2**31)  # a record's place when the packet was nowhere


@dataclass(frozen=True)
class Names:
    """Indices back to names."""

    nodes: list[str]
    devices: list[tuple[str, str]]  # (node, device)
    rules: RuleNames
    routes: list[RouteName]
    neighbours: list[tuple[str, int, str]]  # (node, family, text)
    sets: list[tuple[str, str]]  # (node, set)
    fdb: list[tuple[str, str]]  # (node, text); "" for a device's own address


@dataclass(frozen=True)
class Image:
    """Arrays by the names of `image_t`'s members, and what their indices mean."""

    arrays: dict[str, Array]
    names: Names
    seed: int
    memory: MemoryRows  # what matches remember, as they begin
    states: Mapping[str, NodeState] = field(repr=False, default_factory=dict)

    def step(self, number: int) -> Step:
        """The decision that a step number stands for."""
        found = self._steps_known.get(number)
        if found is None:
            kind = bisect_right(self._bases, number) - 1
            found = _step(self.names, kind, number - self._bases[kind])
            self._steps_known[number] = found
        return found

    @cached_property
    def _steps_known(self) -> dict[int, Step]:
        """Paths share most of their steps."""
        return {}

    @cached_property
    def _bases(self) -> list[int]:
        return [int(base) for base in self.arrays["base"][: StepKind.STEP_KINDS]]

    def place(self, place: int) -> tuple[str, str | None]:
        """(node, device) of a record's place; the device is None for the node itself."""
        if place == NO_DEVICE:
            return "", None
        if place < 0:
            return self.names.nodes[~place], None
        return self.names.devices[place]

    def device(self, node: str, name: str) -> int:
        """Index of a device; -1 if there is none."""
        return self._device_index().get((node, name), -1)

    @lru_cache(maxsize=1)  # noqa: B019  an image lives as long as its replay
    def _device_index(self) -> dict[tuple[str, str], int]:
        return {name: index for index, name in enumerate(self.names.devices)}

    def __hash__(self) -> int:
        return id(self)


def _step(names: Names, kind: int, index: int) -> Step:
    match kind:
        case StepKind.STEP_RULE | StepKind.STEP_UNDECIDED | StepKind.STEP_HOTDROP:
            rule = names.rules[index]
            return Step(kind, rule.node, rule.family, rule.table, rule.chain, rule.number)
        case (
            StepKind.STEP_LOCAL_OUT
            | StepKind.STEP_LOCAL_IN
            | StepKind.STEP_REASSEMBLE
            | StepKind.STEP_FRAGMENT
            | StepKind.STEP_RESUME
        ):
            return Step(kind, names.nodes[index])
        case StepKind.STEP_CONNTRACK:
            node, info = divmod(index, CtInfo.CT_INFOS)
            return Step(kind, names.nodes[node], number=info)
        case StepKind.STEP_NAT:
            return Step(kind, names.nodes[index // 2], number=index % 2)
        case StepKind.STEP_UNKNOWN:
            node, reason = divmod(index, REASONS)
            return Step(kind, names.nodes[node], number=reason)
        case StepKind.STEP_GENERATE:
            node, generated = divmod(index, Generated.GENERATED_KINDS)
            return Step(kind, names.nodes[node], number=generated)
        case StepKind.STEP_ROUTE:
            route = names.routes[index]
            return Step(kind, route.node, route.family, route.table, name=route.text)
        case StepKind.STEP_NEIGHBOUR:
            node_name, family, text = names.neighbours[index]
            return Step(kind, node_name, family, name=text)
        case StepKind.STEP_FDB:
            return Step(kind, names.fdb[index][0], name=names.fdb[index][1])
        case _:
            return Step(kind, names.devices[index][0], name=names.devices[index][1])


def _silent(message: str) -> None:
    """The default `warn`."""


def assemble(nodes: Mapping[str, NodeState], *, seed: int = 0, warn: Warn = _silent) -> Image:
    """The nodes as arrays.

    seed    what all chance depends on
    warn    told what had to be assumed
    raises  TableError for what a kernel would refuse, with the line it was read from
    """
    if len(nodes) > 65535:
        raise TableError(f"{len(nodes)} nodes, but at most 65535")
    with lasting():
        return _assemble(nodes, seed, warn)


def _assemble(nodes: Mapping[str, NodeState], seed: int, warn: Warn) -> Image:
    devices = assemble_devices(nodes)
    rules, sets = RuleTables(), SetTables()
    for name, state in nodes.items():
        rules.pools.sets = add_sets(sets, name, state.ipsets)
        rules.pools.knows_realms = realms.are_known(state)
        rules.pools.has_ipsec = any(link.kind in IPSEC_KINDS for link in state.links)
        add_ruleset(rules, name, 4, state.iptables)
        add_ruleset(rules, name, 6, state.ip6tables)
        base_chain_problem(name, rules.base_chains)
    routes = assemble_routes(devices, nodes)
    neighbours = link_layer.neighbour_rows(devices, nodes)
    fdb = link_layer.fdb_rows(devices, nodes)
    memory = memory_rows(rules.pools.memories, rules.pools.words)
    arrays = _rule_arrays(rules) | _route_arrays(routes)
    chains = [Chain(rows.start, rows.end, rows.family) for rows in rules.names.chains]
    arrays |= classifier_arrays(arrays["rules"], arrays["masks"], arrays["matches"], chains)
    arrays |= _set_arrays(sets)
    arrays |= _link_arrays(devices, fdb, neighbours)
    _node_arrays(arrays, nodes, devices, rules, routes, warn)
    _device_arrays(arrays, nodes, devices, fdb, neighbours)
    groups = link_layer.group_rows(devices, nodes)
    arrays["groups"] = _array(groups, dtypes.GROUP)
    arrays["counts"] = np.append(arrays["counts"], np.uint32(len(groups)))
    names = Names(
        nodes=list(nodes),
        devices=[(node, link.name) for node, link in devices.links],
        rules=rules.names,
        routes=routes.names,
        neighbours=[(n.node, n.family, link_layer.neighbour_text(n.entry)) for n in neighbours],
        sets=sets.names,
        fdb=[(f.node, link_layer.fdb_text(f.entry) if f.entry else "") for f in fdb],
    )
    arrays["base"] = _step_bases(names)
    return Image(arrays, names, seed, memory, dict(nodes))


def _array(rows: list[tuple[object, ...]], dtype: np.dtype[np.void]) -> Array:
    """At least one row, so that kernels may take its address; zero between the fields, so that
    the same nodes give the same bytes."""
    array = np.zeros(max(len(rows), 1), dtype)
    array[: len(rows)] = rows
    return array


def _rule_arrays(rules: RuleTables) -> dict[str, Array]:
    return {
        "rules": np.frombuffer(bytes(rules.rules) or bytes(dtypes.RULE.itemsize), dtypes.RULE),
        "masks": _array(list(rules.masks), dtypes.ADDR),
        "matches": _array(list(rules.matches), dtypes.MATCH),
        "targets": _array(list(rules.targets), dtypes.TARGET),
        "interfaces": _array(list(rules.interfaces), dtypes.INTERFACE),
        "ranges": _array(list(rules.pools.ranges), dtypes.RANGE),
        "words": np.array(rules.pools.words or [0], np.uint32),
    }


def _set_arrays(sets: SetTables) -> dict[str, Array]:
    return {
        "sets": _array(sets.rows, dtypes.SET),
        "set_elements": _array(sets.elements, dtypes.SET_ELEMENT),
        "set_sizes": np.array([len(sets.elements), sets.room], np.uint32),
    }


def _route_arrays(routes: RouteTables) -> dict[str, Array]:
    return {
        "routes": _array([tuple(row) for row in routes.rows], dtypes.ROUTE),
        "lpm": routes.tries.array(),
        "fib_rules": _array(routes.rules, dtypes.FIB_RULE),
    }


def _link_arrays(
    devices: Devices,
    fdb: list[link_layer.FdbRow],
    neighbours: list[link_layer.NeighbourRow],
) -> dict[str, Array]:
    hosts = link_layer.host_rows(devices, fdb, neighbours)
    by_address = sorted(range(len(hosts)), key=lambda i: (hosts[i].family, hosts[i].address))
    return {
        "neighbours": _array(
            [
                (encode.pair(n.address), n.mac, n.device, n.state, n.family, 0)
                for n in neighbours
            ],
            dtypes.NEIGHBOUR,
        ),
        "fdb": _array([(f.remote, f.mac, f.device, f.port) for f in fdb], dtypes.FDB),
        "hosts": _array(
            [
                (encode.pair(h.address), h.mac, h.gateway_mac, h.device, h.prefixlen, h.family,
                 int(h.family != 0), 0, 0)
                for h in hosts
            ],
            dtypes.HOST,
        ),
        "host_by_address": np.array(by_address or [0], np.uint32),
        "counts": np.array(
            [len(neighbours), len(fdb), len(hosts)], np.uint32
        ),
    }  # fmt: skip


def _assumed(name: str, state: NodeState, warn: Warn) -> tuple[int, int]:
    """ip_forward and bridge-nf-call where a node's dump says nothing of them."""
    missing = [
        key
        for key in ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables")
        if key not in state.sysctls
    ]
    if missing:
        warn(f"node {name}: {' and '.join(missing)} not given; 1 is assumed, as Kubernetes needs")
    return 1, 1


def _node_arrays(
    arrays: dict[str, Array],
    nodes: Mapping[str, NodeState],
    devices: Devices,
    rules: RuleTables,
    routes: RouteTables,
    warn: Warn,
) -> None:
    rows: list[tuple[object, ...]] = []
    hooks: list[tuple[object, ...]] = []
    for name, state in nodes.items():
        forward, bridge_nf = _assumed(name, state, warn)
        starts, counts = [], []
        for family, ruleset in ((4, state.iptables), (6, state.ip6tables)):
            for entries in hook_rows(rules, name, family, ruleset):
                starts.append(len(hooks))
                counts.append(len(entries))
                hooks += entries
        fibs = [routes.of_node[name, family] for family in (4, 6)]
        loopback = next(
            (i for i, (node, _) in enumerate(devices.links)
             if node == name and devices.kinds[i] == DeviceKind.DEVICE_LOOPBACK), -1,
        )  # fmt: skip
        rows.append((
            encode.identity(name), starts, counts,
            [fib[0] for fib in fibs], [fib[1] for fib in fibs], [fib[2] for fib in fibs],
            devices.start[name], len(state.links), loopback, *port_range(state),
            [sysctl(state, "net.ipv4.ip_forward",
                    sysctl(state, "net.ipv4.conf.all.forwarding", forward, 1), 1),
             sysctl(state, "net.ipv6.conf.all.forwarding", 0, 2)],
            [sysctl(state, f"net.ipv{v}.fib_multipath_hash_policy", 0, 3) for v in (4, 6)],
            int(is_custom(state)), int(has_custom_local(state)),
            [sysctl(state, f"net.ipv{v}.fib_multipath_hash_fields", 7, 4095) for v in (4, 6)],
            [sysctl(state, "net.bridge.bridge-nf-call-iptables", bridge_nf, 1),
             sysctl(state, "net.bridge.bridge-nf-call-ip6tables", bridge_nf, 1)],
            sysctl(state, "net.ipv4.ip_default_ttl", 64, 255),
            sysctl(state, "net.netfilter.nf_conntrack_tcp_loose", 1, 1),
            sysctl(state, "net.netfilter.nf_conntrack_tcp_be_liberal", 0, 1),
            sysctl(state, "net.netfilter.nf_conntrack_checksum", 1, 1),
            sysctl(state, "net.netfilter.nf_conntrack_tcp_max_retrans", 3, 255),
            sysctl(state, "net.netfilter.nf_conntrack_tcp_ignore_invalid_rst", 0, 1),
            sysctl(state, "net.netfilter.nf_conntrack_max", 262144, 2**32 - 1),
            timeouts(state),
            sysctl(state, "net.netfilter.nf_conntrack_buckets", 262144, 2**32 - 1),
            accounts(state), tracks_dccp(state), int(any(realms.classes(state))), 0,
            *fragment_settings(state), *icmp_settings(state),
        ))  # fmt: skip
    arrays["nodes"] = _array(rows, dtypes.NODE)
    arrays["hooks"] = _array(hooks, dtypes.HOOK)


def _conf(state: NodeState, device: str, key: str, default: int = 0) -> int:
    """net.ipv4.conf.DEVICE.KEY; sysctl(8) writes a dot in a device's name as a slash."""
    for name in (device.replace(".", "/"), device, "default"):
        if f"net.ipv4.conf.{name}.{key}" in state.sysctls:
            return sysctl(state, f"net.ipv4.conf.{name}.{key}", 0, 2)
    return default


def _mtu6(state: NodeState, link: Link) -> int:
    """What IPv6 takes a device's MTU to be: it may be set lower."""
    name = f"net.ipv6.conf.{link.name.replace('.', '/')}.mtu"
    return min(link.mtu, sysctl(state, name, link.mtu, 2**31 - 1))


def _all(state: NodeState, key: str, default: int = 0) -> int:
    return sysctl(state, f"net.ipv4.conf.all.{key}", default, 2)


def _forwards(state: NodeState, device: str, everywhere: int) -> int:
    """Its own setting; what is written to ip_forward is written to all of them."""
    for name in (device.replace(".", "/"), device):
        if f"net.ipv4.conf.{name}.forwarding" in state.sysctls:
            return sysctl(state, f"net.ipv4.conf.{name}.forwarding", 0, 1)
    return everywhere


def _device_arrays(
    arrays: dict[str, Array],
    nodes: Mapping[str, NodeState],
    devices: Devices,
    fdb: list[link_layer.FdbRow],
    neighbours: list[link_layer.NeighbourRow],
) -> None:
    node_index = {name: i for i, name in enumerate(nodes)}
    with_hosts = set(arrays["hosts"]["device"].tolist()) if arrays["counts"][2] else set()
    vxlans: list[tuple[object, ...]] = []
    bridge_ports: list[int] = []
    rows: list[tuple[object, ...]] = []
    for index, (node, link) in enumerate(devices.links):
        state = nodes[node]
        vxlan = -1
        if devices.kinds[index] == DeviceKind.DEVICE_VXLAN and link.vxlan is not None:
            vxlan = len(vxlans)
            vxlans.append(_vxlan_row(devices, index, node, link))
        ports = devices.ports.get(index, [])
        rows.append((
            encode.name_words(link.name), encode.mac(link.mac), node_index[node],
            _bridge_of(devices, node, link), -1, vxlan, devices.segments[index],
            devices.address_start[index],
            devices.address_start[index + 1] - devices.address_start[index],
            len(bridge_ports), len(ports), link.mtu, devices.kinds[index], int(link.is_up),
            int(link.hairpin),
            max(_all(state, "rp_filter"), _conf(state, link.name, "rp_filter")),
            int(bool(_all(state, "route_localnet") | _conf(state, link.name, "route_localnet"))),
            int(index in with_hosts),
            int(bool(_all(state, "accept_local") | _conf(state, link.name, "accept_local"))),
            int(link.link_type == "ether"),
            _forwards(state, link.name, int(arrays["nodes"][node_index[node]]["forwarding"][0])),
            int(bool(_all(state, "send_redirects", 1)
                     | _conf(state, link.name, "send_redirects", 1))),
            int(bool(_all(state, "src_valid_mark") | _conf(state, link.name, "src_valid_mark"))),
            int(bool(_all(state, "bc_forwarding") & _conf(state, link.name, "bc_forwarding"))),
            int(any(a.local.version == 4 for a in own_addresses(devices, index))),
            int(bool(_all(state, "shared_media", 1) | _conf(state, link.name, "shared_media", 1))),
            int(bool(_all(state, "accept_source_route")
                     & _conf(state, link.name, "accept_source_route", 1))),
            int(bool(device_setting6(state, link.name, "use_oif_addrs_only"))),
            _mtu6(state, link),
        ))  # fmt: skip
        bridge_ports += ports
    wires = [index for index, segment in enumerate(devices.segments) if segment >= 0]
    wires.sort(key=lambda i: (devices.segments[i], encode.mac(devices.links[i][1].mac)))
    arrays["devices"] = _array(rows, dtypes.DEVICE)
    arrays["vxlans"] = _array(vxlans, dtypes.VXLAN)
    addresses = [
        address_row(address, nodes[node])
        for index, (node, _) in enumerate(devices.links)
        for address in own_addresses(devices, index)
    ]
    arrays["addresses"] = _array(addresses, dtypes.ADDRESS)
    arrays["bridge_ports"] = np.array(bridge_ports or [0], np.int32)
    arrays["wires"] = np.array(wires or [0], np.int32)
    arrays["counts"] = np.array([*arrays["counts"].tolist(), len(vxlans), len(wires)], np.uint32)


def _bridge_of(devices: Devices, node: str, link: Link) -> int:
    """Index of the bridge a device is a port of.  Ports of bonds and VRFs have none."""
    master = devices.of(node, link.master)
    return master if master >= 0 and devices.links[master][1].kind == "bridge" else -1


def _vxlan_row(devices: Devices, index: int, node: str, link: Link) -> tuple[object, ...]:
    vxlan = link.vxlan
    assert vxlan is not None
    tunnels = [
        other.vxlan
        for owner, other in devices.links
        if owner == node and other.vxlan is not None and other is not link
    ]
    if any((other.id, other.port) == (vxlan.id, vxlan.port) for other in tunnels):
        raise TableError(f"node {node}: two VXLAN devices with VNI {vxlan.id}", link.source)
    return (
        encode.pair(vxlan.local), encode.pair(vxlan.remote), index,
        devices.of(node, vxlan.link), vxlan.id, vxlan.port, vxlan.port_low, vxlan.port_high,
        vxlan.ttl, vxlan.tos if vxlan.tos != 1 else 0, int(vxlan.tos == 1),
        {"unset": 0, "set": 1, "inherit": 2}.get(vxlan.df, 0), int(vxlan.udp_csum),
        int(vxlan.learning),
    )  # fmt: skip


def _step_bases(names: Names) -> Array:
    """(STEP_KINDS,) first step number of each kind."""
    devices, nodes = len(names.devices), len(names.nodes)
    sizes = dict.fromkeys(range(StepKind.STEP_KINDS), devices)
    sizes |= {
        StepKind.STEP_RULE: len(names.rules),
        StepKind.STEP_UNDECIDED: len(names.rules),
        StepKind.STEP_HOTDROP: len(names.rules),
        StepKind.STEP_LOCAL_OUT: nodes,
        StepKind.STEP_LOCAL_IN: nodes,
        StepKind.STEP_REASSEMBLE: nodes,
        StepKind.STEP_FRAGMENT: nodes,
        StepKind.STEP_RESUME: nodes,
        StepKind.STEP_CONNTRACK: nodes * CtInfo.CT_INFOS,
        StepKind.STEP_NAT: nodes * 2,
        StepKind.STEP_ROUTE: len(names.routes),
        StepKind.STEP_NEIGHBOUR: len(names.neighbours),
        StepKind.STEP_FDB: len(names.fdb),
        StepKind.STEP_GENERATE: nodes * Generated.GENERATED_KINDS,
        StepKind.STEP_UNKNOWN: nodes * REASONS,
    }
    starts = [0]
    for kind in range(StepKind.STEP_KINDS - 1):
        starts.append(starts[-1] + sizes[kind])
    return np.array(starts, np.uint32)
