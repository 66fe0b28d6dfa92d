from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.cluster.endpoints import find_port, slices_of_service
from dataplane.cluster.objects import (
    ContainerPort,
    EndpointPort,
    Metadata,
    Node,
    Pod,
    Service,
    ServicePort,
)

HTTP = ContainerPort(8080, "TCP", "http")


def make_pod(number, **fields):
    ips = fields.pop("ips", (f"10.0.{number // 200}.{number % 200 + 1}",))
    return Pod(
        Metadata(f"p{number:03}", "default"),
        node="a",
        ips=tuple(ip_address(ip) for ip in ips),
        **fields,
    )


def make_service(*ports, **fields):
    fields.setdefault("cluster_ips", (ip_address("10.96.0.1"),))
    return Service(Metadata("web", "default", {"l": "v"}), ports=ports, **fields)


NODES = {"a": Node(Metadata("a", labels={"topology.kubernetes.io/zone": "z1"}))}


@pytest.mark.parametrize(
    ("target", "protocol", "ports", "number"),
    [
        (8080, "TCP", (), 8080),
        (0, "TCP", (), 80),
        ("http", "TCP", (HTTP,), 8080),
        ("http", "UDP", (HTTP,), None),  # a name counts for its own protocol only
        ("http", "TCP", (), None),
        ("http", "TCP", (ContainerPort(1, "UDP", "http"), HTTP), 8080),
        ("http", "TCP", (HTTP, ContainerPort(9, "TCP", "http")), 8080),  # the first container's
    ],
)
def test_find_port(target, protocol, ports, number):
    port = ServicePort(80, protocol, "p", target)
    assert find_port(make_pod(1, ports=ports), port) == number


@pytest.mark.parametrize(
    ("pod", "publish", "conditions"),
    [
        ({}, False, (True, True, False)),
        ({"ready": False}, False, (False, False, False)),
        ({"ready": False}, True, (True, False, False)),
        ({"terminating": True}, False, (False, True, True)),
        ({"terminating": True, "ready": False}, False, (False, False, True)),
        ({"terminating": True}, True, (True, True, True)),
    ],
)
def test_conditions(pod, publish, conditions):
    service = make_service(ServicePort(80), publish_not_ready_addresses=publish)
    (found,) = slices_of_service(service, [make_pod(1, **pod)], NODES)
    (endpoint,) = found.endpoints
    assert (endpoint.ready, endpoint.serving, endpoint.terminating) == conditions
    assert (endpoint.node, endpoint.zone, endpoint.target) == ("a", "z1", "default/p001")


def test_finished_pods_and_pods_without_an_address_are_left_out():
    pods = [make_pod(1, phase="Succeeded"), make_pod(2, phase="Failed"), make_pod(3, ips=())]
    (placeholder,) = slices_of_service(make_service(ServicePort(80)), pods, NODES)
    assert (placeholder.ports, placeholder.endpoints) == ((), ())
    assert placeholder.metadata.labels["kubernetes.io/service-name"] == "web"
    assert placeholder.metadata.labels["l"] == "v"


def test_pods_whose_ports_differ_are_kept_apart():
    service = make_service(ServicePort(80, "TCP", "web", "http"), ServicePort(81, "TCP", "x", 9))
    pods = [
        make_pod(1, ports=(HTTP,)),
        make_pod(2, ports=(ContainerPort(9090, "TCP", "http"),)),
        make_pod(3, ports=(HTTP,)),
        make_pod(4),  # has no such name: the port is missing, the pod is not
    ]
    found = slices_of_service(service, pods, NODES)
    x = EndpointPort(9, "TCP", "x")
    assert [each.ports for each in found] == [
        (EndpointPort(8080, "TCP", "web"), x),
        (EndpointPort(9090, "TCP", "web"), x),
        (x,),
    ]
    assert [[each.target for each in one.endpoints] for one in found] == [
        ["default/p001", "default/p003"],
        ["default/p002"],
        ["default/p004"],
    ]


def test_a_slice_per_family_and_pods_in_those_they_have():
    service = make_service(
        ServicePort(80), cluster_ips=(ip_address("10.96.0.1"), ip_address("fd00:96::1"))
    )
    pods = [make_pod(1, ips=("10.0.0.1", "fd00::1")), make_pod(2)]
    four, six = slices_of_service(service, pods, NODES)
    assert (four.address_type, len(four.endpoints)) == ("IPv4", 2)
    assert (six.address_type, len(six.endpoints)) == ("IPv6", 1)


@pytest.mark.parametrize(
    ("families", "pod_ips", "expected"),
    [
        ((), ("fd00::1",), ["IPv6"]),
        (("IPv6", "IPv4"), ("10.0.0.1",), ["IPv6", "IPv4"]),
        ((), None, ["IPv4"]),
    ],
)
def test_families_of_headless_services(families, pod_ips, expected):
    service = make_service(cluster_ips=(), headless=True, ip_families=families)
    pods = [make_pod(1, ips=pod_ips)] if pod_ips else []
    found = slices_of_service(service, pods, NODES)
    assert [each.address_type for each in found] == expected


def test_at_most_a_hundred_endpoints_each():
    pods = [make_pod(number) for number in range(250)]
    found = slices_of_service(make_service(ServicePort(80)), pods, NODES)
    assert [len(each.endpoints) for each in found] == [100, 100, 50]
    assert [each.metadata.name for each in found] == ["web-ipv4-1", "web-ipv4-2", "web-ipv4-3"]


CONTAINER_PORTS = st.builds(
    ContainerPort,
    st.sampled_from([8080, 9090]),
    st.sampled_from(["TCP", "UDP"]),
    st.sampled_from(["http", "dns"]),
)
PODS = st.lists(st.lists(CONTAINER_PORTS, max_size=2), max_size=6)
TARGETS = st.lists(st.sampled_from([0, 9, "http", "dns"]), min_size=1, max_size=3)


@given(PODS, TARGETS)
def test_every_pod_is_in_one_slice_with_the_ports_it_has(port_lists, targets):
    pods = [make_pod(number, ports=tuple(each)) for number, each in enumerate(port_lists)]
    ports = [ServicePort(80 + n, "TCP", f"n{n}", target) for n, target in enumerate(targets)]
    found = slices_of_service(make_service(*ports), pods, NODES)
    listed = {
        (endpoint.target, port.name, port.port)
        for each in found
        for endpoint in each.endpoints
        for port in each.ports
    }
    expected = {
        (f"default/{pod.metadata.name}", port.name, number)
        for pod in pods
        for port in ports
        if (number := find_port(pod, port)) is not None
    }
    assert listed == expected
    targets_listed = [endpoint.target for each in found for endpoint in each.endpoints]
    assert sorted(targets_listed) == [f"default/{pod.metadata.name}" for pod in pods]
    assert len({each.ports for each in found}) == len(found)
