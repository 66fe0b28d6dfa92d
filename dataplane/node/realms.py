"""Realms: how routes and routing rules class packets, `ip route … realms FROM/TO`.

A realm is a number of 16 bits, or a name from a file (rt_realms) that no dump tells of.
"""

from collections.abc import Iterator

from dataplane.node.entries import Entry
from dataplane.node.state import NodeState, RoutingRule

COSMOS = {"cosmos": 0, "": 0}


def parse(entry: Entry) -> str:
    """`flow` of a route or a leg: FROM/TO, TO, or nothing."""
    flow = entry.nested("flow")
    return "/".join(flow.text(key) for key in ("from", "to") if flow.has(key))


def render(text: str) -> dict[str, str] | None:
    before, slash, after = text.rpartition("/")
    if not text:
        return None
    return {"from": before, "to": after} if slash else {"to": after}


def of_rule(rule: RoutingRule) -> str:
    return "/".join(text for text in (rule.flow_from, rule.flow_to) if text)


def number(text: str) -> int:
    """tclassid: FROM << 16 | TO.  Raises ValueError for a name."""
    before, _, after = text.rpartition("/")
    return _realm(before) << 16 | _realm(after)


def _realm(text: str) -> int:
    found = COSMOS.get(text)
    found = int(text, 0) if found is None else found
    if not 0 <= found <= 0xFFFF:
        raise ValueError(text)
    return found


def is_known(text: str) -> bool:
    try:
        number(text)
    except ValueError:
        return False
    return True


def classes(state: NodeState) -> Iterator[str]:
    """Of all that classes IPv4 packets."""
    for route in state.routes:
        if route.dst.version == 4:
            yield from filter(None, (route.realms, *(hop.realms for hop in route.nexthops)))
    for rule in state.rules:
        if rule.family == 4 and of_rule(rule):
            yield of_rule(rule)


def are_known(state: NodeState) -> bool:
    return all(map(is_known, classes(state)))
