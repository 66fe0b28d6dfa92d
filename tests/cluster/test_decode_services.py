from ipaddress import ip_address, ip_network

import pytest

from dataplane.cluster.load import loads
from dataplane.cluster.objects import Endpoint, EndpointPort, ServicePort
from dataplane.errors import ObjectError
from tests.cluster.manifests import EVERY_FIELD, service, stream


def load_service(**spec):
    (found,) = loads(stream(service("s", **spec))).services.values()
    return found


def test_every_field_of_a_service():
    found = loads(EVERY_FIELD).services["shop", "web"]
    assert found.type == "LoadBalancer"
    assert found.cluster_ips == (ip_address("10.96.10.10"), ip_address("fd00:96::10"))
    assert found.ip_families == ("IPv4", "IPv6")
    assert found.ports == (
        ServicePort(80, "TCP", "http", "http", 30080, "http"),
        ServicePort(53, "UDP", "dns", 5353, 30053, ""),
    )
    assert found.selector == {"app": "web"}
    assert found.external_ips == (ip_address("198.51.100.50"),)
    assert found.session_affinity_seconds == 600
    assert (found.internal_traffic_policy, found.external_traffic_policy) == ("Cluster", "Local")
    assert found.publish_not_ready_addresses
    assert found.load_balancer_ips == (ip_address("203.0.113.200"),)
    assert found.load_balancer_source_ranges == (ip_network("203.0.113.0/24"),)
    assert found.traffic_distribution == "PreferClose"
    assert found.spec["type"] == "LoadBalancer"


def test_every_field_of_an_endpoint_slice():
    found = loads(EVERY_FIELD).endpoint_slices["shop", "api-1"]
    assert (found.service, found.address_type) == ("api", "IPv4")
    assert found.ports == (EndpointPort(8080, "TCP", "http"),)
    assert found.endpoints == (
        Endpoint(
            addresses=(ip_address("10.244.1.9"),),
            ready=False,
            serving=True,
            terminating=True,
            node="node-a",
            zone="z1",
            target="shop/api-1",
            hints_zones=("z1",),
            hints_nodes=("node-a",),
        ),
    )


def test_endpoints_become_a_slice():
    found = loads(EVERY_FIELD).endpoint_slices["shop", "legacy-mirrored-ipv4-0"]
    assert (found.service, found.ports) == ("legacy", (EndpointPort(8080, "TCP", ""),))
    assert found.endpoints == (
        Endpoint((ip_address("10.244.1.20"),), node="node-a", target="shop/old"),
        Endpoint((ip_address("10.244.1.21"),), ready=False, serving=False),
    )


@pytest.mark.parametrize(
    ("spec", "attribute", "value"),
    [
        ({}, "type", "ClusterIP"),
        ({}, "session_affinity_seconds", 0),
        ({"sessionAffinity": "ClientIP"}, "session_affinity_seconds", 10800),
        ({"clusterIP": "None"}, "headless", True),
        ({"clusterIP": "None", "clusterIPs": ["None"]}, "headless", True),
        ({"clusterIP": "None", "ports": []}, "ports", ()),
        ({"clusterIP": ""}, "cluster_ips", ()),
        (
            {"clusterIP": None, "clusterIPs": ["10.96.0.9"]},
            "cluster_ips",
            (ip_address("10.96.0.9"),),
        ),
        ({"ports": [{"port": 80, "targetPort": 0}]}, "ports", (ServicePort(80),)),
        ({"ports": [{"port": 80, "targetPort": None}]}, "ports", (ServicePort(80),)),
        ({"ports": [{"port": 80, "nodePort": 0}]}, "ports", (ServicePort(80),)),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
            "ports",
            (ServicePort(80, node_port=80),),
        ),
        (
            {"loadBalancerSourceRanges": [" 10.0.0.0/8 "]},
            "load_balancer_source_ranges",
            (ip_network("10.0.0.0/8"),),
        ),
        (
            {"type": "ExternalName", "externalName": "x.example", "ports": []},
            "type",
            "ExternalName",
        ),
        (
            {"externalIPs": ["1.2.3.4"], "externalTrafficPolicy": "Local"},
            "external_traffic_policy",
            "Local",
        ),
    ],
)
def test_defaults_and_odd_forms(spec, attribute, value):
    assert getattr(load_service(**spec), attribute) == value


