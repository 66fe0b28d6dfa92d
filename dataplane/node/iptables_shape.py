"""A rule's line by its shape: what iptables-save prints, without a draft.

A save is long and says little: the same few matches and targets stand in most of its lines, in
one order, with one space between words.  Such a line is cut before each -m, -j and -g, and each
piece is read once.  A line of any other shape is left to iptables_spec, which reads all lines:
what is read here is what it would have read.

A piece may be cut where no word begins, in a quoted comment or at a value such as `-m`.  It has
then no closing quote, or an option without its value, and the line is left as well.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from dataplane.errors import Source
from dataplane.node.iptables_draft import Draft, Extension
from dataplane.node.iptables_extensions import exact_option, read_known
from dataplane.node.iptables_header import (
    HEADER,
    extension_of_jump,
    extension_of_match,
    one_interface,
    one_prefix,
    one_protocol,
)
from dataplane.node.iptables_normal import normal_options
from dataplane.node.iptables_rules import Interface, Match, Option, Prefix, Protocol, Rule, Target
from dataplane.node.iptables_words import split

WORD = r'([^ \t\r\n"]+)'
LINE = re.compile(
    rf"-A {WORD}"
    rf"(?: (! )?-s {WORD})?(?: (! )?-d {WORD})?(?: (! )?-i {WORD})?(?: (! )?-o {WORD})?"
    rf"(?: (! )?-p {WORD})?(?: (-[mjg] .*))?\Z"
)
cut = re.compile(r" (?=-[mjg] )").split


class Line(NamedTuple):
    """`-A CHAIN …`"""

    chain: str
    rule: Rule


class Shapes:
    """The pieces of one save that were read already.

    family   4, 6, or 0 when the text does not say
    flavour  legacy, nft, or nothing when the text does not say
    """

    def __init__(self, family: int, flavour: str):
        self.family, self.flavour = family, flavour
        self.pieces: dict[str, Match | Target] = {}
        self.prefixes: dict[tuple[str | None, str], Prefix | None] = {}
        self.interfaces: dict[tuple[str | None, str], Interface | None] = {}
        self.protocols: dict[tuple[str | None, str], Protocol | None] = {}

    def line(self, line: str, counters: tuple[int, int], source: Source) -> Line | None:
        """The one rule of a line; None where it has not this shape, or is wrong."""
        found = LINE.match(line)
        if found is None:
            return None
        chain, no_s, src, no_d, dst, no_i, device_in, no_o, device_out, no_p, proto, rest = (
            found.groups()
        )
        matches: tuple[Match, ...] = ()
        target = None
        try:
            for text in cut(rest) if rest else ():
                piece = self.pieces.get(text) or self._piece(text)
                if isinstance(piece, Match):
                    matches += (piece,)
                elif target is None:
                    target = piece
                else:
                    return None
            return Line(
                chain,
                Rule(
                    self._prefix(no_s, src) if src else None,
                    self._prefix(no_d, dst) if dst else None,
                    self._interface(no_i, device_in) if device_in else None,
                    self._interface(no_o, device_out) if device_out else None,
                    self._protocol(no_p, proto) if proto else None,
                    None,
                    matches,
                    target,
                    *counters,
                    source,
                ),
            )
        except ValueError:
            return None  # who reads every word says what is wrong

    def _prefix(self, negation: str | None, text: str) -> Prefix | None:
        key = negation, text
        if key not in self.prefixes:
            self.prefixes[key] = one_prefix(text, negation is not None, self.family)
        return self.prefixes[key]

    def _interface(self, negation: str | None, text: str) -> Interface | None:
        key = negation, text
        if key not in self.interfaces:
            self.interfaces[key] = one_interface(text, negation is not None)
        return self.interfaces[key]

    def _protocol(self, negation: str | None, text: str) -> Protocol | None:
        key = negation, text
        if key not in self.protocols:
            self.protocols[key] = one_protocol(text, negation is not None)
        return self.protocols[key]

    def _piece(self, text: str) -> Match | Target:
        words = split(text)
        if words[0] == "-m":
            extension = self._read(words, extension_of_match)
            made: Match | Target = Match(extension.name, self._options(extension))
        else:
            extension = self._read(words, extension_of_jump)
            made = Target(extension.name, self._options(extension), extension.goto)
        self.pieces[text] = made
        return made

    def _read(self, words: list[str], opened: Callable[[list[str], int], Extension]) -> Extension:
        """An extension and its own options, by their full names."""
        extension = opened(words, 0)
        draft = Draft(words, self.family, (0, 0))
        at, end = 2, len(words)
        while at < end:
            negated = words[at] == "!"
            at += negated
            option = words[at] if at < end else ""
            known = None if option in HEADER else exact_option(extension, option)
            if known is None:
                raise ValueError(option)
            at = read_known(draft, extension, *known, at, negated)
        return extension

    def _options(self, extension: Extension) -> tuple[Option, ...]:
        options, is_target = tuple(extension.options), extension.is_target
        return normal_options(extension.name, options, is_target, self.family, self.flavour)
