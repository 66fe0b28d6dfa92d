"""fixtures/rule_texts.txt: matches and targets as people write them.

Every extension of iptables 1.8, several ways each.  `{host}` and `{net}` stand for addresses
of the family.  What a kernel or a table refuses is left out by whoever loads them.
"""

from pathlib import Path

TEXTS = Path(__file__).parent / "fixtures" / "rule_texts.txt"
_MATCHES, _TARGETS = TEXTS.read_text().removeprefix("[matches]\n").split("[targets]\n")
MATCHES = _MATCHES.splitlines()
TARGETS = ["", *_TARGETS.splitlines()]
WORDS = {
    4: {"host": "10.0.0.1", "host2": "10.0.0.9", "net": "10.1.0.0/16", "mask": "255.255.255.0",
        "odd": "10.0.0.1/255.0.0.255"},
    6: {"host": "fd00::1", "host2": "fd00::9", "net": "fd01::/64", "mask": "ffff::",
        "odd": "fd00::1/ffff::ffff"},
}  # fmt: skip


def filled(text: str, family: int) -> str:
    """The text with the family's addresses."""
    for name, value in WORDS[family].items():
        text = text.replace("{" + name + "}", value)
    return text
