"""Forwarding databases of bridges and VXLAN devices: `bridge -j fdb`."""

from collections.abc import Iterable
from typing import Any

from dataplane.node.entries import Entry, read_entries, render_entries
from dataplane.node.state import FdbEntry

# Where a VXLAN device would send other than by its own port, VNI and address list.
UNMODELLED = ("port", "vni", "nhid", "src_vni")


def parse(text: str, path: str) -> tuple[FdbEntry, ...]:
    return tuple(_fdb_entry(entry) for entry in read_entries(text, path))


def _fdb_entry(entry: Entry) -> FdbEntry:
    entry.refuse(UNMODELLED)
    return FdbEntry(
        mac=entry.mac("mac"),
        dev=entry.text("ifname"),
        master=entry.optional_text("master"),
        dst=entry.optional_address("dst"),
        state=entry.text("state", ""),
        flags=entry.texts("flags"),
        source=entry.source,
    )


def render(fdb: Iterable[FdbEntry]) -> str:
    return render_entries(map(_entry, fdb))


def _entry(fdb_entry: FdbEntry) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "mac": fdb_entry.mac,
        "ifname": fdb_entry.dev,
        "dst": str(fdb_entry.dst) if fdb_entry.dst else None,
        "flags": list(fdb_entry.flags),
        "master": fdb_entry.master,
        "state": fdb_entry.state,
    }
    return {key: value for key, value in entry.items() if value is not None}
