"""What a replay came to, in a few lines: verdicts, flows by endpoint, what was not modelled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from _fastpath.reason import Reason, Verdict
from dataplane.trace import reasons

_Key = TypeVar("_Key")

ROWS = 20  # of a table that may be long


@dataclass
class Summary:
    packets: int
    flows: int
    verdicts: Mapping[tuple[int, int], int]  # (Verdict, Reason): packets
    endpoints: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (to, by): flows
    unknown: Mapping[str, int] = field(default_factory=dict)  # the rule's text: packets


def summary(told: Summary) -> str:
    """Ends in a newline."""
    lines = [f"{_count(told.packets, 'packet')} in {_count(told.flows, 'flow')}"]
    ordered = sorted(told.verdicts.items(), key=_order)
    rows = [
        (str(count), Verdict(verdict).name, Reason(reason).name, reasons.explain(reason).sentence)
        for (verdict, reason), count in ordered
    ]
    lines += _table(rows)
    if told.endpoints:
        lines += ["", "flows by endpoint"]
        lines += _table([(str(n), to, f"→ {by}") for (to, by), n in _largest(told.endpoints)])
        lines += _more(told.endpoints)
    if told.unknown:
        lines += ["", "not modelled, and it decides"]
        lines += _table([(str(count), text) for text, count in _largest(told.unknown)])
        lines += _more(told.unknown)
    return "\n".join([*lines, ""])


def _order(item: tuple[tuple[int, int], int]) -> tuple[bool, int, int, int]:
    """By verdict, what was not injected last; then by count."""
    (verdict, reason), count = item
    return verdict == Verdict.SKIPPED, verdict, -count, reason


def _largest(counts: Mapping[_Key, int]) -> list[tuple[_Key, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:ROWS]


def _more(counts: Mapping[_Key, int]) -> list[str]:
    return [f"  … and {len(counts) - ROWS} more"] if len(counts) > ROWS else []


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns as wide as they must be; numbers, in the first one, end in line."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([f"  {first:>{widths[0]}}", *cells]).rstrip())
    return lines
