"""`python -m benchmarks.assemble`: from objects and from text to an image, and what a rule takes.

    load, program, assemble     manifests to objects, objects to nodes, nodes to an image:
                                10,000 Services of 3 endpoints, of one node and of two
    parse, assemble             an iptables-save to rules, rules to an image: an access list of
                                100,000 rules, and what kube-proxy writes for those Services
    save, open                  the image of two nodes, to a file and back

Seconds of processor time, in one process; medians of several runs in turns.  A rule takes the
bytes of the arrays that hold rules, what they ask and do, their index and their counters; their
names are Python's own and kept by chain.  Each line also goes to benchmarks/results/.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time_ns
from typing import Any

from benchmarks.access_lists import access_list
from benchmarks.report import Measurement, checksum, commit, machine, save
from benchmarks.side_by_side import Side, interleaved
from dataplane.cluster.load import loads
from dataplane.cluster.synthetic import manifests
from dataplane.control.program import program
from dataplane.image.image import Image, assemble
from dataplane.image.saved import load_image, save_image
from dataplane.image.state import State
from dataplane.node.iptables import parse, render
from dataplane.node.state import NodeState

SERVICES, RULES = 10_000, 100_000
SEED = 1519
RUNS = 5
HEAD = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
OF_RULES = (
    "rules", "masks", "matches", "targets", "interfaces", "ranges", "words", "rule_classifiers",
    "classifiers", "patterns", "prefix_masks", "port_masks", "pattern_filter", "candidate_buckets",
    "candidates", "candidate_rules",
)  # fmt: skip


class Stages:
    """Sides that make things, each of what those before it made."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}
        self.sides: dict[str, Side] = {}

    def add(self, name: str, make: Callable[..., Any], *of: str) -> None:
        """`make` is given what the stages `of` made."""

        def run() -> float:
            self.made.pop(name, None)
            given = [self.made[stage] for stage in of]
            start = process_time_ns()
            self.made[name] = make(*given)
            return float(process_time_ns() - start)

        self.sides[name] = run


def stages(folder: Path) -> Stages:
    found = Stages()
    for nodes in ("one node", "two nodes"):
        text = manifests(SERVICES, 1 + (nodes == "two nodes"))
        found.add(f"load, {nodes}", lambda text=text: loads(text))
        found.add(f"program, {nodes}", program, f"load, {nodes}")
        found.add(f"assemble, {nodes}", assemble, f"program, {nodes}")
    rules = access_list("acl", RULES, SEED).rules("FORWARD")
    of_kube_proxy = program(loads(manifests(SERVICES, 1)))["node-1"].iptables
    texts = {
        "access list": HEAD + "\n".join([f"-A {rule}" for rule in rules]) + "\nCOMMIT\n",
        "kube-proxy": render(of_kube_proxy),
    }
    for name, text in texts.items():
        found.add(f"parse, {name}", lambda text=text, name=name: parse(text, name, 4))
        found.add(f"assemble, {name}", _image_of, f"parse, {name}")
    path = folder / "two-nodes.image"
    found.add("save", lambda image: save_image(image, path), "assemble, two nodes")
    found.add("open", lambda _: load_image(path), "save")
    return found


def _image_of(ruleset: Any) -> Image:
    return assemble({"n": NodeState("n", iptables=ruleset)})


def bytes_per_rule(image: Image, rules: int) -> float:
    held = sum(image.arrays[name].nbytes for name in OF_RULES)
    return (held + State(image).arrays["counters"].nbytes) / rules


def measurements() -> Iterator[Measurement]:
    with TemporaryDirectory() as folder:
        all_stages = stages(Path(folder))
        times = interleaved(all_stages.sides, RUNS)
        made = all_stages.made
        for name, ns in times.items():
            more: dict[str, Any] = {"seconds": ns / 1e9}
            answers, size = b"", SERVICES
            if isinstance(made[name], Image):
                image = made[name]
                answers = b"".join(array.tobytes() for array in image.arrays.values())
            if name.endswith(("list", "kube-proxy")):
                size = sum(
                    len(chain.rules)
                    for table in made[f"parse, {name.partition(', ')[2]}"].tables.values()
                    for chain in table.chains.values()
                )
                if isinstance(made[name], Image):
                    more["bytes_per_rule"] = bytes_per_rule(made[name], size)
            yield Measurement(name, size, ns / size, checksum(answers), SEED, more=more)


def main() -> None:
    found = list(measurements())
    print(f"commit {commit()}, {machine()}, seed {SEED}")
    for each in found:
        row = each.row()
        bytes_text = f"{row['bytes_per_rule']:8.1f} bytes" if "bytes_per_rule" in row else ""
        print(
            f"{each.bench:<24} {each.size:>9,} {row['seconds']:>9.3f} s"
            f" {each.ns_per_packet:>10,.0f} ns each {each.checksum} {bytes_text}"
        )
    save("assemble", found)


if __name__ == "__main__":
    main()
