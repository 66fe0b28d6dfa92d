"""Arrays that the rows of matches and targets refer to by index, while rules become rows."""

from dataclasses import dataclass, field


@dataclass
class Pools:
    ranges: list[tuple[int, int]] = field(default_factory=list)  # of ports
    words: list[int] = field(default_factory=list)  # longer arguments, 32 bits each
    nth: list[int] = field(default_factory=list)  # first value of each nth counter

    def add_words(self, words: list[int]) -> int:
        """Index of the first of them."""
        self.words += words
        return len(self.words) - len(words)
