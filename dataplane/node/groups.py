"""Multicast groups that a node has joined: `ip -j maddr`, or those that a kernel joins itself."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from itertools import groupby
from typing import Any

from dataplane.node.entries import Entry, read_entries, render_entries
from dataplane.node.state import Address, GroupMembership, InterfaceAddress, Link, NodeState

ALL_SYSTEMS = IPv4Address("224.0.0.1")
ALL_NODES = (IPv6Address("ff02::1"), IPv6Address("ff01::1"))
ALL_ROUTERS = (IPv6Address("ff05::2"), IPv6Address("ff01::2"), IPv6Address("ff02::2"))
SOLICITED_NODE = int(IPv6Address("ff02::1:ff00:0"))
FAMILIES = {4: "inet", 6: "inet6"}


def parse(text: str, path: str) -> tuple[GroupMembership, ...]:
    """Groups of IP; link-layer addresses, which are listed too, follow from them."""
    return tuple(
        GroupMembership(entry.text("ifname"), group.address("address"), entry.source)
        for entry in read_entries(text, path)
        for group in entry.entries("maddr")
        if not _is_link_layer(group)
    )


def _is_link_layer(group: Entry) -> bool:
    return group.has("link") or group.text("family") not in FAMILIES.values()


def render(groups: Iterable[GroupMembership]) -> str:
    return render_entries(
        {"ifname": dev, "maddr": [_entry(group.address) for group in found]}
        for dev, found in groupby(groups, lambda group: group.dev)
    )


def _entry(address: Address) -> dict[str, Any]:
    return {"family": FAMILIES[address.version], "address": str(address)}


def joined(state: NodeState) -> frozenset[tuple[str, Address]]:
    """(device, group): as listed, or else what the kernel itself joins; what programs of the node
    have joined is then not known."""
    if state.groups is not None:
        return frozenset((group.dev, group.address) for group in state.groups)
    return frozenset((link.name, group) for link in state.links for group in _own(state, link))


def _own(state: NodeState, link: Link) -> Iterator[Address]:
    """igmp.c, ip_mc_up; addrconf.c, ipv6_add_dev, addrconf_join_solict, dev_forward_change."""
    if link.is_up:
        yield ALL_SYSTEMS
    yield from ALL_NODES
    is_router = _is_router(state, link)
    if is_router and "MULTICAST" in link.flags:
        yield from ALL_ROUTERS
    if link.link_type == "loopback" or "NOARP" in link.flags:
        return
    for address in state.addresses:
        if address.dev == link.name and address.local.version == 6:
            yield _solicited_node(int(address.local))
            if is_router and address.prefixlen < 127 and _prefix(address):
                yield _solicited_node(_prefix(address))


def _is_router(state: NodeState, link: Link) -> bool:
    """What is written to conf.all is written to every device."""
    everywhere = state.sysctls.get("net.ipv6.conf.all.forwarding", "0")
    own = state.sysctls.get(f"net.ipv6.conf.{link.name.replace('.', '/')}.forwarding", everywhere)
    return own.strip() != "0"


def _prefix(address: InterfaceAddress) -> int:
    """RFC 4291, section 2.6.1: the subnet's routers share this address."""
    network = ip_network(f"{address.local}/{address.prefixlen}", strict=False)
    return int(network.network_address)


def _solicited_node(address: int) -> IPv6Address:
    """RFC 4291, section 2.7.1"""
    return IPv6Address(SOLICITED_NODE | address & 0xFFFFFF)
