"""Typed access to the fields of one object; an error names the field and its line.

`null` means absent everywhere, as it does to an API server.
"""

from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

from dataplane.cluster.documents import Document
from dataplane.cluster.wording import (
    Path,
    describe,
    dotted,
    quoted,
    quoting_hint,
    template_hint,
)
from dataplane.errors import ObjectError

_Value = TypeVar("_Value")


class Fields:
    """A mapping inside an object, and where it stands."""

    __slots__ = ("document", "path", "subject", "value")

    def __init__(self, document: Document, subject: str, path: Path, value: dict[str, Any]):
        self.document = document
        self.subject = subject  # "Service default/web"
        self.path = path
        self.value = value

    def fail(self, problem: str, *steps: str | int) -> NoReturn:
        """Refuse the object because of the field at `steps` below this mapping."""
        source = self.document.source_of((*self.path, *steps))
        raise ObjectError(f"{self.subject}: {problem}", source)

    def expected(self, what: str, key: str, value: Any, hint: str = "") -> NoReturn:
        name = dotted((*self.path, key))
        self.fail(f"{name}: expected {what}, found {describe(value)}{hint}", key)

    def string(self, key: str, default: str = "") -> str:
        value = self.value.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            self.expected("a string", key, value, quoting_hint(value))
        return value

    def required(self, key: str) -> str:
        value = self.string(key)
        if not value:
            self.fail(f"{dotted((*self.path, key))} is missing", key)
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.string(key, default)
        if value not in allowed:
            self.expected(" or ".join(allowed), key, value)
        return value

    def integer(self, key: str, default: int = 0) -> int:
        value = self.value.get(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            hint = "; write it without quotes" if _is_digits(value) else ""
            self.expected("an integer", key, value, hint)
        if not -(2**31) <= value < 2**31:  # all integers of the API read here are int32
            self.expected("an integer of 32 bits", key, value)
        return value

    def boolean(self, key: str, default: bool = False) -> bool:
        value = self.value.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.expected("true or false", key, value)
        return value

    def mapping(self, key: str) -> "Fields":
        value = self.value.get(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            self.expected("a mapping", key, value)
        return Fields(self.document, self.subject, (*self.path, key), value)

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        values = self._sequence(key)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                name = dotted((*self.path, key, index))
                what = f"expected a string, found {describe(value)}{quoting_hint(value)}"
                self.fail(f"{name}: {what}", key, index)
        return tuple(values)

    def mappings(self, key: str) -> Iterator["Fields"]:
        """A list of mappings."""
        for index, value in enumerate(self._sequence(key)):
            path = (*self.path, key, index)
            if not isinstance(value, dict):
                found = f"expected a mapping, found {describe(value)}"
                self.fail(f"{dotted(path)}: {found}", key, index)
            yield Fields(self.document, self.subject, path, value)

    def string_map(self, key: str) -> dict[str, str]:
        """Labels, annotations, selectors."""
        fields = self.mapping(key)
        for name, value in fields.value.items():
            if not isinstance(value, str | None):
                what = f"expected a string, found {describe(value)}{quoting_hint(value)}"
                fields.fail(f"{dotted(fields.path)} {quoted(name)}: {what}", name)
        return {name: value or "" for name, value in fields.value.items()}

    def check(self, key: str, value: str, rule: Callable[[str], _Value], *steps: int) -> _Value:
        """rule(value); the ValueError by which a rule objects becomes ObjectError."""
        try:
            return rule(value)
        except ValueError as error:
            name = dotted((*self.path, key, *steps))
            self.fail(f"{name}: {error}{template_hint(value)}", key, *steps)

    def _sequence(self, key: str) -> list[Any]:
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.expected("a list", key, value)
        return value


def _is_digits(value: Any) -> bool:
    return isinstance(value, str) and value.isdecimal()
