"""The sets of one node, and what packets have made of them."""

from dataclasses import dataclass, field, replace

from dataplane.node.ipset_rows import Ipset, SetEntry

SECOND_NS = 10**9


@dataclass
class LiveEntry:
    entry: SetEntry  # as it was added: what packets change of it stands here
    expires_ns: int | None  # None = never
    packets: int = 0
    bytes: int = 0
    mac: str | None = None


@dataclass
class LiveSet:
    ipset: Ipset
    entries: list[LiveEntry] = field(default_factory=list)
    is_uncertain: bool = False  # a look-up that may have been: what it changed is not known

    @property
    def has_timeout(self) -> bool:
        return self.ipset.option("timeout") is not None

    @property
    def learns_mac(self) -> bool:
        return self.ipset.type == "bitmap:ip,mac"


class Sets:
    """The sets of one node; `by_name` is None where nothing is known of them."""

    def __init__(self, ipsets: tuple[Ipset, ...] | None):
        self.by_name = None if ipsets is None else {s.name: LiveSet(s) for s in ipsets}
        self.has_begun = False

    def begin(self, now_ns: int) -> None:
        """The first packet's time: from it on, the timeouts of what is there run."""
        if self.has_begun:
            return
        self.has_begun = True
        for live in (self.by_name or {}).values():
            for entry in live.ipset.entries:
                plain = (entry.timeout or 0) * SECOND_NS or None
                waits = live.learns_mac and entry.element.mac is None
                expires = plain if plain is None or waits else now_ns + plain
                live.entries.append(
                    LiveEntry(entry, expires, entry.packets, entry.bytes, entry.element.mac)
                )


def is_expired(live: LiveSet, entry: LiveEntry, now_ns: int) -> bool:
    if entry.expires_ns is None or (live.learns_mac and entry.mac is None):
        return False
    return now_ns > entry.expires_ns


def listing(sets: Sets, now_ns: int) -> tuple[Ipset, ...] | None:
    """What `ipset save` would print at that time."""
    if sets.by_name is None:
        return None
    return tuple(
        replace(live.ipset, entries=tuple(_listed(live, now_ns))) for live in sets.by_name.values()
    )


def _listed(live: LiveSet, now_ns: int) -> list[SetEntry]:
    found = []
    for entry in live.entries:
        if is_expired(live, entry, now_ns):
            continue
        waits = live.learns_mac and entry.mac is None
        left = (entry.expires_ns or 0) - (0 if waits or entry.expires_ns is None else now_ns)
        element = replace(entry.entry.element, mac=entry.mac)
        found.append(
            replace(
                entry.entry, element=element, packets=entry.packets, bytes=entry.bytes,
                timeout=left // SECOND_NS if live.has_timeout else None,
            )
        )  # fmt: skip
    return found
