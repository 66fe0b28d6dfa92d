"""Matches that ask where a packet is and how it would be routed: kernels and specification agree.

hosts ── a [node] b ── hosts, and beyond them the rest
           │
          br0 ── p, q: ports with a host each
"""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.node import iptables
from dataplane.node.state import FdbEntry, InterfaceAddress, Link, Neighbour, NodeState, Route
from dataplane.reference.engine import Engine as ReferenceEngine
from dataplane.replay.fast import FastEngine
from tests import frames as fr
from tests import rule_pool
from tests.reference.one_node import rules_met
from tests.two_nodes import mac

DEVICES = ("a", "b", "br0")
HOOKS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
}
MACS = {"p": "02:00:00:00:00:0a", "q": "02:00:00:00:00:0b"}  # behind the bridge's ports


def address(subnet, host, family=4):
    return ip_address(f"10.0.{subnet}.{host}" if family == 4 else f"fd00:{subnet}::{host}")


def links():
    found = [Link(1, "lo", "", 65536, link_type="loopback")]
    found += [Link(2 + n, name, mac(address(n, 1)), 1500) for n, name in enumerate(DEVICES[:2])]
    found.append(Link(4, "br0", mac(address(2, 1)), 1500, kind="bridge"))
    for n, name in enumerate(("p", "q")):
        found.append(Link(5 + n, name, f"02:00:00:00:01:0{n}", 1500, kind="veth", master="br0"))
    return tuple(found)


def node(rules="", family=4, **changes):
    ruleset = iptables.parse(rules, "rules", family=family)
    addresses = [
        InterfaceAddress("lo", ip_address("127.0.0.1"), 8, "host"),
        InterfaceAddress("lo", ip_address("::1"), 128, "host"),
    ]
    neighbours = []
    for n, device in enumerate(DEVICES):
        for version, length in ((4, 24), (6, 64)):
            addresses.append(InterfaceAddress(device, address(n, 1, version), length))
            for host in (2, 3):
                lladdr = mac(address(n, host)) if n < 2 else MACS["pq"[host - 2]]
                neighbours.append(Neighbour(address(n, host, version), device, lladdr))
    parts = {
        "links": links(),
        "addresses": tuple(addresses),
        "neighbours": tuple(neighbours),
        "fdb": tuple(FdbEntry(MACS[port], port, "br0", state="static") for port in MACS),
        "routes": tuple(
            Route(ip_network(net), dev="b", gateway=address(1, 2, 6 if ":" in net else 4))
            for net in ("0.0.0.0/0", "::/0")
        ),
        "sysctls": {
            "net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1",
            "net.bridge.bridge-nf-call-iptables": "1", "net.bridge.bridge-nf-call-ip6tables": "1",
        },
        "iptables" if family == 4 else "ip6tables": ruleset,
    }  # fmt: skip
    return NodeState("n", **(parts | changes))


def table(name, *rules):
    heads = "".join(f":{hook} ACCEPT [0:0]\n" for hook in HOOKS[name])
    return f"*{name}\n{heads}" + "".join(f"-A {rule}\n" for rule in rules) + "COMMIT\n"


def frame(device, src, dst, to=""):
    """A datagram as a host behind the device sends it; `to`: not to the node, to that port's."""
    family = src.version
    subnet = DEVICES.index(device) if device in DEVICES else 2
    sender = MACS.get(device, mac(address(subnet, 2)))
    packet = (fr.ipv4 if family == 4 else fr.ipv6)(src, dst, 17, fr.udp(src, 1, dst, 2))
    receiver = MACS[to] if to else mac(address(subnet, 1))
    return fr.ether(sender, receiver, fr.ETHERTYPES[family], packet)


def met(state, device, data):
    """Rules met, by both engines: they must be the same."""
    found = []
    for engine in (FastEngine({"n": state}), ReferenceEngine({"n": state})):
        record = engine.run(0, data, len(data), ("n", device))
        found.append((rules_met(record), record.verdict, record.reason))
    assert found[0] == found[1]
    return found[0][0]


@st.composite
def rules(draw, words, hooks):
    lines = st.builds("{} {} {}".format, st.sampled_from(hooks), words, st.sampled_from([""] * 5 + [
        "-j DROP", "-j MARK --set-xmark 0x1/0xffffffff"]))  # fmt: skip
    return table("mangle", *draw(st.lists(lines, min_size=1, max_size=6)))


