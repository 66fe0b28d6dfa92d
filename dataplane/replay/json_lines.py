"""JSON lines of whole windows: the bytes of dataplane.trace.jsonl, put together from columns.

What is said in words is rendered once; numbers and times are formatted by `_fastpath.lines`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from _fastpath.lines import Lines
from _fastpath.reason import Reason, Verdict
from dataplane.node.state import Address
from dataplane.replay.coded import Coded, Place, Words
from dataplane.replay.result import Array, Result
from dataplane.trace import reasons, vocabulary
from dataplane.trace.jsonl import JsonLines, clean, encoded
from dataplane.trace.places import Named

OUT_BYTES = 1 << 20


class Texts:
    """A list of words as bytes, end to end; rendered further as it grows."""

    def __init__(self, render: Callable[[Any], bytes]):
        self._render = render
        self._count = self._bytes = 0
        self._starts = np.zeros(1 << 10, np.uint64)
        self._texts = np.zeros(1 << 16, np.uint8)

    def of(self, words: Sequence[Any]) -> tuple[Array, Array]:
        """(starts, texts) of all of them, for Lines.text."""
        for at in range(self._count, len(words)):
            self._add(self._render(words[at]))
        return self._starts[: self._count + 1], self._texts[: self._bytes]

    def _add(self, text: bytes) -> None:
        end = self._bytes + len(text)
        self._count += 1
        if self._count == len(self._starts):
            self._starts = np.concatenate([self._starts, np.zeros_like(self._starts)])
        if end > len(self._texts):
            grown = np.zeros(2 * end, np.uint8)
            grown[: self._bytes] = self._texts[: self._bytes]
            self._texts = grown
        self._texts[self._bytes : end] = np.frombuffer(text, np.uint8)
        self._bytes = self._starts[self._count] = end


class JsonWindows:
    """A JSON object for each packet, window by window: the bytes that JsonLines gives.

    write  is given pieces of about a megabyte, which it must be done with when it returns
    """

    def __init__(self, words: Words, write: Callable[[memoryview], object]):
        self._words, self._write = words, write
        general = JsonLines(words.describer)
        self._files, self._protocols, self._flags = Texts(_file), Texts(_protocol), Texts(_flags)
        self._icmp, self._outcomes, self._places = Texts(_icmp), Texts(_outcome), Texts(_place)
        self._addresses, self._sources = Texts(_address), Texts(lambda name: _name("from", name))
        self._destinations = Texts(lambda name: _name("to", name))
        self._paths = Texts(
            lambda steps: b'},"steps":%b,"changes":[],"draws":[]}\n' % general.steps(steps)
        )
        self._out = np.empty(OUT_BYTES, np.uint8)

    def take(self, result: Result) -> None:
        """A result without events: what changed and what was drawn is not in columns."""
        if not len(result):
            return
        lines, row = self._lines(self._words.code(result)), 0
        while row < len(result):
            done, size = lines.write(row, self._out)
            if done == row:  # a line longer than all of it
                self._out = np.empty(2 * len(self._out), np.uint8)
            self._write(self._out[:size].data)
            row = done

    def _lines(self, coded: Coded) -> Lines:
        """In the order of dataplane.trace.jsonl.FateObject."""
        words, lines = self._words, Lines(len(coded.file))
        addresses = self._addresses.of(words.addresses)
        lines.text(coded.file, *self._files.of(words.files))
        lines.number(coded.number)
        lines.literal(b',"time":"')
        lines.time(coded.time_ns)
        lines.literal(b'","flow":')
        lines.number(coded.flow, coded.has_flow)
        lines.text(coded.protocol, *self._protocols.of(words.protocols))
        lines.text(coded.src, *addresses)
        lines.literal(b',"sport":')
        lines.number(coded.sport, coded.has_ports)
        lines.literal(b',"dst":')
        lines.text(coded.dst, *addresses)
        lines.literal(b',"dport":')
        lines.number(coded.dport, coded.has_ports)
        lines.text(coded.flags, *self._flags.of(words.flags))
        lines.text(coded.icmp, *self._icmp.of(words.icmp))
        lines.number(coded.sport, coded.is_icmp)
        lines.text(coded.source, *self._sources.of(words.names))
        lines.text(coded.destination, *self._destinations.of(words.names))
        lines.text(coded.outcome, *self._outcomes.of(words.outcomes))
        lines.text(coded.place, *self._places.of(words.places))
        lines.number(coded.length)
        lines.literal(b',"end":{"src":')
        lines.text(coded.end_src, *addresses)
        lines.literal(b',"sport":')
        lines.number(coded.end_sport, coded.has_ports)
        lines.literal(b',"dst":')
        lines.text(coded.end_dst, *addresses)
        lines.literal(b',"dport":')
        lines.number(coded.end_dport, coded.has_ports)
        lines.literal(b',"ttl":')
        lines.number(coded.end_ttl)
        lines.text(coded.path, *self._paths.of(words.paths))
        return lines


def _file(file: str) -> bytes:
    return b'{"file":%b,"packet":' % encoded(clean(file))


def _protocol(word: tuple[bool, int | None]) -> bytes:
    is_reply, protocol = word
    name = "" if protocol is None else vocabulary.protocol(protocol)
    return b',"reply":%b,"protocol":%b,"src":' % (encoded(is_reply), encoded(name))


def _flags(flags: int | None) -> bytes:
    name = None if flags is None else vocabulary.tcp_flags(flags)
    return b',"tcp_flags":%b' % encoded(name)


def _icmp(message: int | None) -> bytes:
    kind, code = (None, None) if message is None else divmod(message, 256)
    return b',"icmp_type":%b,"icmp_code":%b,"icmp_id":' % (encoded(kind), encoded(code))


def _address(address: Address | None) -> bytes:
    return encoded(None if address is None else str(address))


def _name(key: str, named: Named | None) -> bytes:
    return b',"%b":%b' % (key.encode(), encoded(clean(named.name) if named else None))


def _outcome(outcome: tuple[int, int]) -> bytes:
    verdict, reason = outcome
    return b',"verdict":%b,"reason":%b,"skb_drop_reason":%b' % (
        encoded(Verdict(verdict).name),
        encoded(Reason(reason).name),
        encoded(reasons.skb_drop_reason(reason) or None),
    )


def _place(place: Place) -> bytes:
    node = clean(place.node) if place.node else None
    device = clean(place.device) if place.device else None
    return b',"node":%b,"device":%b%b,"length":' % (
        encoded(node), encoded(device), _name("at", place.named),
    )  # fmt: skip
