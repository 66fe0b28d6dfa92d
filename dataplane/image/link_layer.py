"""What is behind a device: neighbours, forwarding databases, hosts.

A pod is known to its node by two standard entries: the bridge's forwarding database says
which port has its MAC address, the neighbour table which IP address that MAC has.
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import NamedTuple

from _fastpath.image import DeviceKind
from dataplane.errors import TableError
from dataplane.image import encode
from dataplane.image.devices import Devices, own_addresses
from dataplane.node.groups import joined
from dataplane.node.state import Address, FdbEntry, Neighbour, NodeState

UNRESOLVED, KNOWN, FAILED = 0, 1, 2


class NeighbourRow(NamedTuple):
    """NEIGHBOUR, with the entry it comes from."""

    device: int
    family: int
    address: int
    mac: int
    state: int
    node: str
    entry: Neighbour


class FdbRow(NamedTuple):
    """FDB, with the entry it comes from; None for a device's own address."""

    device: int
    mac: int
    port: int  # of a bridge; the bridge itself = local
    remote: encode.Pair
    node: str
    entry: FdbEntry | None


class HostRow(NamedTuple):
    """HOST"""

    device: int
    mac: int
    family: int  # 0: no address of it is known
    address: int
    gateway_mac: int
    prefixlen: int


def neighbour_rows(devices: Devices, nodes: Mapping[str, NodeState]) -> list[NeighbourRow]:
    """Sorted as the kernel searches them.  The last entry for an address stands."""
    found: dict[tuple[int, int, int], NeighbourRow] = {}
    for name, state in nodes.items():
        for entry in state.neighbours:
            device = devices.of(name, entry.dev)
            if device < 0:
                raise TableError(
                    f"node {name}: neighbour {entry.dst} on {entry.dev!r}, which is no device",
                    entry.source,
                )
            key = (device, entry.dst.version, int(entry.dst))
            found[key] = NeighbourRow(
                *key, encode.mac(entry.lladdr), _resolution(entry), name, entry
            )
    return [found[key] for key in sorted(found)]


def _resolution(entry: Neighbour) -> int:
    if entry.lladdr and "FAILED" not in entry.state:
        return KNOWN
    return FAILED if "FAILED" in entry.state else UNRESOLVED


def group_rows(devices: Devices, nodes: Mapping[str, NodeState]) -> list[tuple[object, ...]]:
    """GROUP, sorted as the kernel searches them.  A device that is not there listens to nothing."""
    found = {
        (devices.of(name, dev), group.version, int(group))
        for name, state in nodes.items()
        for dev, group in joined(state)
    }
    return [
        (encode.pair(group), device, family, (0, 0, 0))
        for device, family, group in sorted(found)
        if device >= 0
    ]


def fdb_rows(devices: Devices, nodes: Mapping[str, NodeState]) -> list[FdbRow]:
    """Static entries, a bridge's own addresses among them, sorted by (device, mac)."""
    found: dict[tuple[int, int], FdbRow] = {}
    for bridge, ports in devices.ports.items():
        for device in (bridge, *ports):
            node, link = devices.links[device]
            found[bridge, encode.mac(link.mac)] = FdbRow(
                bridge, encode.mac(link.mac), bridge, encode.ZERO, node, None
            )
    for index, kind in enumerate(devices.kinds):
        if kind == DeviceKind.DEVICE_BRIDGE:
            node, link = devices.links[index]
            key = (index, encode.mac(link.mac))
            found[key] = FdbRow(*key, index, encode.ZERO, node, None)
    for name, state in nodes.items():
        for entry in state.fdb:
            row = _fdb_row(devices, name, entry)
            if row is not None:
                found.setdefault((row.device, row.mac), row)
    return [found[key] for key in sorted(found)]


def _fdb_row(devices: Devices, node: str, entry: FdbEntry) -> FdbRow | None:
    """None for entries that forward nothing here: multicast, and devices' own filters."""
    mac = encode.mac(entry.mac)
    device = devices.of(node, entry.dev)
    if device < 0:
        raise TableError(
            f"node {node}: forwarding entry {entry.mac} on {entry.dev!r}, which is no device",
            entry.source,
        )
    if mac >> 40 & 1:
        return None
    if devices.kinds[device] == DeviceKind.DEVICE_VXLAN and entry.dst is not None:
        return FdbRow(device, mac, device, encode.pair(entry.dst), node, entry)
    if entry.master is None or "self" in entry.flags:
        return None
    bridge = devices.of(node, entry.master)
    if bridge < 0 or devices.kinds[bridge] != DeviceKind.DEVICE_BRIDGE:
        return None
    # bridge(8): "permanent: … the MAC address of the interface itself": never forwarded.
    port = bridge if entry.state == "permanent" else device
    return FdbRow(bridge, mac, port, encode.ZERO, node, entry)


def host_rows(devices: Devices, fdb: list[FdbRow], neighbours: list[NeighbourRow]) -> list[HostRow]:
    """Hosts behind ports and on wires, a row per address, sorted by (device, mac)."""
    own_macs = {encode.mac(link.mac) for _, link in devices.links}
    rows = set(_behind_bridges(devices, fdb, neighbours))
    for neighbour in neighbours:
        kind = devices.kinds[neighbour.device]
        if kind not in (DeviceKind.DEVICE_PORT, DeviceKind.DEVICE_WIRE):
            continue
        if neighbour.state == KNOWN and neighbour.mac not in own_macs:
            link = devices.links[neighbour.device][1]
            rows.add(_host(devices, neighbour.device, neighbour, encode.mac(link.mac)))
    return sorted(rows)


def _behind_bridges(
    devices: Devices, fdb: list[FdbRow], neighbours: list[NeighbourRow]
) -> Iterator[HostRow]:
    known: dict[tuple[int, int], list[NeighbourRow]] = {}
    for neighbour in neighbours:
        if neighbour.state == KNOWN:
            known.setdefault((neighbour.device, neighbour.mac), []).append(neighbour)
    for row in fdb:
        if devices.kinds[row.device] != DeviceKind.DEVICE_BRIDGE or row.port == row.device:
            continue
        gateway = encode.mac(devices.links[row.device][1].mac)
        entries = known.get((row.device, row.mac), [])
        for entry in entries:
            yield _host(devices, row.port, entry, gateway, row.device)
        if not entries:
            yield HostRow(row.port, row.mac, 0, 0, gateway, 0)


def _host(
    devices: Devices,
    device: int,
    neighbour: NeighbourRow,
    gateway_mac: int,
    link: int | None = None,
) -> HostRow:
    address = neighbour.entry.dst
    prefixlen = _prefixlen(devices, device if link is None else link, address)
    return HostRow(
        device, neighbour.mac, neighbour.family, neighbour.address, gateway_mac, prefixlen
    )


def _prefixlen(devices: Devices, device: int, address: Address) -> int:
    """Length of the subnet the host is on: that of the device's address whose subnet holds it."""
    for own in own_addresses(devices, device):
        network = ip_network(f"{own.local}/{own.prefixlen}", strict=False)
        if address in network:
            return own.prefixlen
    return address.max_prefixlen


def neighbour_text(entry: Neighbour) -> str:
    return f"{entry.dst} dev {entry.dev} lladdr {entry.lladdr}"


def fdb_text(entry: FdbEntry) -> str:
    return f"{entry.mac} dev {entry.dev} dst {entry.dst}"
