"""What is printed of a match although it was not written, and what depends on more than one of
its options.  Each takes the options in their own forms; asked of iptables 1.8.9."""

from collections.abc import Callable

from dataplane.node import iptables_forms as forms
from dataplane.node.iptables_forms_address import prefix_length
from dataplane.node.iptables_forms_rate import bits
from dataplane.node.iptables_forms_time import completed as completed_time
from dataplane.node.iptables_given import named, turned, with_defaults, without
from dataplane.node.iptables_hashlimit import hashlimit
from dataplane.node.iptables_options import MATCHES
from dataplane.node.iptables_rules import Option
from dataplane.node.iptables_values import integer

Completion = Callable[[list[Option], int], list[Option]]


def _recent(found: list[Option], family: int) -> list[Option]:
    mask = "255.255.255.255" if family == 4 else "ffff:" * 7 + "ffff"
    found = with_defaults(found, ("--name", "DEFAULT"), ("--mask", mask))
    return found if named(found, "--rdest") else with_defaults(found, ("--rsource",))


def _connlimit(found: list[Option], family: int) -> list[Option]:
    """`! --connlimit-above` is `--connlimit-upto`; without either, at most none."""
    kept = [
        prefix_length(option, family) if option.name == "--connlimit-mask" else turned(option)
        for option in found
    ]
    kept = with_defaults(kept, ("--connlimit-mask", "32" if family == 4 else "128"))
    return kept if named(kept, "--connlimit-daddr") else with_defaults(kept, ("--connlimit-saddr",))


def _limit(found: list[Option], family: int) -> list[Option]:
    return with_defaults(found, ("--limit", "3/hour"))


def _policy(found: list[Option], family: int) -> list[Option]:
    """Elements, with --next between them, each in the order of its own options."""
    order = list(MATCHES["policy"])
    elements: list[list[Option]] = [[]]
    for option in found:
        elements[-1].append(option)
        if option.name == "--next":
            elements.append([])
    return [
        option
        for element in elements
        for option in sorted(element, key=lambda o: order.index(o.name) if o.name in order else -1)
    ]


def _cluster(found: list[Option], family: int) -> list[Option]:
    return [_node_mask(option) for option in found]


def _node_mask(option: Option) -> Option:
    if option.name != "--cluster-local-node":
        return option
    node = integer(option.values[0], 32)
    if not node:
        raise ValueError("a node from 1 to 32 was expected")
    return forms.valued(option, f"0x{1 << node - 1:08x}", name="--cluster-local-nodemask")


def _time(found: list[Option], family: int) -> list[Option]:
    return completed_time(found)


def _ipcomp(found: list[Option], family: int) -> list[Option]:
    """Without a range it is 0 alone."""
    return with_defaults(found, ("--ipcompspi", "0"))


def _ipvs(found: list[Option], family: int) -> list[Option]:
    return found if len(found) == 1 else without(found, "--ipvs")


def _rateest(found: list[Option], family: int) -> list[Option]:
    """Rates in bits; one estimator alone is called just --rateest."""
    if named(found, "--rateest2"):
        return [_in_bits(option) for option in found]
    is_delta = named(found, "--rateest-delta")
    kept = []
    for option in found:
        if option.name == "--rateest1":
            option = forms.valued(option, *option.values, name="--rateest")
        elif is_delta and option.name in ("--rateest-bps", "--rateest-pps"):
            option = forms.valued(option, *option.values, name=f"{option.name}2")
        kept.append(_in_bits(option))
    if is_delta:
        for other in named(kept, "--rateest-bps2", "--rateest-pps2"):
            zero = "0bit" if "bps" in other.name else "0"
            kept = with_defaults(kept, (f"{other.name[:-1]}1", zero))
    return kept


def _in_bits(option: Option) -> Option:
    if not option.values:
        return option
    if option.name.startswith("--rateest-bps"):
        return forms.valued(option, bits(option.values[0]))
    return forms.number(option) if option.name.startswith("--rateest-pps") else option


MATCH_COMPLETIONS: dict[str, Completion] = {
    "recent": _recent,
    "connlimit": _connlimit,
    "limit": _limit,
    "hashlimit": hashlimit,
    "policy": _policy,
    "cluster": _cluster,
    "time": _time,
    "ipcomp": _ipcomp,
    "ipvs": _ipvs,
    "rateest": _rateest,
}
# Whose options stand in an order of their own.
OWN_ORDER = frozenset(("policy",))
