"""iptables: what stands at each hook, and the walk through one table.

ip_tables.c, ipt_do_table, v6.12.  A rule whose matches are all true leaves a step and counts
the packet before its target runs; a rule that does not match leaves nothing.
"""

from collections.abc import Iterator

from _fastpath.reason import Reason
from _fastpath.trace import STEPS_MAX, StepKind
from dataplane.node.iptables import Chain, Rule, Ruleset, Table, Target
from dataplane.node.state import NodeState
from dataplane.reference import targets
from dataplane.reference.matches import matches
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import dropped, unknown

# Tables at a hook by priority (nf_ip_hook_priorities); -200 is conntrack's.
BEFORE_CONNTRACK = ("raw",)
AFTER_CONNTRACK = ("mangle", "nat", "filter", "security")
AFTER_CONNTRACK_SOURCE = ("mangle", "filter", "security", "nat")  # source NAT comes last


class Rejected(Exception):  # noqa: N818  not an error
    """A REJECT target was met."""

    def __init__(self, reject_with: str):
        super().__init__(reject_with)
        self.reject_with = reject_with


def ruleset(state: NodeState, family: int) -> Ruleset:
    return state.ip6tables if family == 6 else state.iptables


def tables_after_conntrack(hook: str) -> tuple[str, ...]:
    return AFTER_CONNTRACK_SOURCE if hook in ("INPUT", "POSTROUTING") else AFTER_CONNTRACK


def base_chain(rules: Ruleset, table: str, hook: str) -> tuple[Table, Chain] | None:
    """None where the table does not look at packets at this hook."""
    found = rules.tables.get(table)
    chain = found.chains.get(hook) if found else None
    if found is None or chain is None or chain.policy is None:
        return None
    return found, chain


def walk(place: Place, table: Table, base: Chain, packet: Packet) -> None:
    """Returns when the table accepts the packet.

    raises  Ended for DROP and for what is not modelled, Rejected for REJECT
    """
    stack: list[Iterator[tuple[Chain, int, Rule]]] = [_rules_of(base)]
    while True:
        following = next(stack[-1], None)
        if following is None:
            stack.pop()
            if not stack:
                return _apply_policy(place, table, base, packet)
            continue
        chain, number, rule = following
        if not matches(place, table.name, chain.name, number, rule, packet):
            continue
        _leave_step(place, table, chain, number, packet)
        target = rule.target
        if target is None:
            continue
        if target.name == "ACCEPT":
            return None
        if target.name == "DROP":
            raise dropped(Reason.NETFILTER_DROP)
        if target.name == "RETURN":
            stack.pop()
            if not stack:
                return _apply_policy(place, table, base, packet)
        elif target.name in table.chains:
            if target.goto:
                stack.pop()  # the called chain returns to this chain's caller
            stack.append(_rules_of(table.chains[target.name]))
        elif target.name == "REJECT":
            raise Rejected(reject_type(target))
        elif targets.apply(place, target, packet) == targets.ACCEPT:
            return None


def _rules_of(chain: Chain) -> Iterator[tuple[Chain, int, Rule]]:
    return ((chain, number, rule) for number, rule in enumerate(chain.rules, 1))


def _apply_policy(place: Place, table: Table, base: Chain, packet: Packet) -> None:
    _leave_step(place, table, base, 0, packet)
    if base.policy == "DROP":
        raise dropped(Reason.NETFILTER_DROP)
    if base.policy != "ACCEPT":
        raise unknown(Reason.TARGET_UNMODELLED)


def _leave_step(place: Place, table: Table, chain: Chain, number: int, packet: Packet) -> None:
    place.trace.step(
        StepKind.STEP_RULE,
        place.node.name,
        family=place.family,
        table=table.name,
        chain=chain.name,
        number=number,
    )
    key = (place.family, table.name, chain.name, number)
    counter = place.node.counters.setdefault(key, [0, 0])
    counter[0] += 1
    counter[1] += packet.ip_length
    if len(place.trace.steps) > STEPS_MAX:  # chains that jump twice each: 2^64 ways through them
        raise unknown(Reason.TRACE_FULL)


def reject_type(target: Target) -> str:
    for option in target.options:
        if option.name == "--reject-with":
            return option.values[0]
    return "port-unreachable"
