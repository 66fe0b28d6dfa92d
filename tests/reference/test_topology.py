"""What is behind a device, by what the nodes' own listings say."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from dataplane.node.state import FdbEntry, InterfaceAddress, Link, Neighbour, NodeState, Route
from dataplane.reference.topology import Kind, Topology, device_kind, group_mac, is_group
from tests.two_nodes import CLIENT, NODE_A, WEB1, mac, two_nodes, veth_mac


@pytest.mark.parametrize(
    ("link", "kind"),
    [
        (Link(1, "lo", "", 65536, link_type="loopback"), Kind.LOOPBACK),
        (Link(2, "br", "", 1500, "bridge"), Kind.BRIDGE),
        (Link(3, "vx", "", 1500, "vxlan", master="br"), Kind.VXLAN),
        (Link(4, "dum", "", 1500, "dummy"), Kind.DUMMY),
        (Link(5, "veth", "", 1500, "veth", master="br"), Kind.PORT),
        (Link(6, "eth0", "", 1500), Kind.WIRE),
        (Link(7, "eth1", "", 1500), Kind.WIRE),
        (Link(8, "cali", "", 1500, "veth"), Kind.PORT),
    ],
)
def test_kinds(link, kind):
    state = NodeState(
        "n",
        addresses=(
            InterfaceAddress("eth0", NODE_A, 24),
            InterfaceAddress("cali", NODE_A, 32),
            InterfaceAddress("cali", ip_address("fe80::1"), 64, "link"),
        ),
        routes=(Route(ip_network("0.0.0.0/0"), dev="eth1", gateway=ip_address("10.0.0.1")),),
    )
    assert device_kind(state, link) == kind


def test_hosts_behind_ports():
    topology = Topology(two_nodes())
    (host,) = topology.hosts["node-a", "veth-client"]
    assert (host.mac, host.addresses) == (mac(CLIENT), [CLIENT])


@pytest.mark.parametrize(
    "entry",
    [
        FdbEntry(veth_mac("veth-client"), "veth-client", "cni0", state="permanent"),
        FdbEntry(mac("10.244.1.1"), "veth-client", "cni0", state="permanent"),
        FdbEntry("33:33:00:00:00:01", "veth-client", flags=("self",), state="permanent"),
        FdbEntry("01:00:5e:00:00:01", "veth-client", "cni0"),
    ],
)
def test_what_is_no_host(entry):
    state = two_nodes()["node-a"]
    topology = Topology({"node-a": replace(state, fdb=(*state.fdb, entry))})
    assert [host.mac for host in topology.hosts["node-a", "veth-client"]] == [mac(CLIENT)]


def test_hosts_on_wires_are_no_nodes():
    hosts = Topology(two_nodes()).hosts["node-a", "eth0"]
    assert [str(host.addresses[0]) for host in hosts] == ["192.168.50.100"]


def test_wires():
    nodes = two_nodes()
    topology = Topology(nodes)
    a, b = (topology.device(name, "eth0") for name in nodes)
    assert list(topology.wire_mates(a)) == [b]
    assert list(topology.wire_mates(topology.device("node-a", "cni0"))) == []
    moved = replace(
        nodes["node-b"], addresses=(InterfaceAddress("eth0", ip_address("10.9.0.1"), 24),)
    )
    apart = Topology({**nodes, "node-b": moved})
    assert list(apart.wire_mates(apart.device("node-a", "eth0"))) == []


def test_wires_join_by_any_common_subnet():
    def node(name, *subnets):
        addresses = (InterfaceAddress("eth0", ip_address(subnet), 24) for subnet in subnets)
        return NodeState(name, links=(Link(1, "eth0", "", 1500),), addresses=tuple(addresses))

    nodes = {
        "a": node("a", "10.0.0.1"),
        "b": node("b", "10.0.1.1"),
        "c": node("c", "10.0.0.2", "10.0.1.2"),
    }
    topology = Topology(nodes)
    assert len(set(topology.wires.values())) == 1


def test_every_node_has_a_loopback():
    assert Topology({"n": NodeState("n")}).device("n", "lo").kind == Kind.LOOPBACK


def test_local_addresses_of_a_bridge():
    topology = Topology(two_nodes())
    bridge = topology.device("node-a", "cni0")
    assert topology.local_macs(bridge) == {
        mac("10.244.1.1"),
        veth_mac("veth-client"),
        veth_mac("veth-web-1"),
    }
    assert mac(WEB1) not in topology.local_macs(bridge)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("224.129.2.3", "01:00:5e:01:02:03"), ("ff02::1:ff00:1", "33:33:ff:00:00:01")],
)
def test_group_addresses(address, expected):
    assert group_mac(ip_address(address)) == expected
    assert is_group(expected)
    assert not is_group(mac(CLIENT))


def test_two_entries_of_one_address():
    state = two_nodes()["node-a"]
    other = Neighbour(ip_address("10.244.1.77"), "cni0", mac(CLIENT))
    topology = Topology({"node-a": replace(state, neighbours=(*state.neighbours, other))})
    (host,) = topology.hosts["node-a", "veth-client"]
    assert [str(address) for address in host.addresses] == ["10.244.1.2", "10.244.1.77"]
