"""Kernel settings: the lines of `sysctl -a`, `a.b.c = value`."""

import re
from collections.abc import Mapping

from dataplane.errors import ParseError, Source
from dataplane.node.prompts import is_prompt

COMPLAINTS = ("sysctl: ", "error: ")  # of procps and busybox, and of procps before 3.2.8
NAME = re.compile(r"\w\S*\Z")


def parse(text: str, path: str) -> dict[str, str]:
    """Dotted name to value, its inner space made single blanks; the last of a name counts.

    Lines that sysctl writes about what it may not read are passed over, and a terminal's
    prompts.
    """
    settings: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if is_prompt(line):
            continue
        if not line or line[0] in "#;" or line.startswith(COMPLAINTS):
            continue
        name, equals, value = line.partition("=")
        name = name.strip().removeprefix("-")
        if not equals or not NAME.match(name):
            raise ParseError(
                f"cannot read {line[:60]!r}; 'a.b.c = value' was expected", Source(path, number)
            )
        settings[_dotted(name)] = " ".join(value.split())
    return settings


def _dotted(name: str) -> str:
    """`net/ipv4/conf/eth0.5/forwarding` is `net.ipv4.conf.eth0/5.forwarding`: the separator
    that stands first is the one between names (sysctl(8))."""
    first = next((letter for letter in name if letter in "./"), ".")
    return name.translate({ord("/"): ".", ord("."): "/"}) if first == "/" else name


def render(settings: Mapping[str, str]) -> str:
    return "".join(f"{name} = {value}".rstrip() + "\n" for name, value in settings.items())
