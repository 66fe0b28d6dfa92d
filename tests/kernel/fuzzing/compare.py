"""The same frames through the kernel and through ours: everything that must be equal.

What Linux draws at random is learned from its output: ports that NAT searched for, from the
connections that it listed; the identification of packets that it makes is left out.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from _fastpath.image import MatchKind, TargetKind
from _fastpath.reason import Reason, Verdict
from _fastpath.trace import Generated, StepKind
from dataplane.node import iptables
from dataplane.node.state import ConntrackEntry, NodeState
from dataplane.reference.choice import ChoiceKind, Fields, choice_key, identity
from dataplane.reference.steps import Step
from dataplane.replay import after
from dataplane.replay.fast import FastEngine
from dataplane.replay.record import Record
from tests.kernel.fuzzing.births import Born
from tests.kernel.fuzzing.case import Case
from tests.kernel.fuzzing.lab import DEVICES, NAME, Answer, FuzzLab, Seen
from tests.kernel.fuzzing.netlink import BEGINNINGS, Entry

SLACK_S = 2  # between a packet and the listing, both rounded down


class Difference(NamedTuple):
    kind: str  # frames, trace, counter, connection, sent
    what: str  # by which two differences are the same one
    text: str
    packet: int = -1


@dataclass
class Ours:
    records: list[Record]
    engine: FastEngine

    @property
    def unmodelled(self) -> set[tuple[str, ...]]:
        """Rules with a match or target that is not modelled."""
        image = self.engine.image
        rules, matches = image.arrays["rules"], image.arrays["matches"]["kind"]
        found = set()
        for row, name in zip(rules, image.names.rules, strict=True):
            start = int(row["match_start"])
            kinds = matches[start : start + int(row["match_count"])]
            if row["kind"] == TargetKind.TARGET_UNKNOWN or MatchKind.MATCH_UNKNOWN in kinds:
                found.add(tuple(name))
        return found

    def is_unknown(self, record: Record) -> bool:
        """The packet's way is not known, or that of one made on its way; or not by which rule."""
        return record.verdict == Verdict.UNKNOWN or any(
            step.kind in (StepKind.STEP_UNDECIDED, StepKind.STEP_UNKNOWN)
            or (step.kind == StepKind.STEP_RULE and step[1:6] in self.unmodelled_rules)
            for step in record.steps
        )

    def __post_init__(self) -> None:
        self.unmodelled_rules = self.unmodelled

    @property
    def cut(self) -> int:
        """Packets before the first whose way is not known."""
        for index, record in enumerate(self.records):
            if self.is_unknown(record):
                return index
        return len(self.records)


def followed(case: Case, state: NodeState, times: list[int], choices: dict[int, list[int]]) -> Ours:
    engine = FastEngine({NAME: state}, choices=choices)
    records = [
        engine.run(time_ns, frame, len(frame), (NAME, device))
        for time_ns, (device, frame) in zip(times, case.frames, strict=True)
    ]
    return Ours(records, engine)


def compare(case: Case, lab: FuzzLab) -> list[Difference]:
    """Empty if the two agree.  Raises Refused if the kernel does not take the rules."""
    state = lab.load(case.rules, case.family, case.sysctls)
    answer = lab.run(list(case.frames), case.family, state)
    groups = by_packet(answer.seen)
    if len(groups) != len(case.frames):
        return [Difference("sent", "sent", f"{len(case.frames)} sent, {len(groups)} arrived")]
    times = [group[0].time_ns for group in groups]
    ours = followed(case, state, times, learned(answer.born))
    differences = [
        *frames_differing(groups, ours),
        *trace_differing(case, state, answer.trace, ours),
    ]
    if ours.cut == len(case.frames):
        differences += counters_differing(case, answer, ours)
        differences += connections_differing(answer, ours, case.family)
    return differences


def by_packet(seen: list[Seen]) -> list[list[Seen]]:
    """What came of each frame sent; the first of each is the frame itself, arriving."""
    groups: list[list[Seen]] = []
    for one in seen:
        if one.device in DEVICES and not one.is_outgoing:
            groups.append([])
        if groups:
            groups[-1].append(one)
    return groups


def learned(born: list[Born]) -> dict[int, list[int]]:
    """The ports that NAT took, by the draw that they stand for.  A port that stayed may have been
    drawn as well, if there is no other connection to tell."""
    choices: dict[int, list[int]] = {}
    kept: dict[int, list[int]] = {}
    for entry in born:
        there, back = entry.original, entry.reply
        fields = Fields(
            there.src.version,
            entry.protocol,
            there.src,
            there.sport or there.icmp_id,
            there.dst,
            there.dport or there.icmp_type << 8 | there.icmp_code,
        )
        for manip, before, now in (
            (0, there.sport or there.icmp_id, back.dport or back.icmp_id),
            (1, there.dport, back.sport),
        ):
            key = choice_key(0, ChoiceKind.NAT_PORT, identity(NAME), fields, manip)
            (choices if before != now else kept).setdefault(key, []).append(now)
    return kept | choices


