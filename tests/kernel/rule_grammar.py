"""Random rules over every extension of iptables 1.8, each value written in one of its ways.

`fixtures/rule_grammar.txt` says what may be written: `[…]` stands or not, `(a|b)` is one of
them, `!?` may negate, and `{name}` is a value of rule_slots.
"""

import re
from pathlib import Path
from random import Random

from tests.kernel.rule_slots import SLOTS, Draw

GRAMMAR = Path(__file__).parent / "fixtures" / "rule_grammar.txt"
TOKEN = re.compile(r"[\[\]()|]|!\? |\{\w+\}|[^\[\]()|!{]+|.")

PROTOCOL = re.compile(r"-p |--\(?proto")


def read_grammar() -> dict[str, list[str]]:
    """Section to templates."""
    sections: dict[str, list[str]] = {}
    for line in GRAMMAR.read_text().splitlines():
        if line.startswith("= "):
            section = sections.setdefault(line[2:], [])
        elif not line.startswith("#"):
            section.append(line)
    return sections


class Rules:
    """A stream of random rules of one family."""

    def __init__(self, seed: int, family: int):
        self.draw = Draw(Random(seed), family)
        sections = read_grammar()
        self.headers = sections["headers"]
        self.matches = sections["matches"] + sections[f"matches {family}"]
        self.targets = {
            table: [
                template
                for name in ("targets", f"targets {table}", f"targets {family} {table}")
                for template in sections.get(name, ())
            ]
            for table in ("filter", "mangle", "nat", "raw")
        }

    def rule(self, table: str) -> str:
        """The words after `-A CHAIN`: one protocol at most."""
        choice, count = self.draw.random.choice, self.draw.random.randint(0, 3)
        parts = [choice(self.headers), *(choice(self.matches) for _ in range(count))]
        parts.append(choice(self.targets[table]))
        asking = [part for part in parts if PROTOCOL.search(part)]
        return self.expanded(" ".join(part for part in parts if part not in asking[1:]))

    def expanded(self, template: str) -> str:
        """One of the texts that a template stands for."""
        return " ".join(self._sequence(TOKEN.findall(template)[::-1], "").split(" ")).strip()

    def _sequence(self, tokens: list[str], end: str) -> str:
        """One of the alternatives up to the closing token."""
        alternatives = [""]
        while tokens:
            token = tokens.pop()
            if token == end:
                break
            if token == "|":
                alternatives.append("")
            else:
                alternatives[-1] += self._part(token, tokens)
        return self.draw.random.choice(alternatives)

    def _part(self, token: str, tokens: list[str]) -> str:
        if token in "[(":
            text = self._sequence(tokens, "]" if token == "[" else ")")
            return text if token == "(" or self.draw.random.random() < 0.5 else ""
        if token == "!? ":
            return self.draw.one("", "! ")
        return SLOTS[token[1:-1]](self.draw) if token[0] == "{" else token
