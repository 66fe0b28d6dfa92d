"""Errors a user can act on: each says what is wrong and where it was written.

Only `dataplane.cli` catches them; it prints the message and exits 2.  A bug is a
traceback, never a message.
"""

from typing import NamedTuple


class Source(NamedTuple):
    """Where something was declared.  Every parsed object carries one."""

    path: str
    line: int  # 1-based; 0 when the format has no lines

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


NOWHERE = Source("<memory>", 0)


class DataplaneError(Exception):
    """Base of all errors raised on purpose.  Prints as `path:line: message`."""

    def __init__(self, message: str, source: Source | None = None):
        super().__init__(f"{source}: {message}" if source else message)
        self.source = source


class ParseError(DataplaneError):
    """The text is not in the format it claims to be."""


class ObjectError(DataplaneError):
    """A Kubernetes object that an API server would refuse."""


class TableError(DataplaneError):
    """The text parses, but a kernel would refuse to load it."""


class CaptureError(DataplaneError):
    """Not a capture, or one that cannot be read."""


class UsageError(DataplaneError):
    """What was asked for does not fit together."""
