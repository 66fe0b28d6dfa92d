"""The words of one rule, as they stand after `-A CHAIN`, to rules.

Read as iptables' own command line is read (xshared.c, do_parse, v1.8.9): an option belongs
to the extension opened last that has it; failing that, `-p` opens the match of its protocol;
a comma list in `-s` or `-d` makes one rule per pair of addresses.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from dataplane.errors import ParseError, Source
from dataplane.node.iptables_normal import normal_options
from dataplane.node.iptables_options import (
    ALIASES,
    MATCH_ALIASES,
    MATCHES,
    PROTOCOL_MATCHES,
    TARGETS,
    TEXT,
)
from dataplane.node.iptables_rules import (
    Interface,
    Match,
    Option,
    Prefix,
    Protocol,
    Rule,
    Target,
)
from dataplane.node.iptables_values import parse_interface, parse_network, parse_protocol


@dataclass(slots=True)
class _Extension:
    """A match or target that has been opened and may still get options."""

    name: str
    known: dict[str, int] | None  # None: not listed, may have any option
    is_target: bool = False
    goto: bool = False
    options: list[Option] = field(default_factory=list)


@dataclass(slots=True)
class _Draft:
    """A rule while its words are read."""

    words: list[str]
    family: int  # 4, 6, or 0 when the text does not say
    counters: tuple[int, int]  # packets, bytes
    sources: list[Prefix | None] = field(default_factory=lambda: [None])
    destinations: list[Prefix | None] = field(default_factory=lambda: [None])
    in_interface: Interface | None = None
    out_interface: Interface | None = None
    protocol: Protocol | None = None
    fragment: bool | None = None
    opened: list[_Extension] = field(default_factory=list)  # matches and target, in order
    other_family: bool = False  # `-4` in an ip6tables-save, or `-6` in an iptables-save
    seen: set[str] = field(default_factory=set)  # options that may stand once


def parse_rule(
    words: list[str], source: Source, family: int = 0, counters: tuple[int, int] = (0, 0)
) -> list[Rule]:
    """The rules of one line: several when `-s` or `-d` holds a comma list."""
    draft = _Draft(words, family, counters)
    try:
        _read(draft)
        return [] if draft.other_family else _rules(draft, source)
    except ValueError as error:
        raise ParseError(str(error), source) from None


def _read(draft: _Draft) -> None:
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
            at = _read_option(draft, at, negated)
        else:
            raise ValueError(f"unexpected {word!r}; an option was expected")
        negated = False
    if negated:
        raise ValueError("an option was expected after '!'")


def _value(draft: _Draft, at: int, negated: bool) -> tuple[str, bool, int]:
    """The value of the option at `at`, whether it is negated (`! -s x` or the old `-s ! x`),
    and the place after it."""
    option = draft.words[at]
    if draft.words[at + 1 : at + 2] == ["!"]:
        at, negated = at + 1, True
    if at + 1 >= len(draft.words):
        raise ValueError(f"{option} has no value")
    return draft.words[at + 1], negated, at + 2


def _once(draft: _Draft, option: str) -> None:
    if option in draft.seen:
        raise ValueError(f"{option} stands twice")
    draft.seen.add(option)


def _bad(value: str, option: str, error: ValueError) -> ValueError:
    return ValueError(f"bad value {value!r} for {option}: {error}")


# The header: one reader per option; each returns the place after what it read.


def _read_source(draft: _Draft, at: int, negated: bool) -> int:
    _once(draft, "-s")
    text, negated, after = _value(draft, at, negated)
    draft.sources = _prefixes(draft, text, "-s", negated)
    return after


def _read_destination(draft: _Draft, at: int, negated: bool) -> int:
    _once(draft, "-d")
    text, negated, after = _value(draft, at, negated)
    draft.destinations = _prefixes(draft, text, "-d", negated)
    return after


def _prefixes(draft: _Draft, text: str, option: str, negated: bool) -> list[Prefix | None]:
    if "," not in text:
        return [_prefix(draft, text, option, negated)]
    if negated:
        raise ValueError(f"{option} cannot be negated with several addresses")
    return [_prefix(draft, part, option, False) for part in text.split(",")]


def _prefix(draft: _Draft, text: str, option: str, negated: bool) -> Prefix | None:
    try:
        network = parse_network(text)
    except ValueError as error:
        raise _bad(text, option, error) from None
    if draft.family and network.version != draft.family:
        raise ValueError(f"bad value {text!r} for {option}: IPv{draft.family} was expected")
    if network.prefixlen == 0 and not negated:
        return None  # matches everything, and iptables-save does not print it
    return Prefix(network, negated)


def _read_in_interface(draft: _Draft, at: int, negated: bool) -> int:
    _once(draft, "-i")
    text, negated, after = _value(draft, at, negated)
    draft.in_interface = _interface(text, "-i", negated)
    return after


def _read_out_interface(draft: _Draft, at: int, negated: bool) -> int:
    _once(draft, "-o")
    text, negated, after = _value(draft, at, negated)
    draft.out_interface = _interface(text, "-o", negated)
    return after


def _interface(text: str, option: str, negated: bool) -> Interface | None:
    try:
        name = parse_interface(text)
    except ValueError as error:
        raise _bad(text, option, error) from None
    return None if name == "+" and not negated else Interface(name, negated)


def _read_protocol(draft: _Draft, at: int, negated: bool) -> int:
    _once(draft, "-p")
    text, negated, after = _value(draft, at, negated)
    try:
        number = parse_protocol(text)
    except ValueError as error:
        raise _bad(text, "-p", error) from None
    if number == 0 and negated:
        raise ValueError("'! -p all' would never match")
    draft.protocol = Protocol(number, negated) if number else None
    return after


def _read_fragment(draft: _Draft, at: int, negated: bool) -> int:
    _once(draft, "-f")
    draft.fragment = not negated
    return at + 1


def _read_counters(draft: _Draft, at: int, negated: bool) -> int:
    values = draft.words[at + 1 : at + 3]
    if negated or len(values) != 2 or not all(v.isdecimal() and v.isascii() for v in values):
        raise ValueError("two numbers, packets and bytes, were expected after -c")
    draft.counters = (int(values[0]), int(values[1]))
    return at + 3


def _read_family(draft: _Draft, at: int, negated: bool) -> int:
    if negated:
        raise ValueError(f"{draft.words[at]} cannot be negated")
    version = 4 if draft.words[at] in ("-4", "--ipv4") else 6
    draft.other_family = draft.family not in (0, version)
    return at + 1


def _read_match(draft: _Draft, at: int, negated: bool) -> int:
    name = _extension_name(draft, at, negated)
    name = MATCH_ALIASES.get(name, name)
    draft.opened.append(_Extension(name, MATCHES.get(name)))
    return at + 2


def _read_jump(draft: _Draft, at: int, negated: bool) -> int:
    _once(draft, "-j or -g")
    name = _extension_name(draft, at, negated)
    goto = draft.words[at] in ("-g", "--goto")
    known = {} if goto else TARGETS.get(name)
    draft.opened.append(_Extension(name, known, is_target=True, goto=goto))
    return at + 2


def _extension_name(draft: _Draft, at: int, negated: bool) -> str:
    option = draft.words[at]
    if negated:
        raise ValueError(f"{option} cannot be negated")
    name = draft.words[at + 1] if at + 1 < len(draft.words) else ""
    if not name or name[0] in "!-":
        raise ValueError(f"a name was expected after {option}")
    return name


HEADER: dict[str, Callable[[_Draft, int, bool], int]] = {
    option: reader
    for reader, options in (
        (_read_source, "-s --source --src"),
        (_read_destination, "-d --destination --dst"),
        (_read_in_interface, "-i --in-interface"),
        (_read_out_interface, "-o --out-interface"),
        (_read_protocol, "-p --protocol --proto"),
        (_read_fragment, "-f --fragment --fragments"),
        (_read_counters, "-c --set-counters"),
        (_read_family, "-4 --ipv4 -6 --ipv6"),
        (_read_match, "-m --match"),
        (_read_jump, "-j --jump -g --goto"),
    )
    for option in options.split()
}


# Options of extensions.


def _read_option(draft: _Draft, at: int, negated: bool) -> int:
    extension, name, count = _owner(draft, draft.words[at])
    if count is None:
        return _read_unknown(draft, extension, at, negated)
    if count and name not in TEXT and draft.words[at + 1 : at + 2] == ["!"]:
        at, negated = at + 1, True
    values = tuple(draft.words[at + 1 : at + 1 + count])
    if len(values) < count or (name not in TEXT and any(v[:2] == "--" for v in values)):
        # `--to-destination  --random …` is what an old iptables-save prints for a revision of
        # the kernel's that it does not know: the value is lost, and cannot be guessed.
        raise ValueError(f"{name} has no value" if count == 1 else f"{name} takes {count} values")
    extension.options.append(Option(name, values, negated))
    return at + 1 + count


def _read_unknown(draft: _Draft, extension: _Extension, at: int, negated: bool) -> int:
    """An option of which nothing is known: it takes all words up to the next option."""
    words, after = draft.words, at + 1
    while after < len(words) and words[after] != "!" and words[after][:1] != "-":
        after += 1
    extension.options.append(Option(words[at], tuple(words[at + 1 : after]), negated))
    return after


def _owner(draft: _Draft, option: str) -> tuple[_Extension, str, int | None]:
    """The extension an option belongs to, the option's usual name and its count of values;
    None for an option of which nothing is known."""
    implied = _implied_match(draft)
    for find in (_exact, _abbreviated):
        for extension in reversed(draft.opened):
            found = find(extension, option)
            if found:
                return extension, *found
        found = find(implied, option) if implied else None
        if implied and found:
            draft.opened.append(implied)
            return implied, *found
    if not draft.opened:
        raise ValueError(f"unknown option {option!r}")
    return draft.opened[-1], option, None


def _implied_match(draft: _Draft) -> _Extension | None:
    """The match that `-p` opens by itself for an option that no other extension has."""
    name = PROTOCOL_MATCHES.get(draft.protocol.number) if draft.protocol else None
    return _Extension(name, MATCHES[name]) if name else None


def _exact(extension: _Extension, option: str) -> tuple[str, int] | None:
    if extension.known is None:
        return None
    if option in extension.known:
        return option, extension.known[option]
    return ALIASES.get((extension.name, option))


def _abbreviated(extension: _Extension, option: str) -> tuple[str, int] | None:
    """As getopt_long does: any beginning of a name that no other name has."""
    names = [name for name in extension.known or () if name.startswith(option)]
    names += [alias for owner, alias in ALIASES if owner == extension.name]
    full = [name for name in names if name.startswith(option)]
    return _exact(extension, full[0]) if len(full) == 1 and len(option) > 2 else None


# The draft to rules.


def _rules(draft: _Draft, source: Source) -> list[Rule]:
    matches = tuple(
        _match(extension.name, tuple(extension.options), draft.family)
        for extension in draft.opened
        if not extension.is_target
    )
    target = next((_target(x, draft.family) for x in draft.opened if x.is_target), None)
    return [
        Rule(
            src,
            dst,
            draft.in_interface,
            draft.out_interface,
            draft.protocol,
            draft.fragment,
            matches,
            target,
            *draft.counters,
            source,
        )
        for src in draft.sources
        for dst in draft.destinations
    ]


@lru_cache(maxsize=1 << 16)
def _match(name: str, options: tuple[Option, ...], family: int) -> Match:
    return Match(name, normal_options(name, options, False, family))


def _target(extension: _Extension, family: int) -> Target:
    options = normal_options(extension.name, tuple(extension.options), True, family)
    return Target(extension.name, options, extension.goto)
