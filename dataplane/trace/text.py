"""A trace as text for people: hops by node, sections by hook, one line per decision.

packet 17  client.pcap:17  0.363012 s
 TCP 10.244.1.2:42552 → 10.96.10.10:80 [S]
 pod/default/client → svc/default/web:http

 node-a                                                       from pod/default/client
   in          vethce2a28d0
   conntrack   NEW
   nat         PREROUTING:1       -j KUBE-SERVICES            "kubernetes service portals"
               KUBE-SERVICES:2    -d 10.96.10.10/32 … -j …    svc/default/web:http  web.yaml:9
   DNAT        dst 10.96.10.10:80 → 10.244.2.3:8080
 …
 DELIVERED  node-b vetha11124ff                               pod/default/web-3
            10.244.1.2:42552 → 10.244.2.3:8080 ttl 62
"""

from collections import defaultdict

from _fastpath.reason import Reason, Verdict
from dataplane.cluster.wording import printable
from dataplane.errors import NOWHERE
from dataplane.reference.steps import StepKind
from dataplane.trace import reasons
from dataplane.trace.caption import Caption
from dataplane.trace.changes import Change, changes
from dataplane.trace.describe import Describer
from dataplane.trace.draws import Draw, draws
from dataplane.trace.headline import end_addresses, headline
from dataplane.trace.hops import Hop, Section, hops
from dataplane.trace.places import Named
from dataplane.trace.record import Record
from dataplane.trace.rules import comment_of, text_without_comment
from dataplane.trace.steps import step_title, step_words

TITLE = 12  # columns of a section's title
PLACE = 29  # of CHAIN:NUMBER; a chain's name has up to 28 letters, kube-proxy's have 25
OBJECTS = 92  # where the objects begin, if the line is not longer
RULE_LETTERS = 1000  # of a hostile rule
REMARKS = {
    StepKind.STEP_UNDECIDED: "whether it matches is not known; either way the same",
    StepKind.STEP_HOTDROP: "the packet is too malformed for its match, which drops it",
}
NEVER_SENT = (Verdict.SKIPPED,)
ENDED_WELL = (Verdict.DELIVERED, Verdict.FORWARDED)


def text(record: Record, describer: Describer, caption: Caption) -> str:
    """All of it, ending in a newline."""
    writer = _Writer(record, describer)
    writer.caption(caption)
    for hop in hops(record.steps, describer.rules.is_silent):
        writer.hop(hop)
    writer.end()
    return "\n".join([*writer.lines, ""])


class _Writer:
    """The lines of one record."""

    def __init__(self, record: Record, describer: Describer):
        self.record = record
        self.describer = describer
        self.lines: list[str] = []
        self._told: set[Named] = set()  # objects whose file and line were told
        self._changes: dict[int, list[Change]] = defaultdict(list)  # by step
        self._draws: dict[int, list[Draw]] = defaultdict(list)
        for change in changes(record):
            self._changes[change.step].append(change)
        for draw in draws(record, describer.rules):
            self._draws[draw.step].append(draw)

    def caption(self, caption: Caption) -> None:
        where = f"  {caption.where}" if caption.where else ""
        self._line(f"packet {caption.number}{where}  {caption.seconds:.6f} s")
        self._line(f" {headline(self.record)}")
        ends = self.describer.source(self.record), self.describer.destination(self.record)
        if any(ends):
            self._line(" " + " → ".join(end.name if end else "?" for end in ends))

    def hop(self, hop: Hop) -> None:
        first = self.record.steps[hop.sections[0].steps[0]]
        is_begun = hop.is_generated or hop.is_resumed
        behind = "" if is_begun else self._behind(first.node, first.name)
        self._line("")
        own = ", a packet of its own" if hop.is_generated else ""
        self._line(f" {hop.node}{own}", f"from {behind}" if behind else "")
        for section in hop.sections:
            if section.kind == StepKind.STEP_RULE:
                self._rules(section)
            else:
                self._step(section, section.steps[0])

    def end(self) -> None:
        record = self.record
        verdict = Verdict(record.verdict)
        node, device = record.place
        at = f"{node} {device}" if device else node
        self._line("")
        self._line(f" {verdict.name:<10} {at}", self._name(self.describer.end(record)))
        if verdict in ENDED_WELL:
            self._line(f"{'':11} {end_addresses(record)} ttl {record.end_ttl}")
        else:
            reason = reasons.explain(record.reason)
            self._line(f"{'':11} {Reason(record.reason).name}: {reason.sentence}")
        self._blame()

    def _blame(self) -> None:
        """The kernel's word for it, and the rule if it was one."""
        rule = self.describer.blamed(self.record)
        if rule:
            number = rule.number or "policy"
            self._line(f"{'':11} by {rule.node} {rule.table} {rule.chain}:{number}")
        skb = reasons.skb_drop_reason(self.record.reason)
        if skb:
            self._line(f"{'':11} {skb}")

    # Sections.

    def _rules(self, section: Section) -> None:
        title = section.table
        for index in section.steps:
            for draw in self._draws[index]:
                if not draw.matched:
                    place = f"{draw.chain}:{draw.number}" if draw.chain else "?"
                    self._row(section, title, f"{place:<{PLACE}} {draw}")
                    title = ""
            self._rule(section, title, index)
            remark = REMARKS.get(self.record.steps[index].kind)
            if remark:
                self._row(section, "", f"{'':{PLACE}} {remark}")
            for draw in self._draws.pop(index, []):
                if draw.matched:
                    self._row(section, "", f"{'':{PLACE}} {draw}")
            self._changed(section, index)
            title = ""

    def _rule(self, section: Section, title: str, index: int) -> None:
        step = self.record.steps[index]
        rule = self.describer.rules.rule(step)
        if rule is None:
            place, right = f"{step.chain} policy", ""
            words = self.describer.rules.policy(step)
        else:
            place, words = f"{step.chain}:{step.number}", text_without_comment(rule)
            comment = comment_of(rule)
            right = self._name(self.describer.rules.behind(step))
            right = right or (f'"{printable(comment)}"' if comment else "")
        words = printable(words, RULE_LETTERS)
        self._row(section, title, f"{place:<{PLACE}} {words}", right)

    def _step(self, section: Section, index: int) -> None:
        step = self.record.steps[index]
        words, right = step_words(step), ""
        if step.kind == StepKind.STEP_NAT:
            words = ", ".join(map(str, self._changes.pop(index, []))) or words
        if step.kind == StepKind.STEP_DEVICE_OUT:
            behind = self._behind(step.node, step.name)
            right = f"to {behind}" if behind else ""
        self._row(section, step_title(self.record.steps, index), words, right)
        self._changed(section, index)

    def _changed(self, section: Section, index: int) -> None:
        for change in self._changes.pop(index, []):
            self._row(section, change.what, change.values)

    # Lines.

    def _row(self, section: Section, title: str, words: str, right: str = "") -> None:
        self._line(f"   {'│ ' * section.tunnels}{title:<{TITLE}}{words}", right)

    def _line(self, left: str, right: str = "") -> None:
        text = f"{left:<{OBJECTS - 2}}  {right}" if right else left
        self.lines.append(text.rstrip())

    def _behind(self, node: str, device: str) -> str:
        return self._name(self.describer.places.device(node, device)) if device else ""

    def _name(self, named: Named | None) -> str:
        """An object's name and, the first time, where it was declared."""
        if named is None:
            return ""
        is_new = named not in self._told and named.source is not NOWHERE
        self._told.add(named)
        return f"{named.name}  {named.source}" if is_new else named.name
