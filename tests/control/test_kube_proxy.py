from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from dataplane.cluster.objects import Metadata, Node
from dataplane.control.kube_proxy import KubeProxyOptions, ProxyHost, check_mode, options
from dataplane.control.proxy_sync import has_localhost_node_ports
from dataplane.errors import ObjectError, UsageError

NODE = Node(Metadata("a"), internal_ips=(ip_address("192.168.0.2"), ip_address("2001:db8::2")))
HOST = ProxyHost(NODE)


def test_defaults_are_kube_proxys() -> None:
    assert options({}) == KubeProxyOptions()
    assert KubeProxyOptions().masquerade_mark == 0x4000


def test_what_is_set() -> None:
    found = options(
        {
            "mode": "nftables",
            "clusterCIDR": "10.244.0.0/16,fd00::/56",
            "detectLocalMode": "BridgeInterface",
            "detectLocal": {"bridgeInterface": "cni0"},
            "iptables": {"masqueradeAll": True, "masqueradeBit": 15, "localhostNodePorts": False},
            "nodePortAddresses": ["primary", "10.0.0.0/8"],
        }
    )
    assert found.mode == "nftables"
    assert found.cluster_cidrs == (ip_network("10.244.0.0/16"), ip_network("fd00::/56"))
    assert (found.detect_local_mode, found.bridge_interface) == ("BridgeInterface", "cni0")
    assert (found.masquerade_all, found.masquerade_mark) == (True, 0x8000)
    assert found.localhost_node_ports is False
    assert found.node_port_addresses == ("primary", "10.0.0.0/8")


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({"mode": "userspace"}, "bad mode 'userspace', expected one of iptables, ipvs, nftables"),
        ({"mode": 5}, "bad mode 5, expected a string"),
        ({"detectLocalMode": "x"}, "bad detectLocalMode 'x'"),
        ({"clusterCIDR": "10.244.0.0/40"}, "bad clusterCIDR '10.244.0.0/40', expected a CIDR"),
        ({"clusterCIDR": "10.244.0.0"}, "bad clusterCIDR '10.244.0.0', expected a CIDR"),
        ({"iptables": []}, "iptables is not a mapping"),
        ({"iptables": {"masqueradeBit": 32}}, "bad iptables.masqueradeBit 32, expected 0 to 31"),
        ({"iptables": {"masqueradeBit": True}}, "bad iptables.masqueradeBit True"),
        ({"iptables": {"masqueradeAll": 1}}, "bad masqueradeAll 1, expected true or false"),
        ({"nodePortAddresses": "primary"}, "nodePortAddresses is not a list"),
        ({"nodePortAddresses": [5]}, "bad nodePortAddresses 5"),
        ({"conntrack": {"udpTimeout": "3x"}}, "bad conntrack.udpTimeout '3x'"),
        ({"conntrack": {"tcpBeLiberal": "yes"}}, "bad conntrack.tcpBeLiberal 'yes'"),
    ],
)
def test_what_kube_proxy_would_not_start_with(configuration: dict[str, Any], message: str) -> None:
    with pytest.raises(ObjectError) as error:
        options(configuration)
    assert str(error.value).startswith("KubeProxyConfiguration: ") and message in str(error.value)


@pytest.mark.parametrize("mode", ["ipvs", "nftables"])
def test_modes_that_are_not_modelled_are_refused(mode: str) -> None:
    with pytest.raises(UsageError, match="not modelled yet"):
        check_mode(mode)


@pytest.mark.parametrize(
    ("conntrack", "expected"),
    [
        ({}, {"established": "86400", "close_wait": "3600"}),
        ({"tcpEstablishedTimeout": "0s"}, {"close_wait": "3600"}),
        ({"tcpEstablishedTimeout": "1h30m5s"}, {"established": "5405", "close_wait": "3600"}),
        ({"tcpCloseWaitTimeout": "1500ms"}, {"established": "86400", "close_wait": "1"}),
        ({"tcpEstablishedTimeout": 0, "tcpCloseWaitTimeout": "0"}, {}),
    ],
)
def test_conntrack_sysctls(conntrack: dict[str, Any], expected: dict[str, str]) -> None:
    prefix = "net.netfilter.nf_conntrack_tcp_timeout_"
    found = options({"conntrack": conntrack}).conntrack_sysctls
    assert found == {prefix + name: value for name, value in expected.items()}


def test_be_liberal_is_a_sysctl_too() -> None:
    found = options({"conntrack": {"tcpBeLiberal": True, "udpTimeout": "20s"}}).conntrack_sysctls
    assert found["net.netfilter.nf_conntrack_tcp_be_liberal"] == "1"
    assert found["net.netfilter.nf_conntrack_udp_timeout"] == "20"


@pytest.mark.parametrize(
    ("addresses", "family", "ranges"),
    [
        ((), 4, ["0.0.0.0/0"]),
        ((), 6, ["::/0"]),
        (("10.0.0.0/8",), 4, ["10.0.0.0/8"]),
        (("10.0.0.0/8",), 6, ["::/0"]),  # none of this family: everywhere
        (("10.0.0.0/8", "0.0.0.0/0"), 4, ["0.0.0.0/0"]),
        (("primary",), 4, ["192.168.0.2/32"]),
        (("primary",), 6, ["2001:db8::2/128"]),
    ],
)
def test_where_node_ports_answer(
    addresses: tuple[str, ...], family: int, ranges: list[str]
) -> None:
    found = KubeProxyOptions(node_port_addresses=addresses).node_port_ranges(HOST, family)
    assert [str(network) for network in found] == ranges


@pytest.mark.parametrize(
    ("addresses", "enabled", "expected"),
    [
        ((), True, True),
        ((), False, False),
        (("primary",), True, False),
        (("127.0.0.0/8",), True, True),
        (("127.1.0.0/16",), True, True),
        (("126.0.0.0/7",), True, True),
        (("10.0.0.0/8",), True, False),
    ],
)
def test_node_ports_on_localhost(addresses: tuple[str, ...], enabled: bool, expected: bool) -> None:
    chosen = KubeProxyOptions(localhost_node_ports=enabled, node_port_addresses=addresses)
    assert has_localhost_node_ports(chosen, HOST) is expected
