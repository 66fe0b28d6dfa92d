from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.cluster.derive import complete
from dataplane.cluster.load import loads
from dataplane.cluster.objects import Cluster, Metadata, Node, Pod
from tests.cluster.manifests import node, pod, service, stream


def ips_of(cluster):
    return {name: [str(ip) for ip in found.ips] for (_, name), found in cluster.pods.items()}


def test_pods_get_the_lowest_free_addresses_of_their_nodes():
    cluster = loads(
        stream(
            node("a", podCIDRs=["10.1.0.0/29", "fd00:1::/64"], ips=["192.168.0.1", "fd00::1"]),
            pod("b", spec={"nodeName": "a"}),
            pod("a", spec={"nodeName": "a"}),
            pod("taken", spec={"nodeName": "a"}, status={"podIP": "10.1.0.3"}),
            pod("done", spec={"nodeName": "a"}, status={"podIP": "10.1.0.2", "phase": "Succeeded"}),
            pod("host", spec={"nodeName": "a", "hostNetwork": True}),
            pod("finished", spec={"nodeName": "a"}, status={"phase": "Failed"}),
        )
    )
    assert ips_of(cluster) == {
        "a": ["10.1.0.2", "fd00:1::2"],  # .1 is the gateway's; a finished pod holds none
        "b": ["10.1.0.4", "fd00:1::3"],
        "done": ["10.1.0.2"],
        "finished": [],
        "host": ["192.168.0.1", "fd00::1"],
        "taken": ["10.1.0.3"],
    }
    assert cluster.notes == (
        "pods without status.podIPs were given addresses:"
        " default/a 10.1.0.2, default/b 10.1.0.4, default/host 192.168.0.1",
    )


def test_a_slice_that_names_the_pod_knows_its_address():
    endpoint = {"addresses": ["10.1.0.9"], "targetRef": {"kind": "Pod", "name": "a"}}
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "s"},
        "addressType": "IPv4",
        "endpoints": [endpoint, {"addresses": ["10.1.0.2"]}],
    }
    pods = [pod(name, spec={"nodeName": "a"}) for name in "ab"]
    cluster = loads(stream(node("a", podCIDR="10.1.0.0/24"), slice_, *pods))
    assert ips_of(cluster) == {"a": ["10.1.0.9"], "b": ["10.1.0.3"]}


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        ([pod("p")], "not scheduled: no spec.nodeName"),
        ([pod("p", spec={"nodeName": "a"})], "no Node a"),
        ([node("a"), pod("p", spec={"nodeName": "a"})], "Node a has no podCIDR"),
        (
            [
                node("a", podCIDR="10.0.0.0/30"),
                pod("o", status={"podIP": "10.0.0.2"}),
                pod("p", spec={"nodeName": "a"}),
            ],
            "podCIDR of a is full",
        ),
        (
            [node("a"), pod("p", spec={"nodeName": "a", "hostNetwork": True})],
            "Node a has no InternalIP",
        ),
    ],
)
def test_pods_that_get_no_address(objects, reason):
    cluster = loads(stream(*objects))
    assert cluster.pods["default", "p"].ips == ()
    assert cluster.notes == (f"pods without an address: default/p ({reason})",)


OFFSETS = st.lists(st.integers(0, 15), max_size=6)


@given(st.lists(st.sampled_from(["a", "b", ""]), max_size=14), OFFSETS)
def test_addresses_are_unique_in_the_cidr_and_never_reserved(placement, taken):
    cidrs = {"a": ip_network("10.1.0.0/28"), "b": ip_network("10.2.0.0/28")}
    nodes = {name: Node(Metadata(name), (cidr,)) for name, cidr in cidrs.items()}
    pods = {
        ("x", f"declared-{offset}"): Pod(
            Metadata(f"declared-{offset}", "x"), "a", (cidrs["a"][offset],)
        )
        for offset in taken
    }
    declared = len(pods)
    for number, where in enumerate(placement):
        pods["y", f"p{number:02}"] = Pod(Metadata(f"p{number:02}", "y"), where)
    found = complete(Cluster(nodes=nodes, pods=pods), ()).pods
    given_to = {key: each for key, each in found.items() if key[0] == "y" and each.ips}
    addresses = [each.ips[0] for each in given_to.values()]
    used = addresses + [each.ips[0] for key, each in found.items() if key[0] == "x"]
    assert len(set(used)) == len(used)
    assert len(used) == declared + len(addresses)
    for pod_, address in zip(given_to.values(), addresses, strict=True):
        assert address in cidrs[pod_.node]
        assert int(address) - int(cidrs[pod_.node].network_address) in range(2, 15)
    free = {
        name: 13 - len({offset for offset in taken if 2 <= offset < 15 and name == "a"})
        for name in cidrs
    }
    for name, room in free.items():
        assert sum(each.node == name for each in given_to.values()) == min(
            room, placement.count(name)
        )


