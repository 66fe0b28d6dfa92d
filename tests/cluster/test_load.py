import copy
import json
import pickle
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataplane.cluster.load import load, loads
from dataplane.cluster.objects import Cluster, EndpointPort
from dataplane.errors import DataplaneError, ObjectError
from tests.cluster.manifests import EVERY_FIELD, TWO_NODES, every_field, pod, service, stream

ORACLE = Path(__file__).parents[3] / "shared/oracle/kube-proxy"


def test_the_two_node_cluster():
    warnings = []
    cluster = load([str(TWO_NODES)], warnings.append)
    assert warnings == []  # it declares everything
    assert list(cluster.nodes) == ["node-a", "node-b"]
    assert {key: str(found.ips[0]) for key, found in cluster.pods.items()} == {
        ("default", "client"): "10.244.1.2",
        ("default", "web-1"): "10.244.1.3",
        ("default", "web-2"): "10.244.2.2",
        ("default", "web-3"): "10.244.2.3",
        ("kube-system", "coredns-1"): "10.244.2.4",
    }
    assert {key: str(found.cluster_ips[0]) for key, found in cluster.services.items()} == {
        ("default", "empty"): "10.96.10.99",
        ("default", "kubernetes"): "10.96.0.1",
        ("default", "web"): "10.96.10.10",
        ("kube-system", "kube-dns"): "10.96.0.10",
    }
    assert cluster.kube_proxy["clusterCIDR"] == "10.244.0.0/16"
    assert cluster.flannel == {"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}
    assert (cluster.ignored, cluster.notes) == ({}, ())


def test_the_slices_it_declares_are_those_that_would_be_derived():
    """The same cluster with its controllers' slices left out, but for the API server's own."""
    declared = load([str(TWO_NODES)])
    documents = TWO_NODES.read_text().split("\n---\n")
    managed = "managed-by: endpointslice-controller.k8s.io"
    bare = "\n---\n".join(each for each in documents if managed not in each)
    derived = loads(bare)
    assert derived.notes == (
        "EndpointSlices derived from selectors for 3 Services:"
        " default/empty, default/web, kube-system/kube-dns",
    )

    def endpoints(cluster):
        return sorted((s.service, s.ports, s.endpoints) for s in cluster.endpoint_slices.values())

    assert str(endpoints(derived)) == str(endpoints(declared))
    assert EndpointPort(8080, "TCP", "http") in endpoints(derived)[-1][1]


def test_every_object_knows_its_line():
    cluster = loads(EVERY_FIELD, "every.yaml")
    lines = EVERY_FIELD.splitlines()
    objects = [*cluster.nodes.values(), *cluster.pods.values(), *cluster.services.values()]
    for found in objects:
        assert found.metadata.source.path == "every.yaml"
        assert lines[found.metadata.source.line - 1] == "apiVersion: v1"
        assert found.metadata.name in "".join(lines[found.metadata.source.line :][:4])


def test_ignored_kinds_are_counted_and_said_once():
    def other(kind, name, api_version="apps/v1"):
        return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}

    warnings = []
    cluster = loads(
        stream(
            other("Deployment", "a"),
            other("Ingress", "b", "networking.k8s.io/v1"),
            other("Deployment", "c"),
            other("Service", "knative", "serving.knative.dev/v1"),
            other("ConfigMap", "mine", "v1"),
            {"apiVersion": "oracle.local/v1", "kind": "NodeFacts", "anything": [1]},
        ),
        warn=warnings.append,
    )
    assert cluster.ignored == {
        "ConfigMap": 1,
        "Deployment": 2,
        "Ingress": 1,
        "NodeFacts": 1,
        "Service.serving.knative.dev": 1,
    }
    assert warnings == [
        "ignored: 1 ConfigMap, 2 Deployment, 1 Ingress, 1 NodeFacts, 1 Service.serving.knative.dev"
    ]


def test_what_was_derived_is_said_and_kept():
    warnings = []
    cluster = loads(stream(pod("p")), warn=warnings.append)
    assert warnings == list(cluster.notes)
    assert warnings[0].startswith("pods without an address: default/p")


def test_order_changes_nothing():
    objects = [pod("b"), pod("a"), service("s"), pod("c", "x")]
    forward, backward = loads(stream(*objects)), loads(stream(*reversed(objects)))
    assert forward == backward
    assert list(forward.pods) == list(backward.pods)


def test_a_cluster_can_be_sent_to_workers():
    cluster = loads(EVERY_FIELD)
    assert pickle.loads(pickle.dumps(cluster)) == cluster


def test_nothing_is_an_empty_cluster():
    assert loads("# nothing\n") == Cluster()


