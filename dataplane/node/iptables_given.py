"""Lists of the options that an extension was given, and what is asked of them."""

from dataplane.node.iptables_rules import Option


def with_defaults(found: list[Option], *defaults: tuple[str, ...]) -> list[Option]:
    """Add each default, a name and its values, unless an option of its name is there."""
    there = {option.name for option in found}
    missing = [default for default in defaults if default[0] not in there]
    return found + [Option(name, tuple(values)) for name, *values in missing]


def named(found: list[Option], *names: str) -> list[Option]:
    return [option for option in found if option.name in names]


def without(found: list[Option], *names: str) -> list[Option]:
    return [option for option in found if option.name not in names]


def value(found: list[Option], name: str) -> str | None:
    """The value of an option, of which the last counts; None if it is not there."""
    values = [option.values[0] for option in found if option.name == name]
    return values[-1] if values else None


def turned(option: Option) -> Option:
    """`! …-above` as `…-upto`, and the other way round."""
    if not option.negated or not option.name.endswith(("-above", "-upto")):
        return option
    stem, _, end = option.name.rpartition("-")
    return Option(f"{stem}-{'upto' if end == 'above' else 'above'}", option.values)
