"""Devices: `ip -j -d link`."""

from collections.abc import Iterable
from typing import Any

from dataplane.node.entries import Entry, read_entries, render_entries
from dataplane.node.state import Address, Link, Vxlan

# A VXLAN device with one of these is listed, but its `vxlan` is None: it is not modelled.
UNMODELLED = ("external", "vnifilter", "gbp", "gpe", "remcsum_rx", "remcsum_tx", "collect_metadata")


def parse(text: str, path: str) -> tuple[Link, ...]:
    return tuple(_link(entry) for entry in read_entries(text, path))


def _link(entry: Entry) -> Link:
    info = entry.nested("linkinfo")
    kind = info.text("info_kind", "")
    link_type = entry.text("link_type", "ether")
    return Link(
        index=entry.number("ifindex", most=2**31 - 1),
        name=entry.text("ifname"),
        mac=_mac(entry),
        mtu=entry.number("mtu"),
        kind=kind,
        link_type=link_type,
        flags=entry.texts("flags"),
        master=entry.optional_text("master"),
        hairpin=info.nested("info_slave_data").truth("hairpin", False),
        vxlan=_vxlan(info.nested("info_data")) if kind == "vxlan" else None,
        source=entry.source,
    )


def _mac(entry: Entry) -> str:
    """Tunnels have an IP address here, some devices nothing."""
    if entry.text("link_type", "ether") in ("ether", "loopback") and entry.has("address"):
        return entry.mac("address")
    return ""


def _vxlan(data: Entry) -> Vxlan | None:
    # `ttl inherit` shows in JSON only in that there is no ttl (iplink_vxlan.c, v6.1).
    if any(data.has(key) for key in UNMODELLED) or not data.has("ttl"):
        return None
    ports = data.nested("port_range")
    return Vxlan(
        id=data.number("id", most=2**24 - 1),
        port=data.number("port", 8472, most=65535),
        local=_either(data, "local", "local6"),
        link=data.optional_text("link"),
        remote=_either(data, "remote", "remote6", "group", "group6"),
        port_low=ports.number("low", 0, most=65535),
        port_high=ports.number("high", 0, most=65535),
        ttl=data.number("ttl", most=255),
        tos=data.hexadecimal("tos", 0),
        df=data.text("df", "unset"),
        learning=data.truth("learning", True),
        udp_csum=data.truth("udp_csum", True),
    )


def _either(data: Entry, *keys: str) -> Address | None:
    return next((data.address(key) for key in keys if data.has(key)), None)


def render(links: Iterable[Link]) -> str:
    return render_entries(map(_entry, links))


def _entry(link: Link) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "ifindex": link.index,
        "ifname": link.name,
        "flags": list(link.flags),
        "mtu": link.mtu,
        "master": link.master,
        "link_type": link.link_type,
        "address": link.mac or None,
        "linkinfo": _linkinfo(link) or None,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _linkinfo(link: Link) -> dict[str, Any]:
    info: dict[str, Any] = {"info_kind": link.kind} if link.kind else {}
    if link.vxlan:
        info["info_data"] = _vxlan_data(link.vxlan)
    if link.master:
        info["info_slave_kind"] = "bridge"
        info["info_slave_data"] = {"hairpin": link.hairpin}
    return info


def _vxlan_data(vxlan: Vxlan) -> dict[str, Any]:
    data = {
        "id": vxlan.id,
        **_addressed("group" if _is_multicast(vxlan) else "remote", vxlan.remote),
        **_addressed("local", vxlan.local),
        "link": vxlan.link,
        "port_range": {"low": vxlan.port_low, "high": vxlan.port_high},
        "port": vxlan.port,
        "learning": vxlan.learning,
        "tos": hex(vxlan.tos) if vxlan.tos else None,
        "ttl": vxlan.ttl,
        "df": vxlan.df,
        "udp_csum": vxlan.udp_csum,
    }
    return {key: value for key, value in data.items() if value is not None}


def _is_multicast(vxlan: Vxlan) -> bool:
    return vxlan.remote is not None and vxlan.remote.is_multicast


def _addressed(key: str, address: Address | None) -> dict[str, str]:
    """`local` for an IPv4 address, `local6` for an IPv6 one, nothing for none."""
    if address is None:
        return {}
    return {f"{key}6" if address.version == 6 else key: str(address)}
