from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.cluster.objects import Metadata, Node
from dataplane.control import rules
from dataplane.control.kube_proxy import KubeProxyOptions, ProxyHost
from dataplane.control.local_traffic import detector, from_others, from_pods
from dataplane.node import iptables
from dataplane.node.iptables import Rule

# As iptables-save printed them after kube-proxy had written 1/n with ten digits.
PROBABILITIES = {
    2: "0.50000000000",
    3: "0.33333333349",
    4: "0.25000000000",
    5: "0.20000000019",
    6: "0.16666666651",
    7: "0.14285714272",
}


@pytest.mark.parametrize(("count", "text"), PROBABILITIES.items())
def test_probability_is_a_fraction_of_31_bits(count: int, text: str) -> None:
    assert rules.one_of(count).options[1].values == (text,)


@given(st.integers(2, 100_000))
def test_probability_read_back_is_the_same_fraction(count: int) -> None:
    text = rules.one_of(count).options[1].values[0]
    fraction = round(float(text) * (1 << 31))
    assert f"{fraction / (1 << 31):.11f}" == text
    assert abs(fraction - (1 << 31) / count) < 1.2  # ten digits are a little less than 31 bits


def test_the_network_of_everything_is_not_printed() -> None:
    assert rules.prefix(ip_network("0.0.0.0/0")) is None
    assert rules.prefix(ip_network("::/0")) is None


NODE = Node(Metadata("a"), (ip_network("10.244.0.0/24"), ip_network("fd00:244::/64")))
CIDRS = (ip_network("10.244.0.0/16"), ip_network("fd00:244::/56"))
DETECTORS = [
    (KubeProxyOptions(), 4, "", ""),
    (KubeProxyOptions(cluster_cidrs=CIDRS), 4, "-s 10.244.0.0/16", "! -s 10.244.0.0/16"),
    (KubeProxyOptions(cluster_cidrs=CIDRS), 6, "-s fd00:244::/56", "! -s fd00:244::/56"),
    (KubeProxyOptions(cluster_cidrs=CIDRS[:1]), 6, "", ""),
    (
        KubeProxyOptions(detect_local_mode="NodeCIDR"),
        4,
        "-s 10.244.0.0/24",
        "! -s 10.244.0.0/24",
    ),
    (
        KubeProxyOptions(detect_local_mode="BridgeInterface", bridge_interface="cni0"),
        4,
        "-i cni0",
        "! -i cni0",
    ),
    (
        KubeProxyOptions(detect_local_mode="InterfaceNamePrefix", interface_name_prefix="veth"),
        4,
        "-i veth+",
        "! -i veth+",
    ),
    (KubeProxyOptions(detect_local_mode="BridgeInterface"), 4, "", ""),
    (KubeProxyOptions(detect_local_mode="InterfaceNamePrefix"), 4, "", ""),
]


@pytest.mark.parametrize(("options", "family", "pods", "others"), DETECTORS)
def test_pods_traffic_is_told_by_source_or_device(
    options: KubeProxyOptions, family: int, pods: str, others: str
) -> None:
    found = detector(options, ProxyHost(NODE), family)
    assert iptables.render_rule("X", from_pods(Rule(), found)) == f"-A X {pods}".strip()
    assert iptables.render_rule("X", from_others(Rule(), found)) == f"-A X {others}".strip()


@pytest.mark.parametrize(("address", "text"), [("10.0.0.1", "10.0.0.1/32"), ("::1", "::1/128")])
def test_host(address: str, text: str) -> None:
    assert str(rules.host(ip_address(address)).network) == text
