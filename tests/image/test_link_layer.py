"""What is behind a device: neighbours, forwarding entries, and the hosts that both make known."""

from ipaddress import ip_address

import pytest

from dataplane.image.devices import assemble_devices
from dataplane.image.encode import mac_text, pair
from dataplane.image.link_layer import (
    FAILED,
    KNOWN,
    UNRESOLVED,
    fdb_rows,
    host_rows,
    neighbour_rows,
)
from dataplane.node.state import (
    FdbEntry,
    InterfaceAddress,
    Link,
    Neighbour,
    NodeState,
    Vxlan,
)

BRIDGE, PORT, TUNNEL, WIRE = (f"02:00:00:00:00:0{n}" for n in range(1, 5))
POD, OTHER = "0a:58:00:00:00:01", "0a:58:00:00:00:02"
REMOTE = ip_address("192.0.2.2")
LINKS = (
    Link(1, "br", BRIDGE, 1500, "bridge"),
    Link(2, "port", PORT, 1500, "veth", master="br"),
    Link(3, "tunnel", TUNNEL, 1450, "vxlan", vxlan=Vxlan(1)),
    Link(4, "wire", WIRE, 1500),
)
ADDRESSES = (
    InterfaceAddress("br", ip_address("10.0.0.1"), 24),
    InterfaceAddress("wire", ip_address("192.0.2.1"), 28),
)


def rows_of(neighbours=(), fdb=()):
    """(neighbours, forwarding entries, hosts) of a node with a bridge, a tunnel and a wire."""
    state = NodeState(
        "n", links=LINKS, addresses=ADDRESSES, neighbours=tuple(neighbours), fdb=tuple(fdb)
    )
    devices = assemble_devices({"n": state})
    found, entries = neighbour_rows(devices, {"n": state}), fdb_rows(devices, {"n": state})
    return found, entries, host_rows(devices, entries, found)


def neighbour(address, dev="br", lladdr=POD, state=("REACHABLE",)):
    return Neighbour(ip_address(address), dev, lladdr, state)


@pytest.mark.parametrize(
    ("lladdr", "state", "expected"),
    [
        (POD, ("REACHABLE",), KNOWN),
        (POD, ("STALE",), KNOWN),
        (POD, ("PERMANENT",), KNOWN),
        (None, ("INCOMPLETE",), UNRESOLVED),
        (None, ("FAILED",), FAILED),
        (POD, ("FAILED",), FAILED),
    ],
)
def test_what_a_neighbour_entry_says(lladdr, state, expected):
    ((row,), _, _) = rows_of([neighbour("10.0.0.2", lladdr=lladdr, state=state)])
    assert row.state == expected


def test_neighbours_are_sorted_and_the_last_entry_of_an_address_stands():
    given = [neighbour("10.0.0.3"), neighbour("10.0.0.2"), neighbour("10.0.0.3", lladdr=OTHER)]
    found, _, _ = rows_of(given)
    assert [(row.address & 0xFF, mac_text(row.mac)) for row in found] == [(2, POD), (3, OTHER)]


def said(row):
    """(device, MAC, where to) of a forwarding entry."""
    names = [link.name for link in LINKS]
    to = names[row.port] if row.port != row.device or row.remote == (0, 0) else row.remote
    return names[row.device], mac_text(row.mac), to


OWN = [("br", BRIDGE, "br"), ("br", PORT, "br")]  # a bridge keeps frames for itself and its ports


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (FdbEntry(POD, "port", master="br"), [("br", POD, "port")]),
        (FdbEntry(POD, "port", master="br", state="static"), [("br", POD, "port")]),
        (FdbEntry(POD, "port", master="br", state="permanent"), [("br", POD, "br")]),
        (FdbEntry(POD, "tunnel", dst=REMOTE, flags=("self",)), [("tunnel", POD, pair(REMOTE))]),
        (FdbEntry(POD, "port", flags=("self",)), []),  # the device's own filter
        (FdbEntry("01:00:5e:00:00:01", "port", master="br"), []),
        (FdbEntry(POD, "port", master="no bridge"), []),
    ],
)
def test_forwarding_entries(entry, expected):
    _, rows, _ = rows_of(fdb=[entry])
    assert [said(row) for row in rows] == sorted(OWN + expected, key=lambda row: (row[0], row[1]))


def hosts_of(neighbours=(), fdb=()):
    names = [link.name for link in LINKS]
    return [
        (names[h.device], mac_text(h.mac), h.address & 0xFF, mac_text(h.gateway_mac), h.prefixlen)
        for h in rows_of(neighbours, fdb)[2]
    ]


def test_a_pod_is_known_by_its_port_and_its_address():
    fdb = [FdbEntry(POD, "port", master="br")]
    assert hosts_of([neighbour("10.0.0.2")], fdb) == [("port", POD, 2, BRIDGE, 24)]


def test_a_pod_of_no_known_address_is_a_host_nevertheless():
    assert hosts_of(fdb=[FdbEntry(POD, "port", master="br")]) == [("port", POD, 0, BRIDGE, 0)]


def test_a_pod_behind_no_known_port_is_no_host():
    assert hosts_of([neighbour("10.0.0.2")]) == []


def test_a_pod_may_have_several_addresses():
    fdb = [FdbEntry(POD, "port", master="br")]
    neighbours = [neighbour("10.0.0.2"), neighbour("10.0.9.3")]
    assert hosts_of(neighbours, fdb) == [
        ("port", POD, 2, BRIDGE, 24),
        ("port", POD, 3, BRIDGE, 32),  # of no subnet of the bridge
    ]


def test_machines_on_a_wire_are_hosts():
    assert hosts_of([neighbour("192.0.2.9", "wire")]) == [("wire", POD, 9, WIRE, 28)]


def test_devices_of_nodes_are_no_hosts():
    assert hosts_of([neighbour("192.0.2.9", "wire", lladdr=TUNNEL)]) == []
