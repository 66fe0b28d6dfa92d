"""Rule sets of all nodes as one array of rules: chains laid end to end, jumps as indices.

Each chain is closed by a row of its own: a base chain's policy, or a user chain's return.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from _fastpath.image import JUMP_DEPTH, RuleInvert, TargetKind
from dataplane.errors import TableError
from dataplane.image import encode, sets
from dataplane.image.match_rows import Row as MatchRow
from dataplane.image.matches import match_rows
from dataplane.image.pools import Pools
from dataplane.image.target_rows import EMPTY
from dataplane.image.target_rows import Row as TargetRow
from dataplane.image.targets import VERDICTS, target_row
from dataplane.node.iptables import Chain, Prefix, Rule, Ruleset, Table, Target


class RuleName(NamedTuple):
    """What a row of the rule array is.  Number 0 closes the chain."""

    node: str
    family: int
    table: str
    chain: str
    number: int


class BaseChain(NamedTuple):
    """Where a base chain begins, and its policy's row."""

    entry: int
    underflow: int


@dataclass
class RuleTables:
    """Rows of all rules, and of what they refer to."""

    rules: list[tuple[object, ...]] = field(default_factory=list)
    matches: list[MatchRow] = field(default_factory=list)
    targets: list[TargetRow] = field(default_factory=lambda: [EMPTY])
    interfaces: list[tuple[encode.Pair, encode.Pair]] = field(default_factory=list)
    pools: Pools = field(default_factory=Pools)
    names: list[RuleName] = field(default_factory=list)
    base_chains: dict[tuple[str, int, str, str], BaseChain] = field(default_factory=dict)
    interface_index: dict[str, int] = field(default_factory=dict)
    target_index: dict[TargetRow, int] = field(default_factory=lambda: {EMPTY: 0})


def add_ruleset(tables: RuleTables, node: str, family: int, ruleset: Ruleset) -> None:
    """Append a rule set.  Raises TableError for what a kernel would refuse."""
    tables.pools.node, tables.pools.flavour = node, ruleset.flavour
    for table in ruleset.tables.values():
        _check_jumps(table)
        _add_table(tables, node, family, table)


def _add_table(tables: RuleTables, node: str, family: int, table: Table) -> None:
    start, row = {}, len(tables.rules)
    for name, chain in table.chains.items():
        start[name] = row
        row += len(chain.rules) + 1
    for name, chain in table.chains.items():
        if chain.policy is not None:
            end = start[name] + len(chain.rules)
            tables.base_chains[node, family, table.name, name] = BaseChain(start[name], end)
        for number, rule in enumerate(chain.rules, start=1):
            label = RuleName(node, family, table.name, name, number)
            tables.names.append(label)
            tables.rules.append(_rule_row(tables, rule, label, start))
        label = RuleName(node, family, table.name, name, 0)
        tables.names.append(label)
        tables.rules.append(_closing_row(chain, label))


def _identity(label: RuleName) -> int:
    return encode.identity(f"{label.family} {label.table} {label.chain} {label.number}")


def _closing_row(chain: Chain, label: RuleName) -> tuple[object, ...]:
    if chain.policy is not None and chain.policy not in ("ACCEPT", "DROP"):
        raise TableError(f"chain {chain.name}: no such policy: {chain.policy!r}", chain.source)
    kind = VERDICTS[chain.policy or "RETURN"]
    return (
        *(encode.ZERO,) * 4, _identity(label), -1, -1, 0, 0, 0, 0, 0, 0, int(kind), 0,
        1, int(chain.policy is not None),
    )  # fmt: skip


def _rule_row(
    tables: RuleTables, rule: Rule, label: RuleName, start: Mapping[str, int]
) -> tuple[object, ...]:
    sets.check_names(tables.pools, rule)
    match_start = len(tables.matches)
    for match in rule.matches:
        tables.matches += match_rows(match, tables.pools, label.family)
    match_count = len(tables.matches) - match_start
    kind, target, jump = _target(tables, rule.target, label.family, start)
    src, src_mask = _prefix(rule.src)
    dst, dst_mask = _prefix(rule.dst)
    return (
        src, src_mask, dst, dst_mask, _identity(label),
        _interface(tables, rule.in_interface.name if rule.in_interface else None),
        _interface(tables, rule.out_interface.name if rule.out_interface else None),
        match_start, jump, target, match_count,
        rule.protocol.number if rule.protocol else 0,
        _inversions(rule) | _cut_headers(tables, label), int(kind),
        int(rule.fragment is not None), 0, 1,
    )  # fmt: skip


def _cut_headers(tables: RuleTables, label: RuleName) -> int:
    """Nftables passes over what it cannot read; ip6_tables drops it."""
    is_legacy = label.family == 6 and tables.pools.flavour != "nft"
    return RuleInvert.DROPS_CUT_HEADERS if is_legacy else 0


def _prefix(prefix: Prefix | None) -> tuple[encode.Pair, encode.Pair]:
    if prefix is None:
        return encode.ZERO, encode.ZERO
    return encode.pair(prefix.network.network_address), encode.pair(prefix.netmask)


def _inversions(rule: Rule) -> int:
    bits = 0
    for part, bit in (
        (rule.src, RuleInvert.INVERT_SRC),
        (rule.dst, RuleInvert.INVERT_DST),
        (rule.in_interface, RuleInvert.INVERT_IN),
        (rule.out_interface, RuleInvert.INVERT_OUT),
        (rule.protocol, RuleInvert.INVERT_PROTO),
    ):
        if part is not None and part.negated:
            bits |= bit
    if rule.fragment is False:
        bits |= RuleInvert.INVERT_FRAGMENT
    return bits


def _interface(tables: RuleTables, name: str | None) -> int:
    if name is None:
        return -1
    if name not in tables.interface_index:
        tables.interface_index[name] = len(tables.interfaces)
        tables.interfaces.append(encode.name_mask(name))
    return tables.interface_index[name]


def _target(
    tables: RuleTables, target: Target | None, family: int, start: Mapping[str, int]
) -> tuple[int, int, int]:
    """(kind, row in targets, first rule jumped to)"""
    if target is None:
        return TargetKind.TARGET_NONE, 0, 0
    if target.name in start:
        kind = TargetKind.TARGET_GOTO if target.goto else TargetKind.TARGET_JUMP
        return kind, 0, start[target.name]
    kind, row = target_row(target, family, tables.pools)
    if row not in tables.target_index:
        tables.target_index[row] = len(tables.targets)
        tables.targets.append(row)
    return kind, tables.target_index[row], 0


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


def _check_jumps(table: Table) -> None:
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
