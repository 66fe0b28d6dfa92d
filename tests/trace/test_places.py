from ipaddress import ip_address

import pytest

from dataplane.trace.places import Places
from tests.trace.records import CLIENT, WEB_3, two_nodes


@pytest.mark.parametrize(
    ("address", "protocol", "port", "name", "line"),
    [
        ("10.244.1.2", "", 0, "pod/default/client", 144),
        ("10.244.1.2", "TCP", 80, "pod/default/client", 144),
        ("10.96.10.10", "TCP", 80, "svc/default/web:http", 275),
        ("10.96.10.10", "TCP", 81, "svc/default/web", 275),
        ("10.96.10.99", "TCP", 80, "svc/default/empty:80", 404),
        ("192.168.50.11", "", 0, "node/node-a", 37),
        ("192.168.50.11", "TCP", 30080, "node/node-a:30080 (svc/default/web:http)", 37),
        ("192.168.50.11", "UDP", 30080, "node/node-a", 37),
        ("10.244.2.1", "", 0, "node/node-b", 70),  # of cni0: no manifest tells
    ],
)
def test_who_has_an_address(address: str, protocol: str, port: int, name: str, line: int) -> None:
    found = Places(*two_nodes()).address(ip_address(address), protocol, port)
    assert found is not None
    assert (found.name, found.source.line) == (name, line)
    assert str(found) == f"{name}  {found.source}"


def test_nobody_has_it() -> None:
    assert Places(*two_nodes()).address(ip_address("192.0.2.1")) is None
    assert Places(*two_nodes()).address(ip_address("127.0.0.1")) is None


def test_without_a_cluster_only_nodes_have_names() -> None:
    places = Places(two_nodes()[0])
    assert places.address(ip_address("10.244.1.2")) is None
    node = places.address(ip_address("192.168.50.11"))
    assert node is not None
    assert str(node) == "node/node-a"


@pytest.mark.parametrize(
    ("node", "device", "name"),
    [
        ("node-a", CLIENT, "pod/default/client"),
        ("node-b", WEB_3, "pod/default/web-3"),
        ("node-a", "cni0", None),
        ("node-a", "flannel.1", None),
        ("node-a", "absent", None),
        ("absent", "eth0", None),
    ],
)
def test_what_is_behind_a_device(node: str, device: str, name: str | None) -> None:
    found = Places(*two_nodes()).device(node, device)
    assert (found.name if found else None) == name


def test_behind_a_device_without_a_cluster_is_an_address() -> None:
    assert str(Places(two_nodes()[0]).device("node-a", CLIENT)) == "10.244.1.2"
