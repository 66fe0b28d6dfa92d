"""A case from a seed: a rule set that the kernel takes, and traffic whose way ours knows."""

import dataclasses
from random import Random

from _fastpath.reason import Verdict
from dataplane.node.state import NodeState
from dataplane.reference.packet import Packet
from dataplane.replay.fast import FastEngine
from dataplane.replay.record import Record
from tests.kernel.fuzzing import rules as random_rules
from tests.kernel.fuzzing.case import Case
from tests.kernel.fuzzing.compare import followed
from tests.kernel.fuzzing.lab import DEVICES, MTUS, NAME, FuzzLab, Refused
from tests.kernel.fuzzing.packets import Traffic

PACKETS = 200
START, STEP = 10**18, 10**5
ROOM = 18  # Ethernet's header, and a tag's


def generate(
    seed: str, flavour: str, lab: FuzzLab, packets: int = PACKETS
) -> tuple[Case, list[str]]:
    """The case, and the rules that the kernel refused."""
    random = Random(f"{seed} {flavour}")
    family = random.choice((4, 4, 6))
    case = Case(
        flavour,
        family,
        random_rules.ruleset(random, family, flavour),
        random_rules.sysctls(random),
        seed=seed,
    )
    case, state, refused = accepted(case, lab)
    frames = traffic(random, family, state, packets)
    case = dataclasses.replace(case, frames=tuple(frames))
    return known_only(case, state), refused


def accepted(case: Case, lab: FuzzLab) -> tuple[Case, NodeState, list[str]]:
    """Without the rules that the kernel refuses."""
    try:
        return case, lab.load(case.rules, case.family, case.sysctls), []
    except Refused:
        case, refused = without_refused(case, lab)
        return case, lab.load(case.rules, case.family, case.sysctls), refused


def without_refused(case: Case, lab: FuzzLab) -> tuple[Case, list[str]]:
    """Each rule is asked alone: legacy names no more than the COMMIT of its table."""
    kept, refused = [], []
    for table in case.rules.split("COMMIT\n")[:-1]:
        lines = table.splitlines()
        heads = [line for line in lines if not line.startswith("-A")]
        kept += heads
        for line in lines:
            if line.startswith("-A"):
                try:
                    lab.restore("\n".join([*heads, line, "COMMIT", ""]), case.family)
                    kept.append(line)
                except Refused as error:
                    refused.append(f"{line}: {str(error).splitlines()[0][-200:]}")
        kept.append("COMMIT")
    return dataclasses.replace(case, rules="\n".join([*kept, ""])), refused


def traffic(random: Random, family: int, state: NodeState, packets: int) -> list[tuple[str, bytes]]:
    engine = FastEngine({NAME: state})
    source = Traffic(random, family)
    frames: list[tuple[str, bytes]] = []
    while len(frames) < packets:
        for device, frame in source.next():
            if len(frame) > MTUS.get(device, 1500) + ROOM:
                continue  # is_skb_forwardable: the veth does not take it
            if Packet(frame).is_partial:
                continue  # a wrong checksum that looks like one left to a device
            record = engine.run(START + len(frames) * STEP, frame, len(frame), (NAME, device))
            if record.verdict == Verdict.UNKNOWN or answers_everybody(record):
                continue
            frames.append((device, frame))
            source.follow(
                [
                    (tap.device, tap.frame)
                    for tap in record.taps
                    if tap.outgoing and not tap.generated and tap.device in DEVICES
                ]
            )
    return frames


def answers_everybody(record: Record) -> bool:
    """Broadcasts that the node sends come back to itself, which is not modelled (README)."""
    return any(tap.generated and tap.frame[:6] == b"\xff" * 6 for tap in record.taps)


def known_only(case: Case, state: NodeState) -> Case:
    """Without the packets of which ours says that it does not know their way."""
    for _ in range(3):
        times = [START + index * STEP for index in range(len(case.frames))]
        ours = followed(case, state, times, {})
        kept = tuple(
            frame
            for frame, record in zip(case.frames, ours.records, strict=True)
            if not ours.is_unknown(record)
        )
        if len(kept) == len(case.frames):
            break
        case = dataclasses.replace(case, frames=kept)
    return case
