"""Jumps between chains: what could run away, or lead nowhere, is refused."""

from collections.abc import Iterator

from _fastpath.image import JUMP_DEPTH
from dataplane.errors import TableError
from dataplane.node.iptables import Rule, Table


def _jumps(table: Table, chain: str) -> Iterator[Rule]:
    """Rules of a chain that lead into another one."""
    for rule in table.chains[chain].rules:
        if rule.target is None:
            continue
        if rule.target.name in table.chains:
            if table.chains[rule.target.name].policy is not None:
                raise TableError(f"jump to base chain {rule.target.name!r}", rule.source)
            yield rule
        elif rule.target.goto:
            raise TableError(f"no such chain: {rule.target.name!r}", rule.source)


def check_jumps(table: Table) -> None:
    """The kernel counts neither its steps nor its depth: what could run away ends here.

    An explicit stack: a hostile dump may nest chains deeper than Python may call.
    """
    height: dict[str, int] = {}  # of the tallest tree of jumps below each finished chain
    for root in table.chains:
        if root in height:
            continue
        path = [root]
        pending = [_jumps(table, root)]
        tallest = [0]
        while pending:
            rule = next(pending[-1], None)
            if rule is None:
                pending.pop()
                height[path.pop()] = done = tallest.pop()
                if tallest:
                    tallest[-1] = max(tallest[-1], done + 1)
                continue
            name = rule.target.name if rule.target else ""
            if name in path:
                loop = " > ".join((*path[path.index(name) :], name))
                raise TableError(f"jump loop: {loop}", rule.source)
            depth = len(path) + height.get(name, 0)  # of the deepest chain that this jump leads to
            if depth > JUMP_DEPTH:
                raise TableError(f"jumps nested more than {JUMP_DEPTH} deep", rule.source)
            if name in height:
                tallest[-1] = max(tallest[-1], height[name] + 1)
            else:
                path.append(name)
                pending.append(_jumps(table, name))
                tallest.append(0)
