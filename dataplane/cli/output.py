"""Standard output and standard error: text, JSON lines, notes."""

import codecs
import os
import sys
from collections.abc import Callable

from dataplane.cluster.wording import printable

Write = Callable[[str], None]
Warn = Callable[[str], None]
NOTE_LETTERS = 2000


def text_writer() -> Write:
    """Writes to standard output; in colour when it is a terminal and NO_COLOR is not set."""
    codecs.register_error("dataplane", _encode_anyhow)
    stdout = sys.stdout
    if hasattr(stdout, "reconfigure"):
        stdout.reconfigure(errors="dataplane")
    if stdout.isatty() and not os.environ.get("NO_COLOR"):
        from dataplane.cli.colour import colour_writer  # rich is slow to load

        return colour_writer(stdout)

    def write(text: str) -> None:
        stdout.write(text)

    return write


def bytes_writer() -> Callable[[bytes | memoryview], None]:
    """Writes bytes to standard output."""
    buffer = sys.stdout.buffer

    def write(data: bytes | memoryview) -> None:
        buffer.write(data)

    return write


def _encode_anyhow(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes of a dump that are no text go out as they came in; what has no letter here is `?`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    data = b"".join(
        bytes([ord(letter) - 0xDC00]) if 0xDC80 <= ord(letter) <= 0xDCFF else b"?"
        for letter in letters
    )
    return data, error.end


def warner(is_quiet: bool) -> Warn:
    """Says what was assumed or left out, on standard error."""

    def warn(message: str) -> None:
        print(f"dataplane: note: {printable(message, NOTE_LETTERS)}", file=sys.stderr)

    return _silent if is_quiet else warn


def _silent(message: str) -> None:
    """Of `-q`."""