# Frames.


def frames_differing(groups: list[list[Seen]], ours: Ours) -> list[Difference]:
    for index in range(ours.cut):
        theirs, mine = defaultdict(list), defaultdict(list)
        for one in groups[index]:
            theirs[one.device, one.is_outgoing].append(one.frame)
        for tap in ours.records[index].taps:
            if tap.device != "lo":
                is_made = tap.generated or (tap.outgoing and is_cut(ours.records[index]))
                mine[tap.device, tap.outgoing].append((tap.frame, is_made))
        for place in sorted({*theirs, *mine}):
            if not frames_equal(theirs[place], mine[place]):
                record = ours.records[index]
                device = f"{place[0]} {'out' if place[1] else 'in'}"
                counts = f"theirs {len(theirs[place])} ours {len(mine[place])}"
                reason = Reason(record.reason).name
                text = (
                    f"packet {index} ({reason}) at {device}:\n"
                    + "".join(f"  theirs {frame.hex()}\n" for frame in theirs[place])
                    + "".join(f"  ours   {frame.hex()}\n" for frame, _ in mine[place])
                )
                return [
                    Difference("frames", f"{counts} {reason} proto {record.proto}", text, index)
                ]
    return []


def frames_equal(theirs: list[bytes], mine: list[tuple[bytes, bool]]) -> bool:
    return len(theirs) == len(mine) and all(
        one == other or (made and blank(one) == blank(other))
        for one, (other, made) in zip(theirs, mine, strict=True)
    )


def blank(frame: bytes) -> bytes:
    """Without an IPv4 packet's identification and the checksum over it; without IPv6's flow
    label, a hash whose key is the boot's, and the identification of its fragments."""
    if frame[12:14] == b"\x86\xdd":
        at = fragment_at(frame)
        frame = frame[: at + 4] + bytes(4) + frame[at + 8 :] if at else frame
        return frame[:15] + bytes([frame[15] & 0xF0]) + b"\0\0" + frame[18:]
    return frame[:18] + b"\0\0" + frame[20:24] + b"\0\0" + frame[26:]


def fragment_at(frame: bytes) -> int:
    """Where an IPv6 fragment header stands; 0 if there is none."""
    kind, at = frame[20], 54
    while kind in (0, 43, 60) and at + 8 <= len(frame):
        kind, at = frame[at], at + frame[at + 1] * 8 + 8
    return at if kind == 44 and at + 8 <= len(frame) else 0


def is_cut(record: Record) -> bool:
    """IPv6: the fragments of a node have an identification of its own."""
    return record.family == 6 and any(s.kind == StepKind.STEP_FRAGMENT for s in record.steps)


# The rules' path.


def told_apart(record: Record) -> list[Step]:
    """As nftables tells it, one packet after the other in the order of their beginnings: what a
    TEE sent meanwhile behind the packet itself."""
    groups: list[list[Step]] = [[]]
    waiting = [0]  # which goes on when a copy has been sent
    for step in record.steps:
        if step.kind == StepKind.STEP_GENERATE:
            if step.number != Generated.GENERATED_COPY:
                waiting.pop()
            waiting.append(len(groups))
            groups.append([])
        elif step.kind == StepKind.STEP_RESUME:
            waiting.pop()
        elif step.kind == StepKind.STEP_DEVICE_IN and step.name == "lo":
            waiting[-1] = len(groups)
            groups.append([])
        groups[waiting[-1]].append(step)
    return [step for group in groups for step in group]


def entries(record: Record, flavour: str) -> list[Entry]:
    """nft's trace names the rule whose match drops a malformed packet, legacy's does not."""
    kinds = (StepKind.STEP_RULE, StepKind.STEP_HOTDROP)[: 2 if flavour == "nft" else 1]
    steps = [
        (step.table, step.chain, step.number)
        for step in (told_apart(record) if flavour == "nft" else record.steps)
        if step.kind in kinds
    ]
    return [step for step in steps if step not in BEGINNINGS]


def in_our_order(theirs: list[Entry], case: Case, ours: Ours) -> list[Entry]:
    """nftables tells packets apart by an address and a time, which a reassembled packet, a copy of
    it and the fragments that are cut of that share: of those it tells what, but not in which
    order."""
    at, found = 0, []
    for index in range(ours.cut):
        record = ours.records[index]
        mine = entries(record, case.flavour)
        told = theirs[at : at + len(mine)]
        kinds = {step.kind for step in record.steps}
        is_mixed = case.flavour == "nft" and kinds >= {
            StepKind.STEP_REASSEMBLE, StepKind.STEP_RESUME, StepKind.STEP_FRAGMENT,
        }  # fmt: skip
        found += mine if is_mixed and sorted(told) == sorted(mine) else told
        at += len(mine)
    return found + theirs[at:]


