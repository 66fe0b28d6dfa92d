"""A case from a seed: a rule set that the kernel takes, and traffic whose way ours knows."""

import dataclasses
import re
from random import Random

from _fastpath.reason import Verdict
from dataplane.node.state import NodeState
from dataplane.replay.fast import FastEngine
from tests.kernel.fuzzing import rules as random_rules
from tests.kernel.fuzzing.case import Case
from tests.kernel.fuzzing.compare import followed
from tests.kernel.fuzzing.lab import DEVICES, MTUS, NAME, FuzzLab, Refused
from tests.kernel.fuzzing.packets import Traffic

PACKETS = 200
START, STEP = 10**18, 10**5
ROOM = 18  # Ethernet's header, and a tag's
LINE = re.compile(r"line:? (\d+)")


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
    refused = []
    for _ in range(30):
        try:
            return case, lab.load(case.rules, case.family, case.sysctls), refused
        except Refused as error:
            lines = case.rules.split("\n")
            found = LINE.search(str(error))
            at = int(found[1]) - 1 - lab.lines_before(case.rules, case.family) if found else -1
            if not 0 <= at < len(lines) or not lines[at].startswith("-A"):
                # Legacy commits a table as a whole and names its COMMIT: the last rule goes.
                at = max(
                    i
                    for i, line in enumerate(lines[: at + 1 if at >= 0 else None])
                    if line.startswith("-A") and "TRACE" not in line
                )
            refused.append(f"{lines[at]}: {str(error).splitlines()[0][-200:]}")
            del lines[at]
            case = dataclasses.replace(case, rules="\n".join(lines))
    raise Refused("thirty rules in a row")


def traffic(random: Random, family: int, state: NodeState, packets: int) -> list[tuple[str, bytes]]:
    engine = FastEngine({NAME: state})
    source = Traffic(random, family)
    frames: list[tuple[str, bytes]] = []
    while len(frames) < packets:
        for device, frame in source.next():
            if len(frame) > MTUS.get(device, 1500) + ROOM:
                continue  # is_skb_forwardable: the veth does not take it
            record = engine.run(START + len(frames) * STEP, frame, len(frame), (NAME, device))
            if record.verdict == Verdict.UNKNOWN:
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
