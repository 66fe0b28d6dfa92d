"""The normal form of an extension's options: what iptables-save would print for them.

What is printed was asked of iptables 1.8.9: `tests/node/test_iptables_normal.py` and
`tests/kernel/test_rule_texts.py` ask again.  Where a save loses what the kernel has, ours keeps
it: `! --dport 0:65535`, `! -o +`, names with spaces in them.
"""

from dataplane.node.iptables_match_completions import MATCH_COMPLETIONS, OWN_ORDER
from dataplane.node.iptables_match_forms import MATCH_FORMS, Form
from dataplane.node.iptables_native import native_options
from dataplane.node.iptables_options import MATCHES, TARGETS
from dataplane.node.iptables_rules import Option
from dataplane.node.iptables_target_completions import TARGET_COMPLETIONS
from dataplane.node.iptables_target_forms import TARGET_FORMS


def normal_options(
    name: str, options: tuple[Option, ...], is_target: bool, family: int, flavour: str = ""
) -> tuple[Option, ...]:
    """An extension's options in normal form and in the order in which they are printed.

    raises  ValueError
    """
    own = (TARGET_FORMS if is_target else MATCH_FORMS).get(name, {})
    written = [_normal(option, own) for option in options]
    found = [option for option in written if option is not None]
    completed = (TARGET_COMPLETIONS if is_target else MATCH_COMPLETIONS).get(name)
    if completed:
        found = completed(found, family or 4)
    if flavour == "nft":
        found = native_options(name, found)
    if len(found) > 1 and name not in OWN_ORDER:
        order = list((TARGETS if is_target else MATCHES).get(name, ()))
        found.sort(key=lambda option: _place(option.name, order))
    return tuple(found)


def _place(name: str, order: list[str]) -> int:
    return order.index(name) if name in order else len(order)


def _normal(option: Option, own: dict[str, Form]) -> Option | None:
    form = own.get(option.name)
    if form is None:
        return option
    try:
        return form(option)
    except ValueError as error:
        value = " ".join(option.values)
        raise ValueError(f"bad value {value!r} for {option.name}: {error}") from None
