"""flannel's leases, configuration, entries and rules."""

from typing import Any

import pytest

from dataplane.cluster.objects import Cluster
from dataplane.control import cni_flannel, flannel_config, underlay
from dataplane.control.draft import Draft
from dataplane.control.flannel_lease import Lease, lease
from dataplane.errors import DataplaneError, ObjectError, UsageError
from dataplane.node import iptables
from dataplane.node.state import NodeState

from .manifests import cluster, node

ANNOTATIONS = {
    "backend_data": '{"VNI":7,"VtepMAC":"8E:4B:0c:51:a1:0a"}',
    "backend_type": "vxlan",
    "public_ip": "203.0.113.9",
}


def leases(*documents: str) -> list[Lease]:
    return [lease(node) for node in cluster(*documents).nodes.values()]


def test_a_lease_is_what_the_annotations_say() -> None:
    (found,) = leases(node("a", 1, **ANNOTATIONS))
    assert (str(found.subnet), str(found.public_ip)) == ("10.244.1.0/24", "203.0.113.9")
    assert (found.vtep_mac, found.vni) == ("8e:4b:0c:51:a1:0a", 7)


def test_a_lease_without_annotations_is_derived() -> None:
    (found,) = leases(node("a", 1))
    assert (str(found.public_ip), found.vtep_mac) == ("192.168.50.1", "0a:58:0a:f4:01:00")


NO_IP = node("a", 1).replace("InternalIP", "Hostname").replace("192.168.50.1", "a")
NO_CIDR = node("a", 1).replace("podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24]", "")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (NO_CIDR, "no IPv4 range in spec.podCIDR or spec.podCIDRs"),
        (NO_IP, "no IPv4 address of type InternalIP in status.addresses"),
        (node("a", 1).replace("0/24", "0/31"), "podCIDR 10.244.1.0/31 has no room for pods"),
        (node("a", 1, backend_data='{"VtepMAC":"8e:4b"}'), "bad VtepMAC '8e:4b'"),
        (node("a", 1, backend_data='{"VtepMAC":5}'), "bad VtepMAC 5"),
        (node("a", 1, backend_data='{"VNI":16777216}'), "bad VNI 16777216"),
        (node("a", 1, backend_data='{"VNI":"x"}'), "bad VNI 'x'"),
        (node("a", 1, backend_data="["), "expected a JSON object"),
        (node("a", 1, backend_data="[" * 100_000), "expected a JSON object"),
        (node("a", 1, backend_data="null"), "expected a JSON object"),
        (node("a", 1, public_ip="fd00::1"), "bad flannel.alpha.coreos.com/public-ip 'fd00::1'"),
    ],
)
def test_nodes_that_can_have_no_lease_are_named(document: str, message: str) -> None:
    with pytest.raises(ObjectError) as error:
        leases(document)
    assert message in str(error.value)
    assert str(error.value).startswith("test.yaml:") and "Node a: " in str(error.value)


def test_other_backends_are_refused() -> None:
    with pytest.raises(UsageError, match="Node a: flannel backend 'host-gw' is not modelled yet"):
        leases(node("a", 1, backend_type="host-gw"))


def test_the_network_is_flannels_own_then_kube_proxys_then_guessed() -> None:
    found, said = leases(node("a", 1), node("b", 2)), []
    given = {"flannel": {"Network": "10.240.0.0/12"}, "kube_proxy": {"clusterCIDR": "10.0.0.0/8"}}
    assert str(flannel_config.config(Cluster(**given), found, said.append).network) == (
        "10.240.0.0/12"
    )
    del given["flannel"]
    assert str(flannel_config.config(Cluster(**given), found, said.append).network) == "10.0.0.0/8"
    assert said == []
    assert str(flannel_config.config(Cluster(), found, said.append).network) == "10.244.0.0/16"
    assert said == ["no net-conf.json of flannel: assuming its Network is 10.244.0.0/16"]


