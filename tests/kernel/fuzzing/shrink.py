"""A smaller case that still disagrees: fewer packets, rules, sysctls."""

import dataclasses
import time
from collections.abc import Callable

from tests.kernel.fuzzing.case import Case
from tests.kernel.fuzzing.compare import Difference, compare
from tests.kernel.fuzzing.lab import FuzzLab, Refused


def shrink(
    case: Case, difference: Difference, lab: FuzzLab, seconds: float
) -> tuple[Case, list[Difference]]:
    """The smallest that was found in so many seconds, and how it disagrees."""
    deadline = time.monotonic() + seconds
    best = [case, [difference]]

    def disagrees(smaller: Case) -> bool:
        if time.monotonic() > deadline:
            return False
        try:
            found = compare(smaller, lab)
        except Refused:
            return False
        if any(one.kind == difference.kind for one in found):
            best[:] = [smaller, found]
            return True
        return False

    if difference.packet >= 0:
        disagrees(dataclasses.replace(case, frames=case.frames[: difference.packet + 1]))
    size = -1
    while size != weight(best[0]) and time.monotonic() < deadline:  # type: ignore[arg-type]
        size = weight(best[0])  # type: ignore[arg-type]
        for part in ("frames", "rules", "sysctls"):
            fewer(best, part, disagrees)
    return best[0], best[1]  # type: ignore[return-value]


def weight(case: Case) -> int:
    return len(case.frames) + case.rules.count("\n") + len(case.sysctls)


def items(case: Case, part: str) -> list[object]:
    if part == "rules":
        return list(case.rules.split("\n"))
    return list(case.frames) if part == "frames" else list(case.sysctls.items())


def having(case: Case, part: str, kept: list[object]) -> Case:
    if part == "rules":
        return dataclasses.replace(case, rules="\n".join(kept))  # type: ignore[arg-type]
    if part == "frames":
        return dataclasses.replace(case, frames=tuple(kept))  # type: ignore[arg-type]
    return dataclasses.replace(case, sysctls=dict(kept))  # type: ignore[arg-type,call-overload]


def fewer(best: list[object], part: str, disagrees: Callable[[Case], bool]) -> None:
    """Leave out runs of items, from half of them down to one."""
    size = max(1, len(items(best[0], part)) // 2)  # type: ignore[arg-type]
    while True:
        at = 0
        while at < len(current := items(best[0], part)):  # type: ignore[arg-type]
            run = current[at : at + size]
            may_go = part != "rules" or all(
                str(line).startswith("-A") and "TRACE" not in str(line) for line in run
            )
            if not may_go or not disagrees(
                having(best[0], part, current[:at] + current[at + size :])
            ):  # type: ignore[arg-type]
                at += size
        if size == 1:
            return
        size //= 2
