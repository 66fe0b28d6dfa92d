"""Rule sets of all nodes as one array of rules: chains laid end to end, jumps as indices.

Each chain is closed by a row of its own: a base chain's policy, or a user chain's return.
Equal targets share a row, and so do the matches of rules that ask the same; what remembers
or draws is never equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from _fastpath.image import RuleInvert, TargetKind
from dataplane.errors import Source, TableError
from dataplane.image import dtypes, encode, sets
from dataplane.image.jumps import check_jumps
from dataplane.image.match_rows import Row as MatchRow
from dataplane.image.matches import match_rows
from dataplane.image.pools import Pools
from dataplane.image.rule_names import ChainRows, RuleNames
from dataplane.image.target_rows import EMPTY
from dataplane.image.target_rows import Row as TargetRow
from dataplane.image.targets import VERDICTS, target_row
from dataplane.node.iptables import Chain, Interface, Match, Prefix, Rule, Ruleset, Table

PACK_RULE = dtypes.packer(dtypes.RULE)
MATCHES_MAX = 65535
# Plain numbers: members of an enum are slow to put together.
INVERT_SRC, INVERT_DST = int(RuleInvert.INVERT_SRC), int(RuleInvert.INVERT_DST)
INVERT_IN, INVERT_OUT = int(RuleInvert.INVERT_IN), int(RuleInvert.INVERT_OUT)
INVERT_PROTO, INVERT_FRAGMENT = int(RuleInvert.INVERT_PROTO), int(RuleInvert.INVERT_FRAGMENT)
NONE, JUMP, GOTO = (
    int(kind) for kind in (TargetKind.TARGET_NONE, TargetKind.TARGET_JUMP, TargetKind.TARGET_GOTO)
)
ANY_ADDRESS = (0, 0, 0)


class BaseChain(NamedTuple):
    """Where a base chain begins, and its policy's row."""

    entry: int
    underflow: int


@dataclass
class Seen:
    """What became of the words of one rule set: most rules repeat those of others.

    By `id`: parsers and agents make equal words once, and the rule set keeps them alive.
    """

    matches: dict[int, tuple[MatchRow, ...]] = field(default_factory=dict)
    targets: dict[int, tuple[int, int]] = field(default_factory=dict)  # (kind, row)


@dataclass
class RuleTables:
    """Rows of all rules, and of what they refer to."""

    rules: bytearray = field(default_factory=bytearray)  # RULE, packed
    matches: list[MatchRow] = field(default_factory=list)
    targets: list[TargetRow] = field(default_factory=lambda: [EMPTY])
    interfaces: list[tuple[encode.Pair, encode.Pair]] = field(default_factory=list)
    masks: list[encode.Pair] = field(default_factory=lambda: [encode.ZERO])
    pools: Pools = field(default_factory=Pools)
    names: RuleNames = field(default_factory=RuleNames)
    base_chains: dict[tuple[str, int, str, str], BaseChain] = field(default_factory=dict)
    interface_index: dict[str, int] = field(default_factory=dict)
    match_index: dict[tuple[MatchRow, ...], int] = field(default_factory=lambda: {(): 0})
    target_index: dict[TargetRow, int] = field(default_factory=lambda: {EMPTY: 0})
    mask_index: dict[int, int] = field(default_factory=lambda: {0: 0})
    seen: Seen = field(default_factory=Seen)


def add_ruleset(tables: RuleTables, node: str, family: int, ruleset: Ruleset) -> None:
    """Append a rule set.  Raises TableError for what a kernel would refuse."""
    tables.pools.node, tables.pools.flavour = node, ruleset.flavour
    tables.seen = Seen()
    for table in ruleset.tables.values():
        check_jumps(table)
        _add_table(tables, node, family, table)


def _add_table(tables: RuleTables, node: str, family: int, table: Table) -> None:
    rows = {
        name: tables.names.add(node, family, table.name, name, len(chain.rules))
        for name, chain in table.chains.items()
    }
    start = {name: chain.start for name, chain in rows.items()}
    for name, chain in table.chains.items():
        if chain.policy is not None:
            tables.base_chains[node, family, table.name, name] = BaseChain(*rows[name][:2])
        _add_chain(tables, rows[name], chain, start)


def _add_chain(tables: RuleTables, rows: ChainRows, chain: Chain, start: Mapping[str, int]) -> None:
    pools, packed = tables.pools, tables.rules
    # Nftables passes over what it cannot read; ip6_tables drops it.
    is_legacy = rows.family == 6 and pools.flavour != "nft"
    drops = int(RuleInvert.DROPS_CUT_HEADERS) if is_legacy else 0
    for number, rule in enumerate(chain.rules, start=1):
        pools.rule = (rows.family, rows.table, rows.chain, number)
        packed += _rule_row(tables, rule, rows.family, start, drops)
    packed += _closing_row(chain)


