"""Arrays that the rows of matches and targets refer to by index, while rules become rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

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

    # The node's sets, whose rules become rows; None = nothing is known of them.
    sets: Mapping[str, int] | None = None

    def add_words(self, words: list[int]) -> int:
        """Index of the first of them."""
        self.words += words
        return len(self.words) - len(words)
