"""Records as JSON lines: one object per packet, with names for everything that has one.

Keys never change their meaning; new ones may come.

    file, packet    where the packet stands: capture, and number in it (1-based)
    time            RFC 3339, nanoseconds
    flow            number of its flow in the replay; null = none
    reply           true: sent by the responder of its flow
    protocol        tcp, udp, icmp, …; "" = not IP
    src, dst        addresses as injected; sport, dport where the protocol has ports
    tcp_flags       as tcpdump writes them: "S."
    icmp_type, icmp_code, icmp_id
    from, to        objects that have src and dst: "pod/default/client", "svc/default/web:http"
    verdict, reason, skb_drop_reason
    node, device    where it ended; device null = the node itself, both null = nowhere
    at              the object behind that place
    length          bytes on the wire
    end             src, sport, dst, dport, ttl as it ended
    steps           the decisions in order: kind, node, and by kind
                      rule: family, table, chain, number (0 = the policy), target, text,
                            object and declared (file and line), if one caused the rule
                      else: name (device, route, neighbour, what conntrack found, …)
    changes, draws  if asked for; `step` is an index into steps: changes happen in that step,
                    draws before it
"""

import time
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from _fastpath.reason import Reason, Verdict
from dataplane.errors import NOWHERE
from dataplane.node.state import Address
from dataplane.reference.packet import ICMP, ICMPV6, TCP, WITH_PORTS
from dataplane.reference.steps import Step, StepKind
from dataplane.trace import reasons, vocabulary
from dataplane.trace.caption import Caption
from dataplane.trace.changes import changes
from dataplane.trace.describe import Describer
from dataplane.trace.draws import draws
from dataplane.trace.places import Named
from dataplane.trace.record import Record
from dataplane.trace.steps import nat_word, step_words

PATHS_KEPT = 1 << 16
encoded = msgspec.json.Encoder().encode


class StepObject(msgspec.Struct, omit_defaults=True):
    kind: str
    node: str
    family: int = 0
    table: str = ""
    chain: str = ""
    number: int | None = None
    target: str = ""
    text: str = ""
    object: str = ""
    declared: str = ""
    name: str = ""


class ChangeObject(msgspec.Struct):
    step: int
    what: str
    before: str
    after: str


class DrawObject(msgspec.Struct):
    step: int
    draw: float
    probability: float
    chain: str
    number: int
    matched: bool


class EndObject(msgspec.Struct):
    src: str | None
    sport: int | None
    dst: str | None
    dport: int | None
    ttl: int


class PacketObject(msgspec.Struct):
    """Which packet it is."""

    file: str
    packet: int
    time: str


class FateObject(msgspec.Struct, rename={"from_": "from"}):
    """What all packets have in common that look and fare alike."""

    flow: int | None
    reply: bool
    protocol: str
    src: str | None
    sport: int | None
    dst: str | None
    dport: int | None
    tcp_flags: str | None
    icmp_type: int | None
    icmp_code: int | None
    icmp_id: int | None
    from_: str | None
    to: str | None
    verdict: str
    reason: str
    skb_drop_reason: str | None
    node: str | None
    device: str | None
    at: str | None
    length: int
    end: EndObject
    steps: msgspec.Raw
    changes: list[ChangeObject]
    draws: list[DrawObject]


