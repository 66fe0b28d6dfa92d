"""Values that changed on the way, in words: `dst 10.96.10.10:80 → 10.244.2.3:8080`."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from dataplane.node.state import Address
from dataplane.reference.steps import Event, EventKind, StepKind
from dataplane.trace import vocabulary
from dataplane.trace.headline import endpoint
from dataplane.trace.record import Record

_ADDRESSES = {
    EventKind.EVENT_SRC: EventKind.EVENT_SPORT,
    EventKind.EVENT_DST: EventKind.EVENT_DPORT,
}
_MACS = (EventKind.EVENT_ETHER_SRC, EventKind.EVENT_ETHER_DST)
_MADE = (EventKind.EVENT_OUTER_SPORT, EventKind.EVENT_IP_ID)


class Change(NamedTuple):
    """One value; with its port where that changed in the same step."""

    kind: int  # EventKind; EVENT_SRC and EVENT_DST stand for address and port
    step: int  # index of the step it belongs to
    before: str  # "" where nothing was: a value given to a packet made here
    after: str

    @property
    def what(self) -> str:
        return vocabulary.CHANGES[EventKind(self.kind)]

    @property
    def values(self) -> str:
        return f"{self.before} → {self.after}" if self.before else self.after

    def __str__(self) -> str:
        return f"{self.what} {self.values}"


def changes(record: Record) -> list[Change]:
    """All of a record's but the draws, which are no change (see draws)."""
    return list(_changes(record, [e for e in record.events if e.kind != EventKind.EVENT_DRAW]))


def _changes(record: Record, events: Sequence[Event]) -> Iterator[Change]:
    index = 0
    while index < len(events):
        event = events[index]
        after = events[index + 1] if index + 1 < len(events) else None
        version = _version(record, event.step)
        port_kind = _ADDRESSES.get(EventKind(event.kind))
        if after and after.kind == port_kind and after.step == event.step:
            old, new = ip(event.before, version), ip(event.after, version)
            before, now = endpoint(old, after.before), endpoint(new, after.after)
            index += 1
        else:
            before = _value(event.kind, event.before, version)
            now = _value(event.kind, event.after, version)
        yield Change(event.kind, max(event.step - 1, 0), before, now)
        index += 1


def _value(kind: int, number: int, version: int) -> str:
    if kind in _ADDRESSES:
        return str(ip(number, version))
    if kind in _MACS:
        return number.to_bytes(8)[2:].hex(":") if number else ""
    if kind in (EventKind.EVENT_MARK, EventKind.EVENT_CONNMARK, EventKind.EVENT_TOS):
        return hex(number)
    if kind == EventKind.EVENT_MSS and not number:
        return ""
    return "" if kind in _MADE and number == 0 else str(number)


def ip(number: int, version: int) -> Address:
    return IPv6Address(number) if version == 6 or number >> 32 else IPv4Address(number)


def _version(record: Record, step: int) -> int:
    """Of the packet at that step: inside a tunnel it is not the record's own."""
    depth = 0
    for taken in reversed(record.steps[:step]):
        if taken.family:
            return taken.family
        depth += taken.kind == StepKind.STEP_ENCAPSULATE
    return 4 if depth else record.family  # tunnels are IPv4
