from ipaddress import ip_address

import pytest

from dataplane.cluster.load import loads
from dataplane.cluster.objects import Endpoint, EndpointPort
from dataplane.errors import ObjectError
from tests.cluster.manifests import EVERY_FIELD


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
