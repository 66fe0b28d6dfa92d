"""Random two-node clusters: the one of tests.two_nodes with its settings shaken."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from dataplane.node import iptables
from dataplane.node.state import (
    InterfaceAddress,
    Neighbour,
    NextHop,
    NodeState,
    Route,
    RoutingRule,
)

from .two_nodes import PODS, mac, two_nodes

PODS6 = {
    "node-a": {"veth-client": ip_address("fd00:1::2"), "veth-web-1": ip_address("fd00:1::3")},
    "node-b": {"veth-web-2": ip_address("fd00:2::2")},
}
WEB6 = ip_address("fd00:96::10")

SYSCTLS = {
    "net.ipv4.ip_forward": ["1", "1", "1", "0"],
    "net.bridge.bridge-nf-call-iptables": ["1", "1", "0"],
    "net.bridge.bridge-nf-call-ip6tables": ["1", "0"],
    "net.ipv4.conf.all.rp_filter": ["0", "1", "2"],
    "net.ipv4.conf.all.route_localnet": ["0", "1"],
    "net.ipv4.conf.all.accept_local": ["0", "1"],
    "net.ipv4.conf.all.src_valid_mark": ["0", "1"],
    "net.ipv4.conf.all.send_redirects": ["0", "1"],
    "net.ipv4.conf.default.send_redirects": ["0", "1"],
    "net.ipv4.conf.all.bc_forwarding": ["0", "1"],
    "net.ipv4.conf.cni0.bc_forwarding": ["0", "1"],
    "net.ipv4.conf.cni0.forwarding": ["1", "0"],
    "net.ipv4.conf.eth0.forwarding": ["1", "0"],
    "net.ipv4.fib_multipath_hash_policy": ["0", "1", "2", "3"],
    "net.ipv4.fib_multipath_hash_fields": ["7", "48", "55", "4095"],
    "net.ipv6.fib_multipath_hash_policy": ["0", "1", "2", "3"],
    "net.ipv6.fib_multipath_hash_fields": ["7", "8", "63"],
    "net.ipv6.conf.all.forwarding": ["1", "1", "0"],
    "net.ipv4.icmp_ratelimit": ["0", "1000", "100"],
    "net.ipv4.icmp_msgs_burst": ["2"],
    "net.ipv6.icmp.ratelimit": ["0", "1000"],
    "net.ipv4.icmp_errors_use_inbound_ifaddr": ["1"],
    "net.ipv4.conf.all.accept_source_route": ["1"],
    "net.ipv4.conf.all.shared_media": ["0"],
    "net.ipv4.conf.default.shared_media": ["0"],
    "net.ipv6.conf.eth0.mtu": ["1280", "80"],
    "net.ipv4.ip_default_ttl": ["64", "128"],
    "net.netfilter.nf_conntrack_tcp_loose": ["1", "0"],
    "net.netfilter.nf_conntrack_checksum": ["1", "0"],
    "net.netfilter.nf_conntrack_max": ["262144", "262144", "2"],
    "net.ipv4.ip_local_port_range": ["32768 60999", "40000 40001"],
}

RULES6 = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -d fd00:2::/64 -p tcp -m tcp --dport 53 -j REJECT --reject-with icmp6-port-unreachable
-A FORWARD -p udp -m udp --dport 53 -j REJECT --reject-with icmp6-adm-prohibited
-A FORWARD -p tcp -m tcp --dport 8081 -j REJECT --reject-with tcp-reset
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d fd00:96::10/128 -p tcp -m tcp --dport 80 -m statistic --mode random \
--probability 0.50000000000 -j DNAT --to-destination [fd00:2::2]:8080
-A PREROUTING -d fd00:96::10/128 -p tcp -m tcp --dport 80 -j DNAT --to-destination [fd00:1::3]:8080
-A POSTROUTING -s fd00:1::3/128 -j MASQUERADE --random-fully
COMMIT
"""


