"""What became of each packet as Parquet: for DuckDB, pandas and the like.

A folder with three tables, which `path` and `flow` connect:

packets.parquet  a row per packet
    file, packet           where it stands: capture, and number in it (1-based)
    time                   timestamp, nanoseconds, UTC
    flow                   null = none
    reply, protocol, src, sport, dst, dport, tcp_flags, icmp_type, icmp_code, icmp_id
    from, to               objects that have src and dst
    verdict, reason, skb_drop_reason, node, device, at, length
    end_src, end_sport, end_dst, end_dport, end_ttl
    path                   null = it was not carried
steps.parquet    a row per decision of each path, in order
    path, step             which path; 0, 1, … in it
    kind, node, family, table, chain, number, target, text, object, declared, name
flows.parquet    a row per flow
    flow, protocol, initiator, initiator_port, responder, responder_port, packets, verdict,
    end_src, end_sport, end_dst, end_dport, node, device

Columns mean what the keys of JSON lines mean (dataplane.trace.jsonl).  Texts are dictionaries, and
stay so when they are read: pandas has them as categories, and DuckDB groups by their numbers.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from _fastpath.reason import Reason, Verdict
from dataplane.errors import CaptureError, Source, UsageError
from dataplane.node.state import Address
from dataplane.replay.coded import Coded, Place, Words
from dataplane.replay.result import Array, Result
from dataplane.trace import reasons, vocabulary
from dataplane.trace.jsonl import JsonLines, clean
from dataplane.trace.places import Named

try:
    import pyarrow as pa
    from pyarrow import parquet as pq
except ImportError:
    raise UsageError("Parquet needs pyarrow: pip install 'kube-dataplane[parquet]'") from None

ROWS = 1 << 17  # of a row group, at least
LAST_NS = np.uint64(2**63 - 1)  # an Arrow timestamp ends in 2262
TEXT = pa.dictionary(pa.int32(), pa.string())
TIME = pa.timestamp("ns", tz="UTC")

PACKETS = pa.schema([
    ("file", TEXT), ("packet", pa.uint32()), ("time", TIME), ("flow", pa.uint32()),
    ("reply", pa.bool_()), ("protocol", TEXT), ("src", TEXT), ("sport", pa.uint16()),
    ("dst", TEXT), ("dport", pa.uint16()), ("tcp_flags", TEXT), ("icmp_type", pa.uint8()),
    ("icmp_code", pa.uint8()), ("icmp_id", pa.uint16()), ("from", TEXT), ("to", TEXT),
    ("verdict", TEXT), ("reason", TEXT), ("skb_drop_reason", TEXT), ("node", TEXT),
    ("device", TEXT), ("at", TEXT), ("length", pa.uint32()), ("end_src", TEXT),
    ("end_sport", pa.uint16()), ("end_dst", TEXT), ("end_dport", pa.uint16()),
    ("end_ttl", pa.uint8()), ("path", pa.uint32()),
])  # fmt: skip
STEPS = pa.schema([
    ("path", pa.uint32()), ("step", pa.uint16()), ("kind", TEXT), ("node", TEXT),
    ("family", pa.uint8()), ("table", TEXT), ("chain", TEXT), ("number", pa.uint32()),
    ("target", TEXT), ("text", TEXT), ("object", TEXT), ("declared", TEXT), ("name", TEXT),
])  # fmt: skip
FLOWS = pa.schema([
    ("flow", pa.uint32()), ("protocol", TEXT), ("initiator", TEXT),
    ("initiator_port", pa.uint16()), ("responder", TEXT), ("responder_port", pa.uint16()),
    ("packets", pa.uint32()), ("verdict", TEXT), ("end_src", TEXT), ("end_sport", pa.uint16()),
    ("end_dst", TEXT), ("end_dport", pa.uint16()), ("node", TEXT), ("device", TEXT),
])  # fmt: skip


class Dictionary:
    """Words as an Arrow dictionary: each distinct text once; what has no text is null."""

    def __init__(self, render: Callable[[Any], str | None]):
        self._render = render
        self._index = np.zeros(0, np.int32)  # by code; -1 = null
        self._known: dict[str, int] = {}

    def array(self, codes: Array, words: Sequence[Any]) -> pa.DictionaryArray:
        if len(words) > len(self._index):
            new = [self._number(self._render(word)) for word in words[len(self._index) :]]
            self._index = np.concatenate([self._index, np.array(new, np.int32)])
        found = self._index[codes]
        is_null = found < 0
        # A row group has a dictionary of its own: only what it uses is written.
        is_used = np.zeros(len(self._known) + 1, np.bool_)
        is_used[found] = True
        is_used[-1] = False
        used = np.flatnonzero(is_used)
        numbers = np.zeros(len(is_used), np.int32)
        numbers[used] = np.arange(len(used), dtype=np.int32)
        texts = list(self._known) if len(used) else []
        values = pa.array([texts[at] for at in used.tolist()], pa.string())
        mask = is_null if is_null.any() else None
        return pa.DictionaryArray.from_arrays(pa.array(numbers[found], mask=mask), values)

    def _number(self, text: str | None) -> int:
        return -1 if text is None else self._known.setdefault(text, len(self._known))


class ParquetFiles:
    """packets.parquet, steps.parquet and flows.parquet in a folder, written as packets come.

    Written beside their names, and renamed by `finish`; left without it, as a context, they vanish.

    raises  UsageError if there cannot be such a folder, CaptureError if a file cannot be written
    """

    def __init__(self, folder: str | Path, words: Words):
        self._folder, self._words = Path(folder), words
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: {error.strerror or error}") from None
        self._partial: dict[str, Path] = {}
        self._writer: pq.ParquetWriter | None = None
        self._held: list[Coded] = []
        self._rows = 0
        self._dictionaries = {name: Dictionary(render) for name, render in RENDERED.items()}

    def take(self, result: Result) -> None:
        coded = self._words.code(result)
        self._held.append(coded)
        self._rows += len(coded.file)
        if self._rows >= ROWS:
            self._flush()

    def _flush(self) -> None:
        table = self._packets(_joined(self._held))
        self._held, self._rows = [], 0
        if self._writer is None:
            self._writer = self._open("packets", PACKETS)
        self._write(self._writer, table)

    def _open(self, name: str, schema: pa.Schema) -> pq.ParquetWriter:
        path = str(self._folder / f"{name}.parquet")
        partial = self._partial[path] = Path(f"{path}.part-{os.getpid()}")
        texts = [field.name for field in schema if field.type == TEXT]
        try:
            return pq.ParquetWriter(partial, schema, use_dictionary=texts, compression="zstd")
        except OSError as error:
            raise _cannot(path, error) from None

    def _write(self, writer: pq.ParquetWriter, table: pa.Table) -> None:
        try:
            writer.write_table(table)
        except OSError as error:
            raise _cannot(str(self._folder), error) from None

    def _whole(self, name: str, table: pa.Table) -> None:
        with self._open(name, table.schema) as writer:
            self._write(writer, table)

    def finish(self, last: Result | None) -> list[str]:
        """The paths, sorted.  `last` knows the flows."""
        if self._rows or self._writer is None:
            self._flush_rest()
        assert self._writer is not None
        self._writer.close()
        self._whole("steps", self._steps())
        self._whole("flows", self._flows(last))
        written = sorted(self._partial)
        for path, partial in self._partial.items():
            partial.replace(path)
        self._partial = {}
        return written

    def _flush_rest(self) -> None:
        if self._held:
            self._flush()
        else:
            self._writer = self._open("packets", PACKETS)

    def __enter__(self) -> "ParquetFiles":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for partial in self._partial.values():
            partial.unlink(missing_ok=True)

    # Tables.

    def _text(self, name: str, codes: Array, words: Sequence[Any]) -> pa.DictionaryArray:
        return self._dictionaries[name].array(codes, words)

    def _packets(self, coded: Coded) -> pa.Table:
        """In the order of PACKETS."""
        words, text = self._words, self._text
        is_reply = np.array([reply for reply, _ in words.protocols], np.bool_)[coded.protocol]
        message = np.array([each or 0 for each in words.icmp], np.uint16)[coded.icmp]
        ports, icmp = coded.has_ports, coded.is_icmp
        columns = [
            text("file", coded.file, words.files), _number(coded.number, np.uint32),
            _time(coded.time_ns), _number(coded.flow, np.uint32, coded.has_flow),
            pa.array(is_reply), text("protocol", coded.protocol, words.protocols),
            text("address", coded.src, words.addresses), _number(coded.sport, np.uint16, ports),
            text("address", coded.dst, words.addresses), _number(coded.dport, np.uint16, ports),
            text("tcp_flags", coded.flags, words.flags),
            _number(message >> 8, np.uint8, icmp), _number(message & 0xFF, np.uint8, icmp),
            _number(coded.sport, np.uint16, icmp),
            text("name", coded.source, words.names), text("name", coded.destination, words.names),
            text("verdict", coded.outcome, words.outcomes),
            text("reason", coded.outcome, words.outcomes),
            text("skb", coded.outcome, words.outcomes),
            text("node", coded.place, words.places), text("device", coded.place, words.places),
            text("at", coded.place, words.places), _number(coded.length, np.uint32),
            text("address", coded.end_src, words.addresses),
            _number(coded.end_sport, np.uint16, ports),
            text("address", coded.end_dst, words.addresses),
            _number(coded.end_dport, np.uint16, ports), _number(coded.end_ttl, np.uint8),
            _number(coded.path - np.uint32(1), np.uint32, coded.path != 0),
        ]  # fmt: skip
        return pa.Table.from_arrays(columns, schema=PACKETS)

    def _steps(self) -> pa.Table:
        lines = JsonLines(self._words.describer)
        rows: list[tuple[Any, ...]] = []
        for path, steps in enumerate(self._words.paths[1:]):
            rows += [
                (path, at, *(getattr(step, name) for name in STEP_NAMES))
                for at, step in enumerate(lines.step_objects(steps))
            ]
        columns = [
            pa.array([_told(name, row[at]) for row in rows], field.type)
            if field.type != TEXT
            else pa.array([row[at] or None for row in rows], pa.string()).dictionary_encode()
            for at, (name, field) in enumerate(zip(STEPS.names, STEPS, strict=True))
        ]
        return pa.Table.from_arrays(columns, schema=STEPS)

    def _flows(self, last: Result | None) -> pa.Table:
        if last is None or not len(last.flow_rows):
            return FLOWS.empty_table()
        coded, words = self._words.code_flows(last), self._words
        text, ports, came = self._text, coded.has_ports, coded.has_arrived
        came_ports = ports & came
        nowhere = np.uint32(0)
        columns = [
            pa.array(np.arange(len(ports), dtype=np.uint32)),
            text("protocol", coded.protocol, words.protocols),
            text("address", coded.initiator, words.addresses),
            _number(coded.initiator_port, np.uint16, ports),
            text("address", coded.responder, words.addresses),
            _number(coded.responder_port, np.uint16, ports),
            _number(coded.packets, np.uint32),
            text("verdict", coded.outcome, words.outcomes),
            text("address", np.where(came, coded.end_src, nowhere), words.addresses),
            _number(coded.end_sport, np.uint16, came_ports),
            text("address", np.where(came, coded.end_dst, nowhere), words.addresses),
            _number(coded.end_dport, np.uint16, came_ports),
            text("node", coded.place, words.places), text("device", coded.place, words.places),
        ]  # fmt: skip
        return pa.Table.from_arrays(columns, schema=FLOWS)


def _joined(parts: Sequence[Coded]) -> Coded:
    if len(parts) == 1:
        return parts[0]
    return Coded(**{
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Coded)
    })  # fmt: skip


def _number(values: Array, kind: Any, shown: Array | None = None) -> pa.Array:
    mask = None if shown is None else ~shown.astype(np.bool_)
    return pa.array(values.astype(kind), mask=mask)


def _time(values: Array) -> pa.Array:
    is_late = values > LAST_NS
    return pa.array(values.view(np.int64), mask=is_late if is_late.any() else None).cast(TIME)


def _told(name: str, value: Any) -> Any:
    return None if name == "family" and not value else value


def _cannot(path: str, error: OSError) -> CaptureError:
    return CaptureError(error.strerror or str(error), Source(path, 0))


def _name(named: Named | None) -> str | None:
    return clean(named.name) if named else None


def _clean(text: str | None) -> str | None:
    return clean(text) if text else None


def _address(address: Address | None) -> str | None:
    return None if address is None else str(address)


def _protocol(word: tuple[bool, int | None]) -> str:
    return "" if word[1] is None else vocabulary.protocol(word[1])


def _node(place: Place) -> str | None:
    return _clean(place.node)


RENDERED: dict[str, Callable[[Any], str | None]] = {
    "file": clean,
    "address": _address,
    "protocol": _protocol,
    "tcp_flags": lambda flags: None if flags is None else vocabulary.tcp_flags(flags),
    "name": _name,
    "verdict": lambda outcome: Verdict(outcome[0]).name,
    "reason": lambda outcome: Reason(outcome[1]).name,
    "skb": lambda outcome: reasons.skb_drop_reason(outcome[1]) or None,
    "node": _node,
    "device": lambda place: _clean(place.device),
    "at": lambda place: _name(place.named),
}
STEP_NAMES = [each for each in STEPS.names if each not in ("path", "step")]
