"""A node's folder: one file per tool, holding what the tool prints.

`read_node` and `write_node` are inverses, and either reads what the other, or the tool
itself, wrote.  A file that is not there says that there is nothing of its kind.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from dataplane.errors import Source, UsageError
from dataplane.node import (
    addresses,
    conntrack,
    fdb,
    groups,
    ipset,
    iptables,
    links,
    neighbours,
    routes,
    rules,
    sysctl,
)
from dataplane.node.ipset_rows import Ipset
from dataplane.node.state import NodeState, Route

Warn = Callable[[str], None]
Items = TypeVar("Items")

FILES = (
    "iptables-save",
    "ip6tables-save",
    "ipset-save",
    "links.json",
    "addresses.json",
    "routes.json",
    "routes6.json",
    "rules.json",
    "rules6.json",
    "neighbours.json",
    "fdb.json",
    "groups.json",
    "sysctl",
    "conntrack",
)
KERNEL_RELEASE = "kernel.osrelease"  # the sysctl that holds NodeState.kernel
NOT_MODELLED = ("ipvsadm-save",)


def read_node(name: str, path: str | Path, warn: Warn, lenient: bool = False) -> NodeState:
    """The node whose tools wrote the files of the folder `path`.

    warn    told of what is left out or suspicious
    lenient iptables rules that cannot be read are told, and stay as rules of unknown outcome
    raises  UsageError where there is no such folder; ParseError of its files
    """
    folder = Path(path)
    texts = {file: _read(folder / file) for file in FILES if (folder / file).is_file()}
    if not texts:
        raise UsageError(
            f"node {name}: {folder} is not a node's folder; at least one of"
            f" {', '.join(FILES)} was expected in it"
        )
    for file in NOT_MODELLED:
        if (folder / file).is_file() and _read(folder / file).strip():
            warn(f"{folder / file}: not modelled yet, left out")
    return parse_texts(name, folder, texts, warn, lenient)


def _read(path: Path) -> str:
    # Comments of rules may hold any bytes; they go back out as they came in.
    try:
        return decoded(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read: {error.strerror}", Source(str(path), 0)) from None


def parse_texts(
    name: str, folder: Path, texts: Mapping[str, str], warn: Warn, lenient: bool = False
) -> NodeState:
    """The node of the texts of its files, which errors say are in `folder`."""

    def at(file: str) -> tuple[str, str]:
        return texts.get(file, ""), str(folder / file)

    sysctls = sysctl.parse(*at("sysctl"))
    kernel = sysctls.pop(KERNEL_RELEASE, "")
    return NodeState(
        name=name,
        links=links.parse(*at("links.json")),
        addresses=addresses.parse(*at("addresses.json")),
        routes=_unique(
            routes.parse(*at("routes.json")) + routes.parse(*at("routes6.json"), family=6)
        ),
        rules=rules.parse(*at("rules.json")) + rules.parse(*at("rules6.json"), family=6),
        neighbours=neighbours.parse(*at("neighbours.json")),
        fdb=fdb.parse(*at("fdb.json")),
        groups=(groups.parse(*at("groups.json")) if "groups.json" in texts else None),
        iptables=iptables.parse(*at("iptables-save"), family=4, warn=warn, lenient=lenient),
        ip6tables=iptables.parse(*at("ip6tables-save"), family=6, warn=warn, lenient=lenient),
        ipsets=(ipset.parse(*at("ipset-save"), warn=warn) if "ipset-save" in texts else None),
        sysctls=sysctls,
        conntrack=conntrack.parse(*at("conntrack")),
        kernel=kernel,
        source=Source(str(folder), 0),
    )


def _unique(found: tuple[Route, ...]) -> tuple[Route, ...]:
    """`ip -j route show table all` lists IPv6 routes too, which routes6.json then repeats."""
    return tuple(dict.fromkeys(found))


def write_node(state: NodeState, path: str | Path, counters: bool = False) -> None:
    """Write the files for which the node has something, and remove the others.

    Each file appears whole or not at all.
    raises  UsageError where the folder cannot be written
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in texts(state, counters).items():
            if text:
                replace_file(folder / file, encoded(text))
            else:
                (folder / file).unlink(missing_ok=True)
    except (OSError, UnicodeEncodeError) as error:
        raise UsageError(f"cannot write node {state.name}: {error}") from None


def texts(state: NodeState, counters: bool = False) -> dict[str, str]:
    """File to text; "" where there is nothing to hold."""
    routes4 = [route for route in state.routes if route.dst.version == 4]
    routes6 = [route for route in state.routes if route.dst.version == 6]
    rules4 = [rule for rule in state.rules if rule.family == 4]
    rules6 = [rule for rule in state.rules if rule.family == 6]
    release = {KERNEL_RELEASE: state.kernel} if state.kernel else {}
    sysctls = {**state.sysctls, **release}
    return {
        "iptables-save": _rules_text(state.iptables, counters),
        "ip6tables-save": _rules_text(state.ip6tables, counters),
        "ipset-save": _sets_text(state.ipsets),
        "links.json": _text(links.render, state.links),
        "addresses.json": _text(addresses.render, state.addresses),
        "routes.json": _text(routes.render, routes4),
        "routes6.json": _text(routes.render, routes6),
        "rules.json": _text(rules.render, rules4),
        "rules6.json": _text(rules.render, rules6),
        "neighbours.json": _text(neighbours.render, state.neighbours),
        "fdb.json": _text(fdb.render, state.fdb),
        "groups.json": "" if state.groups is None else groups.render(state.groups),
        "sysctl": _text(sysctl.render, sysctls),
        "conntrack": _text(conntrack.render, state.conntrack),
    }


def _text(render: Callable[[Items], str], items: Items) -> str:
    return render(items) if items else ""


def _sets_text(sets: tuple[Ipset, ...] | None) -> str:
    """A file without sets says that there are none, no file that nothing is known of them."""
    if sets is None:
        return ""
    return ipset.render(sets) or "# no sets\n"


def _rules_text(ruleset: iptables.Ruleset, counters: bool) -> str:
    return iptables.render(ruleset, counters) if ruleset.tables else ""


def encoded(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")


def decoded(data: bytes) -> str:
    return data.decode("utf-8", errors="surrogateescape")


def replace_file(path: Path, data: bytes) -> None:
    """It appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
