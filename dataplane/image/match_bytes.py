"""Rows of matches that look anywhere in the packet's bytes."""

import re

from _fastpath.image import MatchKind, U32Operator
from dataplane.image.match_rows import Row, Rows, options_of, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match

OPERATORS = {
    "&": U32Operator.U32_AND, "<<": U32Operator.U32_LEFT, ">>": U32Operator.U32_RIGHT,
    "@": U32Operator.U32_AT,
}  # fmt: skip
TOKEN = re.compile(r"\s*(0[xX][0-9a-fA-F]+|\d+|&&|<<|>>|[&@=:,])\s*")
MOST_TESTS, MOST_NUMBERS = 10, 10  # XT_U32_MAXSIZE + 1
WORD = 0xFFFFFFFF


def _u32(match: Match, pools: Pools, family: int) -> list[Row]:
    (option,) = match.options
    tests = [_test(text) for text in option.values[0].split("&&")]
    if len(tests) > MOST_TESTS:
        raise ValueError(option)
    words = [len(tests), *(word for test in tests for word in test)]
    return [row(MatchKind.MATCH_U32, pools.add_words(words), invert=option.negated)]


def _test(text: str) -> list[int]:
    location, _, values = text.partition("=")
    numbers = _location(_tokens(location))
    ranges = [_range(value) for value in values.split(",")]
    if max(len(numbers) // 2, len(ranges)) > MOST_NUMBERS:
        raise ValueError(text)
    return [len(numbers) // 2, *numbers, len(ranges), *(end for ends in ranges for end in ends)]


def _tokens(text: str) -> list[str]:
    found = TOKEN.findall(text)
    if "".join(found) != re.sub(r"\s", "", text):
        raise ValueError(text)
    return list(found)


def _location(tokens: list[str]) -> list[int]:
    """(operator, number) of each step; the first has no operator."""
    operators, numbers = tokens[1::2], tokens[::2]
    if len(numbers) != len(operators) + 1:
        raise ValueError(tokens)
    steps = [0, _number(numbers[0])]
    for operator, number in zip(operators, numbers[1:], strict=True):
        steps += [OPERATORS[operator], _number(number)]
    return steps


def _number(text: str) -> int:
    # As strtoul reads it: a leading 0 makes it octal.
    number = int(text, 8) if re.fullmatch(r"0[0-7]+", text.strip()) else int(text, 0)
    if not 0 <= number <= WORD:
        raise ValueError(text)
    return number


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    return _number(first), _number(last or first)


def _string(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    text, hexadecimal = options.pop("--string", None), options.pop("--hex-string", None)
    option = text or hexadecimal
    algorithm = options.pop("--algo").values[0]
    if option is None or algorithm not in ("bm", "kmp"):
        raise ValueError(match)
    pattern = _hexadecimal(option.values[0]) if hexadecimal else _bytes(option.values[0])
    is_blind = bool(options.pop("--icase", None))
    start, stop = options.pop("--from", None), options.pop("--to", None)
    if options or not 0 < len(pattern) <= 128:  # XT_STRING_MAX_PATTERN_SIZE
        raise ValueError(match)
    words = pools.add_words(list(pattern.upper() if is_blind else pattern))
    return [
        row(
            MatchKind.MATCH_STRING,
            words,
            len(pattern),
            int(start.values[0]) if start else 0,
            int(stop.values[0]) if stop else 65535,
            invert=option.negated,
            flags=int(is_blind) | (algorithm == "bm") << 1,
        )
    ]


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _hexadecimal(text: str) -> bytes:
    """`GET |0d 0a|`: between bars stand bytes."""
    parts = text.split("|")
    if len(parts) % 2 == 0:
        raise ValueError(text)
    return b"".join(
        bytes.fromhex(part) if number % 2 else _bytes(part) for number, part in enumerate(parts)
    )


MATCHES: dict[str, Rows] = {
    "u32": _u32,
    "string": _string,
}
