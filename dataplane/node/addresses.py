"""Addresses of devices: `ip -j addr`."""

from collections.abc import Iterable
from ipaddress import IPv4Address
from itertools import groupby
from typing import Any

from dataplane.node.entries import Entry, read_entries, render_entries
from dataplane.node.state import InterfaceAddress

# What makes an IPv6 address a better source, or a worse one; and that no route follows from it.
FLAGS = ("deprecated", "noprefixroute", "optimistic", "temporary", "tentative")


def parse(text: str, path: str) -> tuple[InterfaceAddress, ...]:
    return tuple(
        _address(entry.text("ifname"), info)
        for entry in read_entries(text, path)
        for info in entry.entries("addr_info")
        if info.values  # old versions of iproute2 print {} for what was filtered away
    )


def _address(dev: str, info: Entry) -> InterfaceAddress:
    local = info.address("local")
    broadcast = info.optional_address("broadcast")
    if broadcast is not None and not isinstance(broadcast, IPv4Address):
        raise info.wrong("broadcast", "an IPv4 address")
    return InterfaceAddress(
        dev=dev,
        local=local,
        prefixlen=info.number("prefixlen", most=local.max_prefixlen),
        scope=info.text("scope", "global"),
        broadcast=broadcast,
        secondary=info.truth("secondary", False),
        flags=tuple(name for name in FLAGS if info.truth(name, False)),
        source=info.source,
    )


def render(addresses: Iterable[InterfaceAddress]) -> str:
    return render_entries(
        {"ifname": dev, "addr_info": [_info(address) for address in group]}
        for dev, group in groupby(addresses, key=lambda address: address.dev)
    )


def _info(address: InterfaceAddress) -> dict[str, Any]:
    info: dict[str, Any] = {
        "family": "inet" if address.local.version == 4 else "inet6",
        "local": str(address.local),
        "prefixlen": address.prefixlen,
        "broadcast": str(address.broadcast) if address.broadcast else None,
        "scope": address.scope,
        "secondary": True if address.secondary else None,
        **{name: True if name in address.flags else None for name in FLAGS},
        "label": address.dev if address.local.version == 4 else None,
    }
    return {key: value for key, value in info.items() if value is not None}
