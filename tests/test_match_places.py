"""Matches that ask where a packet is and how it would be routed: kernels and specification agree.

hosts ── a [node] b ── hosts, and beyond them the rest
           │
          br0 ── p, q: ports with a host each
"""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.node import iptables
from dataplane.node.state import (
    FdbEntry,
    InterfaceAddress,
    Link,
    Neighbour,
    NextHop,
    NodeState,
    Route,
    RoutingRule,
)
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


def node(text="", family=4, **changes):
    ruleset = iptables.parse(text, "rules", family=family)
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


# How addresses would be routed.

CLASSES = ["", "5", "7", "3/5", "3/0", "cosmos"]
NETWORKS = {
    4: ["10.0.0.3/32", "10.0.1.0/25", "10.9.0.0/16", "10.9.1.0/24", "0.0.0.0/0", "10.0.0.1/32"],
    6: ["fd00::3/128", "fd00:1::/96", "fd09::/32", "fd09:1::/64", "::/0", "fd00:1::2/128"],
}
FAR = {4: ["10.9.1.9", "0.0.0.7", "10.0.1.0", "10.0.0.255"],
       6: ["fd09:1::9", "fe80::2", "::ffff:10.0.0.2", "fd00:1::", "fd09:1::"]}  # fmt: skip


@st.composite
def some_routes(draw, family):
    found = []
    for net in draw(st.lists(st.sampled_from(NETWORKS[family]), max_size=5)):
        device = draw(st.sampled_from(DEVICES))
        gateway = address(DEVICES.index(device), draw(st.integers(2, 3)), family)
        kind = draw(st.sampled_from(["unicast"] * 5 + ["unreachable", "throw", "local"]))
        table = draw(st.sampled_from(["main", "main", "local", "100"]))
        legs, dev = (), "lo" if kind in ("unreachable", "throw") else device
        if kind == "unicast" and draw(st.integers(0, 3)) == 0:
            legs, dev = tuple(
                NextHop(n, address(DEVICES.index(n), 2, family), realms=draw(classes))
                for n in ("a", "b")
            ), None  # fmt: skip
        via = gateway if kind == "unicast" and not legs and draw(st.booleans()) else None
        protocol = draw(st.sampled_from(["kernel", "boot"]))
        found.append(Route(ip_network(net), kind, dev, via, table, draw(st.integers(1, 3)),
                           nexthops=legs, realms=draw(classes) if family == 4 else "",
                           protocol=protocol))  # fmt: skip
    return tuple(found)


classes = st.sampled_from(CLASSES)


@st.composite
def some_rules(draw, family):
    own = [RoutingRule(0, "local", family=family), RoutingRule(32766, "main", family=family)]
    nets = st.sampled_from([None, *map(ip_network, NETWORKS[family])])
    for _ in range(draw(st.integers(0, 3))):
        device = draw(st.sampled_from([None, None, "a", "lo"]))
        own.append(
            RoutingRule(draw(st.sampled_from([10, 20])), draw(st.sampled_from(["100", "main"])),
                        family=family, src=draw(nets), dst=draw(nets), iif=device,
                        fwmark=draw(st.sampled_from([None, None, 0, 1])),
                        oif=draw(st.sampled_from([None, None, "a"])),
                        tos=draw(st.sampled_from([None, None, 0x10])),
                        flow_from=draw(st.sampled_from([None, "4"])),
                        flow_to=draw(st.sampled_from([None, "6"])))
        )  # fmt: skip
    return tuple(own)


def asked(family):
    found = [("PREROUTING", words) for words in rule_pool.REVERSE_PATHS]
    types = [*rule_pool.ADDRESS_TYPES, *(rule_pool.ADDRESS_TYPES_IPV4 if family == 4 else [])]
    for hook in HOOKS["mangle"]:
        side = "in" if hook in ("PREROUTING", "INPUT", "FORWARD") else "out"
        found += [(hook, words.format(side=side)) for words in types]
        if family == 4:
            found += [(hook, words) for words in rule_pool.REALMS * 3]
    return found


@settings(max_examples=300)
@given(st.data(), st.sampled_from([4, 6]), ENTRIES, st.sampled_from([0, 0, 1, 2]))
def test_routes_by_kernels_and_specification(data, family, entry, rp_filter):
    lines = data.draw(st.lists(st.sampled_from(asked(family)), min_size=1, max_size=8))
    marks = ["PREROUTING -s 10.0.0.2/31 -j MARK --set-mark 1"] if family == 4 else []
    text = table("mangle", *marks, *(f"{hook} {words}" for hook, words in lines))
    plain = node(text, family)
    routes = data.draw(some_routes(family))
    settings_ = plain.sysctls | {
        "net.ipv4.conf.all.rp_filter": str(rp_filter), "net.ipv4.conf.all.accept_local": "1",
    }  # fmt: skip
    state = node(text, family, routes=(*plain.routes, *routes), sysctls=settings_,
                 rules=data.draw(some_rules(family)))  # fmt: skip
    far = st.sampled_from([ip_address(text) for text in FAR[family]])
    ends = [data.draw(some_address(family) | far) for _ in range(2)]
    met(state, entry[0], frame(entry[0], *ends, to=entry[1]))