class JsonLines:
    """Encodes records; steps are encoded once for each path."""

    def __init__(self, describer: Describer):
        self._describer = describer
        self._encode = encoded
        self._paths: dict[int, msgspec.Raw] = {}
        self._told: dict[Step, StepObject] = {}

    def line(self, record: Record, caption: Caption, path: int | None = None) -> bytes:
        """One line, with its end.  `path` is the number that all records of this path have."""
        return self.joined(caption, self.fate(record, caption, path))

    def joined(self, caption: Caption, fate: bytes) -> bytes:
        """The line of a packet that fares as another one did."""
        packet = PacketObject(clean(caption.file), caption.number, rfc3339(caption.time_ns))
        return b"%b,%b\n" % (self._encode(packet)[:-1], fate[1:])

    def fate(self, record: Record, caption: Caption, path: int | None = None) -> bytes:
        """An object with all keys but those that say which packet it is."""
        describer = self._describer
        has_ports = record.proto in WITH_PORTS and record.family
        is_icmp = record.proto in (ICMP, ICMPV6) and record.family
        node, device = record.place
        found = FateObject(
            flow=caption.flow,
            reply=caption.is_reply,
            protocol=vocabulary.protocol(record.proto) if record.family else "",
            src=_address(record.src),
            sport=record.sport if has_ports else None,
            dst=_address(record.dst),
            dport=record.dport if has_ports else None,
            tcp_flags=vocabulary.tcp_flags(record.tcp_flags) if record.proto == TCP else None,
            icmp_type=record.dport >> 8 if is_icmp else None,
            icmp_code=record.dport & 0xFF if is_icmp else None,
            icmp_id=record.sport if is_icmp else None,
            from_=_name(describer.source(record)),
            to=_name(describer.destination(record)),
            verdict=Verdict(record.verdict).name,
            reason=Reason(record.reason).name,
            skb_drop_reason=reasons.skb_drop_reason(record.reason) or None,
            node=clean(node) or None,
            device=clean(device) if device else None,
            at=_name(describer.end(record)),
            length=record.length,
            end=_end(record),
            steps=self._steps(record, path),
            changes=_changes(record),
            draws=_draws(record, describer),
        )
        return self._encode(found)

    def _steps(self, record: Record, path: int | None) -> msgspec.Raw:
        known = self._paths.get(path) if path is not None else None
        if known is None:
            known = msgspec.Raw(self.steps(record.steps))
            if path is not None and len(self._paths) < PATHS_KEPT:
                self._paths[path] = known
        return known

    def steps(self, steps: Sequence[Step]) -> bytes:
        """A path, as the value of its key."""
        return self._encode(self.step_objects(steps))

    def step_objects(self, steps: Sequence[Step]) -> list[StepObject]:
        return [self._step(steps, index) for index in range(len(steps))]

    def _step(self, steps: Sequence[Step], index: int) -> StepObject:
        """Paths share most of their steps.  Only a translation's word hangs on those before it."""
        step = steps[index]
        known = self._told.get(step)
        if known is None:
            known = self._object(steps, index)
            if step.kind != StepKind.STEP_NAT and len(self._told) < PATHS_KEPT:
                self._told[step] = known
        return known

    def _object(self, steps: Sequence[Step], index: int) -> StepObject:
        step = steps[index]
        kind = vocabulary.KINDS[StepKind(step.kind)]
        if step.is_rule:
            return self._rule(kind, step)
        if step.kind == StepKind.STEP_NAT:
            name = nat_word(steps, index)
        else:
            name = step.name or step_words(step)
        return StepObject(kind, clean(step.node), name=clean(name))

    def _rule(self, kind: str, step: Step) -> StepObject:
        rules = self._describer.rules
        behind = rules.behind(step)
        return StepObject(
            kind,
            clean(step.node),
            step.family,
            clean(step.table),
            clean(step.chain),
            step.number,
            clean(rules.target(step)),
            clean(rules.text(step)),
            clean(behind.name) if behind else "",
            clean(str(behind.source)) if behind and behind.source is not NOWHERE else "",
        )


def rfc3339(time_ns: int) -> str:
    return f"{_second(time_ns // 10**9)}.{time_ns % 10**9:09}Z"


@lru_cache(1024)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _changes(record: Record) -> list[ChangeObject]:
    return [ChangeObject(each.step, each.what, each.before, each.after) for each in changes(record)]


def _draws(record: Record, describer: Describer) -> list[DrawObject]:
    return [
        DrawObject(
            each.step, each.value, each.probability, clean(each.chain), each.number, each.matched
        )
        for each in draws(record, describer.rules)
    ]


def _end(record: Record) -> EndObject:
    has_ports = record.proto in WITH_PORTS and bool(record.family)
    return EndObject(
        _address(record.end_src),
        record.end_sport if has_ports else None,
        _address(record.end_dst),
        record.end_dport if has_ports else None,
        record.end_ttl,
    )


def _address(address: Address | None) -> str | None:
    return None if address is None else str(address)


def _name(named: Named | None) -> str | None:
    return clean(named.name) if named else None


def clean(text: str) -> str:
    """Names from dumps and comments of rules may hold any bytes; JSON holds Unicode."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
