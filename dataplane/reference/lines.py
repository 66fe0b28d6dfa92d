"""Lines of text, a row of columns each: what _fastpath.lines writes, said once more."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Literal(NamedTuple):
    text: bytes

    def piece(self, row: int) -> bytes:
        return self.text


class Text(NamedTuple):
    codes: Sequence[int]
    texts: Sequence[bytes]

    def piece(self, row: int) -> bytes:
        return self.texts[self.codes[row]]


class Number(NamedTuple):
    values: Sequence[int]
    shown: Sequence[bool]

    def piece(self, row: int) -> bytes:
        return b"%d" % self.values[row] if self.shown[row] else b"null"


class Time(NamedTuple):
    values: Sequence[int]  # nanoseconds since 1970

    def piece(self, row: int) -> bytes:
        seconds, fraction = divmod(self.values[row], 10**9)
        when = EPOCH + timedelta(seconds=seconds)
        return f"{when:%Y-%m-%dT%H:%M:%S}.{fraction:09}Z".encode()


def lines(pieces: Sequence[Literal | Text | Number | Time], rows: int) -> list[bytes]:
    return [b"".join(piece.piece(row) for piece in pieces) for row in range(rows)]
