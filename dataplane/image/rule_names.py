"""Names of the rows of the rule array, kept by chain: a name is made when it is asked for."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, overload


class RuleName(NamedTuple):
    """What a row of the rule array is.  Number 0 closes the chain."""

    node: str
    family: int
    table: str
    chain: str
    number: int


class ChainRows(NamedTuple):
    """Rows of a chain; the last one closes it."""

    start: int
    end: int  # the row that closes it
    node: str
    family: int
    table: str
    chain: str

    def name(self, number: int) -> RuleName:
        return RuleName(self.node, self.family, self.table, self.chain, number)


@dataclass(frozen=True)
class RuleNames(Sequence[RuleName]):
    """Chains laid end to end, from row 0 on."""

    chains: list[ChainRows] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)  # of the chains

    def add(self, node: str, family: int, table: str, chain: str, rules: int) -> ChainRows:
        """The next chain, of so many rules."""
        start = len(self)
        rows = ChainRows(start, start + rules, node, family, table, chain)
        self.chains.append(rows)
        self.starts.append(start)
        return rows

    def __len__(self) -> int:
        return self.chains[-1].end + 1 if self.chains else 0

    @overload
    def __getitem__(self, index: int) -> RuleName: ...
    @overload
    def __getitem__(self, index: slice) -> list[RuleName]: ...
    def __getitem__(self, index: int | slice) -> RuleName | list[RuleName]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        rows = self.chains[bisect_right(self.starts, index) - 1]
        return rows.name(0 if index == rows.end else index - rows.start + 1)

    def __iter__(self) -> Iterator[RuleName]:
        for rows in self.chains:
            for number in range(1, rows.end - rows.start + 1):
                yield rows.name(number)
            yield rows.name(0)
