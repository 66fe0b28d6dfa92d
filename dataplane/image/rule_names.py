"""Names of the rows of the rule array, kept by chain: a name is made when it is asked for."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, overload

from dataplane.node.lasting import lasting


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


class RuleNames(Sequence[RuleName]):
    """Chains laid end to end, from row 0 on.

    later   makes them when the first name is asked for
    """

    def __init__(self, later: Callable[[], Iterable[ChainRows]] = tuple):
        self._later: Callable[[], Iterable[ChainRows]] | None = later
        self._chains: list[ChainRows] = []
        self._starts: list[int] = []

    @property
    def chains(self) -> list[ChainRows]:
        if self._later is not None:
            with lasting():
                self._chains = list(self._later())
            self._starts = [rows.start for rows in self._chains]
            self._later = None
        return self._chains

    def add(self, node: str, family: int, table: str, chain: str, rules: int) -> ChainRows:
        """The next chain, of so many rules."""
        start = len(self)
        rows = ChainRows(start, start + rules, node, family, table, chain)
        self.chains.append(rows)
        self._starts.append(start)
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
        rows = self.chains[bisect_right(self._starts, index) - 1]
        return rows.name(0 if index == rows.end else index - rows.start + 1)

    def __iter__(self) -> Iterator[RuleName]:
        for rows in self.chains:
            for number in range(1, rows.end - rows.start + 1):
                yield rows.name(number)
            yield rows.name(0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RuleNames) and self.chains == other.chains

    __hash__ = None  # type: ignore[assignment]
