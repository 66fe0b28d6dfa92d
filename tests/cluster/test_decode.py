from ipaddress import ip_address, ip_network

import pytest
import yaml

from dataplane.cluster.load import loads
from dataplane.cluster.objects import ContainerPort
from dataplane.errors import ObjectError
from tests.cluster.manifests import EVERY_FIELD, node, pod, stream


def load_pod(**parts):
    (found,) = loads(stream(pod("p", **parts))).pods.values()
    return found


def test_every_field_of_a_node():
    found = loads(EVERY_FIELD).nodes["node-a"]
    assert found.metadata.labels == {"topology.kubernetes.io/zone": "z1"}
    assert found.pod_cidrs == (ip_network("10.244.1.0/24"), ip_network("fd00:1::/64"))
    assert found.internal_ips == (ip_address("192.168.50.11"),)
    assert found.external_ips == (ip_address("203.0.113.11"),)
    assert found.kernel_version == "6.12.0"
    assert str(found.metadata.source) == "<text>:5"


def test_every_field_of_a_pod():
    found = loads(EVERY_FIELD).pods["shop", "web-1"]
    assert found.node == "node-a"
    assert found.ips == (ip_address("10.244.1.3"), ip_address("fd00:1::3"))
    # containers first, then sidecars
    assert found.ports == (ContainerPort(8080, "TCP", "http"), ContainerPort(15001, "TCP", ""))
    assert (found.phase, found.ready, found.terminating) == ("Running", True, True)
    assert (found.host_network, found.owner) == (False, "ReplicaSet/web")


def test_namespaces_carry_their_name_as_a_label():
    labels = loads(EVERY_FIELD).namespaces["shop"].metadata.labels
    assert labels == {"team": "a", "kubernetes.io/metadata.name": "shop"}


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        (None, True),  # a manifest that no cluster has seen
        ({}, True),
        ({"phase": "Pending"}, False),
        ({"phase": "Succeeded"}, False),
        ({"conditions": [{"type": "Ready", "status": "False"}]}, False),
        ({"conditions": [{"type": "Ready", "status": "Unknown"}]}, False),
        ({"conditions": [{"type": "Initialized", "status": "False"}]}, True),
        ({"phase": "Pending", "conditions": [{"type": "Ready", "status": "True"}]}, True),
    ],
)
def test_readiness(status, ready):
    assert load_pod(status=status).ready is ready


def test_pod_ip_alone_is_enough():
    assert load_pod(status={"podIP": "10.0.0.1"}).ips == (ip_address("10.0.0.1"),)


def test_pod_cidr_alone_is_enough():
    found = loads(stream(node("n", podCIDR="10.1.0.0/24")))
    assert found.nodes["n"].pod_cidrs == (ip_network("10.1.0.0/24"),)


def test_init_containers_that_end_have_no_ports():
    spec = {"initContainers": [{"name": "i", "ports": [{"containerPort": 1}]}]}
    assert load_pod(spec=spec).ports == ()


HEAD = "apiVersion: v1\nkind: {}\nmetadata:\n  name: {}\n"


