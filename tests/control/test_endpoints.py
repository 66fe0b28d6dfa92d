"""kube-proxy's CategorizeEndpoints, case by case (topology_test.go has the same table)."""

from ipaddress import ip_address
from typing import Any

import pytest

from dataplane.cluster.objects import Endpoint, EndpointPort, EndpointSlice, Metadata
from dataplane.control.endpoints import ServiceEndpoint, choose, gather


def endpoint(number: int, conditions: str = "r", **fields: Any) -> ServiceEndpoint:
    """conditions: r ready, t serving and terminating, x neither; upper case: on this node."""
    kind = conditions.lower()
    return ServiceEndpoint(
        ip_address(f"10.0.0.{number}"),
        80,
        is_local=conditions.isupper(),
        ready=kind == "r",
        serving=kind != "x",
        terminating=kind == "t",
        **fields,
    )


# endpoints 1, 2, 3 … as conditions; then cluster, local, reachable, as numbers; whether any exist
CHOICES = [
    ("", "", "", "", False),
    ("rR", "12", "2", "12", True),
    ("xX", "", "", "", False),
    ("rt", "1", "", "1", True),  # a ready one anywhere: terminating ones are not used
    ("tT", "12", "2", "12", True),  # none is ready
    ("rT", "1", "2", "12", True),  # Cluster and Local fall back each by itself
    ("tR", "2", "2", "2", True),
    ("rXT", "1", "3", "13", True),
    ("xt", "2", "", "2", True),
]


@pytest.mark.parametrize(("conditions", "cluster", "local", "reachable", "exist"), CHOICES)
def test_ready_ones_or_else_serving_terminating_ones(
    conditions: str, cluster: str, local: str, reachable: str, exist: bool
) -> None:
    found = tuple(endpoint(number, c) for number, c in enumerate(conditions, 1))
    usable = choose(found, uses_cluster=True, uses_local=True, node="a", zone="")
    assert (_numbers(usable.cluster), _numbers(usable.local)) == (cluster, local)
    assert (_numbers(usable.reachable), usable.exist) == (reachable, exist)


@pytest.mark.parametrize(
    ("uses_cluster", "uses_local", "cluster", "local", "reachable", "exist"),
    [
        (True, False, "13", "", "13", True),
        (False, True, "", "3", "3", True),
        (True, True, "13", "3", "13", True),
    ],
)
def test_only_policies_in_use_have_endpoints(
    uses_cluster: bool, uses_local: bool, cluster: str, local: str, reachable: str, exist: bool
) -> None:
    found = (endpoint(1), endpoint(2, "x"), endpoint(3, "R"))
    usable = choose(found, uses_cluster=uses_cluster, uses_local=uses_local, node="a", zone="")
    assert (_numbers(usable.cluster), _numbers(usable.local)) == (cluster, local)
    assert (_numbers(usable.reachable), usable.exist) == (reachable, exist)


def test_internal_policy_local_knows_of_endpoints_elsewhere() -> None:
    usable = choose((endpoint(1),), uses_cluster=False, uses_local=True, node="a", zone="")
    assert usable.exist and not usable.reachable  # DROP, not REJECT


# hints of the two endpoints: "node a|zone z"; the node is a, in zone z
HINTS = [
    ("z", "y", "1"),
    ("z", "", "12"),  # one without a hint: none counts
    ("y", "y", "12"),  # none for our zone
    ("z", "z", "12"),
    ("z|a", "z|b", "1"),  # node before zone
    ("z|b", "y|b", "1"),  # no node hint for us: by zone
    ("z|a", "y", "1"),  # a node hint is missing: by zone
    ("z|a", "z", "12"),
]


@pytest.mark.parametrize(("first", "second", "chosen"), HINTS)
def test_topology_hints(first: str, second: str, chosen: str) -> None:
    found = tuple(
        endpoint(number, hints_zones=tuple(zone), hints_nodes=tuple(node))
        for number, (zone, _, node) in enumerate((h.partition("|") for h in (first, second)), 1)
    )
    usable = choose(found, uses_cluster=True, uses_local=False, node="a", zone="z")
    assert _numbers(usable.cluster) == chosen


def test_topology_hints_do_not_narrow_policy_local() -> None:
    found = (endpoint(1, "R", hints_zones=("y",)), endpoint(2, hints_zones=("z",)))
    usable = choose(found, uses_cluster=True, uses_local=True, node="a", zone="z")
    assert (_numbers(usable.cluster), _numbers(usable.local)) == ("2", "1")
    assert _numbers(usable.reachable) == "12"


def test_a_node_without_a_zone_ignores_zone_hints() -> None:
    found = (endpoint(1, hints_zones=("z",)),)
    usable = choose(found, uses_cluster=True, uses_local=False, node="a", zone="")
    assert _numbers(usable.cluster) == "1"


def _slice(name: str, *endpoints: Endpoint, kind: str = "IPv4", port: str = "") -> EndpointSlice:
    ports = (EndpointPort(8080, "TCP", port), EndpointPort(53, "UDP", "dns"))
    return EndpointSlice(Metadata(name, "default"), "web", kind, ports, endpoints)


def _at(*addresses: str, node: str = "") -> Endpoint:
    return Endpoint(tuple(ip_address(a) for a in addresses), node=node)


GATHERED = [
    # sorted as text, not as numbers
    ([_slice("s", _at("10.0.0.9"), _at("10.0.0.10"))], 4, ["10.0.0.10:8080", "10.0.0.9:8080"]),
    # of several addresses the first
    ([_slice("s", _at("10.0.0.1", "10.0.0.2"))], 4, ["10.0.0.1:8080"]),
    ([_slice("s", _at("fd00::1"), kind="IPv6")], 6, ["[fd00::1]:8080"]),
    ([_slice("s", _at("fd00::1"), kind="IPv6")], 4, []),
    ([_slice("s", _at("10.0.0.1"), port="http")], 4, []),  # the Service port has no name
    ([_slice("s", _at("10.0.0.1")), _slice("t", _at("10.0.0.1"))], 4, ["10.0.0.1:8080"]),
    ([], 4, []),
]


@pytest.mark.parametrize(("slices", "family", "texts"), GATHERED)
def test_gather(slices: list[EndpointSlice], family: int, texts: list[str]) -> None:
    assert [e.text for e in gather(slices, "", "TCP", family, "a")] == texts


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_entries_for_one_endpoint_the_local_one_wins(order: int) -> None:
    slices = [_slice("s", _at("10.0.0.1", node="a")), _slice("t", _at("10.0.0.1", node="b"))]
    (found,) = gather(slices[::order], "", "TCP", 4, "a")
    assert found.is_local


def test_a_port_without_a_number_is_no_endpoint() -> None:
    slice_ = EndpointSlice(Metadata("s"), "web", "IPv4", (EndpointPort(0),), (_at("10.0.0.1"),))
    assert gather([slice_], "", "TCP", 4, "a") == ()


def test_an_endpoint_without_a_node_is_local_nowhere() -> None:
    (found,) = gather([_slice("s", _at("10.0.0.1"))], "", "TCP", 4, "")
    assert not found.is_local


def _numbers(endpoints: tuple[ServiceEndpoint, ...]) -> str:
    return "".join(str(e.address).rpartition(".")[2] for e in endpoints)
