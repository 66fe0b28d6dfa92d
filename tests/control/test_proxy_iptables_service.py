"""What kube-proxy does in situations of which no recording is among the fixtures."""

from ipaddress import ip_address
from typing import Any

from dataplane.cluster.objects import Cluster
from dataplane.control import proxy_iptables
from dataplane.control.kube_proxy import KubeProxyOptions, ProxyHost
from dataplane.control.tables import Tables
from dataplane.node import iptables

from .manifests import cluster, endpoint_slice, node, service

NODE_PORT = service("web", spec=", type: NodePort").replace(
    "port: 80,", "port: 80, nodePort: 30080,"
)
SLICE = endpoint_slice("web", "10.244.1.5")


def lines(
    objects: Cluster, chain: str, table: str = "nat", family: int = 4, **changes: Any
) -> list[str]:
    """The rules of all chains whose name begins so, as text."""
    host = {
        "addresses": tuple(map(ip_address, ("127.0.0.1", "::1", "192.168.50.1", "10.244.1.1"))),
        **{key: changes.pop(key) for key in ("nfacct", "random_fully") if key in changes},
    }
    tables, options = Tables(), KubeProxyOptions(**changes)
    proxy_iptables.write(tables, objects, ProxyHost(objects.nodes["a"], **host), options, family)
    chains = tables.freeze().tables[table].chains
    return [
        iptables.render_rule(name, rule)
        for name in chains
        if name.startswith(chain)
        for rule in chains[name].rules
    ]


def test_without_accounting_no_rule_counts_localhost() -> None:
    objects = cluster(node("a", 1), NODE_PORT, SLICE)
    assert len(lines(objects, "KUBE-NODEPORTS")) == 2
    (rule,) = lines(objects, "KUBE-NODEPORTS", nfacct=False)
    assert "nfacct" not in rule and " -d " not in rule
    assert lines(objects, "KUBE-FORWARD", "filter", nfacct=False)[0] == (
        "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP"
    )


def test_an_old_iptables_masquerades_without_random_fully() -> None:
    last = lines(cluster(node("a", 1)), "KUBE-POSTROUTING", random_fully=False)[-1]
    assert last.endswith("-j MASQUERADE")


def test_large_clusters_have_no_comments_on_endpoints_rules() -> None:
    def count(addresses: list[str]) -> int:
        objects = cluster(node("a", 1), service("web"), *_slices(addresses))
        endpoints = lines(objects, "KUBE-SEP-") + lines(objects, "KUBE-SVC-")
        assert len(endpoints) == 3 * len(addresses)
        return sum("--comment" in rule for rule in endpoints)

    addresses = [f"10.244.{n // 250}.{n % 250 + 1}" for n in range(1001)]
    assert count(addresses[:1000]) == 3000
    assert count(addresses) == 0


def _slices(addresses: list[str]) -> list[str]:
    """Of at most 100 endpoints, as the controller makes them."""
    return [
        endpoint_slice("web", *addresses[n : n + 100]).replace("web-ipv4", f"web-{n}")
        for n in range(0, len(addresses), 100)
    ]


JUMP = (
    '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in '
    'this chain" -j KUBE-NODEPORTS'
)


def test_node_port_addresses_that_hold_several_of_the_nodes() -> None:
    objects = cluster(node("a", 1))
    chosen = ("127.0.0.0/8", "10.0.0.0/8", "192.168.0.0/16")
    assert lines(objects, "KUBE-SERVICES", node_port_addresses=chosen) == [
        f"-A KUBE-SERVICES -d 10.244.1.1/32 {JUMP}",
        f"-A KUBE-SERVICES -d 127.0.0.1/32 {JUMP}",
        f"-A KUBE-SERVICES -d 192.168.50.1/32 {JUMP}",
    ]


def test_loopback_addresses_that_cannot_work_are_left_out() -> None:
    objects, chosen = cluster(node("a", 1)), ("127.0.0.0/8", "::1/128")
    assert lines(objects, "KUBE-SERVICES", node_port_addresses=chosen, family=6) == []
    off = {"node_port_addresses": chosen, "localhost_node_ports": False}
    assert lines(objects, "KUBE-SERVICES", **off) == []


def test_no_endpoints_are_rejected_in_each_familys_own_words() -> None:
    objects = cluster(node("a", 1), service("four"), service("six", "fd00:96::6"))
    (four,) = lines(objects, "KUBE-SERVICES", "filter")
    (six,) = lines(objects, "KUBE-SERVICES", "filter", family=6)
    assert four.endswith("-j REJECT --reject-with icmp-port-unreachable")
    assert six.endswith("-j REJECT --reject-with icmp6-port-unreachable")


def test_without_a_cluster_cidr_only_masquerade_all_marks_cluster_ip_traffic() -> None:
    objects = cluster(node("a", 1), service("web"), SLICE)
    assert len(lines(objects, "KUBE-SVC-")) == 1
    assert len(lines(objects, "KUBE-SVC-", masquerade_all=True)) == 2


def test_a_range_of_everything_lets_everybody_into_the_load_balancer() -> None:
    spec = ", type: LoadBalancer, loadBalancerSourceRanges: [0.0.0.0/0]"
    status = "loadBalancer: {ingress: [{ip: 203.0.113.1}]}"
    objects = cluster(node("a", 1), service("web", spec=spec, status=status), SLICE)
    # iptables-save does not print the network of everything.
    assert lines(objects, "KUBE-FW-")[0].partition(" ")[2].partition(" ")[2] == (
        '-m comment --comment "default/web loadbalancer IP" -j KUBE-EXT-LOLE4ISW44XBNF3G'
    )