def endpoints_object(name, *ips):
    subsets = [{"addresses": [{"ip": ip} for ip in ips], "ports": [{"port": 81}]}]
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}


def slice_object(name, service_name):
    labels = {"kubernetes.io/service-name": service_name}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "addressType": "IPv4",
    }


WEB = service("web", selector={"app": "web"})
POD = pod("p", labels={"app": "web"}, status={"podIP": "10.1.0.2"})


def slices_and_notes(*objects):
    cluster = loads(stream(*objects))
    found = {
        name: [str(each.addresses[0]) for each in found.endpoints]
        for (_, name), found in cluster.endpoint_slices.items()
    }
    return found, cluster.notes


@pytest.mark.parametrize(
    ("objects", "slices", "notes"),
    [
        (
            [WEB, POD],
            {"web-ipv4-1": ["10.1.0.2"]},
            ("EndpointSlices derived from selectors for 1 Services: default/web",),
        ),
        ([WEB, POD, slice_object("mine", "web")], {"mine": []}, ()),
        (
            [WEB, POD, endpoints_object("web", "10.1.0.7", "fd00::7")],
            {"web-mirrored-ipv4-0": ["10.1.0.7"], "web-mirrored-ipv6-0": ["fd00::7"]},
            ("EndpointSlices derived from Endpoints for 1 Services: default/web",),
        ),
        ([WEB, slice_object("m", "web"), endpoints_object("web", "10.1.0.7")], {"m": []}, ()),
        ([service("web"), POD], {}, ()),  # no selector: somebody else writes the slices
        ([service("web", type="ExternalName", externalName="x", clusterIP=None)], {}, ()),
        (
            [service("web", "other", selector={"app": "web"}), POD],
            {"web-ipv4-1": []},
            ("EndpointSlices derived from selectors for 1 Services: other/web",),
        ),
        (
            [WEB, POD, slice_object("web-ipv4-1", "other")],
            {"web-ipv4-1": [], "web-ipv4-1-2": ["10.1.0.2"]},
            ("EndpointSlices derived from selectors for 1 Services: default/web",),
        ),
    ],
)
def test_missing_slices(objects, slices, notes):
    assert slices_and_notes(*objects) == (slices, notes)


def test_a_service_without_an_address_is_told():
    cluster = loads(stream(service("web", clusterIP=None), service("h", clusterIP="None")))
    assert cluster.notes == ("Services without a clusterIP: default/web",)


def test_pods_that_cannot_be_placed_are_told():
    twice = [pod(name, spec={"nodeName": "a"}, status={"podIP": "10.1.0.2"}) for name in "xy"]
    gone = pod("gone", status={"podIP": "10.1.0.2", "phase": "Failed"})
    cluster = loads(stream(*twice, gone))
    assert cluster.notes == (
        "pods on nodes that are not declared: default/x (a), default/y (a)",
        "addresses that several pods have: 10.1.0.2 (default/x, default/y)",
    )


def test_notes_stay_short():
    pods = [pod(f"p{number}") for number in range(12)]
    (note,) = loads(stream(*pods)).notes
    assert note.endswith("default/p2 (not scheduled: no spec.nodeName) and 7 more")


def test_namespaces_that_are_used_exist():
    cluster = loads(stream(pod("p", "shop"), service("s", "web")))
    assert list(cluster.namespaces) == ["shop", "web"]
    labels = cluster.namespaces["shop"].metadata.labels
    assert labels == {"kubernetes.io/metadata.name": "shop"}


def test_addresses_derived_reach_the_derived_slices():
    cluster = loads(
        stream(
            node("a", podCIDR="10.1.0.0/24"),
            pod("p", labels={"app": "web"}, spec={"nodeName": "a"}),
            WEB,
        )
    )
    (found,) = cluster.endpoint_slices.values()
    assert found.endpoints[0].addresses == (ip_address("10.1.0.2"),)
