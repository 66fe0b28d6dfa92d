from ipaddress import ip_address

import pytest

from dataplane.cluster.index import Index
from dataplane.cluster.load import load, loads
from tests.cluster.manifests import EVERY_FIELD, TWO_NODES, node, pod, stream


@pytest.fixture(scope="module")
def index():
    return Index(load([str(TWO_NODES)]))


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("10.244.1.2", ("pod", "default/client")),
        ("10.244.2.4", ("pod", "kube-system/coredns-1")),
        ("10.96.10.10", ("service", "default/web")),
        ("192.168.50.12", ("node", "node-b")),
        ("192.168.50.100", None),
        ("fd00::1", None),
    ],
)
def test_owner(index, address, owner):
    assert index.owner(ip_address(address)) == owner


@pytest.mark.parametrize(
    ("address", "protocol", "port", "found"),
    [
        ("10.96.10.10", "TCP", 80, ("web", "http")),
        ("10.96.0.10", "UDP", 53, ("kube-dns", "dns")),
        ("10.96.0.10", "TCP", 53, ("kube-dns", "dns-tcp")),
        ("10.96.10.10", "UDP", 80, None),
        ("10.96.10.10", "TCP", 8080, None),
        ("10.244.1.3", "TCP", 8080, None),
    ],
)
def test_service_port(index, address, protocol, port, found):
    answer = index.service_port(ip_address(address), protocol, port)
    assert (answer and (answer[0].metadata.name, answer[1].name)) == found


def test_node_port(index):
    service, port = index.node_port("TCP", 30080)
    assert (service.metadata.name, port.port) == ("web", 80)
    assert index.node_port("UDP", 30080) is None


def test_every_address_of_a_service_is_its_own():
    index = Index(loads(EVERY_FIELD))
    for address in ("10.96.10.10", "fd00:96::10", "198.51.100.50", "203.0.113.200"):
        assert index.owner(ip_address(address)) == ("service", "shop/web")
        assert index.service_port(ip_address(address), "UDP", 53)[1].name == "dns"


def test_who_comes_first_when_an_address_is_shared():
    running = {"podIP": "10.1.0.2"}
    cluster = loads(
        stream(
            node("a", podCIDR="10.1.0.0/24", ips=["192.168.0.1"]),
            pod("a-finished", status={"podIP": "10.1.0.2", "phase": "Succeeded"}),
            pod("b-running", status=running),
            pod("host", spec={"nodeName": "a", "hostNetwork": True}),
        )
    )
    index = Index(cluster)
    assert index.owner(ip_address("10.1.0.2")) == ("pod", "default/b-running")
    assert index.owner(ip_address("192.168.0.1")) == ("node", "a")
