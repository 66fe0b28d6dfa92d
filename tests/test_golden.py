"""Run every tests/golden/*.case.

A case is one text file a reviewer can read: what it shows (%info), the cluster (%cluster, a
file; or %manifest, its text), what differs on a node (%sysctl NODE NAME=VALUE; %rule NODE TABLE
CHAIN …, put first in its chain), then connections (%trace FROM TO [via ENDPOINT] [and reply])
and the trace that each must leave.

Both engines run it.  UPDATE_GOLDEN=1 rewrites the traces; the diff is then what is reviewed.
"""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.cluster.load import load, loads
from dataplane.cluster.naming import resolve
from dataplane.cluster.objects import Cluster
from dataplane.control.program import program
from dataplane.node import iptables
from dataplane.node.state import NodeState
from dataplane.replay import choose, synthetic
from dataplane.replay.replay import Options, replay
from dataplane.trace.describe import Describer
from dataplane.trace.minimal import minimal

ROOT = Path(__file__).resolve().parent.parent
CASES = sorted((ROOT / "tests" / "golden").glob("*.case"))
SECTION = re.compile(r"^%(?P<name>\w+) ?(?P<args>.*)\n(?P<body>(?:(?!%).*\n)*)", re.M)

TRACE = re.compile(
    r"(?P<source>\S+) (?P<destination>\S+)( via (?P<endpoint>\S+))?(?P<reply> and reply)?"
)


def cluster_of(text: str, path: Path) -> Cluster:
    for found in SECTION.finditer(text):
        if found["name"] == "cluster":
            return load([str(ROOT / found["args"])])
        if found["name"] == "manifest":
            return loads(found["body"], str(path))
    raise AssertionError(f"{path}: neither %cluster nor %manifest")


def nodes_of(text: str, cluster: Cluster) -> dict[str, NodeState]:
    nodes = program(cluster)
    for found in SECTION.finditer(text):
        name, _, rest = found["args"].partition(" ")
        if found["name"] == "sysctl":
            key, _, value = rest.partition("=")
            nodes[name] = replace(nodes[name], sysctls={**nodes[name].sysctls, key: value})
        elif found["name"] == "rule":
            nodes[name] = replace(nodes[name], iptables=inserted(nodes[name].iptables, rest))
    return nodes


def inserted(ruleset: iptables.Ruleset, words: str) -> iptables.Ruleset:
    """With one more rule at the head of a chain, as `iptables -I` would put it."""
    name, chain, rule = words.split(" ", 2)
    text = f"*{name}\n:{chain} - [0:0]\n-A {chain} {rule}\nCOMMIT\n"
    added = iptables.parse(text, "golden", family=4).tables[name].chains[chain].rules
    table = ruleset.tables[name]
    changed = replace(table.chains[chain], rules=(*added, *table.chains[chain].rules))
    changed_table = replace(table, chains={**table.chains, chain: changed})
    return replace(ruleset, tables={**ruleset.tables, name: changed_table})


def traces(args: str, cluster: Cluster, nodes: dict[str, NodeState]) -> str:
    """The first packet's trace; with `reply` that of the one that comes back, too."""
    found = TRACE.fullmatch(args)
    assert found, args
    ends = resolve(found["source"], cluster), resolve(found["destination"], cluster)
    connection = synthetic.between(*ends)
    choices = chosen(connection, found["endpoint"], nodes) if found["endpoint"] else {}
    options = Options(choices=choices, events=True)
    result = replay(nodes, synthetic.frames(connection), options, engine="both")
    describer = Describer(nodes, cluster)
    count = 2 if found["reply"] else 1
    return "".join(minimal(result.record(index), describer) for index in range(count))


def chosen(
    connection: synthetic.Connection, endpoint: str, nodes: dict[str, NodeState]
) -> choose.Choices:
    """Every node that translates the connection translates it to this endpoint."""
    source = f"{connection.src}:{connection.sport}"
    flow = f"{connection.protocol.lower()} {source} > {connection.dst}:{connection.dport}"
    lines = [
        json.dumps({"choice": "endpoint", "node": node, "flow": flow, "value": endpoint})
        for node in nodes
    ]
    return choose.parse("\n".join(lines), "golden", nodes)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    text = path.read_text()
    cluster = cluster_of(text, path)
    nodes = nodes_of(text, cluster)

    def run(found: re.Match[str]) -> str:
        if found["name"] != "trace":
            return found[0]
        end = "\n" if found["body"].endswith("\n\n") or found["body"] == "\n" else ""
        return f"%trace {found['args']}\n{traces(found['args'], cluster, nodes)}{end}"

    actual = SECTION.sub(run, text)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(actual)
    assert actual == text or os.environ.get("UPDATE_GOLDEN")


def test_there_are_cases() -> None:
    assert len(CASES) >= 8
    assert all("%info\n" in path.read_text() and "%trace " in path.read_text() for path in CASES)
