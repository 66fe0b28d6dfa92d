"""Sets of addresses, ports and the like: `ipset save`, which `ipset restore` reads.

`parse` and `render` are inverses.  What `parse` returns is in the form that ipset prints:
ranges stand element by element, names are numbers, and what a set's options say of every
element (timeout, netmask) is said of each.

    ipset_rows       the nouns
    ipset_types      which options each type has
    ipset_elements   elements to text and back
    ipset_words      words, addresses, ports
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from dataplane.errors import ParseError, Source
from dataplane.node import ipset_elements, ipset_words
from dataplane.node.ipset_rows import Ipset, SetElement, SetEntry
from dataplane.node.ipset_types import ALIASES, FAMILIES, FLAGS, IGNORED, TYPES
from dataplane.node.iptables_values import integer
from dataplane.node.prompts import is_prompt

NAME_BYTES = 31  # IPSET_MAXNAMELEN - 1
COMMENT_BYTES = 255  # IPSET_MAX_COMMENT_SIZE
TIMEOUT_MAX = 2147483  # IPSET_MAX_TIMEOUT, seconds
MAXELEM = 65536  # IPSET_DEFAULT_MAXELEM
BITMAP_MAX = 65536  # IPSET_BITMAP_MAX_RANGE + 1
WORD = 0xFFFFFFFF
COMMANDS = {
    **dict.fromkeys(("create", "n", "-N", "--create"), "create"),
    **dict.fromkeys(("add", "a", "-A", "--add"), "add"),
}
Warn = Callable[[str], None]


@dataclass(slots=True)
class _Set:
    """A set while its lines are read."""

    head: Ipset
    entries: dict[SetElement, SetEntry] = field(default_factory=dict)


def parse(text: str, path: str, warn: Warn | None = None) -> tuple[Ipset, ...]:
    """Sets in the order of their `create` lines.

    warn    told of what is readable but suspicious, as `path:line: message`
    raises  ParseError
    """
    sets: dict[str, _Set] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line[0] == "#" or line == "COMMIT" or is_prompt(line):
            continue
        source = Source(path, number)
        try:
            _read_line(sets, line, source, warn or (lambda message: None))
        except ValueError as error:
            raise ParseError(str(error), source) from None
    for found in sets.values():
        _check_members(found, sets)
    return tuple(replace(found.head, entries=tuple(found.entries.values()))
                 for found in sets.values())  # fmt: skip


def _read_line(sets: dict[str, _Set], line: str, source: Source, warn: Warn) -> None:
    words = [word for word in ipset_words.split(line) if word not in ("-exist", "-!", "--exist")]
    command = COMMANDS.get(words[0].removeprefix("ipset ")) if words else None
    if words and words[0] == "ipset":
        command = COMMANDS.get(words[1]) if len(words) > 1 else None
        words = words[1:]
    if command is None or len(words) < 3:
        raise ValueError(
            f"cannot read {line[:60]!r}; 'create NAME TYPE …' or 'add NAME ELEMENT …' was expected"
        )
    if command == "create":
        head = _created(words, source)
        if head.name in sets:
            warn(f"{source}: set {head.name} stands twice; this one replaces the first, at"
                 f" {sets[head.name].head.source}")  # fmt: skip
        sets[head.name] = _Set(head)
        return
    if words[1] not in sets:
        raise ValueError(f"set {words[1]!r} is not created; 'create' was expected before")
    _add(sets[words[1]], words, source)


def _created(words: list[str], source: Source) -> Ipset:
    name, type_ = words[1], ALIASES.get(words[2], words[2])
    if not name or len(name.encode(errors="surrogateescape")) > NAME_BYTES:
        raise ValueError(f"a set's name of 1 to {NAME_BYTES} bytes was expected")
    if type_ not in TYPES:
        raise ValueError(f"unknown type {type_!r}; one of {', '.join(TYPES)} expected")
    family, options, at = 4, dict[str, str](), 3
    while at < len(words):
        word = words[at]
        value = "" if word in FLAGS or word in FAMILIES else _value(words, at)
        at += 1 if word in FLAGS or word in FAMILIES else 2
        if word in FAMILIES or word in ("family", "-f"):
            family = _family(value or word, type_)
        elif word in options:
            raise ValueError(f"{word} stands twice")
        elif word in TYPES[type_].options:
            options[word] = value
        elif word not in IGNORED:
            raise ValueError(f"unknown option {word!r} of {type_}")
    checked = {word: _option(word, value, type_, family) for word, value in options.items()}
    if type_.startswith("bitmap") and "range" not in checked:
        raise ValueError(f"a range was expected of {type_}")
    if type_ in ("bitmap:ip", "bitmap:ip,mac"):
        first, last = ipset_words.first_and_last(checked["range"], 4)
        if (last - first) >> 32 - int(checked.get("netmask", 32)) >= BITMAP_MAX:
            raise ValueError(f"a range of at most {BITMAP_MAX} elements was expected")
    if "netmask" in checked and "bitmask" in checked:
        raise ValueError("either netmask or bitmask was expected")
    return Ipset(name, type_, family, tuple(checked.items()), source=source)


def _value(words: list[str], at: int) -> str:
    if at + 1 >= len(words):
        raise ValueError(f"{words[at]} has no value")
    return words[at + 1]


def _family(text: str, type_: str) -> int:
    if text not in FAMILIES or not TYPES[type_].has_family:
        raise ValueError(f"bad family {text!r} of {type_}; inet or inet6 was expected")
    return FAMILIES[text]


def _option(word: str, value: str, type_: str, family: int) -> str:
    """An option's value as ipset prints it."""
    if word in FLAGS:
        return ""
    try:
        if word == "range":
            return _range(value, type_)
        if word == "bitmask":
            return str(ipset_words.network(value, family).network_address)
        if word == "netmask":
            length = integer(value, 32 if family == 4 else 128)
            if not length:
                raise ValueError("a netmask of at least 1 was expected")
            return str(length)
        if word in ("markmask", "initval"):
            return f"0x{integer(value, WORD):08x}"
        return str(integer(value, TIMEOUT_MAX if word == "timeout" else WORD))
    except ValueError as error:
        raise ValueError(f"bad value {value!r} for {word}: {error}") from None


