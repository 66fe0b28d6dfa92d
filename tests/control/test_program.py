"""Whole nodes: what every agent wrote, put together."""

import pytest

from dataplane.cluster.objects import Cluster
from dataplane.control.program import program
from dataplane.errors import DataplaneError, ObjectError, UsageError
from dataplane.node.state import NodeState

from .manifests import cluster, endpoint_slice, node, pod, service, two_nodes


@pytest.fixture(scope="module")
def node_a() -> NodeState:
    return program(two_nodes())["node-a"]


def test_links(node_a: NodeState) -> None:
    assert [(link.index, link.name, link.kind, link.mtu, link.mac) for link in node_a.links] == [
        (1, "lo", "", 65536, "00:00:00:00:00:00"),
        (2, "eth0", "", 1500, "0a:58:c0:a8:32:0b"),
        (3, "flannel.1", "vxlan", 1450, "8e:4b:0c:51:a1:0a"),
        (4, "cni0", "bridge", 1450, "0a:58:0a:f4:01:01"),
        (5, "vethce2a28d0", "veth", 1450, "0e:ce:2a:28:d0:b7"),
        (6, "veth85dffee6", "veth", 1450, "0e:85:df:fe:e6:74"),
    ]
    ports = [link for link in node_a.links if link.master]
    assert all(port.master == "cni0" and port.hairpin for port in ports) and len(ports) == 2


def test_addresses(node_a: NodeState) -> None:
    assert [f"{a.dev} {a.local}/{a.prefixlen} {a.scope}" for a in node_a.addresses] == [
        "lo 127.0.0.1/8 host",
        "lo ::1/128 host",
        "eth0 192.168.50.11/24 global",
        "flannel.1 10.244.1.0/32 global",
        "cni0 10.244.1.1/24 global",
    ]


def test_main_table(node_a: NodeState) -> None:
    routes = [r for r in node_a.routes if r.table == "main"]
    assert [(str(r.dst), r.dev, str(r.gateway), str(r.prefsrc)) for r in routes] == [
        ("0.0.0.0/0", "eth0", "192.168.50.1", "None"),
        ("10.244.1.0/24", "cni0", "None", "10.244.1.1"),
        ("10.244.2.0/24", "flannel.1", "10.244.2.0", "None"),
        ("192.168.50.0/24", "eth0", "None", "192.168.50.11"),
    ]


def test_every_address_is_a_local_route(node_a: NodeState) -> None:
    local = {r.dst.network_address for r in node_a.routes if r.type == "local"}
    assert {a.local for a in node_a.addresses} <= local


def test_neighbours_and_fdb_need_no_arp_and_no_learning(node_a: NodeState) -> None:
    assert [f"{n.dst} {n.dev} {n.lladdr}" for n in node_a.neighbours] == [
        "192.168.50.1 eth0 0a:58:c0:a8:32:01",
        "192.168.50.12 eth0 0a:58:c0:a8:32:0c",
        "10.244.2.0 flannel.1 8e:4b:0c:7d:3e:0b",
        "10.244.1.2 cni0 0a:58:0a:f4:01:02",
        "10.244.1.3 cni0 0a:58:0a:f4:01:03",
    ]
    assert [f"{e.mac} {e.dev} {e.master} {e.dst}" for e in node_a.fdb] == [
        "8e:4b:0c:7d:3e:0b flannel.1 None 192.168.50.12",
        "0a:58:0a:f4:01:02 vethce2a28d0 cni0 None",
        "0a:58:0a:f4:01:03 veth85dffee6 cni0 None",
    ]


def test_kube_proxy_prepends_and_flannel_appends(node_a: NodeState) -> None:
    def targets(table: str, chain: str) -> list[str]:
        rules = node_a.iptables.tables[table].chains[chain].rules
        return [rule.target.name for rule in rules if rule.target]

    assert targets("nat", "POSTROUTING") == ["KUBE-POSTROUTING", "FLANNEL-POSTRTG"]
    assert targets("filter", "FORWARD") == [
        "KUBE-PROXY-FIREWALL",
        "KUBE-FORWARD",
        "KUBE-SERVICES",
        "KUBE-EXTERNAL-SERVICES",
        "FLANNEL-FWD",
    ]


def test_rules_know_the_service_they_are_for(node_a: NodeState) -> None:
    chain = node_a.iptables.tables["filter"].chains["KUBE-SERVICES"]
    (rule,) = chain.rules  # default/empty
    assert rule.source.path.endswith("cluster.yaml") and rule.source.line > 0


def test_sysctls(node_a: NodeState) -> None:
    assert node_a.sysctls["net.ipv4.conf.all.route_localnet"] == "1"
    assert node_a.sysctls["net.netfilter.nf_conntrack_tcp_timeout_established"] == "86400"
    assert list(node_a.sysctls) == sorted(node_a.sysctls)


def test_nodes_and_runs_come_out_in_the_same_order() -> None:
    assert list(program(two_nodes())) == ["node-a", "node-b"]
    assert program(two_nodes()) == program(two_nodes())


