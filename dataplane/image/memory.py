"""What matches remember: which memories and tables there are is known when rules become rows.

A `recent` table is shared by all rules of a node that name it, a `hashlimit` table by those of
one family; the first rule gives a table its settings, as with the kernel.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from _fastpath.image import HashlimitWord, Tick

TICKS_PER_SECOND = int(Tick.TICKS_PER_SECOND)
RECENT_ENTRIES = 100  # xt_recent.c, ip_list_tot
Row = tuple[int, int, int, int, int, int, int, tuple[int, ...]]  # MEMORY


@dataclass
class RecentTable:
    slot: int
    mask: tuple[int, int, int, int]  # words, most significant first
    stamps: int  # that an entry keeps


class HashlimitTable(NamedTuple):
    slot: int
    settings: dict[HashlimitWord, int]
    capacity: int


@dataclass
class Memories:
    """`credits` has one number per memory: where it starts."""

    credits: list[int] = field(default_factory=list)
    recent: dict[tuple[str, str], RecentTable] = field(default_factory=dict)
    hashlimit: dict[tuple[str, int, str], HashlimitTable] = field(default_factory=dict)
    counts: bool = False  # connections, for connlimit

    def add(self, credit: int = 0) -> int:
        """A memory of its own; its index."""
        self.credits.append(credit)
        return len(self.credits) - 1

    def recent_table(self, node: str, name: str, mask: tuple[int, int, int, int],
                     stamps: int) -> int:  # fmt: skip
        """The memory of a table, which keeps as many stamps as any of its rules asks for."""
        table = self.recent.get((node, name))
        if table is None:
            table = self.recent[node, name] = RecentTable(self.add(), mask, stamps)
        table.stamps = max(table.stamps, stamps)
        return table.slot

    def hashlimit_table(self, node: str, family: int, name: str,
                        settings: dict[HashlimitWord, int], capacity: int) -> int:  # fmt: skip
        table = self.hashlimit.get((node, family, name))
        if table is None:
            table = HashlimitTable(self.add(), settings, capacity)
            self.hashlimit[node, family, name] = table
        return table.slot


class MemoryRows(NamedTuple):
    """One row per memory, and how long the arrays are that tables have in common."""

    rows: list[Row]
    recent: int
    recent_stamps: int
    hashlimit: int
    hashlimit_buckets: int
    counts: bool


def memory_rows(memories: Memories, words: list[int]) -> MemoryRows:
    """Appends the settings of tables to `words`."""
    rows: list[Row] = [(credit, 0, 0, 0, 0, 0, 0, (0,) * 7) for credit in memories.credits]
    entries = stamps = 0
    for recent in memories.recent.values():
        rows[recent.slot] = (0, 0, entries, RECENT_ENTRIES, 0, len(words), 0, (0,) * 7)
        words += [*recent.mask, stamps, recent.stamps]
        entries += RECENT_ENTRIES
        stamps += RECENT_ENTRIES * recent.stamps
    flows = buckets = 0
    for table in memories.hashlimit.values():
        count = 1 << (table.capacity - 1).bit_length()
        rows[table.slot] = (0, 0, flows, table.capacity, 0, len(words), 0, (0,) * 7)
        settings = table.settings | {
            HashlimitWord.HASHLIMIT_BUCKETS: buckets,
            HashlimitWord.HASHLIMIT_BUCKET_COUNT: count,
        }
        for which in range(HashlimitWord.HASHLIMIT_WORDS):
            value = settings.get(HashlimitWord(which), 0)
            words += [value & 0xFFFFFFFF, value >> 32]
        flows += table.capacity
        buckets += count
    return MemoryRows(rows, entries, stamps, flows, buckets, memories.counts)