ENTRIES = st.sampled_from([("a", ""), ("b", ""), ("p", ""), ("q", ""), ("p", "q"), ("q", "p")])
BRIDGE_PORTS = [words.format(a="p", b="q") for words in rule_pool.BRIDGE_PORTS]


def some_address(family):
    return st.builds(address, st.integers(0, 2), st.integers(1, 3), st.just(family))


@given(st.data(), st.sampled_from([4, 6]), ENTRIES)
def test_bridge_ports_by_kernels_and_specification(data, family, entry):
    hooks = ["PREROUTING", "INPUT", "FORWARD", "POSTROUTING"]
    state = node(data.draw(rules(st.sampled_from(BRIDGE_PORTS), hooks)), family)
    ends = data.draw(some_address(family)), data.draw(some_address(family))
    met(state, entry[0], frame(entry[0], *ends, to=entry[1]))


ACROSS = ("p", (2, 2), (2, 3), "q")  # from port p over the bridge to q
ROUTED = ("p", (2, 2), (1, 2), "")
INTO = ("a", (0, 2), (2, 3), "")
KEPT = ("p", (2, 2), (2, 1), "")


@pytest.mark.parametrize(
    ("hook", "words", "way", "expected"),
    [
        ("PREROUTING", "--physdev-in p", ACROSS, True),
        ("PREROUTING", "--physdev-in q", ACROSS, False),
        ("PREROUTING", "! --physdev-in q", ACROSS, True),
        ("PREROUTING", "--physdev-is-bridged", ACROSS, False),  # nobody knows yet
        ("FORWARD", "--physdev-in + --physdev-is-bridged", ACROSS, True),
        ("FORWARD", "--physdev-out q --physdev-is-bridged", ACROSS, True),
        ("POSTROUTING", "--physdev-out q --physdev-is-bridged", ACROSS, True),
        ("POSTROUTING", "--physdev-out p --physdev-is-bridged", ACROSS, False),
        # Routed: where it came in is known for good, that it leaves by a port nowhere.
        ("FORWARD", "--physdev-in p", ROUTED, True),
        ("FORWARD", "! --physdev-is-bridged", ROUTED, True),
        ("FORWARD", "--physdev-is-out", ROUTED, False),
        ("POSTROUTING", "! --physdev-out p", ROUTED, False),
        ("INPUT", "--physdev-is-in", KEPT, True),
        ("FORWARD", "--physdev-is-in", INTO, False),
        ("FORWARD", "! --physdev-in q", INTO, True),
        ("POSTROUTING", "--physdev-out q", INTO, False),
        ("POSTROUTING", "! --physdev-out q ! --physdev-in p", INTO, True),
    ],
)
@pytest.mark.parametrize("family", [4, 6])
def test_physdev(family, hook, words, way, expected):
    device, src, dst, to = way
    state = node(table("mangle", f"{hook} -m physdev {words}"), family)
    data = frame(device, address(*src, family), address(*dst, family), to)
    assert (f"mangle {hook} 1" in met(state, device, data)) is expected


@pytest.mark.parametrize("family", [4, 6])
def test_packets_past_the_hooks_of_a_bridge_have_no_ports(family):
    quiet = {
        "net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1",
        "net.bridge.bridge-nf-call-iptables": "0", "net.bridge.bridge-nf-call-ip6tables": "0",
    }  # fmt: skip
    words = "FORWARD -m physdev --physdev-is-in"
    state = node(table("mangle", words), family, sysctls=quiet)
    data = frame("p", address(2, 2, family), address(1, 2, family))
    assert "mangle FORWARD 1" not in met(state, "p", data)


@pytest.mark.parametrize("kind", ["none", "ipsec"])
def test_policies_of_packets_that_are_not_of_ipsec(kind):
    rules = table("mangle", f"FORWARD -m policy --dir in --pol {kind}")
    data = frame("a", address(0, 2), address(1, 2))
    assert ("mangle FORWARD 1" in met(node(rules), "a", data)) is (kind == "none")
    tunnel = Link(9, "ipsec0", "", 1500, kind="xfrm", link_type="none")
    unknown = node(rules.replace("-m policy", "-j DROP -m policy"), links=(*links(), tunnel))
    assert met(unknown, "a", data)[-1] == "mangle FORWARD 1"
