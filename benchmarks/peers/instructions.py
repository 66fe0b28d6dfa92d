"""Instructions per packet, by kernel module: what bounds each stage, whatever else the core does.

    python -m benchmarks.peers.instructions [--flows 1000] [--sizes "64 B"] [--packets 20000]

valgrind's callgrind counts while a capture of established flows is replayed, and only then; and
two passes of the floor less one.  Where a function was inlined, it counts for who called it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks import report
from benchmarks.peers import files, floor, traffic
from benchmarks.report import Measurement
from benchmarks.traffic import SEED

VALGRIND = ["valgrind", "--tool=callgrind", "--quiet"]
LEAST = 1.0  # instructions a packet that a row of the table must have
SYMBOL = re.compile(r"__pyx_f\w*?_9_fastpath_(\d+)(\w+)")


def counted(out: Path) -> Counter[str]:
    """module -> instructions, of a callgrind output: its own lines, not those of calls."""
    found: Counter[str] = Counter()
    names: dict[str, str] = {}
    module, is_call = "", False
    for line in out.read_text().splitlines():
        if line.startswith("fn="):
            number, _, name = line[3:].partition(" ")
            names.setdefault(number, name)
            module = module_of(names[number])
        elif line.startswith(("cfn=", "cfi=", "cfl=", "cob=")):
            number, _, name = line[4:].partition(" ")
            if name and line.startswith("cfn="):
                names.setdefault(number, name)
        elif line.startswith("calls="):
            is_call = True
        elif line[:1] in "0123456789+-*" and " " in line:
            if not is_call:
                found[module] += int(line.split()[1])
            is_call = False
    return found


def module_of(symbol: str) -> str:
    """`__pyx_f_9_fastpath_4path_receive` is of the kernel `path`."""
    if found := SYMBOL.match(symbol):
        return "_fastpath/" + found[2][: int(found[1])]
    return "libc" if symbol.startswith(("mem", "__mem")) else "Python, NumPy and others"


def ours(folder: Path, flows: int, packets: int, mix: str) -> Counter[str]:
    out = folder / "ours.out"
    words = [*VALGRIND, "--instr-atstart=no", f"--callgrind-out-file={out}", sys.executable]
    words += ["-m", "benchmarks.peers.instructions", "--inside", str(folder), "--flows", str(flows)]
    words += ["--packets", str(packets), "--sizes", mix]
    subprocess.run(words, check=True)
    return counted(out)


def inside(folder: Path, flows: int, packets: int, mix: str) -> None:
    """Runs under valgrind."""
    from benchmarks.peers.ours import Ours

    found = Ours(files.write_all(folder, "opening", traffic.opening(flows)), flows)
    capture = files.write(folder / "capture", traffic.established(flows, packets, mix))
    found.run(capture)
    count("on")
    found.run(capture)
    count("off")


def count(word: str) -> None:
    words = ["callgrind_control", f"--instr={word}", str(os.getpid())]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def floors(folder: Path, flows: int, packets: int, mix: str) -> float:
    """Instructions a packet of the whole way."""
    capture = files.write(folder / "capture", traffic.established(flows, packets, mix))
    rest = [
        files.write(folder / "flows", floor.flow_rows(flows).tobytes()),
        files.write(folder / "links", floor.links()),
    ]
    totals = []
    for passes in (1, 2):
        out = folder / f"floor-{passes}.out"
        words = [*VALGRIND, f"--callgrind-out-file={out}", str(floor.program()), "way"]
        words += [str(capture), str(packets), str(passes), *map(str, rest)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        totals.append(counted(out).total())
    return (totals[1] - totals[0]) / packets


def measured(flows: int, packets: int, mix: str) -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        least = floors(Path(folder), flows, packets, mix)
        found = ours(Path(folder), flows, packets, mix)
    bench = f"instructions, {mix}"
    rows = [("all", found.total()), *found.most_common()]
    for name, total in rows:
        each = total / packets
        if each >= LEAST:
            more = {"instructions": each, "floor_instructions": least if name == "all" else None}
            yield Measurement(f"{bench}: {name}", flows, None, seed=SEED, more=more)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.peers.instructions")
    parser.add_argument("--flows", type=int, default=1_000)
    parser.add_argument("--packets", type=int, default=20_000)
    parser.add_argument("--sizes", nargs="+", choices=traffic.SIZES, default=["64 B"])
    parser.add_argument("--document", action="store_true", help="write docs/performance.md anew")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        inside(asked.inside, asked.flows, asked.packets, asked.sizes[0])
        return
    if not shutil.which("valgrind"):
        sys.exit("valgrind is not installed")
    sizes = (measured(asked.flows, asked.packets, mix) for mix in asked.sizes)
    found = [row for rows in sizes for row in rows]
    report.save("instructions", found)
    if asked.document:
        report.document("instructions", found)
    print("\n".join(report.table(found)))


if __name__ == "__main__":
    main()