def _closing_row(chain: Chain) -> bytes:
    if chain.policy is not None and chain.policy not in ("ACCEPT", "DROP"):
        raise TableError(f"chain {chain.name}: no such policy: {chain.policy!r}", chain.source)
    is_visible = chain.policy is not None
    kind = VERDICTS[chain.policy or "RETURN"]
    return PACK_RULE(0, 0, 0, 0, 0, 0, -1, -1, 0, 0, 0, 0, 0, kind, 0, 1, is_visible)


def _rule_row(
    tables: RuleTables, rule: Rule, family: int, start: Mapping[str, int], invert: int
) -> bytes:
    match_start, match_count = _matches(tables, rule, family) if rule.matches else (0, 0)
    kind, target = _target(tables, rule, family, start)
    src_high, src_low, src_mask = _prefix(tables, rule.src) if rule.src else ANY_ADDRESS
    dst_high, dst_low, dst_mask = _prefix(tables, rule.dst) if rule.dst else ANY_ADDRESS
    return PACK_RULE(
        src_high, src_low, dst_high, dst_low, src_mask, dst_mask,
        _interface(tables, rule.in_interface), _interface(tables, rule.out_interface),
        match_start, target, match_count,
        rule.protocol.number if rule.protocol else 0,
        invert | _inversions(rule), kind, rule.fragment is not None, 0, 1,
    )  # fmt: skip


def _prefix(tables: RuleTables, prefix: Prefix) -> tuple[int, int, int]:
    """(high, low) of the address, and the row of its mask."""
    number, mask = int(prefix.network.network_address), prefix.netmask
    if mask not in tables.mask_index:
        tables.mask_index[mask] = len(tables.masks)
        tables.masks.append(encode.pair(mask))
    return number >> 64, number & encode.MASK64, tables.mask_index[mask]


def _inversions(rule: Rule) -> int:
    bits = 0
    if rule.src is not None and rule.src.negated:
        bits |= INVERT_SRC
    if rule.dst is not None and rule.dst.negated:
        bits |= INVERT_DST
    if rule.in_interface is not None and rule.in_interface.negated:
        bits |= INVERT_IN
    if rule.out_interface is not None and rule.out_interface.negated:
        bits |= INVERT_OUT
    if rule.protocol is not None and rule.protocol.negated:
        bits |= INVERT_PROTO
    if rule.fragment is False:
        bits |= INVERT_FRAGMENT
    return bits


def _interface(tables: RuleTables, interface: Interface | None) -> int:
    if interface is None:
        return -1
    name = interface.name
    if name not in tables.interface_index:
        tables.interface_index[name] = len(tables.interfaces)
        tables.interfaces.append(encode.name_mask(name))
    return tables.interface_index[name]


def _matches(tables: RuleTables, rule: Rule, family: int) -> tuple[int, int]:
    """(first row, how many) of all matches of a rule."""
    rows: tuple[MatchRow, ...] = ()
    for match in rule.matches:
        found = tables.seen.matches.get(id(match))
        rows += _match_rows(tables, match, family, rule.source) if found is None else found
    start = tables.match_index.get(rows)
    if start is None:
        start = tables.match_index[rows] = len(tables.matches)
        tables.matches += rows
        if len(rows) > MATCHES_MAX:
            raise TableError(f"{len(rows)} matches, but at most {MATCHES_MAX}", rule.source)
    return start, len(rows)


def _match_rows(
    tables: RuleTables, match: Match, family: int, source: Source
) -> tuple[MatchRow, ...]:
    sets.check_names(tables.pools, match, source)
    tables.pools.begin_match()
    rows = tuple(match_rows(match, tables.pools, family))
    if not tables.pools.is_own:
        tables.seen.matches[id(match)] = rows
    return rows


def _target(
    tables: RuleTables, rule: Rule, family: int, start: Mapping[str, int]
) -> tuple[int, int]:
    """(kind, row in targets or first rule jumped to)"""
    target = rule.target
    if target is None:
        return NONE, 0
    if target.name in start:
        return GOTO if target.goto else JUMP, start[target.name]
    found = tables.seen.targets.get(id(target))
    if found is None:
        sets.check_names(tables.pools, target, rule.source)
        kind, row = target_row(target, family, tables.pools)
        if row not in tables.target_index:
            tables.target_index[row] = len(tables.targets)
            tables.targets.append(row)
        found = tables.seen.targets[id(target)] = (int(kind), tables.target_index[row])
    return found
