from ipaddress import ip_interface

import pytest

from dataplane.cluster.objects import Metadata, Node
from dataplane.control.draft import Draft

# The routes that Linux 6.x adds by itself for an address.
ROUTES = [
    ("127.0.0.1/8", ["local 127.0.0.0/8", "local 127.0.0.1/32", "broadcast 127.255.255.255/32"]),
    (
        "10.244.1.1/24",
        ["unicast 10.244.1.0/24", "local 10.244.1.1/32", "broadcast 10.244.1.255/32"],
    ),
    ("10.0.0.0/31", ["unicast 10.0.0.0/31", "local 10.0.0.0/32"]),
    ("10.0.0.1/30", ["unicast 10.0.0.0/30", "local 10.0.0.1/32", "broadcast 10.0.0.3/32"]),
    ("10.244.1.0/32", ["local 10.244.1.0/32"]),
    ("::1/128", ["local ::1/128"]),
    ("fd00:1::1/128", ["unicast fd00:1::1/128", "local fd00:1::1/128"]),
    ("fd00:1::1/64", ["unicast fd00:1::/64", "local fd00:1::1/128"]),
]


@pytest.mark.parametrize(("address", "routes"), ROUTES)
def test_an_address_brings_its_routes(address: str, routes: list[str]) -> None:
    draft = Draft(Node(Metadata("a")))
    draft.add_address("eth0", ip_interface(address))
    assert [f"{route.type} {route.dst}" for route in draft.freeze().routes] == routes


@pytest.mark.parametrize(
    ("address", "scope", "broadcast"),
    [
        ("127.0.0.1/8", "host", None),
        ("10.244.1.1/24", "global", "10.244.1.255"),
        ("10.0.0.0/31", "global", None),
        ("fd00:1::1/64", "global", None),
    ],
)
def test_scope_and_broadcast(address: str, scope: str, broadcast: str | None) -> None:
    draft = Draft(Node(Metadata("a")))
    draft.add_address("eth0", ip_interface(address))
    (found,) = draft.addresses
    assert (found.scope, found.broadcast and str(found.broadcast)) == (scope, broadcast)
