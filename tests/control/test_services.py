from ipaddress import ip_address, ip_network

import pytest

from dataplane.control.services import ProxiedPort, proxied_ports
from dataplane.errors import ObjectError

from .manifests import cluster, endpoint_slice, node, service, two_nodes

LOCAL = ", type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 31000"


def ports(*documents: str, family: int = 4) -> list[ProxiedPort]:
    found = cluster(node("a", 1), *documents)
    return proxied_ports(found, found.nodes["a"], family)


def test_ports_stand_by_namespace_and_name_then_as_declared() -> None:
    found = two_nodes()
    names = [port.name for port in proxied_ports(found, found.nodes["node-a"], 4)]
    assert names == [
        "default/empty",
        "default/kubernetes:https",
        "default/web:http",
        "kube-system/kube-dns:dns",
        "kube-system/kube-dns:dns-tcp",
    ]


def test_endpoints_know_their_pod_and_whether_it_is_here() -> None:
    found = two_nodes()
    web = proxied_ports(found, found.nodes["node-a"], 4)[2]
    assert [(e.pod, e.is_local) for e in web.endpoints.cluster] == [
        ("default/web-1", True),
        ("default/web-2", False),
        ("default/web-3", False),
    ]


@pytest.mark.parametrize(
    "document",
    [
        service("web", "None"),
        service("web").replace(
            "namespace: default}",
            "namespace: default, labels: {service.kubernetes.io/headless: ''}}",
        ),
        service("web").replace(
            "namespace: default}",
            "namespace: default, labels: {service.kubernetes.io/service-proxy-name: other}}",
        ),
    ],
    ids=["headless", "headless by label", "of another proxy"],
)
def test_services_left_alone(document: str) -> None:
    assert ports(document) == []


def test_an_external_name_has_no_ports() -> None:
    document = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {type: ExternalName, externalName: example.com}
"""
    assert ports(document) == []


def test_each_family_has_its_own_address_and_endpoints() -> None:
    documents = (
        service("web").replace('["10.96.0.5"]', '["10.96.0.5", "fd00:96::5"]'),
        endpoint_slice("web", "10.244.1.5"),
        endpoint_slice("web", "fd00:1::5", kind="IPv6"),
    )
    (four,), (six,) = ports(*documents), ports(*documents, family=6)
    assert (str(four.cluster_ip), four.endpoints.cluster[0].text) == (
        "10.96.0.5",
        "10.244.1.5:8080",
    )
    assert (str(six.cluster_ip), six.endpoints.cluster[0].text) == (
        "fd00:96::5",
        "[fd00:1::5]:8080",
    )


def test_a_service_of_the_other_family_is_not_proxied() -> None:
    assert ports(service("web"), family=6) == []


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ("", "", ([], [], 0, False)),
        (", externalIPs: [198.51.100.1, 'fd00::1']", "", (["198.51.100.1"], [], 0, True)),
        (
            ", type: LoadBalancer, loadBalancerSourceRanges: [' 10.0.0.0/8 ', 'fd00::/8']",
            "loadBalancer: {ingress: [{ip: 203.0.113.1}, {hostname: x}, {ip: 'fd00::2'}]}",
            ([], ["203.0.113.1"], 0, True),
        ),
        (
            ", type: LoadBalancer",
            "loadBalancer: {ingress: [{ip: 203.0.113.1, ipMode: Proxy}]}",
            ([], [], 0, False),
        ),
        (
            LOCAL,
            "loadBalancer: {ingress: [{ip: 203.0.113.1, ipMode: VIP}]}",
            ([], ["203.0.113.1"], 31000, True),
        ),
    ],
)
def test_external_addresses(spec: str, status: str, expected: tuple[object, ...]) -> None:
    (port,) = ports(service("web", spec=spec, status=status))
    external = [str(ip) for ip in port.external_ips]
    vips = [str(ip) for ip in port.load_balancer_ips]
    assert (external, vips, port.health_check_node_port, port.is_external) == expected


def test_source_ranges_are_of_the_family_and_trimmed() -> None:
    spec = ", type: LoadBalancer, loadBalancerSourceRanges: [' 10.0.0.0/8 ', 'fd00::/8']"
    (port,) = ports(service("web", spec=spec))
    assert port.source_ranges == (ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize(
    ("spec", "here", "internal", "external"),
    [
        ("", False, True, True),
        (", internalTrafficPolicy: Local", False, False, True),
        (", internalTrafficPolicy: Local", True, True, True),
        (", type: NodePort, externalTrafficPolicy: Local", False, True, False),
        (", type: NodePort, externalTrafficPolicy: Local", True, True, True),
    ],
)
def test_policy_local_asks_for_local_endpoints(
    spec: str, here: bool, internal: bool, external: bool
) -> None:
    slice_ = endpoint_slice("web", "10.244.1.5")
    if not here:
        slice_ = slice_.replace("nodeName: a", "nodeName: b")
    if "NodePort" in spec:
        spec += ", externalIPs: [198.51.100.1]"
    (port,) = ports(service("web", spec=spec), slice_)
    assert (port.has_internal_endpoints, port.has_external_endpoints) == (internal, external)


def test_a_load_balancer_that_nothing_leads_to_yet_has_no_local_endpoints() -> None:
    (port,) = ports(service("web", spec=LOCAL), endpoint_slice("web", "10.244.1.5"))
    assert not port.is_external
    assert (len(port.endpoints.cluster), len(port.endpoints.local)) == (1, 0)


@pytest.mark.parametrize("number", ["70000", "x", "[]"])
def test_a_bad_health_check_port_names_the_service_and_its_line(number: str) -> None:
    with pytest.raises(ObjectError, match=r"^test\.yaml:\d+: Service default/web: .*healthCheck"):
        ports(service("web", spec=LOCAL.replace("31000", number)))


def test_addresses_are_parsed() -> None:
    (port,) = ports(service("web"))
    assert port.cluster_ip == ip_address("10.96.0.5")