def test_duplicates_name_both_places(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("# c\n" + stream(pod("web")))
    with pytest.raises(ObjectError) as error:
        load([str(tmp_path)])
    assert str(error.value) == (
        f"{tmp_path}/b.yaml:5: Pod default/web: already declared at {tmp_path}/a.yaml:2"
    )


HEAD = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Pod\n", "1: Pod: apiVersion is missing"),
        ("apiVersion: v1\n", "1: object: kind is missing"),
        ("apiVersion: v1\nkind: 5\n", "2: object: kind: expected a string, found the number 5"),
        ("apiVersion: v1\nkind: a b\n", '2: object: kind: "a b" is not a kind'),
        ("apiVersion: v2\nkind: Pod\n", "1: Pod: apiVersion v2, but v1 expected"),
        ("apiVersion: A/v1\nkind: Pod\n", '1: Pod: apiVersion: "A" is not a DNS name'),
        ("name: values\n", "1: object: kind is missing"),
        ("apiVersion: v1\nkind: Pod\n", "1: Pod: metadata.name is missing"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n", "3: Pod: metadata.name is"),
        (
            HEAD + "  {clusterIP: 10.96.0.1, ports: [{port: 1}]}\n---\n"
            "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec:\n"
            "  ports: [{port: 1}]\n  clusterIP: 10.96.0.1\n",
            "12: Service default/b: clusterIP 10.96.0.1 is already taken at m.yaml:1",
        ),
        (
            HEAD + "  {type: NodePort, ports: [{port: 1, nodePort: 30000}]}\n---\n"
            "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec:\n  type: NodePort\n"
            "  ports:\n  - port: 1\n    nodePort: 30000\n",
            "14: Service default/b: nodePort 30000/TCP is already taken at m.yaml:1",
        ),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ObjectError) as error:
        loads(text, "m.yaml")
    assert str(error.value).startswith(f"m.yaml:{message}")


def test_a_node_port_number_may_be_used_once_per_protocol():
    ports = [
        {"name": "a", "port": 53, "nodePort": 30053, "protocol": "TCP"},
        {"name": "b", "port": 53, "nodePort": 30053, "protocol": "UDP"},
    ]
    assert loads(stream(service("dns", type="NodePort", ports=ports))).services


@pytest.mark.skipif(not ORACLE.is_dir(), reason="kube-proxy's recorded inputs are not here")
def test_what_kube_proxy_was_given_loads():
    inputs = sorted(ORACLE.glob("*/input.yaml"))
    assert inputs
    for path in inputs:
        cluster = load([str(path)])
        assert list(cluster.nodes) == ["node-a"], path
        assert cluster.ignored.keys() <= {"NodeFacts", "ServiceCIDR"}, path
        assert cluster.kube_proxy["kind"] == "KubeProxyConfiguration", path
        assert all("derived from selectors for 1" in note for note in cluster.notes), path


def test_json_and_yaml_are_the_same_cluster():
    as_list = {"apiVersion": "v1", "kind": "List", "items": every_field()}
    concatenated = "\n".join(json.dumps(each) for each in every_field())
    expected = loads(EVERY_FIELD)
    for text in (json.dumps(as_list, indent=2), concatenated, stream(*every_field())):
        assert loads(text) == expected


# --- Hostile values -------------------------------------------------------------------

VALUES = [None, True, 0, -1, 1, 70000, 2**40, "", "x", "80", "A b", "None", "10.0.0.1", "fd00::1"]
VALUES += ["10.0.0.0/8", "127.0.0.1", "a\nb", "x" * 300, "{{ .x }}", [], {}, [1], [{}], ["x"]]
VALUES += [{"a": "b"}, {"port": 1}, [[]], {"": None}, [None]]


def paths(tree, path=()):
    children = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, child in children:
        yield (*path, key)
        if isinstance(child, dict | list):
            yield from paths(child, (*path, key))


PATHS = list(paths(every_field()))


def mutate(mutations):
    documents = copy.deepcopy(every_field())
    for path, value in mutations:
        target = documents
        try:
            for step in path[:-1]:
                target = target[step]
            target[path[-1]] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mutation took that place away
    return documents


def outcome(text):
    """The cluster, or the error without its line."""
    try:
        return loads(text, "m")
    except DataplaneError as error:
        assert str(error).startswith("m:")
        assert "\n" not in str(error)
        return str(error).partition(": ")[2].replace(f"m:{error.source.line}", "m")


MUTATIONS = st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(VALUES)), max_size=3)


@given(MUTATIONS)
@example([((3, "spec", "clusterIPs"), ["None"])])
def test_hostile_values_end_in_a_cluster_or_an_error_the_same_in_both_formats(mutations):
    documents = [each for each in mutate(mutations) if isinstance(each, dict)]
    as_yaml = outcome(stream(*documents))
    as_json = outcome("\n".join(json.dumps(each) for each in documents))
    if isinstance(as_yaml, str) and isinstance(as_json, str):  # "already taken at LINE"
        as_yaml, as_json = as_yaml.split(" at m")[0], as_json.split(" at m")[0]
    assert as_yaml == as_json


@given(st.sampled_from(PATHS), st.sampled_from(VALUES))
def test_an_error_names_a_line_of_the_document_that_was_broken(path, value):
    documents = mutate([(path, value)])
    if not isinstance(documents[path[0]], dict):
        return
    texts = [stream(each) for each in documents]
    lines_before = sum(text.count("\n") + 1 for text in texts[: path[0]])
    lines_after = lines_before + texts[path[0]].count("\n") + 1
    try:
        loads("---\n".join(texts), "m")
    except DataplaneError as error:
        # what clashes with an earlier declaration may be told at the later of the two
        if "already" not in str(error):
            assert lines_before < error.source.line <= lines_after


FRAGMENTS = [
    "\n",
    "  ",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "'",
    '"',
    "|",
    "\t",
    "{{",
    "~",
]
FRAGMENTS += ["---\n", "<<: *a\n", "y", "0", "kind: List\nitems:\n", "\x00", "!!int ", "é"]


@given(
    st.lists(
        st.tuples(st.integers(0, len(EVERY_FIELD)), st.integers(0, 40), st.sampled_from(FRAGMENTS)),
        max_size=4,
    )
)
def test_hostile_text_ends_in_a_cluster_or_an_error(cuts):
    text = EVERY_FIELD
    for position, length, fragment in cuts:
        text = text[:position] + fragment + text[position + length :]
    outcome(text)


def test_addresses_are_parsed_once_and_for_all():
    assert loads(EVERY_FIELD).pods["shop", "web-1"].ips[0] == ip_address("10.244.1.3")
