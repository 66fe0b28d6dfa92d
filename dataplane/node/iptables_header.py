"""Options that every rule may have: `-s`, `-d`, `-i`, `-o`, `-p`, `-f`, `-c`, and `-m`, `-j`, `-g`.

One reader per option: it takes the draft, the place of the option and whether a `!` stood
before it, and returns the place after what it read.  It raises ValueError saying what was
expected.
"""

from collections.abc import Callable

from dataplane.node.iptables_draft import Draft, Extension
from dataplane.node.iptables_options import MATCH_ALIASES, MATCHES, TARGETS
from dataplane.node.iptables_rules import Interface, Prefix, Protocol
from dataplane.node.iptables_values import parse_interface, parse_masked, parse_protocol
from dataplane.node.iptables_words import SPACE

Reader = Callable[[Draft, int, bool], int]


def _value(draft: Draft, at: int, negated: bool) -> tuple[str, bool, int]:
    """The value of the option at `at`, whether it is negated (`! -s x` or the old `-s ! x`),
    and the place after it."""
    option = draft.words[at]
    if draft.words[at + 1 : at + 2] == ["!"]:
        at, negated = at + 1, True
    if at + 1 >= len(draft.words):
        raise ValueError(f"{option} has no value")
    return draft.words[at + 1], negated, at + 2


def _once(draft: Draft, option: str) -> None:
    if option in draft.seen:
        raise ValueError(f"{option} stands twice")
    draft.seen.add(option)


def _bad(value: str, option: str, error: ValueError) -> ValueError:
    return ValueError(f"bad value {value!r} for {option}: {error}")


def _read_source(draft: Draft, at: int, negated: bool) -> int:
    _once(draft, "-s")
    text, negated, after = _value(draft, at, negated)
    draft.sources = _prefixes(draft, text, "-s", negated)
    return after


def _read_destination(draft: Draft, at: int, negated: bool) -> int:
    _once(draft, "-d")
    text, negated, after = _value(draft, at, negated)
    draft.destinations = _prefixes(draft, text, "-d", negated)
    return after


def _prefixes(draft: Draft, text: str, option: str, negated: bool) -> list[Prefix | None]:
    if "," not in text:
        return [_prefix(draft, text, option, negated)]
    if negated:
        raise ValueError(f"{option} cannot be negated with several addresses")
    return [_prefix(draft, part, option, False) for part in text.split(",")]


def _prefix(draft: Draft, text: str, option: str, negated: bool) -> Prefix | None:
    try:
        return one_prefix(text, negated, draft.family)
    except ValueError as error:
        raise _bad(text, option, error) from None


def one_prefix(text: str, negated: bool, family: int) -> Prefix | None:
    network, mask = parse_masked(text)
    if family and network.version != family:
        raise ValueError(f"IPv{family} was expected")
    if network.prefixlen == 0 and not negated:
        return None  # matches everything, and iptables-save does not print it
    return Prefix(network, negated, mask)


def _read_in_interface(draft: Draft, at: int, negated: bool) -> int:
    _once(draft, "-i")
    text, negated, after = _value(draft, at, negated)
    draft.in_interface = _interface(text, "-i", negated)
    return after


def _read_out_interface(draft: Draft, at: int, negated: bool) -> int:
    _once(draft, "-o")
    text, negated, after = _value(draft, at, negated)
    draft.out_interface = _interface(text, "-o", negated)
    return after


def _interface(text: str, option: str, negated: bool) -> Interface | None:
    try:
        return one_interface(text, negated)
    except ValueError as error:
        raise _bad(text, option, error) from None


def one_interface(text: str, negated: bool) -> Interface | None:
    name = parse_interface(text)
    return None if name == "+" and not negated else Interface(name, negated)


def _read_protocol(draft: Draft, at: int, negated: bool) -> int:
    _once(draft, "-p")
    text, negated, after = _value(draft, at, negated)
    try:
        parse_protocol(text)
    except ValueError as error:
        raise _bad(text, "-p", error) from None
    draft.protocol = one_protocol(text, negated)
    return after


def one_protocol(text: str, negated: bool) -> Protocol | None:
    number = parse_protocol(text)
    if number == 0 and negated:
        raise ValueError("'! -p all' would never match")
    return Protocol(number, negated) if number else None


def _read_fragment(draft: Draft, at: int, negated: bool) -> int:
    _once(draft, "-f")
    draft.fragment = not negated
    return at + 1


def _read_counters(draft: Draft, at: int, negated: bool) -> int:
    values = draft.words[at + 1 : at + 3]
    if negated or len(values) != 2 or not all(v.isdecimal() and v.isascii() for v in values):
        raise ValueError("two numbers, packets and bytes, were expected after -c")
    draft.counters = (int(values[0]), int(values[1]))
    return at + 3


def _read_family(draft: Draft, at: int, negated: bool) -> int:
    if negated:
        raise ValueError(f"{draft.words[at]} cannot be negated")
    version = 4 if draft.words[at] in ("-4", "--ipv4") else 6
    draft.other_family = draft.family not in (0, version)
    return at + 1


def _read_match(draft: Draft, at: int, negated: bool) -> int:
    _refuse_negation(draft, at, negated)
    draft.opened.append(extension_of_match(draft.words, at))
    return at + 2


def extension_of_match(words: list[str], at: int) -> Extension:
    name = _extension_name(words, at)
    name = MATCH_ALIASES.get(name, name)
    return Extension(name, MATCHES.get(name))


def _read_jump(draft: Draft, at: int, negated: bool) -> int:
    _once(draft, "-j or -g")
    _refuse_negation(draft, at, negated)
    draft.opened.append(extension_of_jump(draft.words, at))
    return at + 2


def extension_of_jump(words: list[str], at: int) -> Extension:
    name = _extension_name(words, at)
    goto = words[at] in ("-g", "--goto")
    known = {} if goto else TARGETS.get(name)
    return Extension(name, known, is_target=True, goto=goto)


def _refuse_negation(draft: Draft, at: int, negated: bool) -> None:
    if negated:
        raise ValueError(f"{draft.words[at]} cannot be negated")


def _extension_name(words: list[str], at: int) -> str:
    option = words[at]
    name = words[at + 1] if at + 1 < len(words) else ""
    if not name or name[0] in "!-" or any(letter in name for letter in SPACE + '"'):
        raise ValueError(f"a name was expected after {option}")
    return name


HEADER: dict[str, Reader] = {
    option: reader
    for reader, options in (
        (_read_source, "-s --source --src"),
        (_read_destination, "-d --destination --dst"),
        (_read_in_interface, "-i --in-interface"),
        (_read_out_interface, "-o --out-interface"),
        (_read_protocol, "-p --protocol"),
        (_read_fragment, "-f --fragment --fragments"),
        (_read_counters, "-c --set-counters"),
        (_read_family, "-4 --ipv4 -6 --ipv6"),
        (_read_match, "-m --match"),
        (_read_jump, "-j --jump -g --goto"),
    )
    for option in options.split()
}


def abbreviated(option: str) -> Reader | None:
    """As getopt_long does: `--proto`, `--dest`; any beginning that means one thing only."""
    readers = {HEADER[name] for name in HEADER if name.startswith(option)}
    return readers.pop() if len(option) > 2 and len(readers) == 1 else None
