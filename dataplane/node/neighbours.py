"""Neighbour entries: `ip -j neigh`."""

from collections.abc import Iterable
from typing import Any

from dataplane.node.entries import Entry, read_entries, render_entries
from dataplane.node.state import Neighbour


def parse(text: str, path: str) -> tuple[Neighbour, ...]:
    """All entries but those of `ip neigh show proxy`, which say nothing about a neighbour."""
    entries = read_entries(text, path)
    return tuple(_neighbour(entry) for entry in entries if not entry.has("proxy"))


def _neighbour(entry: Entry) -> Neighbour:
    return Neighbour(
        dst=entry.address("dst"),
        dev=entry.text("dev"),
        lladdr=entry.mac("lladdr") if entry.has("lladdr") else None,
        state=entry.texts("state"),
        source=entry.source,
    )


def render(neighbours: Iterable[Neighbour]) -> str:
    return render_entries(map(_entry, neighbours))


def _entry(neighbour: Neighbour) -> dict[str, Any]:
    entry: dict[str, Any] = {"dst": str(neighbour.dst), "dev": neighbour.dev}
    if neighbour.lladdr is not None:
        entry["lladdr"] = neighbour.lladdr
    return {**entry, "state": list(neighbour.state)}
