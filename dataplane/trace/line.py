"""A record in one line: when, what, its way in short, and how it ended.

      17     0.363012 > TCP 10.244.1.2:42552 → 10.96.10.10:80 [S]    pod/default/client › node-a
    DNAT 10.244.2.3:8080 (svc/default/web:http) › vxlan › node-b › pod/default/web-3  DELIVERED

The way is made once for each path, with gaps for what differs between its packets.
"""

from collections.abc import Iterator
from typing import NamedTuple

from _fastpath.reason import Reason, Verdict
from dataplane.node.state import Address
from dataplane.reference.packet import WITH_PORTS
from dataplane.reference.steps import Generated, Step, StepKind
from dataplane.trace.caption import Caption
from dataplane.trace.describe import Describer
from dataplane.trace.headline import endpoint, headline
from dataplane.trace.hops import Hop, hops
from dataplane.trace.record import Record
from dataplane.trace.steps import nat_word
from dataplane.trace.vocabulary import GENERATED

HEADLINE = 56  # columns
PATHS_KEPT = 1 << 16
PLAIN = (Verdict.DELIVERED, Verdict.FORWARDED)  # need no reason
ARROW = " › "
SOURCE, DESTINATION, SERVICE, ENTRY = "\0source", "\0destination", "\0service", "\0entry"
GAPS = frozenset((SOURCE, DESTINATION, SERVICE, ENTRY))


class Way(NamedTuple):
    """Words, and gaps between them."""

    parts: tuple[str, ...]


class Lines:
    """Writes records as lines."""

    def __init__(self, describer: Describer):
        self._describer = describer
        self._ways: dict[int, Way] = {}

    def line(self, record: Record, caption: Caption, path: int | None = None) -> str:
        """Without its end.  `path` is the number that all records of this path have."""
        return f"{self.head(caption)} {self.rest(record, path)}"

    def head(self, caption: Caption, file: str = "") -> str:
        """Which packet it is, and its direction."""
        arrow = "<" if caption.is_reply else ">"
        return f"{file}{caption.number:>6} {caption.seconds:>12.6f} {arrow}"

    def rest(self, record: Record, path: int | None = None) -> str:
        """What all packets have in common that look and fare alike."""
        verdict = Verdict(record.verdict)
        ended = verdict.name
        if verdict not in PLAIN:
            ended += f" {Reason(record.reason).name}"
        words = [f"{headline(record):<{HEADLINE}}", self._way(record, path), ended]
        return "  ".join(filter(None, words))

    def _way(self, record: Record, path: int | None) -> str:
        way = self._ways.get(path) if path is not None else None
        if way is None:
            way = Way(tuple(_way(record, self._describer)))
            if path is not None and len(self._ways) < PATHS_KEPT:
                self._ways[path] = way
        return "".join(self._fill(part, record) if part in GAPS else part for part in way.parts)

    def _fill(self, gap: str, record: Record) -> str:
        if gap == SOURCE:
            return _end_of(record.end_src, record.end_sport, record)
        if gap == DESTINATION:
            return _end_of(record.end_dst, record.end_dport, record)
        if gap == SERVICE:
            named = self._describer.destination(record)
            return f" ({named.service})" if named and named.service else ""
        named = self._describer.source(record)
        return named.name if named else str(record.src)


def _end_of(address: Address | None, port: int, record: Record) -> str:
    return endpoint(address, port) if record.proto in WITH_PORTS else str(address)


def _way(record: Record, describer: Describer) -> Iterator[str]:
    """Start, nodes with what they changed, tunnels, end."""
    if not record.steps:
        return
    if record.entry[1]:  # else a process of the first node sends it
        entry = describer.entry(record)
        yield from (entry.name if entry else ENTRY, ARROW)
    found = hops(record.steps, describer.rules.is_silent)
    for hop in found:
        if hop.is_generated:
            yield f" ⇠ {_made(record.steps[hop.sections[0].steps[0]])}"
            continue
        if not hop.is_resumed:
            yield hop.node if hop is found[0] else ARROW + hop.node
        yield from _translations(record, hop)
        if any(section.kind == StepKind.STEP_ENCAPSULATE for section in hop.sections):
            yield ARROW + "vxlan"
    yield from _place(record, describer)


def _made(step: Step) -> str:
    return GENERATED[Generated(step.number)]


def _translations(record: Record, hop: Hop) -> Iterator[str]:
    """Addresses as they ended; tunnels' own are named only."""
    for section in hop.sections:
        if section.kind != StepKind.STEP_NAT:
            continue
        index = section.steps[0]
        word = nat_word(record.steps, index)
        yield f" {word}"
        if section.tunnels == 0:
            yield from (" ", DESTINATION if record.steps[index].number == 1 else SOURCE)
            if word == "DNAT":
                yield SERVICE


def _place(record: Record, describer: Describer) -> Iterator[str]:
    verdict = Verdict(record.verdict)
    device = record.place[1]
    if verdict in PLAIN:
        end = describer.end(record)
        name = end.name if end and device else device
        yield ARROW + (name or "local process")
        return
    rule = describer.blamed(record)
    if rule:
        yield f" ✘ {rule.table} {rule.chain}:{rule.number or 'policy'}"
