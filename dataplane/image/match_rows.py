"""What the rows of all matches are made of."""

from collections.abc import Callable, Mapping

from _fastpath.image import MatchKind
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match, Option

Row = tuple[int, int, int, int, int, int, int, int]  # MATCH
Rows = Callable[[Match, Pools, int], list[Row]]  # of a match, in a rule set of a family
Unmodelled = KeyError  # what interpreting an option that is not modelled raises


def row(kind: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0, *, invert: int = 0,
        flags: int = 0) -> Row:  # fmt: skip
    return (a, b, c, d, int(kind), invert, flags, 0)


UNKNOWN = row(MatchKind.MATCH_UNKNOWN)


def options_of(match: Match) -> dict[str, Option]:
    options = {option.name: option for option in match.options}
    if len(options) != len(match.options):
        raise Unmodelled("the same option twice")
    return options


def names(option: Option, numbers: Mapping[str, int]) -> int:
    """Bits of a comma list."""
    total = 0
    for name in option.values[0].split(","):
        total |= numbers[name]
    return total


def masked(option: Option) -> tuple[int, int]:
    """`VALUE` or `VALUE/MASK`."""
    value, _, mask = option.values[0].partition("/")
    return int(value, 0), int(mask, 0) if mask else 0xFFFFFFFF
