"""Options of matches and targets.

An option belongs to the extension opened last that has it; failing that, `-p` opens the match
of its protocol; failing that, it may be the beginning of a longer name; failing that, nothing
is known of it, and it goes to the extension opened last as it stands.
"""

from collections.abc import Callable

from dataplane.node.iptables_draft import Draft, Extension
from dataplane.node.iptables_header import abbreviated
from dataplane.node.iptables_options import ALIASES, MATCHES, OPTIONAL, PROTOCOL_MATCHES, TEXT
from dataplane.node.iptables_rules import Option
from dataplane.node.iptables_words import SPACE

LOST = ("--to-destination", "--to-source")
Find = Callable[[Extension, str], tuple[str, int] | None]


def read_option(draft: Draft, at: int, negated: bool) -> int:
    """Read one option into the extension that it belongs to; the place after it.

    raises  ValueError
    """
    option = draft.words[at]
    owner = _owner(draft, option, exact_option)
    if owner is None and not _is_unlisted(draft):
        reader = abbreviated(option)
        if reader:
            return reader(draft, at, negated)
        owner = _owner(draft, option, _abbreviated)
    if owner is None:
        return _read_unknown(draft, at, negated)
    return read_known(draft, *owner, at, negated)


def _is_unlisted(draft: Draft) -> bool:
    return bool(draft.opened) and draft.opened[-1].known is None


def read_known(
    draft: Draft, extension: Extension, name: str, count: int, at: int, negated: bool
) -> int:
    if count and name not in TEXT and draft.words[at + 1 : at + 2] == ["!"]:
        at, negated = at + 1, True
    if count == OPTIONAL:
        count = int(draft.words[at + 1 : at + 2] != [] and draft.words[at + 1][:1] not in "!-")
    values = tuple(draft.words[at + 1 : at + 1 + count])
    if len(values) < count or (name not in TEXT and any(v[:2] == "--" or v == "!" for v in values)):
        # `--to-destination  --random …` is what an old iptables-save prints for a revision of
        # the kernel's that it does not know: the value is lost, and cannot be guessed.
        lost = " (an iptables-save older than the kernel loses it)" if name in LOST else ""
        expected = f"{name} has no value{lost}" if count == 1 else f"{name} takes {count} values"
        raise ValueError(expected)
    extension.options.append(Option(name, values, negated))
    return at + 1 + count


def _read_unknown(draft: Draft, at: int, negated: bool) -> int:
    """An option of which nothing is known: it takes all words up to the next option."""
    words, after = draft.words, at + 1
    if not draft.opened or any(letter in words[at] for letter in SPACE):
        raise ValueError(f"unknown option {words[at]!r}")
    while after < len(words) and words[after] != "!" and words[after][:1] != "-":
        after += 1
    draft.opened[-1].options.append(Option(words[at], tuple(words[at + 1 : after]), negated))
    return after


def _owner(draft: Draft, option: str, find: Find) -> tuple[Extension, str, int] | None:
    """The extension that an option belongs to, its usual name and its count of values."""
    for extension in reversed(draft.opened):
        found = find(extension, option)
        if found:
            return extension, *found
    implied = _implied_match(draft)
    found = find(implied, option) if implied else None
    if implied and found:
        draft.opened.append(implied)
        return implied, *found
    return None


def _implied_match(draft: Draft) -> Extension | None:
    """The match that `-p` opens by itself for an option that no other extension has."""
    name = PROTOCOL_MATCHES.get(draft.protocol.number) if draft.protocol else None
    return Extension(name, MATCHES[name]) if name else None


def exact_option(extension: Extension, option: str) -> tuple[str, int] | None:
    if extension.known is None:
        return None
    if option in extension.known:
        return option, extension.known[option]
    return ALIASES.get((extension.name, option))


def _abbreviated(extension: Extension, option: str) -> tuple[str, int] | None:
    """As getopt_long does: any beginning of a name that no other name has."""
    names = [
        *(extension.known or ()),
        *(name for owner, name in ALIASES if owner == extension.name),
    ]
    full = [name for name in names if name.startswith(option)]
    return exact_option(extension, full[0]) if len(option) > 2 and len(full) == 1 else None
