"""docs/routing.md against the code: what decides a packet's way is in its table, and no more."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from dataplane.image.forwarding import KINDS
from dataplane.node.state import RoutingRule

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/routing.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("|") and not set(line) <= set("| -")
]
STATES = ("modelled", "approximated", "unknown", "left out")
CODE = [
    *(ROOT / "dataplane/node").glob("*.py"),
    *(ROOT / "dataplane/image").glob("*.py"),
    *(ROOT / "dataplane/reference").glob("*.py"),
]
# Sysctls of IP that say nothing of routing: ports, fragments, what is not read but told of.
ELSEWHERE = {"ip_local_port_range", "ipfrag_time", "ipfrag_max_dist", "ipfrag_high_thresh",
             "ip6frag_time", "ip6frag_high_thresh", "ipfrag_", "ip6frag_"}  # fmt: skip
# As `ip rule` writes what the columns of its listing are.
WORDS = {
    "negated": "not", "src": "from", "dst": "to", "fwmask": "fwmark", "table": "lookup",
    "flow_from": "realms", "flow_to": "realms",
}  # fmt: skip
ASKED = re.compile(r'(?:either|both|device)_setting(?:s)?\([^()]*?"(\w+)"')
NAMED = re.compile(r"net\.ipv[46]\.(?:conf\.(?:\w+|\{[^}]*\})\.|icmp\.)?(\w+)")
FAMILIES = re.compile(r"net\.ipv\{[^}]*\}\.(?:conf\b)?(\w+)")


def words(text: str) -> set[str]:
    return {
        word for quoted in re.findall(r"`([^`]+)`", text) for word in re.findall(r"\w+", quoted)
    }


def read_by_code() -> set[str]:
    """The last word of every sysctl of IP that nodes are asked for."""
    found = set()
    for path in CODE:
        text = path.read_text()
        for pattern in (ASKED, NAMED, FAMILIES):
            found |= set(pattern.findall(text))
    return {word for word in found if word.islower()} - ELSEWHERE - {"conf", "icmp"}


def test_the_table_was_found() -> None:
    assert len(ROWS) > 20
    assert len(read_by_code()) > 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_row_says_what_is_the_case(row: list[str]) -> None:
    what, state, note = row
    assert what and state.startswith(STATES), row
    if state in ("approximated", "unknown"):
        assert note, f"{what}: how?"


def test_every_sysctl_that_is_read_has_its_place() -> None:
    assert read_by_code() - words(TEXT) == set()


def test_every_part_of_a_rule_has_its_place() -> None:
    asked = {WORDS.get(field.name, field.name) for field in fields(RoutingRule)}
    assert asked - words(TEXT) == {"priority", "family", "source", "protocol", "action"}


def test_every_type_of_route_has_its_place() -> None:
    assert set(KINDS) - words(TEXT) == set()


def test_what_is_modelled_is_read() -> None:
    """A sysctl in a row that says so stands in the code."""
    sources = "".join(path.read_text() for path in CODE)
    for what, state, _ in ROWS:
        if state.startswith("modelled"):
            named = {word for word in words(what) if "_" in word and not word.endswith("_forward")}
            assert all(word in sources for word in named), (what, named)
