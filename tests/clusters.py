"""Random two-node clusters: the one of tests.two_nodes with its settings shaken."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from dataplane.node import iptables
from dataplane.node.state import InterfaceAddress, Neighbour, NodeState, Route

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
    "net.ipv6.conf.all.forwarding": ["1", "1", "0"],
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