def _range(text: str, type_: str) -> str:
    if type_ == "bitmap:port":
        low, high = ipset_words.port_range(text)
        return f"{low}-{high}"
    first, last = ipset_words.first_and_last(text, 4)
    return f"{ipset_words.address(first, 4)}-{ipset_words.address(last, 4)}"


# Entries.


def _add(found: _Set, words: list[str], source: Source) -> None:
    head = found.head
    elements = ipset_elements.parse(words[2], head)
    timeout = head.option("timeout")
    entry = SetEntry(
        elements[0] if elements else SetElement(),
        timeout=int(timeout) if timeout is not None else None,
        source=source,
    )
    at = 3
    is_wildcard = False
    while at < len(words):
        if words[at] == "nomatch" and TYPES[head.type].has_nomatch:
            entry, at = replace(entry, nomatch=True), at + 1
        elif words[at] == "wildcard" and head.type == "hash:net,iface":
            is_wildcard, at = True, at + 1
        elif words[at] in ("before", "after") and head.type == "list:set":
            raise ValueError("members in their order were expected, without 'before' and 'after'")
        else:
            entry, at = _with(entry, words[at], _value(words, at), head), at + 2
    for element in elements:
        if is_wildcard:
            element = replace(element, is_wildcard=True)
        # A bitmap:ip,mac knows one MAC address of each IP address.
        key = replace(element, mac=None) if head.type == "bitmap:ip,mac" else element
        found.entries[key] = replace(entry, element=element)
    most = int(head.option("maxelem") or MAXELEM)
    if head.type.startswith("hash") and len(found.entries) > most:
        raise ValueError(f"set {head.name} is full: at most {most} elements (maxelem)")


