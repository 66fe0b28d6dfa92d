"""A line of iptables-save to words, and back.

iptables has its own quoting, which no shell lexer reads: only a double quote quotes, inside
it a backslash takes the next character as it stands, and outside it a backslash, `;`, `|`,
`$`, `!` and `#` are letters like any other (xshared.c, add_param_to_argv, v1.8.9).
"""

import re

PLAIN = re.compile(r"[A-Za-z0-9_-]+\Z")  # what xtables_save_string leaves unquoted
SPACE = " \t\r\n"
unquoted_words = re.compile(f"[^{SPACE}]+").findall


def split(line: str) -> list[str]:
    """The words of a line; raises ValueError for a quote that is never closed."""
    if '"' not in line:
        return unquoted_words(line)
    return _split_simple(line) or _split_quoted(line)


def _split_simple(line: str) -> list[str]:
    """The words, if quotes enclose whole words and hold no backslash; else []."""
    parts = line.split('"')  # outside, inside, outside, …
    if "\\" in line or len(parts) % 2 == 0:
        return []
    words: list[str] = []
    for number, part in enumerate(parts):
        if number % 2:
            words.append(part)
        elif _stands_apart(part, number == 0, number == len(parts) - 1):
            words += unquoted_words(part)
        else:
            return []
    return words


def _stands_apart(part: str, first: bool, last: bool) -> bool:
    if not part:
        return first or last
    return (first or part[0] in SPACE) and (last or part[-1] in SPACE)


def _split_quoted(line: str) -> list[str]:
    words: list[str] = []
    word: list[str] | None = None  # None between words: a quoted word may be empty
    quoted = escaped = False
    for letter in line:
        if quoted and not escaped and letter == "\\":
            escaped = True
        elif letter == '"' and not escaped:
            quoted = not quoted
            word = word or []
        elif letter in SPACE and not quoted:
            if word is not None:
                words.append("".join(word))
            word = None
        else:
            word = word or []
            word.append(letter)
            escaped = False
    if quoted:
        raise ValueError('a closing " is missing')
    return words if word is None else [*words, "".join(word)]


def save_string(value: str) -> str:
    """Quoted as xtables_save_string does it (xtables.c, v1.8.9): all but plain words."""
    return value if PLAIN.match(value) else '"' + re.sub(r"([\"'\\])", r"\\\1", value) + '"'


def always_quoted(value: str) -> str:
    """As libxt_string.c and libxt_LED.c quote: an apostrophe stays as it is."""
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def as_it_stands(value: str) -> str:
    """Unquoted, as iptables-save prints most values, unless it would not be one word again."""
    if not value or any(letter in '" \t\r\n' for letter in value):
        return always_quoted(value)
    return value