@pytest.mark.parametrize(
    ("kind", "name", "rest", "message"),
    [
        ("Pod", "A", "", '4: Pod default/A: metadata.name: "A" is not a DNS name'),
        ("Pod", "", "", "4: Pod: metadata.name is missing"),
        ("Pod", "yes", "", "4: Pod: metadata.name: expected a string, found the boolean true"),
        ("Namespace", "a.b", "", '4: Namespace a.b: metadata.name: "a.b" is not a DNS label'),
        ("Pod", "p", "  namespace: A\n", '5: Pod A/p: metadata.namespace: "A" is not a DNS label'),
        (
            "Pod",
            "p",
            "  labels:\n    app: on\n",
            '6: Pod default/p: metadata.labels "app": expected a string, found the boolean true',
        ),
        (
            "Pod",
            "p",
            "  labels:\n    v: 1\n",
            '6: Pod default/p: metadata.labels "v": expected a string, found the number 1',
        ),
        (
            "Pod",
            "p",
            "  labels:\n    a b: c\n",
            '6: Pod default/p: metadata.labels: "a b" is not a label key',
        ),
        (
            "Pod",
            "p",
            '  labels:\n    a: "{{ .x }}"\n',
            '6: Pod default/p: metadata.labels: "{{ .x }}" is not a label value',
        ),
        (
            "Pod",
            "p",
            "  annotations: {a: 1}\n",
            '5: Pod default/p: metadata.annotations "a": expected a string',
        ),
        (
            "Pod",
            "p",
            "  annotations: {a b: x}\n",
            '5: Pod default/p: metadata.annotations: "a b" is not a label key',
        ),
        ("Pod", "p", "spec: []\n", "5: Pod default/p: spec: expected a mapping, found a list"),
        ("Pod", "p", "spec:\n  nodeName: A_b\n", '6: Pod default/p: spec.nodeName: "A_b" is not'),
        (
            "Pod",
            "p",
            "spec:\n  hostNetwork: 'true'\n",
            '6: Pod default/p: spec.hostNetwork: expected true or false, found "true"',
        ),
        (
            "Pod",
            "p",
            "spec:\n  containers:\n  - ports:\n    - containerPort: 0\n",
            "8: Pod default/p: containerPort 0, but 1-65535 allowed",
        ),
        (
            "Pod",
            "p",
            "spec:\n  containers:\n  - ports:\n    - name: http\n",
            "8: Pod default/p: containerPort is missing",
        ),
        (
            "Pod",
            "p",
            "spec:\n  containers:\n  - ports:\n    - {containerPort: 1, name: Http}\n",
            '8: Pod default/p: spec.containers[0].ports[0].name: "Http" is not a port name',
        ),
        (
            "Pod",
            "p",
            "spec:\n  containers:\n  - ports:\n"
            "    - {containerPort: 1, name: a}\n    - {containerPort: 2, name: a}\n",
            "9: Pod default/p: duplicate port name a",
        ),
        (
            "Pod",
            "p",
            "spec:\n  containers:\n  - ports:\n    - {containerPort: 1, protocol: tcp}\n",
            "8: Pod default/p: spec.containers[0].ports[0].protocol: expected TCP or UDP or SCTP",
        ),
        (
            "Pod",
            "p",
            "status:\n  podIP: 10.0.0\n",
            '6: Pod default/p: status.podIP: "10.0.0" is not an IP address',
        ),
        (
            "Pod",
            "p",
            "status:\n  podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.2}]\n",
            "6: Pod default/p: podIPs: at most one address of each family",
        ),
        (
            "Pod",
            "p",
            "status:\n  podIP: 10.0.0.3\n  podIPs: [{ip: 10.0.0.1}]\n",
            "6: Pod default/p: podIP 10.0.0.3, but podIPs starts with 10.0.0.1",
        ),
        (
            "Pod",
            "p",
            "status:\n  phase: Ready\n",
            "6: Pod default/p: status.phase: expected Pending or Running",
        ),
        (
            "Node",
            "n1",
            "spec:\n  podCIDR: 10.0.0.0\n",
            '6: Node n1: spec.podCIDR: "10.0.0.0" is not a CIDR',
        ),
        (
            "Node",
            "n1",
            "spec:\n  podCIDR: 10.1.0.0/24\n  podCIDRs: [10.0.0.0/24]\n",
            "6: Node n1: podCIDR 10.1.0.0/24, but podCIDRs starts with 10.0.0.0/24",
        ),
        (
            "Node",
            "n1",
            "status:\n  addresses:\n  - type: InternalIP\n    address: a\n",
            '8: Node n1: status.addresses[0].address: "a" is not an IP address',
        ),
    ],
)
def test_what_an_api_server_refuses(kind, name, rest, message):
    with pytest.raises(ObjectError) as error:
        loads(HEAD.format(kind, name) + rest, "m.yaml")
    assert str(error.value).startswith(f"m.yaml:{message}")


def test_names_in_errors_are_cut_and_printable():
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a\n" * 10_000}}
    with pytest.raises(ObjectError) as error:
        loads(yaml.safe_dump(document))
    assert len(str(error.value)) < 1000
    assert "\n" not in str(error.value)
