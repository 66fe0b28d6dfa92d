from ipaddress import ip_address, ip_network

import pytest

from dataplane.cluster.load import loads
from dataplane.cluster.objects import ServicePort
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