def trace_differing(
    case: Case, state: NodeState, trace: list[Entry], ours: Ours
) -> list[Difference]:
    theirs = in_our_order([entry for entry in trace if entry not in BEGINNINGS], case, ours)
    mine = [
        (index, entry)
        for index in range(ours.cut)
        for entry in entries(ours.records[index], case.flavour)
    ]
    is_whole = ours.cut == len(case.frames)
    for at, (index, entry) in enumerate(mine):
        if at >= len(theirs) or theirs[at] != entry:
            their = theirs[at] if at < len(theirs) else None
            return [
                _trace_difference(
                    case,
                    state,
                    index,
                    their,
                    entry,
                    theirs[max(0, at - 6) : at + 4],
                    [e for _, e in mine[max(0, at - 6) : at + 4]],
                )
            ]
    if is_whole and len(theirs) > len(mine):
        return [
            _trace_difference(case, state, -1, theirs[len(mine)], None, theirs[len(mine) - 5 :], [])
        ]
    return []


def _trace_difference(
    case: Case,
    state: NodeState,
    packet: int,
    their: Entry | None,
    mine: Entry | None,
    theirs: list[Entry],
    ours: list[Entry],
) -> Difference:
    names = f"theirs {rule_kind(case, state, their)} ours {rule_kind(case, state, mine)}"
    text = f"packet {packet}: theirs {their}, ours {mine}\n  theirs {theirs}\n  ours   {ours}\n"
    return Difference("trace", names, text, packet)


def rule_kind(case: Case, state: NodeState, entry: Entry | None) -> str:
    if entry is None:
        return "nothing"
    table, chain, number = entry
    ruleset = state.iptables if case.family == 4 else state.ip6tables
    if not number:
        return f"{table} policy"
    rule = ruleset.tables[table].chains[chain].rules[number - 1]
    target = rule.target.name if rule.target else ""
    target = "" if target.startswith("c-") else target
    return f"{table} [{' '.join(m.name for m in rule.matches)} -j {target}]"


# What is left.


def counters_differing(case: Case, answer: Answer, ours: Ours) -> list[Difference]:
    mine = after.counters(ours.engine.image, ours.engine.state)
    for table in answer.rules.tables.values():
        for chain in table.chains.values():
            for number, counted in enumerate((chain, *chain.rules)):
                if number == 0 and (case.flavour == "nft" or chain.policy is None):
                    continue
                theirs = counted.packets, counted.bytes
                own = mine[NAME, case.family, table.name, chain.name, number]
                if theirs != own:
                    words = iptables.render_rule(chain.name, counted) if number else "policy"
                    text = f"{table.name} {words}: theirs {theirs} ours {own}\n"
                    names = " ".join(m.name for m in counted.matches) if number else "policy"
                    return [Difference("counter", f"{table.name} {names}", text)]
    return []


def connections_differing(answer: Answer, ours: Ours, family: int) -> list[Difference]:
    listed = after.connections(ours.engine.image, ours.engine.state, NAME, answer.listed_ns)
    theirs, mine = by_tuple(answer.connections), by_tuple(listed)
    for key in sorted({*theirs, *mine}, key=str):
        one, other = theirs.get(key, []), mine.get(key, [])
        if len(one) != len(other) or not all(map(entries_equal, one, other)):
            protocol = key[0]
            shape = f"theirs {[_shape(e) for e in one]} ours {[_shape(e) for e in other]}"
            text = f"connection {key}: {one} {other}\n"
            return [Difference("connection", f"proto {protocol} {shape}", text)]
    return []


def _shape(entry: ConntrackEntry) -> str:
    return f"{entry.state}{' unreplied' * entry.unreplied}{' assured' * entry.assured}"


def by_tuple(listed: object) -> dict[tuple[object, ...], list[ConntrackEntry]]:
    found: dict[tuple[object, ...], list[ConntrackEntry]] = {}
    for entry in listed:  # type: ignore[attr-defined]
        key = entry.protocol, str(entry.original), str(entry.reply)
        found.setdefault(key, []).append(entry)
    return found


def entries_equal(one: ConntrackEntry, other: ConntrackEntry) -> bool:
    same = (one.state, one.unreplied, one.assured, one.mark) == (
        other.state,
        other.unreplied,
        other.assured,
        other.mark,
    )
    return same and abs(one.timeout - other.timeout) <= SLACK_S
