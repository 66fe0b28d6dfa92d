"""Matches that look anywhere in the packet's bytes.  Offsets count from the IP header."""

import re

from dataplane.reference.match_words import Answer, Options, Unmodelled
from dataplane.reference.packet import ETHER_SIZE, Packet
from dataplane.reference.place import Place

WORD = 0xFFFFFFFF


class _Outside(Exception):  # noqa: N818  not an error
    """The packet ends before."""


def _u32(place: Place, options: Options, packet: Packet) -> bool:
    """xt_u32.c.  `6 & 0xFF = 1 : 3, 6 && …`: all tests must hold."""
    (option,) = options
    for test in option.values[0].split("&&"):
        location, _, values = test.partition("=")
        try:
            value = _value(packet, location)
        except _Outside:
            return option.negated
        if not any(_is_in(value, text) for text in values.split(",")):
            return option.negated
    return not option.negated


def _value(packet: Packet, location: str) -> int:
    first, *steps = re.split(r"(&|<<|>>|@)", location)
    at, value = 0, _load(packet, _number(first))
    for operator, text in zip(steps[::2], steps[1::2], strict=True):
        number = _number(text)
        if operator == "&":
            value &= number
        elif operator == "<<":
            value = value << number & WORD if number < 32 else 0
        elif operator == ">>":
            value = value >> number if number < 32 else 0
        else:  # a new beginning
            at += value
            value = _load(packet, at + number)
    return value


def _load(packet: Packet, at: int) -> int:
    if at + 4 > packet.ip_length:
        raise _Outside
    word = packet.frame[ETHER_SIZE + at : ETHER_SIZE + at + 4]
    if len(word) < 4:
        raise Unmodelled  # the capture does not hold it
    return int.from_bytes(word)


def _number(text: str) -> int:
    text = text.strip()
    return int(text, 8 if re.fullmatch(r"0[0-7]+", text) else 0)


def _is_in(value: int, text: str) -> bool:
    first, _, last = text.partition(":")
    return _number(first) <= value <= _number(last or first)


def _string(place: Place, options: Options, packet: Packet) -> bool:
    """xt_string.c: the whole of it lies between --from and --to."""
    values = {option.name: option for option in options}
    wanted = values.get("--string") or values["--hex-string"]
    pattern = _pattern(wanted.name, wanted.values[0])
    start = int(values["--from"].values[0]) if "--from" in values else 0
    stop = int(values["--to"].values[0]) if "--to" in values else 65535
    stop = min(stop, packet.ip_length)
    data = bytes(packet.frame[ETHER_SIZE : ETHER_SIZE + stop])
    if "--icase" in values:
        data, pattern = data.upper(), pattern.upper()
    if data.find(pattern, start) >= 0:
        if packet.ignore_df and values["--algo"].values[0] == "bm":
            raise Unmodelled  # ts_bm.c does not look across fragments, wherever they end now
        return not wanted.negated
    if len(data) < stop:
        raise Unmodelled  # it may be in what the capture does not hold
    return wanted.negated


def _pattern(name: str, text: str) -> bytes:
    if name == "--string":
        return text.encode(errors="surrogateescape")
    pattern = b""
    for number, part in enumerate(text.split("|")):
        pattern += bytes.fromhex(part) if number % 2 else part.encode(errors="surrogateescape")
    return pattern


ANSWERS: dict[str, Answer] = {
    "u32": _u32,
    "string": _string,
}
