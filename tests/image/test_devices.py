"""What each device is, and which of them share a wire."""

from ipaddress import ip_address, ip_network

import pytest

from _fastpath.image import DeviceKind
from dataplane.image.devices import assemble_devices
from dataplane.node.state import InterfaceAddress, Link, NodeState, Route
from tests.two_nodes import two_nodes


def link(name, index=1, **parts):
    return Link(index, name, "02:00:00:00:00:01", 1500, **parts)


def address(dev, text, **parts):
    local, length = text.split("/")
    return InterfaceAddress(dev, ip_address(local), int(length), **parts)


GATEWAY = Route(ip_network("0.0.0.0/0"), dev="d", gateway=ip_address("10.0.0.1"))
BRIDGE = link("br", 2, kind="bridge")


@pytest.mark.parametrize(
    ("device", "others", "kind"),
    [
        (link("d", link_type="loopback"), {}, DeviceKind.DEVICE_LOOPBACK),
        (link("d", kind="bridge"), {}, DeviceKind.DEVICE_BRIDGE),
        (link("d", kind="vxlan"), {}, DeviceKind.DEVICE_VXLAN),
        (link("d", kind="dummy"), {}, DeviceKind.DEVICE_DUMMY),
        (link("d", master="br"), {"links": (BRIDGE,)}, DeviceKind.DEVICE_PORT),
        (link("d", kind="veth"), {}, DeviceKind.DEVICE_PORT),
        (link("d"), {"routes": (GATEWAY,)}, DeviceKind.DEVICE_WIRE),
        (link("d"), {"addresses": (address("d", "10.0.0.2/24"),)}, DeviceKind.DEVICE_WIRE),
        # An address of its own subnet, or that nobody else may have: a pod's veth, not a wire.
        (link("d"), {"addresses": (address("d", "10.0.0.2/32"),)}, DeviceKind.DEVICE_PORT),
        (link("d"), {"addresses": (address("d", "fe80::1/64"),)}, DeviceKind.DEVICE_PORT),
        (link("d"), {"addresses": (address("d", "fd00::1/64"),)}, DeviceKind.DEVICE_WIRE),
        # A bridge port stays one, whatever addresses it has.
        (link("d", master="br"), {"links": (BRIDGE,), "addresses": (address("d", "10.0.0.2/24"),)},
         DeviceKind.DEVICE_PORT),
        # A member of a bond is no bridge port.
        (link("d", master="bond0"), {"links": (link("bond0", 2, kind="bond"),)},
         DeviceKind.DEVICE_PORT),
    ],
)  # fmt: skip
def test_kinds(device, others, kind):
    links = (device, *others.pop("links", ()))
    devices = assemble_devices({"n": NodeState("n", links=links, **others)})
    assert devices.kinds[devices.of("n", "d")] == kind


def test_devices_are_numbered_by_node_and_then_by_ifindex():
    links = (link("b", 7), link("a", 3), link("c", 5))
    devices = assemble_devices({"n": NodeState("n", links=links), "m": NodeState("m", links=links)})
    assert [(node, found.name) for node, found in devices.links] == [
        ("n", "a"), ("n", "c"), ("n", "b"), ("m", "a"), ("m", "c"), ("m", "b"),
    ]  # fmt: skip
    assert (devices.of("m", "b"), devices.of("m", "d"), devices.of("n", None)) == (5, -1, -1)
    assert devices.start == {"n": 0, "m": 3}


def test_addresses_are_grouped_by_device_in_their_order():
    links = (link("a", 1), link("b", 2))
    given = tuple(
        address(dev, text)
        for dev, text in [("b", "10.0.1.1/24"), ("a", "10.0.0.1/24"), ("b", "10.0.1.2/24")]
    )
    devices = assemble_devices({"n": NodeState("n", links=links, addresses=given)})
    assert [str(found.local) for found in devices.addresses] == ["10.0.0.1", "10.0.1.1", "10.0.1.2"]
    assert devices.address_start == [0, 1, 3]


def test_devices_that_share_a_subnet_share_a_wire():
    def wired(*texts):
        return tuple(address("d", text) for text in texts)

    nodes = {
        name: NodeState(name, links=(link("d"),), addresses=found)
        for name, found in {
            "a": wired("10.0.0.1/24"),
            "b": wired("10.0.1.1/24", "10.0.0.2/24"),
            "c": wired("10.0.1.2/24"),
            "x": wired("10.0.0.3/25"),  # another subnet, though one holds the other
        }.items()
    }
    segments = assemble_devices(nodes).segments
    assert segments[0] == segments[1] == segments[2] != segments[3]
    assert min(segments) >= 0


def test_only_wires_have_a_segment():
    devices = assemble_devices(two_nodes())
    on_wire = {
        devices.links[i][1].name for i, segment in enumerate(devices.segments) if segment >= 0
    }
    assert on_wire == {"eth0"}


def test_ports_of_a_bridge():
    devices = assemble_devices(two_nodes())
    bridge = devices.of("node-a", "cni0")
    names = [devices.links[port][1].name for port in devices.ports[bridge]]
    assert names == ["veth-client", "veth-web-1"]