NEEDS = {
    "timeout": "timeout",
    "packets": "counters",
    "bytes": "counters",
    "comment": "comment",
    "skbmark": "skbinfo",
    "skbprio": "skbinfo",
    "skbqueue": "skbinfo",
}


def _with(entry: SetEntry, word: str, value: str, head: Ipset) -> SetEntry:
    need = NEEDS.get(word)
    if need is None:
        raise ValueError(f"unknown option {word!r} of an element of {head.type}")
    if head.option(need) is None:
        raise ValueError(f"{word}, but the set was created without {need}")
    try:
        return _changed(entry, word, value)
    except ValueError as error:
        raise ValueError(f"bad value {value!r} for {word}: {error}") from None


def _changed(entry: SetEntry, word: str, value: str) -> SetEntry:
    if word == "timeout":
        return replace(entry, timeout=integer(value, TIMEOUT_MAX))
    if word == "packets":
        return replace(entry, packets=int(_decimal(value)))
    if word == "bytes":
        return replace(entry, bytes=int(_decimal(value)))
    if word == "comment":
        if len(value.encode(errors="surrogateescape")) > COMMENT_BYTES:
            raise ValueError(f"at most {COMMENT_BYTES} bytes were expected")
        return replace(entry, comment=value or None)
    if word == "skbqueue":
        return replace(entry, skbqueue=integer(value, 65535) or None)
    mark, sign, mask = value.partition("/" if word == "skbmark" else ":")
    if word == "skbmark":
        pair = integer(mark, WORD), integer(mask, WORD) if sign else WORD
        return replace(entry, skbmark=pair if any(pair) else None)
    if not sign:
        raise ValueError("MAJOR:MINOR was expected")
    pair = int(mark, 16) & 0xFFFF, int(mask, 16) & 0xFFFF
    return replace(entry, skbprio=pair if any(pair) else None)


def _decimal(text: str) -> str:
    if not text.isdecimal() or not text.isascii() or int(text) >= 1 << 64:
        raise ValueError("a number below 2^64 was expected")
    return text


def _check_members(found: _Set, sets: dict[str, _Set]) -> None:
    """A list's members are sets, and no lists themselves (ip_set_list_set.c)."""
    for entry in found.entries.values():
        name = entry.element.set_name
        if name is None:
            continue
        member = sets.get(name)
        if member is None:
            raise ParseError(f"no such set: {name!r}", entry.source)
        if member.head.type == "list:set":
            raise ParseError(f"a set was expected, but {name!r} is a list itself", entry.source)


# Text.


def render(sets: Iterable[Ipset]) -> str:
    """What `ipset save` prints."""
    return "".join(line + "\n" for found in sets for line in _lines(found))


def _lines(found: Ipset) -> list[str]:
    words = ["create", found.name, found.type]
    if TYPES[found.type].has_family:
        words += ["family", "inet" if found.family == 4 else "inet6"]
    words += [word for option in found.options for word in option if word]
    has_counters = found.option("counters") is not None
    return [" ".join(words)] + [_entry(found, entry, has_counters) for entry in found.entries]


def _entry(found: Ipset, entry: SetEntry, has_counters: bool) -> str:
    words = ["add", found.name, ipset_elements.render(entry.element, found.parts)]
    if entry.element.is_wildcard:
        words.append("wildcard")
    if entry.timeout is not None:
        words += ["timeout", str(entry.timeout)]
    if has_counters:
        words += ["packets", str(entry.packets), "bytes", str(entry.bytes)]
    if entry.comment is not None:
        words += ["comment", f'"{entry.comment}"']
    if entry.nomatch:
        words.append("nomatch")
    if entry.skbmark:
        mark, mask = entry.skbmark
        words += ["skbmark", f"{mark:#x}" if mask == WORD else f"{mark:#x}/{mask:#x}"]
    if entry.skbprio:
        words += ["skbprio", f"{entry.skbprio[0]:x}:{entry.skbprio[1]:x}"]
    if entry.skbqueue:
        words += ["skbqueue", str(entry.skbqueue)]
    return " ".join(words)