BACK = {4: [Route(ip_network("10.9.0.0/16"), dev="b", gateway=address(1, 3))],
        6: [Route(ip_network("fd09::/32"), dev="b", gateway=address(1, 3, 6))]}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "device", "source", "expected"),
    [
        ("", "a", (0, 2), True),
        ("", "b", (0, 2), False),
        ("--loose", "b", (0, 2), True),
        ("--invert", "b", (0, 2), True),
        ("", "b", "far", True),
        ("", "a", "far", False),
        ("--loose", "a", "far", True),
        ("--loose", "a", (1, 1), False),  # the node's own
        ("--loose --accept-local", "a", (1, 1), True),
        ("", "p", (2, 2), True),  # the bridge
    ],
)
@pytest.mark.parametrize("family", [4, 6])
def test_rpfilter(family, words, device, source, expected):
    far = ip_address("10.9.1.9" if family == 4 else "fd09::9")
    src = far if source == "far" else address(*source, family)
    rules = table("mangle", f"PREROUTING -m rpfilter {words}")
    plain = node(rules, family)
    state = node(rules, family, routes=(*plain.routes[:0], *BACK[family]))
    data = frame(device, src, address(2, 3, family))
    assert ("mangle PREROUTING 1" in met(state, device, data)) is expected


@pytest.mark.parametrize(("option", "accepts"), [("", False), ("--accept-local", True)])
def test_rpfilter_of_an_own_ipv6_address_by_any_device(option, accepts):
    """ip6t_rpfilter.c does not ask where it is."""
    state = node(table("mangle", f"PREROUTING -m rpfilter {option}"), 6)
    found = met(state, "a", frame("a", address(1, 1, 6), address(2, 3, 6)))
    assert ("mangle PREROUTING 1" in found) is accepts


@pytest.mark.parametrize(
    ("words", "dst", "expected"),
    [
        ("--dst-type UNREACHABLE", "fd09::9", True),
        ("--dst-type UNREACHABLE", "fd00:1::2", False),
        ("--dst-type UNREACHABLE,LOCAL", "fd00:1::1", True),
        ("--dst-type LOCAL", "fd00:1::1", True),
        ("--dst-type LOCAL --limit-iface-in", "fd00:1::1", False),
        ("--dst-type LOCAL --limit-iface-in", "fd00::1", True),
        ("--dst-type UNREACHABLE --limit-iface-in", "fd00:1::2", True),
        ("--dst-type ANYCAST", "fd00:1::", True),
        ("--dst-type LOCAL", "fd00:1::", False),
        ("--dst-type UNICAST,ANYCAST", "fd00:1::2", False),
        ("--dst-type UNICAST", "::ffff:10.0.0.1", False),
        ("--dst-type MULTICAST", "ff0e::1", True),
    ],
)
def test_types_of_ipv6_addresses(words, dst, expected):
    rules = table("mangle", f"PREROUTING -m addrtype {words}")
    state = node(rules, 6, routes=())
    found = met(state, "a", frame("a", address(0, 2, 6), ip_address(dst)))
    assert ("mangle PREROUTING 1" in found) is expected


ALL = ip_network("0.0.0.0/0")


@pytest.mark.parametrize(
    ("hook", "realm", "routes", "rules", "expected"),
    [
        ("FORWARD", "5", [Route(ALL, dev="b", gateway=address(1, 2), realms="5")], (), True),
        ("POSTROUTING", "0x70005",
         [Route(ALL, dev="b", gateway=address(1, 2), realms="7/5")], (), True),
        # From where its source is.
        ("FORWARD", "0x30005",
         [Route(ALL, dev="b", gateway=address(1, 2), realms="5"),
          Route(ip_network("10.0.0.2/32"), dev="a", realms="9/3")], (), True),
        ("FORWARD", "0x30000/0xffff0000",
         [Route(ALL, dev="b", gateway=address(1, 2)),
          Route(ip_network("10.0.0.2/32"), dev="a", realms="3")], (), True),
        # What the route does not say, its rule may.
        ("FORWARD", "0x40006", [Route(ALL, dev="b", gateway=address(1, 2))],
         (RoutingRule(10, "main", flow_from="4", flow_to="6"),), True),
        ("FORWARD", "0x5", [Route(ALL, dev="b", gateway=address(1, 2))], (), False),
        ("PREROUTING", "0x0", [Route(ALL, dev="b", gateway=address(1, 2), realms="5")], (), True),
    ],
)  # fmt: skip
def test_realms(hook, realm, routes, rules, expected):
    own = (RoutingRule(0, "local"), RoutingRule(32766, "main"), *rules) if rules else ()
    text = table("mangle", f"{hook} -m realm --realm {realm}")
    state = node(text, routes=tuple(routes), rules=own)
    data = frame("a", address(0, 2), ip_address("10.9.1.9"))
    assert (f"mangle {hook} 1" in met(state, "a", data)) is expected


def test_realms_with_names_that_nothing_tells_are_unknown():
    text = table("mangle", "FORWARD -m realm --realm 5 -j DROP")
    routes = (Route(ALL, dev="b", gateway=address(1, 2), realms="here/5"),)
    found = met(node(text, routes=routes), "a", frame("a", address(0, 2), ip_address("10.9.1.9")))
    assert found[-1] == "mangle FORWARD 1"


def test_realms_of_what_is_for_the_node_are_those_of_its_source():
    text = table("mangle", "INPUT -m realm --realm 0x30000")
    routes = (Route(ip_network("10.0.0.2/32"), dev="a", realms="3"),)
    found = met(node(text, routes=routes), "a", frame("a", address(0, 2), address(0, 1)))
    assert "mangle INPUT 1" in found
