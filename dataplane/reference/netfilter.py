"""iptables: what stands at each hook, and the walk through one table.

ip_tables.c, ipt_do_table, v6.12.  A rule whose matches are all true leaves a step and counts
the packet before its target runs; a rule that does not match leaves nothing.
"""

from _fastpath.reason import Reason
from _fastpath.trace import STEPS_MAX, StepKind
from dataplane.node.iptables import Chain, Ruleset, Table, Target
from dataplane.node.state import NodeState
from dataplane.reference import targets
from dataplane.reference.matches import Outcome, matches
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import dropped, unknown
from dataplane.reference.ways import Map, Way, either_way

# Tables at a hook by priority (nf_ip_hook_priorities); -200 is conntrack's.
BEFORE_CONNTRACK = ("raw",)
AFTER_CONNTRACK = ("mangle", "nat", "filter", "security")
AFTER_CONNTRACK_NFT = ("mangle", "filter", "nat", "security")
AFTER_CONNTRACK_SOURCE = ("mangle", "filter", "security", "nat")  # source NAT comes last


class Rejected(Exception):  # noqa: N818  not an error
    """A REJECT target was met."""

    def __init__(self, reject_with: str):
        super().__init__(reject_with)
        self.reject_with = reject_with


def ruleset(state: NodeState, family: int) -> Ruleset:
    return state.ip6tables if family == 6 else state.iptables


def tables_after_conntrack(hook: str, flavour: str) -> tuple[str, ...]:
    if hook not in ("INPUT", "POSTROUTING"):
        return AFTER_CONNTRACK
    # iptables-nft puts its security table at 150, behind source NAT (measured, 1.8.9).
    return AFTER_CONNTRACK_NFT if flavour == "nft" else AFTER_CONNTRACK_SOURCE


def base_chain(rules: Ruleset, table: str, hook: str) -> tuple[Table, Chain] | None:
    """None where the table does not look at packets at this hook."""
    found = rules.tables.get(table)
    chain = found.chains.get(hook) if found else None
    if found is None or chain is None or chain.policy is None:
        return None
    return found, chain


def walk(place: Place, table: Table, base: Chain, packet: Packet) -> str:
    """targets.ACCEPT or BYPASS, when the table accepts the packet.

    raises  Ended for DROP and for what is not modelled, Rejected for REJECT
    """
    map_ = Map(table, base)
    way: Way = map_.start
    while True:
        chain, number, rule = map_.rule(way)
        if rule is None and len(way) == 1 and chain is base:
            _apply_policy(place, table, base, packet)
            return targets.ACCEPT
        if rule is None:
            way = map_.leave(way)
            continue
        outcome = matches(place, table.name, chain.name, number, rule, packet, is_asked=True)
        if outcome == Outcome.NO:
            way = map_.after(way)
            continue
        if outcome == Outcome.DROP:
            _leave_step(place, table, chain, number, StepKind.STEP_HOTDROP)
            raise dropped(Reason.NETFILTER_DROP)
        _check_room(place)
        if outcome == Outcome.COUNTED_DROP:
            _count(place, table, chain, number, packet)
            if not map_.follow(way, rule.target) and rule.target:
                _conclude(place, rule.target, packet)
            raise dropped(Reason.NETFILTER_DROP)
        if outcome != Outcome.YES:
            end = either_way(place, map_, way, outcome, packet)
            if not isinstance(end, Target):
                way = end
                continue
            target: Target | None = end
        else:
            _count(place, table, chain, number, packet)
            target = rule.target
            followed = map_.follow(way, target)
            if followed:
                way = followed
                continue
        assert target is not None
        answer = _conclude(place, target, packet)
        if answer != targets.CONTINUE:
            return answer
        way = map_.after(way)


def _conclude(place: Place, target: Target, packet: Packet) -> str:
    """targets.CONTINUE, ACCEPT or BYPASS."""
    if target.name == "ACCEPT":
        return targets.ACCEPT
    if target.name == "DROP":
        raise dropped(Reason.NETFILTER_DROP)
    if target.name == "REJECT":
        raise Rejected(reject_type(target))
    return targets.apply(place, target, packet)


def _apply_policy(place: Place, table: Table, base: Chain, packet: Packet) -> None:
    _count(place, table, base, 0, packet)
    if base.policy == "DROP":
        raise dropped(Reason.NETFILTER_DROP)
    if base.policy != "ACCEPT":
        raise unknown(Reason.TARGET_UNMODELLED)


def _leave_step(
    place: Place, table: Table, chain: Chain, number: int, kind: int = StepKind.STEP_RULE
) -> None:
    place.trace.step(
        kind,
        place.node.name,
        family=place.family,
        table=table.name,
        chain=chain.name,
        number=number,
    )


def _count(place: Place, table: Table, chain: Chain, number: int, packet: Packet) -> None:
    _leave_step(place, table, chain, number)
    key = (place.family, table.name, chain.name, number)
    counter = place.node.counters.setdefault(key, [0, 0])
    counter[0] += 1
    counter[1] += packet.ip_length


def _check_room(place: Place) -> None:
    """Chains that jump twice each: 2^64 ways through them."""
    if len(place.trace.steps) > STEPS_MAX:
        raise unknown(Reason.TRACE_FULL)


def reject_type(target: Target) -> str:
    for option in target.options:
        if option.name == "--reject-with":
            return option.values[0]
    return "port-unreachable"
