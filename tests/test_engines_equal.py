"""The kernels equal the executable specification: step by step, byte by byte."""

from dataclasses import replace
from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.trace import StepKind
from dataplane.reference.engine import Engine as ReferenceEngine
from dataplane.replay.after import connections, counters, order
from dataplane.replay.fast import FastEngine

from . import frames as fr
from .clusters import PODS6, WEB6, clusters
from .two_nodes import (
    CLIENT,
    EMPTY,
    NODE_A,
    NODE_B,
    OUTSIDE,
    RULES,
    WEB,
    WEB1,
    WEB2,
    mac,
    two_nodes,
)

SECOND = 10**9
PODS = {
    CLIENT: ("node-a", "veth-client"),
    WEB1: ("node-a", "veth-web-1"),
    WEB2: ("node-b", "veth-web-2"),
}
GATEWAYS = {"node-a": mac("10.244.1.1"), "node-b": mac("10.244.2.1")}

OWN_MACS = {place: mac(pod) for pod, place in PODS.items()}
ENTRIES6 = {address: (node, port) for node, pods in PODS6.items() for port, address in pods.items()}
NOBODY = "00:" * 5 + "00"

addresses6 = st.sampled_from([*ENTRIES6, WEB6, ip_address("fd00:1::1"), ip_address("2001:db8::1")])
addresses = st.sampled_from([CLIENT, WEB1, WEB2, OUTSIDE, WEB, EMPTY, NODE_A, NODE_B])
ports = st.sampled_from([40000, 40001, 80, 8080, 30080, 53])
FLAGS = [fr.SYN, fr.SYN | fr.ACK, fr.ACK, fr.FIN | fr.ACK, fr.RST, fr.RST | fr.ACK, 0]
flags = st.sampled_from(FLAGS)


@st.composite
def segments(draw):
    """(protocol, transport bytes) between two addresses."""
    src, dst = draw(addresses), draw(addresses)
    kind = draw(st.sampled_from(["tcp", "tcp", "tcp", "udp", "echo", "other"]))
    if kind == "tcp":
        body = fr.tcp(
            src,
            draw(ports),
            dst,
            draw(ports),
            draw(flags),
            payload=draw(st.sampled_from([b"", b"abc"])),
            partial=draw(st.booleans()),
        )
        return src, dst, 6, body
    if kind == "udp":
        body = fr.udp(src, draw(ports), dst, draw(ports), b"hello", draw(st.booleans()))
        return src, dst, 17, body
    if kind == "echo":
        return src, dst, 1, fr.echo(draw(st.integers(1, 2)), reply=draw(st.booleans()))
    return src, dst, draw(st.sampled_from([47, 50, 132])), b"\0" * 24


@st.composite
def packets(draw):
    """(frame, entry) of an IPv4 packet."""
    src, dst, protocol, body = draw(segments())
    ttl = draw(st.sampled_from([64, 64, 64, 2, 1]))
    fragment = draw(st.sampled_from([0x4000, 0x4000, 0x4000, 0, 0x2000]))
    ip = fr.ipv4(
        src, dst, protocol, body, ttl=ttl, id=draw(st.integers(0, 3)), fragment=fragment,
        tos=draw(st.sampled_from([0, 0, 3, 8])),
    )  # fmt: skip
    return draw(entries(src, PODS, b"\x08\x00", ip))


@st.composite
def packets6(draw):
    """(frame, entry) of an IPv6 packet."""
    src, dst = draw(addresses6), draw(addresses6)
    kind = draw(st.sampled_from(["tcp", "tcp", "udp", "other"]))
    if kind == "tcp":
        body = fr.tcp(src, draw(ports), dst, draw(ports), draw(flags), partial=draw(st.booleans()))
        protocol = 6
    elif kind == "udp":
        body, protocol = fr.udp(src, draw(ports), dst, draw(ports), b"hello"), 17
    else:
        body, protocol = b"\x80\0\0\0\0\1\0\1", draw(st.sampled_from([58, 47, 0, 44]))
    ip = fr.ipv6(src, dst, protocol, body, hop_limit=draw(st.sampled_from([64, 64, 2, 1])))
    return draw(entries(src, ENTRIES6, b"\x86\xdd", ip))


