"""YAML text to plain values, resolved as kubectl resolves them.

Built on libyaml's events and not on PyYAML's composer: that one recurses in C (a few
hundred thousand `[` end the process), refuses an anchor defined twice, which is legal and
occurs, and gives plain words another meaning than kubectl does (see `yaml_scalars`).

Positions are not kept.  `line_of` reads the text again when an error has to name a line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from dataplane.cluster.wording import Path, quoted
from dataplane.cluster.yaml_scalars import resolve
from dataplane.errors import ParseError, Source

MAX_DEPTH = 256  # the deepest CustomResourceDefinitions in use nest about 60 levels
MAX_ALIASED = 100_000  # values that aliases may stand for, per document ("billion laughs")

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE_TAG = "tag:yaml.org,2002:"
_RESOLVED_TAGS = {_CORE_TAG + name for name in ("int", "float", "bool", "null")}


@dataclass(slots=True)
class YamlDocument:
    """One document of a stream."""

    value: Any
    number: int  # 0-based position in the stream
    line: int  # 1-based line its value starts on
    item_lines: list[int]  # where the entries of a top-level `items` start


@dataclass(slots=True)
class _Anchored:
    """What an alias stands for."""

    value: Any
    marks: Any
    size: int = 1  # values in it, itself included
    height: int = 0  # collections nested in it, itself included


@dataclass(slots=True)
class _Open:
    """A collection that is being read."""

    value: Any  # dict or list
    marks: Any  # same shape: lines instead of values; None unless asked for
    line: int
    anchor: str | None
    counted: int  # values seen when it was opened
    height: int = 1
    key: str | None = None  # mapping: the key whose value comes next
    keyed: bool = False  # the key has been read
    merging: bool = False  # and it is `<<`
    merges: list[Any] = field(default_factory=list)


def documents(text: str, path: str) -> Iterator[YamlDocument]:
    """The documents of a stream that are not empty.

    raises  ParseError: not YAML, a template, nested too deep, aliases that explode
    """
    for document, _ in _compose(text, path, marked=False):
        yield document


def line_of(text: str, path: str, number: int, field_path: Path) -> int:
    """Line of the value at `field_path` in document `number`, or of its nearest parent."""
    for document, marks in _compose(text, path, marked=True):
        if document.number == number:
            return _walk_marks(marks, field_path)
    return 0


def _walk_marks(marks: Any, field_path: Path) -> int:
    line: int = marks[0]
    for step in field_path:
        children = marks[1]
        if children is None or step not in children:
            break
        marks = children[step]
        line = marks[0]
    return line


def _compose(text: str, path: str, marked: bool) -> Iterator[tuple[YamlDocument, Any]]:
    composer = _Composer(path, marked)
    loader = None
    try:
        loader = _LOADER(text)
        number = 0
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.DocumentStartEvent):
                document, marks = composer.document(loader, number)
                number += 1
                if document.value is not None:
                    yield document, marks
    except yaml.reader.ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        line = text.count("\n", 0, position) + 1
        raise ParseError(f"not YAML: {error.reason}", Source(path, line)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        problem = error.problem or "malformed"
        if "nesting depth" in problem:  # PyYAML's own limit, from 6.0.4 on
            problem = f"nested more than {MAX_DEPTH} deep"
        raise _not_yaml(text, path, line, problem) from None
    except _RefusedError as refused:
        raise _not_yaml(text, path, refused.line, str(refused)) from None
    finally:
        if loader is not None:
            loader.dispose()


def _not_yaml(text: str, path: str, line: int, problem: str) -> ParseError:
    for number, content in enumerate(text.splitlines(), 1):
        if "{{" in content:
            hint = "a template ({{ … }}), not YAML; render it first (helm template, …)"
            return ParseError(hint, Source(path, number))
    return ParseError(f"not YAML: {problem}", Source(path, line))


class _RefusedError(Exception):
    def __init__(self, message: str, line: int):
        super().__init__(message)
        self.line = line


class _Composer:
    """Puts events together, without recursion: depth costs memory, never the stack."""

    def __init__(self, path: str, marked: bool):
        self.path = path
        self.marked = marked
        self.resolved: dict[str, Any] = {}  # the same few words come again and again

    def document(self, loader: Any, number: int) -> tuple[YamlDocument, Any]:
        self.anchors: dict[str, _Anchored] = {}
        self.unfinished: set[str] = set()
        self.stack: list[_Open] = []
        self.counted = 0
        self.aliased = 0
        self.item_lines: list[int] = []
        self.root: Any = None
        self.root_marks: Any = (0, None)
        while True:
            event = loader.get_event()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self.scalar(event)
            elif kind is yaml.MappingStartEvent:
                self.open(event, {})
            elif kind is yaml.SequenceStartEvent:
                self.open(event, [])
            elif kind is yaml.AliasEvent:
                self.alias(event)
            elif kind is yaml.DocumentEndEvent:
                line = self.root_marks[0]
                return YamlDocument(self.root, number, line, self.item_lines), self.root_marks
            else:
                self.close()

    def scalar(self, event: Any) -> None:
        self.counted += 1
        value = event.value
        tag = event.tag
        plain = event.implicit[0] if tag is None else tag in _RESOLVED_TAGS
        if plain:
            try:
                value = self.resolved[value]
            except KeyError:
                value = self.resolved[event.value] = resolve(event.value)
        line = event.start_mark.line + 1
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(value, (line, None))
        stack = self.stack
        if stack and type(stack[-1].value) is dict and not stack[-1].keyed:
            self.key(stack[-1], value, plain, line)
            return
        self.add(value, (line, None), line)

    def key(self, parent: _Open, value: Any, plain: bool, line: int) -> None:
        if value is None:
            raise _RefusedError("a key is missing before ':'", line)
        if type(value) is not str:
            value = str(value).lower()  # JSON has only string keys: 1 → "1", on → "true"
        if value in parent.value:
            raise _RefusedError(f"key {quoted(value)} is set twice", line)
        parent.key = value
        parent.keyed = True
        parent.merging = plain and value == "<<"

    def open(self, event: Any, value: Any) -> None:
        self.counted += 1
        line = event.start_mark.line + 1
        stack = self.stack
        if len(stack) == MAX_DEPTH:
            raise _RefusedError(f"nested more than {MAX_DEPTH} deep", line)
        if stack and type(stack[-1].value) is dict and not stack[-1].keyed:
            raise _RefusedError("a mapping or sequence as a key", line)
        if len(stack) == 2 and stack[0].key == "items":
            self.item_lines.append(line)
        if event.anchor is not None:
            self.unfinished.add(event.anchor)
        marks: dict[str | int, Any] | None = {} if self.marked else None
        stack.append(_Open(value, marks, line, event.anchor, self.counted))

    def close(self) -> None:
        done = self.stack.pop()
        for merge in done.merges:
            for key, value in merge.items():
                done.value.setdefault(key, value)
        marks = (done.line, done.marks)
        if done.anchor is not None:
            self.unfinished.discard(done.anchor)
            size = self.counted - done.counted + 1
            self.anchors[done.anchor] = _Anchored(done.value, marks, size, done.height)
        self.rise(done.height)
        self.add(done.value, marks, done.line)

    def rise(self, height: int) -> None:
        """The collection being read holds one of this height."""
        if self.stack:
            self.stack[-1].height = max(self.stack[-1].height, height + 1)

    def alias(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if event.anchor in self.unfinished:
            raise _RefusedError(f"*{event.anchor} stands inside the value it names", line)
        if event.anchor not in self.anchors:
            raise _RefusedError(f"*{event.anchor} names no anchor", line)
        found = self.anchors[event.anchor]
        self.counted += found.size
        self.aliased += found.size
        if self.aliased > MAX_ALIASED:
            raise _RefusedError(f"aliases stand for more than {MAX_ALIASED} values", line)
        stack = self.stack
        if len(stack) + found.height > MAX_DEPTH:
            raise _RefusedError(f"nested more than {MAX_DEPTH} deep", line)
        self.rise(found.height)
        value = found.value
        if stack and type(stack[-1].value) is dict and not stack[-1].keyed:
            if isinstance(value, dict | list):
                raise _RefusedError("a mapping or sequence as a key", line)
            self.key(stack[-1], value, False, line)
            return
        if len(stack) == 2 and stack[0].key == "items":
            self.item_lines.append(line)
        self.add(value, found.marks, line)

    def add(self, value: Any, marks: Any, line: int) -> None:
        if not self.stack:
            self.root = value
            self.root_marks = marks
            return
        parent = self.stack[-1]
        if type(parent.value) is list:
            parent.value.append(value)
            if parent.marks is not None:
                parent.marks[len(parent.value) - 1] = marks
            return
        parent.keyed = False
        if parent.merging:
            self.merge(parent, value, line)
            return
        assert parent.key is not None
        parent.value[parent.key] = value
        if parent.marks is not None:
            parent.marks[parent.key] = marks

    def merge(self, parent: _Open, value: Any, line: int) -> None:
        merges = value if isinstance(value, list) else [value]
        if not all(isinstance(merge, dict) for merge in merges):
            raise _RefusedError("<< merges mappings only", line)
        parent.merges.extend(merges)