def test_load_balancer_ips_in_proxy_mode_are_not_virtual_ips():
    document = service("s", type="LoadBalancer")
    document["status"] = {
        "loadBalancer": {
            "ingress": [{"hostname": "lb"}, {"ip": "1.2.3.4", "ipMode": "Proxy"}, {"ip": "1.2.3.5"}]
        }
    }
    (found,) = loads(stream(document)).services.values()
    assert found.load_balancer_ips == (ip_address("1.2.3.5"),)


HEAD = """\
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
"""


@pytest.mark.parametrize(
    ("spec", "line", "message"),
    [
        (
            "  type: NodePort\n  ports:\n  - port: 80\n    nodePort: 70000\n",
            9,
            "nodePort 70000, but 1-65535 allowed",
        ),
        (
            "  ports:\n  - port: 80\n    nodePort: 30000\n",
            8,
            "nodePort 30000, but the Service is of type ClusterIP",
        ),
        (
            "  type: Nodeport\n",
            6,
            "spec.type: expected ClusterIP or NodePort or LoadBalancer or ExternalName",
        ),
        ("  clusterIP: 10.96.0.1\n", 6, "spec.ports is missing"),
        (
            "  ports: 80\n",
            6,
            "spec.ports: expected a list, found the number 80",
        ),
        ("  ports:\n  - name: x\n", 7, "port is missing"),
        ("  ports:\n  - port: 0\n", 7, "port 0, but 1-65535 allowed"),
        ("  ports:\n  - port: 65536\n", 7, "port 65536, but 1-65535 allowed"),
        (
            "  ports:\n  - port: '80'\n",
            7,
            'spec.ports[0].port: expected an integer, found "80"; write it without quotes',
        ),
        (
            "  ports:\n  - port: 80.5\n",
            7,
            "spec.ports[0].port: expected an integer, found the number 80.5",
        ),
        (
            "  ports:\n  - {port: 80, name: a}\n  - port: 81\n",
            8,
            "spec.ports[1]: name is missing, one of several ports needs it",
        ),
        (
            "  ports:\n  - {port: 80, name: a}\n  - {port: 81, name: a}\n",
            8,
            "duplicate port name a",
        ),
        (
            "  ports:\n  - {port: 80, name: a}\n  - {port: 80, name: b}\n",
            8,
            "duplicate port 80/TCP",
        ),
        (
            "  type: NodePort\n  ports:\n"
            "  - {port: 80, name: a, nodePort: 30000}\n  - {port: 81, name: b, nodePort: 30000}\n",
            9,
            "duplicate nodePort 30000/TCP",
        ),
        (
            "  ports:\n  - {port: 80, name: A}\n",
            7,
            'spec.ports[0].name: "A" is not a DNS label',
        ),
        (
            "  ports:\n  - {port: 80, protocol: HTTP}\n",
            7,
            'spec.ports[0].protocol: expected TCP or UDP or SCTP, found "HTTP"',
        ),
        (
            "  ports:\n  - port: 80\n    targetPort: '8080'\n",
            8,
            'spec.ports[0].targetPort: "8080" is a string: write a port number without quotes',
        ),
        (
            "  ports:\n  - port: 80\n    targetPort: HTTP\n",
            8,
            'spec.ports[0].targetPort: "HTTP" is not a port name',
        ),
        (
            "  ports:\n  - port: 80\n    targetPort: 70000\n",
            8,
            "targetPort 70000, but 1-65535 allowed",
        ),
        (
            "  ports:\n  - port: 80\n    targetPort: [1]\n",
            8,
            "spec.ports[0].targetPort: expected a port number or the name of a container port",
        ),
        (
            "  clusterIP: 10.0.0\n",
            6,
            'spec.clusterIP: "10.0.0" is not an IP address',
        ),
        (
            "  clusterIP: none\n",
            6,
            'spec.clusterIP: "none" is not an IP address',
        ),
        (
            "  clusterIPs: [10.0.0.1, 10.0.0.2]\n",
            6,
            "clusterIPs: at most one address of each family allowed",
        ),
        (
            "  clusterIPs: [10.0.0.1]\n  clusterIP: 10.0.0.2\n",
            7,
            'clusterIP "10.0.0.2", but clusterIPs starts with "10.0.0.1"',
        ),
        (
            "  clusterIP: fd00::1\n  ipFamilies: [IPv4]\n  ports: [{port: 80}]\n",
            6,
            "clusterIP fd00::1, but ipFamilies says IPv4",
        ),
        (
            "  ipFamilies: [IPv5]\n  ports: [{port: 80}]\n",
            6,
            "spec.ipFamilies: expected IPv4 or IPv6, each once",
        ),
        (
            "  selector: {app: true}\n  ports: [{port: 80}]\n",
            6,
            'spec.selector "app": expected a string, found the boolean true',
        ),
        (
            "  selector: {app: a b}\n  ports: [{port: 80}]\n",
            6,
            'spec.selector: "a b" is not a label value',
        ),
        (
            "  sessionAffinity: ClientIP\n  sessionAffinityConfig:\n    clientIP:\n"
            "      timeoutSeconds: 86401\n  ports: [{port: 80}]\n",
            9,
            "timeoutSeconds 86401, but 1-86400 allowed",
        ),
        (
            "  internalTrafficPolicy: local\n  ports: [{port: 80}]\n",
            6,
            'spec.internalTrafficPolicy: expected Cluster or Local, found "local"',
        ),
        (
            "  externalTrafficPolicy: Local\n  ports: [{port: 80}]\n",
            6,
            "externalTrafficPolicy Local, but nothing external",
        ),
        (
            "  type: NodePort\n  clusterIP: None\n  ports: [{port: 80}]\n",
            7,
            "clusterIP None, but the Service is of type NodePort",
        ),
        ("  type: ExternalName\n", 6, "spec.externalName is missing"),
        (
            "  externalIPs: [127.0.0.1]\n  ports: [{port: 80}]\n",
            6,
            "spec.externalIPs[0]: 127.0.0.1 is loopback",
        ),
        (
            "  loadBalancerSourceRanges: [10.0.0.1]\n  ports: [{port: 80}]\n",
            6,
            'spec.loadBalancerSourceRanges[0]: "10.0.0.1" is not a CIDR',
        ),
    ],
)
def test_services_that_an_api_server_refuses(spec, line, message):
    with pytest.raises(ObjectError) as error:
        loads(HEAD + spec, "services.yaml")
    assert str(error.value).startswith(f"services.yaml:{line}: Service default/web: {message}")