def test_a_guessed_network_holds_every_node() -> None:
    far = node("b", 2).replace("10.244.2", "10.200.2")
    found = flannel_config.config(Cluster(), leases(node("a", 1), far), lambda message: None)
    assert str(found.network) == "10.192.0.0/10"


def test_backend_settings() -> None:
    (own,) = leases(node("a", 1))
    backend = {"Type": "vxlan", "VNI": 4096, "Port": 4789, "MTU": 9000}
    found = flannel_config.config(Cluster(flannel={"Backend": backend}), [own], lambda m: None)
    assert (found.device, found.port, found.mtu) == ("flannel.4096", 4789, 8950)


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ({"Type": "host-gw"}, "flannel backend 'host-gw' is not modelled yet"),
        ({"VNI": -1}, "bad Backend.VNI -1, expected 1 to 16777215"),
        ({"Port": 65536}, "bad Backend.Port 65536, expected 1 to 65535"),
    ],
)
def test_bad_backends(backend: dict[str, Any], message: str) -> None:
    with pytest.raises(DataplaneError) as error:
        flannel_config.config(Cluster(flannel={"Backend": backend}), leases(node("a", 1)), print)
    assert message in str(error.value)


def programmed() -> NodeState:
    found = leases(node("a", 1), node("b", 2, **ANNOTATIONS), node("c", 3))
    config = flannel_config.config(Cluster(), found, lambda message: None)
    draft = Draft(found[0].node)
    underlay.write(draft, [each.node for each in found])
    cni_flannel.write(draft, found[0], found, config)
    cni_flannel.write_rules(draft, found[0].subnet, config.network)
    return draft.freeze()


def test_each_remote_node_is_a_route_a_neighbour_and_an_fdb_entry() -> None:
    state = programmed()
    routes = [r for r in state.routes if r.dev == "flannel.7" and r.table == "main"]
    assert [(str(r.dst), str(r.gateway), r.onlink) for r in routes] == [
        ("10.244.2.0/24", "10.244.2.0", True),
        ("10.244.3.0/24", "10.244.3.0", True),
    ]
    neighbours = [n for n in state.neighbours if n.dev == "flannel.7"]
    assert [(str(n.dst), n.lladdr, n.state) for n in neighbours] == [
        ("10.244.2.0", "8e:4b:0c:51:a1:0a", ("PERMANENT",)),
        ("10.244.3.0", "0a:58:0a:f4:03:00", ("PERMANENT",)),
    ]
    assert [(e.mac, e.dev, str(e.dst)) for e in state.fdb] == [
        ("8e:4b:0c:51:a1:0a", "flannel.7", "203.0.113.9"),
        ("0a:58:0a:f4:03:00", "flannel.7", "192.168.50.3"),
    ]


def test_the_overlay_device() -> None:
    (link,) = [link for link in programmed().links if link.kind == "vxlan"]
    assert (link.name, link.mtu, link.mac) == ("flannel.7", 1450, "0a:58:0a:f4:01:00")
    vxlan = link.vxlan
    assert vxlan is not None
    assert (vxlan.id, vxlan.port, str(vxlan.local), vxlan.link) == (7, 8472, "192.168.50.1", "eth0")
    assert (vxlan.learning, vxlan.udp_csum) == (False, False)


NAT = """\
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s 10.244.1.0/24 -d 10.244.0.0/16 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.1.0/24 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.1.0/24 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
"""  # noqa: E501
FILTER = """\
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
-A FLANNEL-FWD -d 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
"""


@pytest.mark.parametrize(("table", "text"), [("nat", NAT), ("filter", FILTER)])
def test_rules(table: str, text: str) -> None:
    chains = programmed().iptables.tables[table].chains.values()
    rules = [iptables.render_rule(chain.name, rule) for chain in chains for rule in chain.rules]
    assert rules == text.splitlines()