@st.composite
def entries(draw, src, pods, ethertype, ip):
    """Where the packet enters, and its Ethernet header there."""
    entry = draw(st.sampled_from(["natural", "natural", "natural", "wire", "local"]))
    if entry == "local":
        node = draw(st.sampled_from(["node-a", "node-b"]))
        return fr.ether(NOBODY, NOBODY, ethertype, ip), (node, None)
    if entry == "natural" and src in pods:
        node, device = pods[src]
        to = draw(st.sampled_from(
            [GATEWAYS[node], GATEWAYS[node], mac(WEB1), mac("10.9.9.9"), "ff:" * 5 + "ff"]
        ))  # fmt: skip
        return fr.ether(OWN_MACS[node, device], to, ethertype, ip), (node, device)
    node, address = draw(st.sampled_from([("node-a", NODE_A), ("node-b", NODE_B)]))
    to = draw(st.sampled_from([mac(address), mac(address), mac(OUTSIDE)]))
    return fr.ether(mac(OUTSIDE), to, ethertype, ip), (node, "eth0")


RULE_LINES = [
    "-A FORWARD -s 10.244.1.2/32 -j DROP",
    "-A FORWARD ! -i cni0 -p tcp -m tcp --dport 8080 -j ACCEPT",
    "-A FORWARD -i cni+ -o cni0 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j EXTRA",
    "-A FORWARD -p icmp -m icmp --icmp-type 8 -j EXTRA",
    "-A FORWARD -p tcp -m multiport --dports 80,8000:9000 -j EXTRA",
    "-A FORWARD -p tcp -m tcp --dport 8080 -j REJECT --reject-with tcp-reset",
    "-A FORWARD -m recent --rcheck --name x --mask 255.255.255.255 --rsource -j DROP",
    "-A INPUT -m recent --update --seconds 1 --name x --mask 255.255.255.255 --rdest -j DROP",
    "-A EXTRA -p udp -m recent --set --name x --mask 255.255.255.255 --rsource -j DROP",
    "-A EXTRA -m limit --limit 1/hour --limit-burst 2 -j DROP",
    "-A FORWARD -m hashlimit --hashlimit-above 2/min --hashlimit-burst 2 --hashlimit-mode srcip "
    "--hashlimit-name h -j EXTRA",
    "-A FORWARD -m cpu --cpu 0 -j DROP",
    "-A INPUT -p udp -m udp --dport 53 -j REJECT --reject-with icmp-port-unreachable",
    "-A INPUT -p udp -m udp --dport 8472 -m statistic --mode nth --every 3 --packet 1 -j DROP",
    "-A OUTPUT -m owner --uid-owner 0 -j ACCEPT",
    "-A FORWARD -m conntrack --ctstate DNAT -m statistic --mode random --probability 0.5 -j EXTRA",
    "-A EXTRA -m mark --mark 0x4000/0x4000 -j RETURN",
    "-A EXTRA -p tcp -m tcp ! --sport 40001 -g OTHER",
    "-A EXTRA -j MARK --set-xmark 0x1/0x0",
    "-A EXTRA -m state --state NEW -j LOG",
    "-A OTHER -m addrtype --src-type UNICAST ! --dst-type LOCAL -j RETURN",
    "-A OTHER -p udp -j DROP",
    "-A FORWARD -j TEE --gateway 10.244.2.2",
    "-A FORWARD -p tcp -j TEE --gateway 192.168.50.12 --oif eth0",
    "-A INPUT -j TEE --gateway 10.244.1.2",
    "-A OUTPUT -j TEE --gateway 192.168.50.11 --oif none",
    "-A EXTRA -j TEE --gateway 192.168.50.12",
]  # fmt: skip
NAT_LINES = [
    "-A POSTROUTING -s 10.244.1.2/32 -o eth0 -j SNAT --to-source 192.168.50.11:40000-40001",
    "-A PREROUTING -p tcp -m tcp --dport 53 -j DNAT --to-destination 10.244.2.2:80-81",
    "-A PREROUTING -d 192.168.50.12/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080",
    "-A POSTROUTING -d 10.244.2.2/32 -j MASQUERADE",
    "-A OUTPUT -p udp -m udp --dport 53 -j DNAT --to-destination 10.244.2.2",
]


