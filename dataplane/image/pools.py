"""Arrays that the rows of matches and targets refer to by index, while rules become rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dataplane.image import encode
from dataplane.image.memory import Memories


@dataclass
class Pools:
    flavour: str = "legacy"  # of the rule set that is being read: legacy | nft
    ranges: list[tuple[int, int]] = field(default_factory=list)  # of ports
    words: list[int] = field(default_factory=list)  # longer arguments, 32 bits each
    memories: Memories = field(default_factory=Memories)
    node: str = ""  # whose rules become rows
    has_ipsec: bool = False  # the node has a device of IPsec's
    knows_realms: bool = True  # those of its routes and rules are numbers

    # (family, table, chain, number) of the rule that becomes a row, and whether its match has
    # taken something for itself.
    rule: tuple[int, str, str, int] = (0, "", "", 0)
    has_asked: bool = False
    memory_count: int = 0

    # The node's sets, whose rules become rows; None = nothing is known of them.
    sets: Mapping[str, int] | None = None

    # Equal arguments stand once, whoever asks for them: the same nodes give the same bytes.
    word_index: dict[tuple[int, ...], int] = field(default_factory=dict)
    range_index: dict[tuple[tuple[int, int], ...], int] = field(default_factory=dict)

    def add_words(self, words: list[int]) -> int:
        """Index of the first of them."""
        start = self.word_index.setdefault(tuple(words), len(self.words))
        if start == len(self.words):
            self.words += words
        return start

    def add_ranges(self, ranges: list[tuple[int, int]]) -> int:
        """Index of the first of them."""
        start = self.range_index.setdefault(tuple(ranges), len(self.ranges))
        if start == len(self.ranges):
            self.ranges += ranges
        return start

    def begin_match(self) -> None:
        """From here on `is_own` is about one match."""
        self.has_asked = False
        self.memory_count = len(self.memories.credits)

    @property
    def is_own(self) -> bool:
        """The rows that were made for it are its rule's alone: it remembers, or draws."""
        return self.has_asked or len(self.memories.credits) != self.memory_count

    def rule_identity(self) -> tuple[int, int]:
        """What the rule's chance depends on, whatever else is assembled: high and low 32 bits."""
        self.has_asked = True
        number = encode.identity("{} {} {} {}".format(*self.rule))
        return number >> 32, number & 0xFFFFFFFF
