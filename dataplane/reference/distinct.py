"""Rows numbered by what they are, in the order in which they are first seen."""

from collections.abc import Iterable


def number_rows(rows: Iterable[tuple[bytes, int]], seen: dict[tuple[bytes, int], int]) -> list[int]:
    """rows  bytes and a tag; both are what a row is"""
    return [seen.setdefault(row, len(seen)) for row in rows]