@st.composite
def rule_texts(draw):
    """kube-proxy's rules, and some that it would not write."""
    extra = draw(st.lists(st.sampled_from(RULE_LINES), max_size=5))
    nat = draw(st.lists(st.sampled_from(NAT_LINES), max_size=2))
    raw = draw(st.sampled_from(["", "-A PREROUTING -p udp -j CT --notrack\n"]))
    policy = draw(st.sampled_from(["ACCEPT", "ACCEPT", "DROP"]))
    text = RULES.replace(":FORWARD ACCEPT", f":FORWARD {policy}")
    filter_part, nat_part = text.split("COMMIT\n")[:2]
    filter_part = filter_part.replace(
        ":KUBE-FORWARD", ":EXTRA - [0:0]\n:OTHER - [0:0]\n:KUBE-FORWARD"
    )
    head, jumps = filter_part.split("-A INPUT", 1)
    before = "".join(line + "\n" for line in extra)
    nat_text = nat_part + "".join(line + "\n" for line in nat)
    raw_text = f"*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{raw}COMMIT\n" if raw else ""
    return f"{raw_text}{head}{before}-A INPUT{jumps}COMMIT\n{nat_text}COMMIT\n"


def compare(fast, slow):
    for name in (
        "verdict",
        "reason",
        "place",
        "entry",
        "family",
        "proto",
        "src",
        "dst",
        "sport",
        "dport",
        "end_src",
        "end_dst",
        "end_sport",
        "end_dport",
        "end_ttl",
    ):
        assert getattr(fast, name) == getattr(slow, name), name
    assert list(fast.steps) == list(slow.steps)
    assert list(fast.events) == list(slow.events)
    assert list(fast.taps) == list(slow.taps)


@st.composite
def damaged(draw, whole):
    """(frame, wire length, entry): now and then a byte is wrong, or the capture ends early."""
    frame, entry = draw(whole)
    length = len(frame)
    damage = draw(st.sampled_from(["none"] * 6 + ["byte", "cut", "short", "padded"]))
    if damage == "byte":
        at = draw(st.integers(12, length - 1))
        frame = frame[:at] + draw(st.binary(min_size=1, max_size=1)) + frame[at + 1 :]
    elif damage == "padded":
        frame += bytes(7)
        length = len(frame)
    elif damage != "none":
        frame = frame[: draw(st.integers(0, length))]
        length = length if damage == "cut" else len(frame)
    return frame, length, entry


pauses = st.sampled_from([0, 1, 40, 130])
traffic = st.lists(st.tuples(damaged(packets() | packets6()), pauses), max_size=12)


def test_a_copy_in_a_tunnel_that_is_too_long_for_the_underlay():
    """The tunnel's packet is its own, no copy: nobody is told of its size."""
    rules = RULES.replace("-A FORWARD", "-A FORWARD -j TEE --gateway 10.244.2.2\n-A FORWARD", 1)
    nodes = {
        name: replace(state, links=tuple(
            replace(link, mtu=60) if link.name == "eth0" else
            replace(link, vxlan=replace(link.vxlan, df="set")) if link.vxlan else link
            for link in state.links
        ))
        for name, state in two_nodes(rules).items()
    }  # fmt: skip
    body = fr.tcp(CLIENT, 40000, WEB1, 8080, fr.SYN)
    packet = fr.ipv4(CLIENT, WEB1, 6, body, fragment=0x4000)
    frame = fr.ether(mac(CLIENT), mac(WEB1), b"\x08\x00", packet)
    fast, slow = (
        engine(nodes).run(10**18, frame, len(frame), ("node-a", "veth-client"))
        for engine in (FastEngine, ReferenceEngine)
    )
    compare(fast, slow)
    kinds = [step.kind for step in fast.steps]
    assert StepKind.STEP_ENCAPSULATE in kinds and kinds.count(StepKind.STEP_GENERATE) == 1
    assert all(step.name != "eth0" for step in fast.steps)  # it does not leave


@settings(max_examples=200)
@given(clusters(rule_texts()), traffic, st.integers(0, 3))
def test_walk_equals_reference(nodes, sequence, seed):
    fast, slow = FastEngine(nodes, seed=seed), ReferenceEngine(nodes, seed=seed)
    now = 10**18
    for (frame, length, entry), seconds in sequence:
        now += seconds * SECOND
        compare(fast.run(now, frame, length, entry), slow.run(now, frame, length, entry))
    counts = counters(fast.image, fast.state)
    for node in nodes:
        for (family, table, chain, number), found in slow.counters(node).items():
            assert counts[node, family, table, chain, number] == tuple(found)
        mine = list(connections(fast.image, fast.state, node, now))
        assert mine == sorted(slow.conntrack(node, now), key=order)
    total = sum(found[0] for node in nodes for found in slow.counters(node).values())
    assert total == sum(found[0] for found in counts.values())
