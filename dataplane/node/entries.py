"""The JSON that `ip -j` and `bridge -j` print: an array of objects, read entry by entry.

An Entry hands out values of the type that is asked for, and otherwise raises a ParseError
that names the file, the line, the entry and the key.
"""

import json
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from dataplane.errors import ParseError, Source

WORD = 0xFFFFFFFF
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
# What iproute2 prints for a type of service that has a name: rt_dsfield.
DSFIELDS = {
    "default": 0, "AF11": 0x28, "AF12": 0x30, "AF13": 0x38, "AF21": 0x48, "AF22": 0x50,
    "AF23": 0x58, "AF31": 0x68, "AF32": 0x70, "AF33": 0x78, "AF41": 0x88, "AF42": 0x90,
    "AF43": 0x98, "CS1": 0x20, "CS2": 0x40, "CS3": 0x60, "CS4": 0x80, "CS5": 0xA0, "CS6": 0xC0,
    "CS7": 0xE0, "EF": 0xB8,
}  # fmt: skip
_space = re.compile(r"[ \t\r\n]*").match
_decode = json.JSONDecoder().raw_decode


class Entry:
    """One object of the array, or one nested in it."""

    __slots__ = ("label", "source", "values")

    def __init__(self, values: dict[str, Any], label: str, source: Source):
        self.values = values
        self.label = label  # "entry 3", "entry 3, linkinfo"
        self.source = source

    def error(self, message: str) -> ParseError:
        return ParseError(f"{self.label}: {message}", self.source)

    def wrong(self, key: str, expected: str) -> ParseError:
        return self.error(f"bad {key} {self.values.get(key)!r:.80}; {expected} was expected")

    def has(self, key: str) -> bool:
        return key in self.values

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if isinstance(value, str):
            return value
        raise self._missing_or(key, "a string")

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if key in self.values else None

    def number(self, key: str, default: int | None = None, most: int = WORD) -> int:
        value = self.values.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
            return value
        raise self._missing_or(key, f"a number from 0 to {most}")

    def hexadecimal(self, key: str, default: int) -> int:
        """A number, or a string such as "0x4000" (iproute2 prints marks and tos so)."""
        value = self.values.get(key, default)
        try:
            number = int(value, 0) if isinstance(value, str) else self.number(key, default)
        except ValueError:
            number = -1
        if 0 <= number <= WORD:
            return number
        raise self.wrong(key, "a number")

    def dsfield(self, key: str) -> int:
        """A type of service: 0 if there is none."""
        value = self.values.get(key, 0)
        number = DSFIELDS.get(value) if isinstance(value, str) else None
        number = self.hexadecimal(key, 0) if number is None else number
        if number > 255:
            raise self.wrong(key, "a number from 0 to 255")
        return number

    def truth(self, key: str, default: bool) -> bool:
        value = self.values.get(key, default)
        if isinstance(value, bool) or value in (0, 1):
            return bool(value)
        raise self.wrong(key, "true or false")

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise self.wrong(key, "a list of strings")

    def nested(self, key: str) -> "Entry":
        """The object under `key`; an empty one if there is none."""
        value = self.values.get(key, {})
        if isinstance(value, dict):
            return Entry(value, f"{self.label}, {key}", self.source)
        raise self.wrong(key, "an object")

    def entries(self, key: str) -> list["Entry"]:
        value = self.values.get(key, [])
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            label = f"{self.label}, {key}"
            return [
                Entry(item, f"{label} {number}", self.source) for number, item in enumerate(value)
            ]
        raise self.wrong(key, "a list of objects")

    def address(self, key: str) -> IPv4Address | IPv6Address:
        try:
            return ip_address(self.text(key))
        except ValueError:
            raise self.wrong(key, "an IP address") from None

    def optional_address(self, key: str) -> IPv4Address | IPv6Address | None:
        return self.address(key) if key in self.values else None

    def network(self, key: str, text: str) -> IPv4Network | IPv6Network:
        try:
            return ip_network(text)
        except ValueError:
            raise self.wrong(key, "an IP prefix") from None

    def mac(self, key: str) -> str:
        value = self.text(key).lower()
        if MAC.match(value):
            return value
        raise self.wrong(key, "a MAC address")

    def refuse(self, keys: Iterable[str]) -> None:
        """Keys that change what the entry means, and that are not modelled."""
        for key in keys:
            if key in self.values:
                raise self.error(f"{key} is not modelled")

    def _missing_or(self, key: str, expected: str) -> ParseError:
        return self.wrong(key, expected) if key in self.values else self.error(f"no {key}")


def read_entries(text: str, path: str) -> list[Entry]:
    """The objects of the array; a text without anything is an empty array.

    Empty objects are left out: old versions of iproute2 print them for what was filtered away.
    """
    cursor = _Cursor(text, path)
    if cursor.next() == "":
        return []
    cursor.expect("[", "a JSON array, as `ip -j` prints,")
    entries: list[Entry] = []
    number = 0
    while cursor.next() != "]":
        if number:
            cursor.expect(",", "',' or ']'")
        cursor.next()
        source, values = cursor.source, cursor.value()
        if not isinstance(values, dict):
            raise ParseError(f"entry {number}: an object was expected", source)
        if values:
            entries.append(Entry(values, f"entry {number}", source))
        number += 1
    cursor.expect("]", "']'")
    if cursor.next():
        raise ParseError("nothing was expected after the JSON array", cursor.source)
    return entries


class _Cursor:
    """A place in JSON text, which knows its line."""

    def __init__(self, text: str, path: str):
        self.text, self.path, self.at = text, path, 0
        self._counted, self._line = 0, 1  # lines are counted once, not anew for every entry

    @property
    def source(self) -> Source:
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return Source(self.path, self._line)

    def next(self) -> str:
        """The next character that is not space, without taking it; "" at the end."""
        space = _space(self.text, self.at)
        self.at = space.end() if space else self.at
        return self.text[self.at : self.at + 1]

    def expect(self, character: str, expected: str) -> None:
        if self.next() != character:
            raise ParseError(f"{expected} was expected", self.source)
        self.at += 1

    def value(self) -> Any:
        try:
            value, self.at = _decode(self.text, self.at)
        except json.JSONDecodeError as error:
            self.at = error.pos
            raise ParseError(f"bad JSON: {error.msg}", self.source) from None
        except (RecursionError, ValueError):  # too deep, or a number of thousands of digits
            raise ParseError("bad JSON: too deep, or a number too long", self.source) from None
        return value


def render_entries(entries: Iterable[dict[str, Any]]) -> str:
    """A JSON array, one entry per line."""
    lines = ",\n".join(json.dumps(entry, separators=(", ", ": ")) for entry in entries)
    return f"[{lines}]\n"
