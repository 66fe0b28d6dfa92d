"""The words of one rule, as they stand after `-A CHAIN`, to rules.

Read as iptables' own command line is read (xshared.c, do_parse, v1.8.9); a comma list in `-s`
or `-d` makes one rule per pair of addresses.
"""

from functools import lru_cache

from dataplane.errors import ParseError, Source
from dataplane.node.iptables_draft import Draft
from dataplane.node.iptables_extensions import read_option
from dataplane.node.iptables_header import HEADER
from dataplane.node.iptables_normal import normal_options
from dataplane.node.iptables_rules import Match, Option, Rule, Target


def parse_rule(
    words: list[str],
    source: Source,
    family: int = 0,
    counters: tuple[int, int] = (0, 0),
    flavour: str = "",
) -> list[Rule]:
    """The rules of one line: several when `-s` or `-d` holds a comma list."""
    draft = Draft(words, family, counters, flavour)
    try:
        _read(draft)
        return [] if draft.other_family else _rules(draft, source)
    except ValueError as error:
        raise ParseError(str(error), source) from None


def _read(draft: Draft) -> None:
    words, end = draft.words, len(draft.words)
    at, negated = 0, False
    while at < end:
        word = words[at]
        if word == "!" and not negated:
            at, negated = at + 1, True
            continue
        reader = HEADER.get(word)
        if reader is not None:
            at = reader(draft, at, negated)
        elif word[:1] == "-" and len(word) > 1:
            at = read_option(draft, at, negated)
        else:
            raise ValueError(f"unexpected {word!r}; an option was expected")
        negated = False
    if negated:
        raise ValueError("an option was expected after '!'")


def _rules(draft: Draft, source: Source) -> list[Rule]:
    matches: list[Match] = []
    target = None
    for extension in draft.opened:
        options = tuple(extension.options)
        if extension.is_target:
            target = _target(extension.name, options, extension.goto, draft.family, draft.flavour)
        else:
            matches.append(_match(extension.name, options, draft.family, draft.flavour))
    return [
        Rule(
            src,
            dst,
            draft.in_interface,
            draft.out_interface,
            draft.protocol,
            draft.fragment,
            tuple(matches),
            target,
            *draft.counters,
            source,
        )
        for src in draft.sources
        for dst in draft.destinations
    ]


# The same few matches and targets stand in most rules; each is made once.
_cached = lru_cache(maxsize=1 << 16)


@_cached
def _match(name: str, options: tuple[Option, ...], family: int, flavour: str) -> Match:
    return Match(name, normal_options(name, options, False, family, flavour))


@_cached
def _target(
    name: str, options: tuple[Option, ...], goto: bool, family: int, flavour: str
) -> Target:
    return Target(name, normal_options(name, options, True, family, flavour), goto)
