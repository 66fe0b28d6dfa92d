"""Policy routing rules as rows."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from _fastpath.image import RuleAction, RuleSelector
from dataplane.errors import TableError
from dataplane.image import encode
from dataplane.image.devices import Devices
from dataplane.node import realms
from dataplane.node.state import Network, NodeState, RoutingRule

DEFAULTS = {
    4: (RoutingRule(0, "local"), RoutingRule(32766, "main"), RoutingRule(32767, "default")),
    6: (RoutingRule(0, "local", family=6), RoutingRule(32766, "main", family=6)),
}
ANY, NOWHERE = -1, -2
EVERYBODY = (0, 0xFFFFFFFF)
Row = tuple[object, ...]  # FIB_RULE


def rules_of(state: NodeState, family: int) -> list[RoutingRule]:
    """By priority; those of one priority in the order of the listing."""
    own = [rule for rule in state.rules if rule.family == family] or list(DEFAULTS[family])
    return sorted(own, key=lambda rule: rule.priority)


def is_custom(state: NodeState) -> bool:
    """fib4_has_custom_rules: not the kernel's own three."""
    asked = [replace(rule, protocol=None) for rule in rules_of(state, 4)]
    return asked != list(DEFAULTS[4])


def has_custom_local(state: NodeState) -> bool:
    """fib_has_custom_local_routes: one that somebody asked for."""
    return any(
        route.type == "local" and route.protocol != "kernel" and route.dst.version == 4
        for route in state.routes
    )


def rule_rows(
    devices: Devices,
    state: NodeState,
    family: int,
    first: int,
    roots: Mapping[str, int],
    answer: Callable[[str, RoutingRule], int],
) -> list[Row]:
    """Rows of one family's rules.

    first   index of the first of them
    roots   table name to its trie
    answer  makes a route of a type that answers everything, for a rule, and gives its index
    """
    rules = rules_of(state, family)
    return [_row(devices, state, rules, rule, first, roots, answer) for rule in rules]


def _row(
    devices: Devices,
    state: NodeState,
    rules: list[RoutingRule],
    rule: RoutingRule,
    first: int,
    roots: Mapping[str, int],
    answer: Callable[[str, RoutingRule], int],
) -> Row:
    selector = _selector(state, rule)
    action, route = _action(rule)
    unknown = "unknown" if selector or rule.suppress_ifgroup is not None else ""
    src, dst = _prefix(rule.src), _prefix(rule.dst)
    mark = (0, 0) if rule.fwmark is None else (rule.fwmark, rule.fwmask)
    sport, dport = rule.sport or (0, 0), rule.dport or (0, 0)
    flow = realms.of_rule(rule)
    prefixlen = -1 if rule.suppress_prefixlength is None else rule.suppress_prefixlength
    return (
        *src, *dst, *mark, _device(devices, state.name, rule.iif),
        _device(devices, state.name, rule.oif), roots.get(rule.table or "", -1),
        _target(state, rules, rule, first), answer(route, rule) if route else -1,
        answer(unknown, rule) if unknown else -1, prefixlen,
        realms.number(flow) if realms.is_known(flow) else 0,
        *sport, *dport, rule.tos or 0, rule.ipproto or 0, int(rule.negated), action,
        int(selector), int(rule.suppress_ifgroup is not None), int(_is_never(state, rule)), 0,
    )  # fmt: skip


def _selector(state: NodeState, rule: RoutingRule) -> int:
    if rule.l3mdev and any(link.kind == "vrf" for link in state.links):
        return int(RuleSelector.RULE_UNKNOWN)
    if rule.uidrange is None or rule.uidrange == EVERYBODY:
        return 0
    return int(RuleSelector.RULE_USER if rule.uidrange[0] else RuleSelector.RULE_ROOT)


def _is_never(state: NodeState, rule: RoutingRule) -> bool:
    """No packet here comes with a tunnel's key, and on a node without VRFs none is in one."""
    return bool(rule.tun_id) or (
        rule.l3mdev and not any(link.kind == "vrf" for link in state.links)
    )


def _action(rule: RoutingRule) -> tuple[int, str]:
    """RuleAction and, of one that answers, its route's type."""
    match rule.action:
        case "goto":
            return int(RuleAction.RULE_GOTO), ""
        case "nop":
            return int(RuleAction.RULE_NOP), ""
        case "unreachable":  # -ENETUNREACH, as if there were no route
            return int(RuleAction.RULE_ANSWER), ""
        case "blackhole" | "prohibit":
            return int(RuleAction.RULE_ANSWER), rule.action
        case "" | "to_tbl" if rule.table is not None or rule.l3mdev:
            return int(RuleAction.RULE_LOOKUP), ""
        case _:
            return int(RuleAction.RULE_ANSWER), "unknown"


def _prefix(network: Network | None) -> tuple[encode.Pair, encode.Pair]:
    return encode.network_pair(network) if network else (encode.ZERO, encode.ZERO)


def _device(devices: Devices, node: str, name: str | None) -> int:
    if name is None:
        return ANY
    found = devices.of(node, name)
    return found if found >= 0 else NOWHERE


def _target(state: NodeState, rules: list[RoutingRule], rule: RoutingRule, first: int) -> int:
    """fib_nl2rule: the first rule of that priority, further on."""
    if rule.goto is None:
        return -1
    if rule.goto <= rule.priority:
        raise TableError(
            f"node {state.name}: rule {rule.priority} goes back to {rule.goto}", rule.source
        )
    numbers = (number for number, other in enumerate(rules) if other.priority == rule.goto)
    found = next(numbers, None)
    return -1 if found is None else first + found