def with_ipv6(state: NodeState) -> NodeState:
    """Both families: the pods, the bridge and the overlay have IPv6 addresses too."""
    own, other = ("1", "2") if state.name == "node-a" else ("2", "1")
    far = "node-b" if state.name == "node-a" else "node-a"
    vtep = mac(f"10.244.{other}.0")
    gateway = ip_address(f"fd00:{other}::")
    return replace(
        state,
        addresses=(
            *state.addresses,
            InterfaceAddress("lo", ip_address("::1"), 128, "host"),
            InterfaceAddress("cni0", ip_address(f"fd00:{own}::1"), 64),
            InterfaceAddress("flannel.1", ip_address(f"fd00:{own}::"), 128),
        ),
        routes=(
            *state.routes,
            Route(ip_network(f"fd00:{other}::/64"), dev="flannel.1", gateway=gateway, metric=1024),
        ),
        neighbours=(
            *state.neighbours,
            Neighbour(gateway, "flannel.1", vtep),
            *(
                Neighbour(PODS6[state.name][port], "cni0", mac(pod))
                for port, pod in PODS[state.name].items()
            ),
        ),
        ip6tables=iptables.parse(RULES6, f"{far}/ip6tables-save"),
    )


def _prefixes(family: int) -> list[object]:
    texts = (
        ("0.0.0.0/0", "10.244.0.0/16", "10.244.1.0/24", "10.244.2.2/32", "10.96.0.0/12")
        if family == 4
        else ("::/0", "fd00:1::/64", "fd00:2::/64", "fd00:2::2/128", "fd00:96::/32")
    )
    return [ip_network(text) for text in texts]


@st.composite
def extra_rules(draw: st.DrawFn, family: int) -> RoutingRule:
    """A policy rule of any kind between the kernel's own."""
    prefixes = st.sampled_from([None, None, *_prefixes(family)])
    action = draw(st.sampled_from(["", "", "", "nop", "goto", "prohibit", "unreachable"]))
    ports = st.sampled_from([None, None, (80, 8080), (53, 53), (1024, 65534)])
    return RoutingRule(
        priority=draw(st.sampled_from([0, 10, 20])),
        table=draw(st.sampled_from(["100", "200", "main"])) if not action else None,
        action=action,
        goto=draw(st.sampled_from([30, 32766, 40])) if action == "goto" else None,
        family=family,
        negated=draw(st.integers(0, 4)) == 0,
        src=draw(prefixes),
        dst=draw(prefixes),
        fwmark=draw(st.sampled_from([None, None, 0, 1, 0x4000])),
        fwmask=draw(st.sampled_from([0xFFFFFFFF, 0x4000])),
        iif=draw(st.sampled_from([None, None, "lo", "cni0", "eth0", "gone"])),
        oif=draw(st.sampled_from([None, None, None, None, "eth0"])),
        tos=draw(st.sampled_from([None, None, None, 0x10])),
        ipproto=draw(st.sampled_from([None, None, 6, 17, 1])),
        sport=draw(ports),
        dport=draw(ports),
        uidrange=draw(st.sampled_from([None] * 6 + [(0, 9), (1, 9)])),
        tun_id=draw(st.sampled_from([None] * 6 + [1])),
        l3mdev=draw(st.integers(0, 8)) == 0,
        suppress_prefixlength=draw(st.sampled_from([None, None, 0, 24])),
        suppress_ifgroup=draw(st.sampled_from([None] * 8 + ["default"])),
    )


@st.composite
def extra_routes(draw: st.DrawFn, family: int) -> Route:
    """A route of any kind in a table that only policy rules lead to, or in the main one."""
    kinds = ["unicast"] * 6 + ["local", "blackhole", "unreachable", "prohibit", "throw"]
    kinds += ["multicast", "broadcast"] if family == 4 else []
    kind = draw(st.sampled_from(kinds))
    devices = st.sampled_from(["eth0", "cni0", "flannel.1"])
    gateways = [None, "192.168.50.1", "10.244.1.2", "10.244.2.2", "fd00:1::2"]
    gateways = gateways if family == 4 else [None, "fd00:1::2", "fd00:2::2"]
    gateway = st.sampled_from([text and ip_address(text) for text in gateways])
    hop = st.builds(NextHop, devices, gateway, st.sampled_from([1, 2, 100]))
    has_legs = kind == "unicast" and draw(st.integers(0, 2)) == 0
    has_device = kind in ("unicast", "local", "broadcast", "multicast") and not has_legs
    return Route(
        dst=draw(st.sampled_from(_prefixes(family))),
        type=kind,
        dev=draw(devices) if has_device else None,
        gateway=draw(gateway) if kind == "unicast" and not has_legs else None,
        table=draw(st.sampled_from(["100", "200", "100", "main", "main", "local"])),
        metric=draw(st.sampled_from([0, 0, 5, 10])),
        tos=draw(st.sampled_from([0, 0, 0, 0x10])) if family == 4 else 0,
        mtu=draw(st.sampled_from([0, 0, 0, 60, 100])),
        nexthops=tuple(draw(st.lists(hop, min_size=1, max_size=3))) if has_legs else (),
    )


