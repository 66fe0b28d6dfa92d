"""The rule behind a step: its text, and the Kubernetes object that caused it.

kube-proxy names the Service port in a rule's comment (`default/web:http cluster IP`), or else
in the comment of the rule that leads to the chain (pkg/proxy/iptables/proxier.go).
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address

from dataplane.node.iptables import Chain, Rule, Ruleset, Table, render_rule
from dataplane.node.state import NodeState
from dataplane.reference.steps import Step
from dataplane.trace.places import Named, Places

_LABEL = r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?"
_SERVICE_PORT = re.compile(rf"(?:^| )(?P<name>{_LABEL}/{_LABEL})(?::(?P<port>{_LABEL}))?(?= |$)")
_ENDPOINT = re.compile(r" -> (?P<endpoint>\S+)$")
_KUBE_PROXY = "KUBE-"
_OF_ONE_PORT = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-")
Key = tuple[str, int, str]  # node, family, table


class Rules:
    """Looks rules up by the steps that they left."""

    def __init__(self, nodes: Mapping[str, NodeState], places: Places):
        self._nodes = nodes
        self._places = places
        self._chain_comments: dict[Key, dict[str, str]] = {}

    def rule(self, step: Step) -> Rule | None:
        """None: the step is a policy's, or not of these nodes."""
        chain = self.chain(step, step.chain)
        number = step.number
        return chain.rules[number - 1] if chain and 0 < number <= len(chain.rules) else None

    def chain(self, step: Step, name: str) -> Chain | None:
        """Another chain of the step's table."""
        table = self._table(step.node, step.family, step.table)
        return table.chains.get(name) if table else None

    def text(self, step: Step) -> str:
        """As iptables-save prints it: `-A FORWARD …`, or `:FORWARD ACCEPT` for a policy."""
        rule = self.rule(step)
        if rule:
            return render_rule(step.chain, rule)
        return f":{step.chain} {self.policy(step)}"

    def policy(self, step: Step) -> str:
        chain = self.chain(step, step.chain)
        return (chain.policy if chain else None) or "-"

    def target(self, step: Step) -> str:
        """The word after -j or -g; `-` where the rule only counts."""
        rule = self.rule(step)
        if rule is None:
            return self.policy(step)
        return rule.target.name if rule.target else "-"

    def is_silent(self, step: Step) -> bool:
        """The policy ACCEPT of a base chain without rules: it says nothing."""
        chain = self.chain(step, step.chain)
        return step.number == 0 and bool(chain and not chain.rules and chain.policy == "ACCEPT")

    def behind(self, step: Step) -> Named | None:
        """The Kubernetes object that caused the rule: an endpoint's pod, or the Service port."""
        rule = self.rule(step)
        if rule is None or not step.chain.startswith(_KUBE_PROXY):
            return None
        comment = comment_of(rule)
        found = _ENDPOINT.search(comment)
        endpoint = found["endpoint"] if found else option_of(rule, "--to-destination")
        behind = self._endpoint(endpoint) if endpoint else None
        return behind or self._service(comment) or self._service(self._leading_to(step))

    def _table(self, node: str, family: int, name: str) -> Table | None:
        state = self._nodes.get(node)
        if state is None:
            return None
        ruleset: Ruleset = state.ip6tables if family == 6 else state.iptables
        return ruleset.tables.get(name)

    def _endpoint(self, text: str) -> Named | None:
        host, _, port = text.rpartition(":")
        try:
            address = ip_address((host or port).strip("[]"))
        except ValueError:
            return None
        return self._places.address(address)

    def _service(self, comment: str) -> Named | None:
        found = _SERVICE_PORT.search(comment)
        return self._places.service(found["name"], found["port"] or "") if found else None

    def _leading_to(self, step: Step) -> str:
        """The comment of the first rule with a Service's name that leads to the step's chain."""
        if not step.chain.startswith(_OF_ONE_PORT):
            return ""
        key = step.node, step.family, step.table
        if key not in self._chain_comments:
            table = self._table(*key)
            self._chain_comments[key] = _comments_by_chain(table) if table else {}
        return self._chain_comments[key].get(step.chain, "")


def _comments_by_chain(table: Table) -> dict[str, str]:
    found: dict[str, str] = {}
    for chain in table.chains.values():
        for rule in chain.rules:
            comment = comment_of(rule)
            if rule.target and rule.target.name in table.chains and _SERVICE_PORT.search(comment):
                found.setdefault(rule.target.name, comment)
    return found


def comment_of(rule: Rule) -> str:
    return option_of(rule, "--comment")


def option_of(rule: Rule, name: str) -> str:
    """The first value of an option of a match or of the target; "" if it is not there."""
    options = [option for match in rule.matches for option in match.options]
    options += rule.target.options if rule.target else ()
    return next((each.values[0] for each in options if each.name == name and each.values), "")


def text_without_comment(rule: Rule) -> str:
    """The rule's own words; what it is a comment on is told beside it."""
    matches = tuple(match for match in rule.matches if match.name != "comment")
    return render_rule("", replace(rule, matches=matches)).removeprefix("-A ").strip()
