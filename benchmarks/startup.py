"""`python -m benchmarks.startup`: how long a trace takes as a whole process.

The README's command on the demo cluster, beside an interpreter that does nothing and one that
only loads NumPy, in turns.  Elapsed and processor time: medians of the runs.
"""

import os
import resource
import subprocess
import sys
from functools import partial
from statistics import median
from time import perf_counter_ns

from benchmarks.report import ROOT, Measurement, checksum, commit, machine, save

RUNS = 20
CASE = ROOT / "pcaps" / "two-nodes"
COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "import numpy": ("-c", "import numpy"),
    "dataplane trace": (
        "-m", "dataplane", "trace", "-q", "-f", str(CASE / "cluster.yaml"),
        "-r", str(CASE / "client.pcap"), "1",
    ),
}  # fmt: skip


def run(words: tuple[str, ...]) -> tuple[int, float, bytes]:
    """(elapsed ns, processor seconds, what it printed)"""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter_ns()
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, check=True
    )
    elapsed, after = perf_counter_ns() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return elapsed, used, done.stdout


def main() -> None:
    # Without bytecode every start would compile the modules; an installed package has it.
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(ROOT / "dataplane")], check=True)
    sides = {name: partial(run, words) for name, words in COMMANDS.items()}
    found: dict[str, list[tuple[int, float, bytes]]] = {name: [] for name in sides}
    for turn in range(-1, RUNS):
        for name, side in sides.items():
            result = side()
            if turn >= 0:
                found[name].append(result)
    print(f"commit {commit()}, {machine()}, medians of {RUNS}")
    measured = []
    for name, runs in found.items():
        elapsed, used = median(run[0] for run in runs), median(run[1] for run in runs)
        print(f"{name:<18} {elapsed / 1e6:8.1f} ms  processor {used * 1e3:8.1f} ms")
        more = {"elapsed_ms": elapsed / 1e6, "processor_ms": used * 1e3}
        measured.append(Measurement(f"start, {name}", 1, elapsed, checksum(runs[-1][2]), more=more))
    save("startup", measured)


if __name__ == "__main__":
    main()
