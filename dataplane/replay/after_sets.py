"""Sets as a replay left them, in ipset's own shape."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from _fastpath.state import SetElementFlag
from dataplane.image.encode import mac_text
from dataplane.image.image import Image
from dataplane.image.state import State
from dataplane.node.ipset_rows import Ipset, SetElement, SetEntry
from dataplane.node.ipset_words import one

SECOND_NS = 10**9
Names = list[tuple[str, str]]  # (node, set), by a set's index


def ipsets(image: Image, state: State, node: str, now_ns: int) -> tuple[Ipset, ...] | None:
    """A node's sets, each with what is in it at that time; None where they are not known."""
    known = image.states[node].ipsets
    if known is None:
        return None
    rows = state.arrays["set_elements"][: int(state.arrays["set_used"][0])]
    rows = rows[rows["flags"] & SetElementFlag.ELEMENT_IN_USE != 0]
    names = image.names.sets
    index = {found.name: names.index((node, found.name)) for found in known}
    return tuple(
        replace(s, entries=tuple(_entries(s, rows[rows["owner"] == index[s.name]], names, now_ns)))
        for s in known
    )


def _entries(owner: Ipset, rows: Any, names: Names, now_ns: int) -> Iterator[SetEntry]:
    has_timeout = owner.option("timeout") is not None
    texts = {entry.element: entry for entry in owner.entries}
    for row in rows:
        waits = bool(row["flags"] & SetElementFlag.ELEMENT_NO_MAC)
        expires = int(row["expires_ns"])
        if has_timeout and not waits and expires and now_ns > expires:
            continue
        left = expires - (0 if waits or not expires else now_ns)
        element = _element(owner, row, names)
        mark = int(row["skbmark"]), int(row["skbmark_mask"])
        before = texts.get(element)
        yield SetEntry(
            element,
            nomatch=bool(row["flags"] & SetElementFlag.ELEMENT_NOMATCH),
            timeout=left // SECOND_NS if has_timeout else None,
            packets=int(row["packets"]),
            bytes=int(row["bytes"]),
            comment=before.comment if before else None,
            skbmark=mark if any(mark) else None,
            skbprio=before.skbprio if before else None,
            skbqueue=before.skbqueue if before else None,
        )


def _element(owner: Ipset, row: Any, names: Names) -> SetElement:
    if owner.type == "list:set":
        return SetElement(set_name=names[int(row["mark"])][1])
    parts = owner.parts
    last = len(parts) - 1
    has_port, has_mac = "port" in parts, "mac" in parts
    has_protocol = has_port and not owner.type.startswith("bitmap")
    waits = bool(row["flags"] & SetElementFlag.ELEMENT_NO_MAC)
    name = row["name"].tobytes().rstrip(b"\0").decode(errors="surrogateescape")
    second = _network(owner, row["second"], int(row["second_length"]), parts[last])
    return SetElement(
        network=_network(owner, row["first"], int(row["first_length"]), parts[0]),
        protocol=int(row["proto"]) if has_protocol else None,
        port=int(row["port"]) if has_port else None,
        second=second if last else None,
        device=name if "iface" in parts else None,
        is_physical=bool(row["flags"] & SetElementFlag.ELEMENT_PHYSICAL),
        is_wildcard=bool(row["flags"] & SetElementFlag.ELEMENT_WILDCARD),
        mac=mac_text(int(row["name"][0])) if has_mac and not waits else None,
        mark=int(row["mark"]) if "mark" in parts else None,
    )


def _network(owner: Ipset, pair: Any, length: int, part: str) -> IPv4Network | IPv6Network | None:
    if part not in ("ip", "net"):
        return None
    number = int(pair["hi"]) << 64 | int(pair["lo"])
    found = one(number, owner.family)
    return type(found)((number, length)) if part == "net" else found