SLICE = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\n"


@pytest.mark.parametrize(
    ("rest", "line", "message"),
    [
        ("", 1, "addressType is missing"),
        (
            "addressType: ipv4\n",
            4,
            'addressType: expected IPv4 or IPv6 or FQDN, found "ipv4"',
        ),
        (
            "addressType: IPv4\nendpoints:\n- addresses: [fd00::1]\n",
            6,
            "address fd00::1, but addressType IPv4",
        ),
        (
            "addressType: IPv4\nendpoints:\n- addresses: []\n",
            6,
            "0 addresses, but 1-100 allowed",
        ),
        (
            "addressType: IPv4\nendpoints:\n- addresses: [127.0.0.1]\n",
            6,
            "endpoints[0].addresses[0]: 127.0.0.1 is loopback",
        ),
        (
            "addressType: IPv4\nendpoints:\n- addresses: [10.0.0.1]\n  conditions: {ready: 1}\n",
            7,
            "endpoints[0].conditions.ready: expected true or false",
        ),
        (
            "addressType: IPv4\nports: [{port: 1, name: a}, {port: 2, name: a}]\n",
            5,
            "duplicate port name a",
        ),
        (
            "addressType: IPv4\nports: [{port: 1, name: a}, {port: 2}]\n",
            5,
            "ports[1]: name is missing",
        ),
        (
            "addressType: IPv4\nports: [{port: x}]\n",
            5,
            'ports[0].port: expected an integer, found "x"',
        ),
        (
            "addressType: IPv4\nendpoints: [" + "{addresses: [10.0.0.1]}," * 1001 + "]\n",
            5,
            "1001 endpoints, but 1000 allowed",
        ),
    ],
)
def test_slices_that_an_api_server_refuses(rest, line, message):
    with pytest.raises(ObjectError) as error:
        loads(SLICE + rest, "m.yaml")
    assert str(error.value).startswith(f"m.yaml:{line}: EndpointSlice default/s: {message}")


def test_conditions_that_are_not_said():
    text = SLICE + "addressType: IPv4\nendpoints:\n- addresses: [10.0.0.1]\n"
    text += "- addresses: [10.0.0.2]\n  conditions: {ready: false}\n"
    (found,) = loads(text).endpoint_slices.values()
    conditions = [(each.ready, each.serving, each.terminating) for each in found.endpoints]
    assert conditions == [(True, True, False), (False, False, False)]


def test_a_port_without_a_number_is_unrestricted_and_names_are_hosts():
    text = SLICE + "addressType: FQDN\nports: [{name: any}]\nendpoints:\n- addresses: [a.example]\n"
    (found,) = loads(text).endpoint_slices.values()
    assert found.ports == (EndpointPort(0, "TCP", "any"),)
    assert found.endpoints[0].addresses == ()
