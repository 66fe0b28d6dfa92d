"""A two-node cluster built by hand: flannel's VXLAN, kube-proxy's chains, as text.

    pods  client 10.244.1.2, web-1 10.244.1.3 on node-a; web-2 10.244.2.2 on node-b
    web   10.96.10.10:80 -> web-1 and web-2 port 8080, NodePort 30080
    empty 10.96.10.99:80, no endpoints
    wire  192.168.50.0/24: node-a .11, node-b .12, an outside machine .100

Small enough to be read, and complete enough that a packet meets every kind of step.
"""

from ipaddress import IPv4Address, ip_address, ip_network

from dataplane.node import iptables
from dataplane.node.state import (
    FdbEntry,
    InterfaceAddress,
    Link,
    Neighbour,
    NodeState,
    Route,
    Vxlan,
)

CLIENT, WEB1, WEB2 = (ip_address(a) for a in ("10.244.1.2", "10.244.1.3", "10.244.2.2"))
OUTSIDE = ip_address("192.168.50.100")
WEB, EMPTY = ip_address("10.96.10.10"), ip_address("10.96.10.99")
NODE_A, NODE_B = ip_address("192.168.50.11"), ip_address("192.168.50.12")
PODS = {"node-a": {"veth-client": CLIENT, "veth-web-1": WEB1}, "node-b": {"veth-web-2": WEB2}}
NUMBERS = {"node-a": 1, "node-b": 2}

SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.bridge.bridge-nf-call-ip6tables": "1",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.conf.all.route_localnet": "1",
    "net.ipv4.ip_default_ttl": "64",
    "net.ipv4.ip_local_port_range": "32768 60999",
}

RULES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -m conntrack --ctstate NEW -j KUBE-SERVICES
-A FORWARD -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES
-A OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-SERVICES -d 10.96.10.99/32 -p tcp -m comment --comment "default/empty has no endpoints" \
-m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-EXT-WEB - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SEP-1 - [0:0]
:KUBE-SEP-2 - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-WEB - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-EXT-WEB -j KUBE-MARK-MASQ
-A KUBE-EXT-WEB -j KUBE-SVC-WEB
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-EXT-WEB
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-SEP-1 -s 10.244.1.3/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-1 -p tcp -m tcp -j DNAT --to-destination 10.244.1.3:8080
-A KUBE-SEP-2 -s 10.244.2.2/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-2 -p tcp -m tcp -j DNAT --to-destination 10.244.2.2:8080
-A KUBE-SERVICES -d 10.96.10.10/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-WEB
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-WEB ! -s 10.244.0.0/16 -d 10.96.10.10/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-WEB -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-1
-A KUBE-SVC-WEB -j KUBE-SEP-2
COMMIT
"""


def mac(address: object) -> str:
    """A locally administered MAC address made of an IPv4 address, as the bridge plugin does."""
    return (b"\x0a\x58" + IPv4Address(str(address)).packed).hex(":")


def veth_mac(name: str) -> str:
    return (b"\x0e" + name.encode()[-5:]).hex(":")


def node_state(name: str, rules: str = RULES) -> NodeState:
    number = NUMBERS[name]
    return NodeState(
        name,
        links=_links(name, number),
        addresses=_addresses(number),
        routes=_routes(number),
        neighbours=_neighbours(name, number),
        fdb=_fdb(name, number),
        iptables=iptables.parse(rules, f"{name}/iptables-save"),
        sysctls=dict(SYSCTLS),
    )


def two_nodes(rules: str = RULES) -> dict[str, NodeState]:
    """`rules` are both nodes' iptables-save."""
    return {name: node_state(name, rules) for name in NUMBERS}


def _links(name: str, number: int) -> tuple[Link, ...]:
    underlay = ip_address(f"192.168.50.1{number}")
    overlay = Vxlan(1, local=underlay, link="eth0", learning=False, udp_csum=False)
    fixed = (
        Link(1, "lo", "00:00:00:00:00:00", 65536, link_type="loopback"),
        Link(2, "eth0", mac(underlay), 1500),
        Link(3, "flannel.1", mac(f"10.244.{number}.0"), 1450, "vxlan", vxlan=overlay),
        Link(4, "cni0", mac(f"10.244.{number}.1"), 1450, "bridge"),
    )
    return fixed + tuple(
        Link(index, pod, veth_mac(pod), 1450, "veth", master="cni0", hairpin=True)
        for index, pod in enumerate(PODS[name], 5)
    )


def _addresses(number: int) -> tuple[InterfaceAddress, ...]:
    return (
        InterfaceAddress("lo", ip_address("127.0.0.1"), 8, "host"),
        InterfaceAddress("eth0", ip_address(f"192.168.50.1{number}"), 24),
        InterfaceAddress("flannel.1", ip_address(f"10.244.{number}.0"), 32),
        InterfaceAddress("cni0", ip_address(f"10.244.{number}.1"), 24),
    )


def _routes(number: int) -> tuple[Route, ...]:
    other = 3 - number
    vtep = ip_address(f"10.244.{other}.0")
    return (
        Route(ip_network("0.0.0.0/0"), dev="eth0", gateway=ip_address("192.168.50.1")),
        Route(ip_network(f"{vtep}/24"), dev="flannel.1", gateway=vtep, onlink=True),
    )


def _neighbours(name: str, number: int) -> tuple[Neighbour, ...]:
    other = 3 - number
    vtep, underlay = ip_address(f"10.244.{other}.0"), ip_address(f"192.168.50.1{other}")
    fixed = (
        Neighbour(vtep, "flannel.1", mac(vtep)),
        Neighbour(underlay, "eth0", mac(underlay)),
        Neighbour(OUTSIDE, "eth0", mac(OUTSIDE)),
    )
    return fixed + tuple(Neighbour(pod, "cni0", mac(pod)) for pod in PODS[name].values())


def _fdb(name: str, number: int) -> tuple[FdbEntry, ...]:
    other = 3 - number
    remote = ip_address(f"192.168.50.1{other}")
    vtep = FdbEntry(mac(f"10.244.{other}.0"), "flannel.1", dst=remote, state="permanent")
    pods = (FdbEntry(mac(pod), port, master="cni0") for port, pod in PODS[name].items())
    return (vtep, *pods)
