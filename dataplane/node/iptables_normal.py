"""The normal form of options: what iptables-save would print for them."""

from dataplane.node.iptables_rules import Option


def normal_options(
    name: str, options: tuple[Option, ...], is_target: bool, family: int
) -> tuple[Option, ...]:
    """An extension's options in normal form and in the order in which they are printed."""
    return options
