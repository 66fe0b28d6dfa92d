"""How errors show what was written: short, on one line, in YAML's words."""

from typing import Any

Path = tuple[str | int, ...]  # ("spec", "ports", 0, "port")

_QUOTE_BOOLEAN = "; unquoted true, yes, y, on, … are booleans in YAML: quote it"


def printable(text: str, limit: int = 70) -> str:
    """`text`, cut, with nothing in it that could move a cursor."""
    shown = "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:limit]
    )
    return f"{shown}…" if len(text) > limit else shown


def quoted(text: str) -> str:
    return f'"{printable(text)}"'


def describe(value: Any) -> str:
    """What a value is, with the value where it is short."""
    match value:
        case None:
            return "null"
        case bool():
            return f"the boolean {str(value).lower()}"
        case int() | float():
            return f"the number {value}" if abs(value) < 1e30 else "a huge number"
        case str():
            return quoted(value)
        case list():
            return "a list"
        case _:
            return "a mapping"


def dotted(path: Path) -> str:
    """("spec", "ports", 0, "port") → "spec.ports[0].port"."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(parts).lstrip(".")


def quoting_hint(value: Any) -> str:
    """What to do about a scalar that YAML does not read as a string."""
    if isinstance(value, bool):
        return _QUOTE_BOOLEAN
    return "; quote it" if isinstance(value, int | float) else ""


def template_hint(value: str) -> str:
    return "; render the template first" if "{{" in value else ""
