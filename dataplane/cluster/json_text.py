"""JSON text to plain values: one document, or several one after another.

Between documents may stand `---` and the container logs that `kubectl cluster-info dump`
prints.  Positions are not kept; `line_of` reads again when an error has to name a line.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from dataplane.cluster.wording import Path
from dataplane.cluster.yaml_text import MAX_DEPTH
from dataplane.errors import ParseError, Source

_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
# pkg/cmd/clusterinfo/clusterinfo_dump.go, v1.33
_LOGS = re.compile(r"==== START logs for .*?(?:^==== END logs for [^\n]*|\Z)", re.DOTALL | re.M)
_SEPARATOR = re.compile(r"---[ \t\r]*(?:\n|\Z)")


@dataclass(slots=True)
class JsonDocument:
    """One document of the text."""

    value: Any
    start: int  # offset of its first character
    line: int  # 1-based
    item_lines: list[int]  # where the entries of a top-level `items` start


class _ConstantError(ValueError):
    """NaN or Infinity, which Python would let through."""


def _no_constant(name: str) -> Any:
    raise _ConstantError(name)


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def documents(text: str, path: str) -> Iterator[JsonDocument]:
    """The documents of `text`, in order.

    raises  ParseError: not JSON, or nested too deep
    """
    lines = _Lines(text)
    position = _skip(text, 0)
    while position < len(text):
        value, end = _decode(text, position, path, lines)
        if _depth_exceeds(value, MAX_DEPTH):
            problem = f"not JSON: nested more than {MAX_DEPTH} deep"
            raise ParseError(problem, Source(path, lines.at(position)))
        items = _item_lines(text, position, value, lines)
        yield JsonDocument(value, position, lines.at(position), items)
        position = _skip(text, end)


def line_of(text: str, start: int, field_path: Path) -> int:
    """Line of the value at `field_path` in the document at `start`, or of its parent."""
    position = start
    for step in field_path:
        for key, child in _children(text, position):
            if key == step:
                position = child
                break
        else:
            break
    return text.count("\n", 0, position) + 1


class _Lines:
    """Line numbers for offsets that only grow; counts every newline once."""

    def __init__(self, text: str):
        self.text = text
        self.offset = 0
        self.line = 1

    def at(self, offset: int) -> int:
        if offset < self.offset:
            return self.text.count("\n", 0, offset) + 1
        self.line += self.text.count("\n", self.offset, offset)
        self.offset = offset
        return self.line


def _skip(text: str, position: int) -> int:
    while True:
        position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
        found = _LOGS.match(text, position) or _SEPARATOR.match(text, position)
        if not found:
            return position
        position = found.end()


def _decode(text: str, position: int, path: str, lines: _Lines) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        source = Source(path, lines.at(error.pos))
        raise ParseError(f"not JSON: {error.msg[0].lower()}{error.msg[1:]}", source) from None
    except RecursionError:
        problem = "not JSON: nested too deep"
    except _ConstantError as error:
        problem = f"not JSON: {error}"
    except ValueError:
        problem = "not JSON: an integer of thousands of digits"
    raise ParseError(problem, Source(path, lines.at(position)))


def _item_lines(text: str, start: int, value: Any, lines: _Lines) -> list[int]:
    if not (isinstance(value, dict) and isinstance(value.get("items"), list)):
        return []
    position = next(child for key, child in _children(text, start) if key == "items")
    return [lines.at(child) for _, child in _children(text, position)]


def _children(text: str, position: int) -> Iterator[tuple[str | int, int]]:
    """(key or index, offset of the value) of what stands at `position`; known to be JSON."""
    opening = text[position]
    if opening not in "{[":
        return
    index = 0
    position = _SPACE.match(text, position + 1).end()  # type: ignore[union-attr]
    while text[position] not in "}]":
        key: str | int = index
        if opening == "{":
            key, position = scanstring(text, position + 1)
            position = _SPACE.match(text, position).end() + 1  # type: ignore[union-attr]
            position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
        yield key, position
        position = _DECODER.raw_decode(text, position)[1]
        position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
        if text[position] == ",":
            position = _SPACE.match(text, position + 1).end()  # type: ignore[union-attr]
        index += 1


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True
