"""Rows of targets: their shape, and the words of an option as numbers."""

from collections.abc import Callable

from dataplane.image.encode import ZERO, Pair
from dataplane.image.pools import Pools
from dataplane.node.iptables import Option

Row = tuple[Pair, Pair, int, int, int, int, int]  # TARGET

EMPTY: Row = (ZERO, ZERO, 0, 0, 0, 0, 0)
Options = dict[str, Option]
Rows = Callable[[Options, int, Pools], tuple[int, Row]]  # of a target, in rules of a family


def numbers(a: int, b: int, flags: int = 0) -> Row:
    return (ZERO, ZERO, a, b, 0, 0, flags)


def masked(option: Option, ones: int = 0xFFFFFFFF) -> tuple[int, int]:
    value, slash, mask = option.values[0].partition("/")
    return int(value, 0), int(mask, 0) if slash else ones


def only(options: Options, *names: str) -> Option:
    """The one option, which must have one of these names."""
    ((name, option),) = options.items()
    if name not in names:
        raise KeyError(name)
    return option
