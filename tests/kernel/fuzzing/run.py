"""Random rule sets and traffic, this kernel against ours: `make kernel-fuzz N=…`.

    python -m tests.kernel.fuzzing.run --packets 100000 --seed 1 --workers 2 --out build/kernel-fuzz
    python -m tests.kernel.fuzzing.run --replay build/kernel-fuzz/17-legacy

A disagreement is shrunk and written to a folder of its own.  The last line is the count.
"""

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.kernel.fuzzing import case as cases
from tests.kernel.fuzzing.compare import Difference, compare
from tests.kernel.fuzzing.generate import PACKETS, generate
from tests.kernel.fuzzing.lab import FuzzLab, Refused
from tests.kernel.fuzzing.shrink import shrink

FLAVOURS = ("legacy", "nft")
LAB_LIFE = 40  # rule sets: legacy tables stay once they were
SHRINK_SECONDS, SHRUNK_OF_A_KIND = 20, 2


class Tally:
    """What one worker found."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()


class Worker:
    def __init__(self, out: Path, shrink_seconds: float = SHRINK_SECONDS):
        self.out, self.shrink_seconds = out, shrink_seconds
        self.labs: dict[str, tuple[FuzzLab, int]] = {}
        self.tally = Tally()

    def close(self) -> None:
        for lab, _ in self.labs.values():
            lab.close()
        self.labs.clear()

    def lab(self, flavour: str) -> FuzzLab:
        lab, used = self.labs.get(flavour, (None, 0))
        if lab is None or used >= LAB_LIFE:
            if lab is not None:
                lab.close()
            lab, used = FuzzLab(flavour), 0
        self.labs[flavour] = lab, used + 1
        return lab

    def drop(self, flavour: str) -> None:
        lab, _ = self.labs.pop(flavour)
        lab.close()

    def one(self, seed: str, flavour: str) -> None:
        """One rule set.  Counts it, and shrinks what disagrees."""
        lab = self.lab(flavour)
        try:
            case, refused = generate(seed, flavour, lab)
            for line in refused:
                self.tally.refused[line] += 1
            differences = compare(case, lab)
        except Refused:
            self.tally.counts["refused"] += 1
            return
        self.tally.counts["packets"] += len(case.frames)
        self.tally.counts["rule sets"] += 1
        self.tally.counts[f"{flavour} IPv{case.family}"] += 1
        if differences:
            self.disagreement(case, differences[0], lab)

    def disagreement(self, case: cases.Case, difference: Difference, lab: FuzzLab) -> None:
        self.tally.counts["disagreements"] += 1
        self.tally.counts[f"disagreements {case.flavour} IPv{case.family}"] += 1
        kind = f"{difference.kind}: {difference.what}"
        self.tally.kinds[kind] += 1
        if self.tally.kinds[kind] > SHRUNK_OF_A_KIND:
            return
        smaller, found = shrink(case, difference, lab, self.shrink_seconds)
        folder = self.out / f"{case.seed}-{case.flavour}"
        said = "".join(f"{one.kind}: {one.what}\n{one.text}\n" for one in found)
        cases.write(smaller, folder, said)
        print(f"{folder}: {kind}", flush=True)


def work(number: int, workers: int, seed: int, packets: int, out: Path,
         results: "multiprocessing.Queue[Tally]") -> None:  # fmt: skip
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[number % (os.cpu_count() or 1)]})
    worker = Worker(out)
    at = number
    try:
        while worker.tally.counts["packets"] < packets:
            flavour = FLAVOURS[at // workers % 2]
            try:
                worker.one(f"{seed}-{at}", flavour)
            except Exception:
                worker.tally.kinds["crash: " + traceback.format_exc().splitlines()[-1][:150]] += 1
                worker.tally.counts["disagreements"] += 1
                print(f"{seed}-{at} {flavour}\n{traceback.format_exc()}", flush=True)
                worker.drop(flavour)
            at += workers
    finally:
        worker.close()
        results.put(worker.tally)


def run(packets: int, seed: int, workers: int, out: Path) -> Tally:
    results: multiprocessing.Queue[Tally] = multiprocessing.Queue()
    processes = [
        multiprocessing.Process(
            target=work, args=(n, workers, seed, -(-packets // workers), out, results)
        )
        for n in range(workers)
    ]
    for process in processes:
        process.start()
    total = Tally()
    for _ in processes:
        tally = results.get()
        total.counts += tally.counts
        total.kinds += tally.kinds
        total.refused += tally.refused
    for process in processes:
        process.join()
    return total


def line(total: Tally) -> str:
    counts = total.counts
    parts = ", ".join(
        f"{flavour} IPv{family} {counts[f'disagreements {flavour} IPv{family}']}"
        f" of {counts[f'{flavour} IPv{family}']}"
        for flavour in FLAVOURS for family in (4, 6)
    )  # fmt: skip
    return (f"{counts['packets']} packets, {counts['rule sets']} rule sets, "
            f"{counts['disagreements']} disagreements ({parts})")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--packets", type=int, default=20 * PACKETS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build/kernel-fuzz"))
    parser.add_argument("--replay", type=Path, help="a folder that was written: compare it again")
    chosen = parser.parse_args()
    if chosen.replay:
        return again(chosen.replay)
    start = time.monotonic()
    total = run(chosen.packets, chosen.seed, chosen.workers, chosen.out)
    for kind, count in total.kinds.most_common():
        print(f"{count:6} {kind}")
    for text, count in total.refused.most_common(15):
        print(f"{count:6} refused {text}", file=sys.stderr)
    print(f"{time.monotonic() - start:.0f} seconds", file=sys.stderr)
    print(line(total))
    return 1 if total.counts["disagreements"] else 0


def again(folder: Path) -> int:
    case = cases.read(folder)
    lab = FuzzLab(case.flavour)
    try:
        found = compare(case, lab)
    finally:
        lab.close()
    print(case.rules, case.sysctls)
    for one in found:
        print(f"{one.kind}: {one.what}\n{one.text}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