def test_a_recorded_cluster_leaves_one_thing_to_assume() -> None:
    said: list[str] = []
    program(two_nodes(), warn=said.append)
    assert said == [
        "Nodes do not say how they are connected: assuming 192.168.50.0/24 "
        "(router 192.168.50.1) on eth0"
    ]


def test_without_agents_configuration_an_installers_is_assumed() -> None:
    said: list[str] = []
    objects = cluster(node("a", 11), service("web"), endpoint_slice("web", "10.244.11.2"))
    state = program(objects, warn=said.append)["a"]
    assert said[1:2] == [
        "no KubeProxyConfiguration: assuming the defaults, and clusterCIDR 10.244.0.0/16"
    ]
    sources = [
        str(rule.src.network)
        for chain in state.iptables.tables["nat"].chains.values()
        if chain.name.startswith("KUBE-SVC-")
        for rule in chain.rules
        if rule.src
    ]
    assert sources == ["10.244.0.0/16"]


@pytest.mark.parametrize(
    ("phase", "spec", "names"),
    [
        ("Running", "", 1),
        ("Pending", "", 1),
        ("Succeeded", "", 0),
        ("Failed", "", 0),
        ("Running", ", hostNetwork: true", 0),
    ],
)
def test_pods_with_a_network_have_a_veth(phase: str, spec: str, names: int) -> None:
    state = program(cluster(node("a", 1), pod("p", "a", "10.244.1.2", phase, spec)))["a"]
    assert len([link for link in state.links if link.kind == "veth"]) == names


def test_the_node_that_is_the_router_has_no_default_route() -> None:
    routes = program(cluster(node("a", 1)))["a"].routes
    assert not [r for r in routes if r.dst.prefixlen == 0]


def test_nodes_of_other_segments_are_no_neighbours() -> None:
    far = node("b", 2).replace("192.168.50.2", "192.168.51.2")
    neighbours = program(cluster(node("a", 11), far))["a"].neighbours
    assert [str(n.dst) for n in neighbours if n.dev == "eth0"] == ["192.168.50.1"]


def test_dual_stack_nodes_have_both_families_on_eth0_and_cni0() -> None:
    both = (
        node("a", 11)
        .replace("[10.244.11.0/24]", "[10.244.11.0/24, 'fd00:11::/64']")
        .replace("11}]", "11}, {type: InternalIP, address: '2001:db8::11'}]")
    )
    state = program(cluster(both, pod("p", "a", "fd00:11::2")))["a"]
    six = [f"{a.dev} {a.local}/{a.prefixlen}" for a in state.addresses if a.local.version == 6]
    assert six == ["lo ::1/128", "eth0 2001:db8::11/64", "cni0 fd00:11::1/64"]
    assert [str(n.dst) for n in state.neighbours if n.dev == "cni0"] == ["fd00:11::2"]


TWO = (node("a", 11), node("b", 12))


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ((*TWO, pod("p", "z", "10.244.1.2")), "Pod default/p: no Node 'z'"),
        (
            (*TWO, pod("p", "a", "10.244.11.2"), pod("q", "b", "10.244.11.2")),
            "Pod default/q: 10.244.11.2 is also the address of Pod default/p",
        ),
        (
            (TWO[0], TWO[0].replace("name: a", "name: b")),
            "Node b: podCIDR 10.244.11.0/24 is also that of Node a",
        ),
        (
            (TWO[0], TWO[1].replace("192.168.50.12", "192.168.50.11")),
            "Node b: address 192.168.50.11 is also that of Node a",
        ),
        (
            (
                node("a", 11, backend_data='{"VtepMAC":"02:00:00:00:00:01"}'),
                node("b", 12, backend_data='{"VtepMAC":"02:00:00:00:00:01"}'),
            ),
            "Node b: VtepMAC 02:00:00:00:00:01 is also that of Node a",
        ),
    ],
)
def test_objects_that_do_not_fit_together(documents: tuple[str, ...], message: str) -> None:
    with pytest.raises(ObjectError) as error:
        program(cluster(*documents))
    assert message in str(error.value) and str(error.value).startswith("test.yaml:")


def test_a_pod_outside_of_its_nodes_range_is_said() -> None:
    said: list[str] = []
    program(cluster(node("a", 11), pod("p", "a", "10.244.12.2")), warn=said.append)
    assert said[0].startswith("test.yaml:")
    assert "Pod default/p: 10.244.12.2 is not in the podCIDR of Node a" in said[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cni": "calico"}, "CNI 'calico' is not modelled yet"),
        ({"proxy_mode": "ipvs"}, "kube-proxy mode 'ipvs' is not modelled yet"),
    ],
)
def test_agents_that_are_not_modelled(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        program(two_nodes(), **options)  # type: ignore[arg-type]


def test_the_mode_is_kube_proxys_own_unless_given() -> None:
    objects = Cluster(nodes=two_nodes().nodes, kube_proxy={"mode": "nftables"})
    with pytest.raises(DataplaneError, match="'nftables' is not modelled yet"):
        program(objects)
    assert program(objects, proxy_mode="iptables")


def test_no_nodes() -> None:
    with pytest.raises(UsageError, match="no Node among the objects"):
        program(cluster(service("web")))
