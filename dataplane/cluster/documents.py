"""Paths to documents: YAML streams, JSON, directories, `-`; lists are taken apart.

A Document knows the line it starts on, and can find the line of any field in it.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from dataplane.cluster import json_text, yaml_text
from dataplane.cluster.wording import Path, describe
from dataplane.errors import ObjectError, ParseError, Source, UsageError

SUFFIXES = (".yaml", ".yml", ".json")

_JSON_START = re.compile(r"[\ufeff\s]*\{\s*[\"}]")


@dataclass(frozen=True, slots=True)
class Document:
    """One object as written."""

    value: dict[str, Any]
    source: Source
    locate: Callable[[Path], int]  # line of the field at this path; 0 if unknown

    def source_of(self, field_path: Path) -> Source:
        return Source(self.source.path, self.locate(field_path) or self.source.line)


def read(paths: Sequence[str]) -> Iterator[Document]:
    """Every object in the files, directories (recursive, sorted) and `-` (stdin)."""
    for path in paths:
        for name in _files(path):
            yield from parse(_text(name), "<stdin>" if name == "-" else name)


def parse(text: str, path: str) -> Iterator[Document]:
    """Every object in `text`; the entries of `kind: List` each by itself.

    raises  ParseError, ObjectError
    """
    for document in _documents(text, path):
        yield from _entries(*document)


def _files(path: str) -> list[str]:
    if path == "-" or not FilePath(path).is_dir():
        return [path]
    found = [
        str(FilePath(folder) / name)
        for folder, _, names in os.walk(path)
        for name in names
        if name.endswith(SUFFIXES)
    ]
    if not found:
        raise UsageError(f"no {', '.join('*' + suffix for suffix in SUFFIXES)} in {path}")
    return sorted(found)


def _text(path: str) -> str:
    try:
        data = sys.stdin.buffer.read() if path == "-" else FilePath(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the name
        raise UsageError(f"{path!r}: {error}") from None
    # `kubectl … > file` in Windows PowerShell writes UTF-16 with a byte order mark.
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ParseError(f"not text: byte {data[error.start]:#04x}", Source(path, line)) from None


_Found = tuple[Any, Source, tuple[list[int], Callable[[Path], int]]]


def _documents(text: str, path: str) -> Iterator[_Found]:
    if _looks_like_json(text, path):
        for found in json_text.documents(text, path):
            locate = _json_locator(text, found.start)
            yield found.value, Source(path, found.line), (found.item_lines, locate)
        return
    for document in yaml_text.documents(text, path):
        locate = _yaml_locator(text, path, document.number)
        yield document.value, Source(path, document.line), (document.item_lines, locate)


def _looks_like_json(text: str, path: str) -> bool:
    """A leading brace is JSON for kubectl too; but `{a: b}` and `{{ x }}` are YAML's matter."""
    if path.endswith(".json"):
        return True
    return _JSON_START.match(text) is not None


def _json_locator(text: str, start: int) -> Callable[[Path], int]:
    return lambda field_path: json_text.line_of(text, start, field_path)


def _yaml_locator(text: str, path: str, number: int) -> Callable[[Path], int]:
    return lambda field_path: yaml_text.line_of(text, path, number, field_path)


def _entries(
    value: Any, source: Source, positions: tuple[list[int], Callable[[Path], int]]
) -> Iterator[Document]:
    item_lines, locate = positions
    if not isinstance(value, dict):
        raise ObjectError(f"expected an object, found {describe(value)}", source)
    document = Document(value, source, locate)
    if not _is_list(document):
        yield document
        return
    items = value.get("items")
    if not isinstance(items, list | None):
        raise ObjectError(
            f"items: expected a list, found {describe(items)}", document.source_of(("items",))
        )
    for index, item in enumerate(items or ()):
        line = item_lines[index] if index < len(item_lines) else source.line
        entry = _inherit(item, value)
        where = Source(source.path, line)
        if not isinstance(entry, dict):
            raise ObjectError(f"items[{index}]: expected an object, found {describe(entry)}", where)
        nested = Document(entry, where, _entry_locator(locate, index))
        if _is_list(nested):
            raise ObjectError("a list inside a list", where)
        yield nested


def _entry_locator(locate: Callable[[Path], int], index: int) -> Callable[[Path], int]:
    return lambda field_path: locate(("items", index, *field_path))


def _is_list(document: Document) -> bool:
    value = document.value
    if "kind" not in value and isinstance(value.get("Items"), list):
        problem = "Go structures of an old `kubectl cluster-info dump`; use `kubectl get -o json`"
        raise ObjectError(problem, document.source)
    kind = value.get("kind")
    return isinstance(kind, str) and (
        kind == "List" or (kind.endswith("List") and "items" in value)
    )


def _inherit(item: Any, listing: dict[str, Any]) -> Any:
    """A `PodList` does not repeat kind and apiVersion in its items; a `List` does."""
    if not isinstance(item, dict) or listing["kind"] == "List":
        return item
    implied = {"apiVersion": listing.get("apiVersion"), "kind": listing["kind"][: -len("List")]}
    return implied | item