@st.composite
def policies(draw: st.DrawFn, state: NodeState) -> NodeState:
    """Policy routing, now and then."""
    routes = draw(st.lists(extra_routes(4) | extra_routes(6), max_size=6))
    if draw(st.integers(0, 2)):
        # None of the kernel's own tables was touched: IPv4's two are one.
        some = routes if draw(st.integers(0, 2)) == 0 else []
        return replace(state, routes=(*state.routes, *some))
    rules = draw(st.lists(extra_rules(4) | extra_rules(6), max_size=4))
    own = [RoutingRule(0, "local"), RoutingRule(32766, "main"), RoutingRule(30, action="nop")]
    own += [RoutingRule(0, "local", family=6), RoutingRule(32766, "main", family=6)]
    return replace(state, rules=(*own, *rules), routes=(*state.routes, *routes))


def _without_one(draw: st.DrawFn, rows: tuple[object, ...]) -> tuple[object, ...]:
    """All rows, or all but one."""
    if not rows or draw(st.integers(0, 5)):
        return rows
    gone = draw(st.integers(0, len(rows) - 1))
    return rows[:gone] + rows[gone + 1 :]


@st.composite
def states(draw: st.DrawFn, state: NodeState) -> NodeState:
    """One node with its settings shaken; what is left is still a node that a kernel holds."""
    sysctls = dict(state.sysctls)
    for name in draw(st.lists(st.sampled_from(sorted(SYSCTLS)), max_size=4, unique=True)):
        sysctls[name] = draw(st.sampled_from(SYSCTLS[name]))
    links = []
    for link in state.links:
        if link.kind == "veth":
            link = replace(link, hairpin=draw(st.sampled_from([True, True, False])))
        if link.vxlan is not None:
            link = replace(link, vxlan=draw(_vxlans(link.vxlan)))
        if link.name != "lo" and draw(st.integers(0, 20)) == 0:
            link = replace(link, flags=("BROADCAST", "MULTICAST"))
        if link.name in ("eth0", "cni0") and draw(st.integers(0, 8)) == 0:
            link = replace(link, mtu=draw(st.sampled_from([60, 100])))
        links.append(link)
    state = draw(policies(state))
    return replace(
        state,
        links=tuple(links),
        sysctls=sysctls,
        neighbours=_without_one(draw, state.neighbours),
        fdb=_without_one(draw, state.fdb),
        routes=_without_one(draw, state.routes),
    )


@st.composite
def _vxlans(draw: st.DrawFn, vxlan: object) -> object:
    return replace(
        vxlan,
        udp_csum=draw(st.booleans()),
        tos=draw(st.sampled_from([0, 0, 1, 0x10])),
        ttl=draw(st.sampled_from([0, 0, 3])),
        df=draw(st.sampled_from(["unset", "unset", "set", "inherit"])),
        local=draw(st.sampled_from([vxlan.local, None])),
        id=draw(st.sampled_from([1, 1, 1, 1, 2])),
    )


@st.composite
def clusters(draw: st.DrawFn, rules: st.SearchStrategy[str]) -> dict[str, NodeState]:
    """Two nodes, often with IPv6, each with rules and settings of its own."""
    both = draw(rules)
    nodes = two_nodes(both)
    has_ipv6 = draw(st.booleans())
    found = {}
    for name, state in nodes.items():
        found[name] = draw(states(with_ipv6(state) if has_ipv6 else state))
    return found
