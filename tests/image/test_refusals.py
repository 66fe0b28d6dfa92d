"""Assembly refuses what a kernel would, and says where it was written."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from dataplane.errors import DataplaneError
from dataplane.image.image import assemble
from tests.image.dumps import dumped

CASES = {
    "two devices of one name": (
        "links.json", '"ifname":"flannel.1"', '"ifname":"eth0"',
        "links.json:1: node node-a: two devices named 'eth0'",
    ),
    "a port of a bridge that is not there": (
        "links.json", '"master":"cni0"', '"master":"cni1"',
        "links.json:1: node node-a: vethce2a28d0 has master 'cni1', which is no device",
    ),
    "an address on no device": (
        "addresses.json", '"ifname":"cni0"', '"ifname":"cni1"',
        "addresses.json:1: node node-a: address 10.244.1.1 on 'cni1', which is no device",
    ),
    "a route by no device": (
        "routes.json", '"dev":"flannel.1"', '"dev":"flannel.2"',
        "routes.json:1: node node-a: route to 10.244.2.0/24 by 'flannel.2', which is no device",
    ),
    "a neighbour on no device": (
        "neighbours.json", '"dev":"cni0"', '"dev":"cni1"',
        "neighbours.json:1: node node-a: neighbour 10.244.1.2 on 'cni1', which is no device",
    ),
    "a forwarding entry on no device": (
        "fdb.json", '"ifname":"flannel.1"', '"ifname":"flannel.2"',
        "fdb.json:1: node node-a: forwarding entry 8e:4b:0c:7d:3e:0b on 'flannel.2', which is no "
        "device",
    ),
    "a goto that leads nowhere": (
        "iptables-save", "*filter", "*filter\n:A - [0:0]\n-A A -g NOWHERE",
        "iptables-save:LINE: no such chain: 'NOWHERE'",
    ),
    "a jump into a base chain": (
        "iptables-save", "*filter",
        "*security\n:INPUT ACCEPT [0:0]\n:A - [0:0]\n-A A -j INPUT\nCOMMIT\n*filter",
        "iptables-save:LINE: jump to base chain 'INPUT'",
    ),
    "a loop": (
        "iptables-save", "*filter",
        "*filter\n:A - [0:0]\n:B - [0:0]\n-A A -j B\n-A B -p tcp -g A",
        "iptables-save:LINE: jump loop: A > B > A",
    ),
    "a chain that jumps to itself": (
        "iptables-save", "*filter", "*filter\n:A - [0:0]\n-A A -p tcp -j A",
        "iptables-save:LINE: jump loop: A > A",
    ),
    "a flag that is neither": (
        "sysctl", "net.ipv4.ip_forward = 1", "net.ipv4.ip_forward = 2",
        "node node-a: net.ipv4.ip_forward = '2', but 0-1 expected",
    ),
    "a number that is none": (
        "sysctl", "nf_conntrack_max = 262144", "nf_conntrack_max = many",
        "node node-a: net.netfilter.nf_conntrack_max = 'many', but 0-4294967295 expected",
    ),
    "a TTL that does not fit": (
        "sysctl", "ip_default_ttl = 64", "ip_default_ttl = 256",
        "node node-a: net.ipv4.ip_default_ttl = '256', but 0-255 expected",
    ),
    "a port range the wrong way round": (
        "sysctl", "32768\t60999", "60999\t32768",
        "node node-a: ip_local_port_range = '60999 32768'",
    ),
    "half a port range": (
        "sysctl", "32768\t60999", "32768", "node node-a: ip_local_port_range = '32768'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "message"), CASES.values(), ids=CASES)
def test_refused_with_its_place(file, old, new, message):
    with pytest.raises(DataplaneError) as error:
        assemble({"node-a": dumped(file, old, new)})
    assert re.sub(r"iptables-save:\d+", "iptables-save:LINE", str(error.value)).endswith(message)


@pytest.mark.parametrize(
    "new",
    ["10.244.1.1/33", "10.244.1.1/255.0.255.300", "10.244.1.1/-1", "10.244.256.1"],
)
def test_a_mask_or_address_that_is_none_is_refused(new):
    with pytest.raises(DataplaneError, match=r"iptables-save:\d+: "):
        assemble({"node-a": dumped("iptables-save", "-s 10.244.0.0/16", f"-s {new}")})


def nested(depth):
    chains = [f"X{i}" for i in range(depth)]
    lines = [f":{name} - [0:0]" for name in chains]
    lines += ["-A FORWARD -j X0"]
    lines += [f"-A {name} -j X{i}" for i, name in enumerate(chains[:-1], 1)]
    return "\n".join(["*security", ":FORWARD ACCEPT [0:0]", *lines, "COMMIT", "*filter"])


def test_jumps_may_be_nested_64_deep_and_no_deeper():
    assemble({"node-a": dumped("iptables-save", "*filter", nested(64))})
    with pytest.raises(DataplaneError, match="jumps nested more than 64 deep"):
        assemble({"node-a": dumped("iptables-save", "*filter", nested(65))})


@pytest.mark.parametrize("order", ["measured before", "measured later"])
def test_depth_is_counted_through_chains_that_were_measured(order):
    """60 chains below 60 others are too deep, whichever of them is looked at first."""
    names = {letter: [f"{letter}{i}" for i in range(60)] for letter in "XY"}
    lines = [":FORWARD ACCEPT [0:0]", *(f":{name} - [0:0]" for name in names["X"] + names["Y"])]
    first, second = ("X0", "Y0") if order == "measured before" else ("Y0", "X0")
    lines += [f"-A FORWARD -p udp -j {first}", f"-A FORWARD -j {second}", "-A Y59 -j X0"]
    for chain in names.values():
        lines += [f"-A {one} -j {other}" for one, other in pairwise(chain)]
    table = "\n".join(["*security", *lines, "COMMIT", "*filter"])
    with pytest.raises(DataplaneError, match="jumps nested more than 64 deep"):
        assemble({"node-a": dumped("iptables-save", "*filter", table)})


def test_two_tunnels_with_one_number_are_refused():
    """vxlan_vni_in_use"""
    state = dumped("sysctl", "", "")
    tunnel = next(link for link in state.links if link.vxlan)
    twin = replace(tunnel, index=99, name="flannel.2")
    with pytest.raises(DataplaneError, match=r"links.json:1: .* two VXLAN devices with VNI 1"):
        assemble({"node-a": replace(state, links=(*state.links, twin))})
    other = replace(twin, vxlan=replace(tunnel.vxlan, port=4789))
    assemble({"node-a": replace(state, links=(*state.links, other))})


def test_a_policy_where_there_is_no_hook_is_refused():
    with pytest.raises(DataplaneError, match="has a policy for 'A', which is no hook"):
        assemble({"node-a": dumped("iptables-save", "*filter", "*filter\n:A DROP [0:0]")})
