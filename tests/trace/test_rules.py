from dataclasses import replace

import pytest

from dataplane.node import iptables
from dataplane.node.state import NodeState
from dataplane.reference.steps import Step, StepKind
from dataplane.trace.places import Places
from dataplane.trace.rules import Rules, comment_of, text_without_comment
from tests.trace.records import WEB, WEB_3_ENDPOINT, rule, two_nodes

A = "node-a"


def rules() -> Rules:
    nodes, cluster = two_nodes()
    return Rules(nodes, Places(nodes, cluster))


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (rule(A, "nat", "PREROUTING", 1), None),
        (rule(A, "nat", "KUBE-SERVICES", 2), "svc/default/web:http"),
        (rule(A, "nat", "KUBE-SERVICES", 3), "svc/kube-system/kube-dns:dns"),
        (rule(A, "nat", "KUBE-SERVICES", 5), None),
        (rule(A, "nat", "KUBE-EXT-CDGGSHYLG3RE2FKL", 1), "svc/default/web:http"),
        (rule(A, "nat", "KUBE-EXT-CDGGSHYLG3RE2FKL", 2), "svc/default/web:http"),
        (rule(A, "nat", WEB, 1), "svc/default/web:http"),
        (rule(A, "nat", WEB, 4), "pod/default/web-3"),
        (rule(A, "nat", WEB_3_ENDPOINT, 1), "svc/default/web:http"),
        (rule(A, "nat", WEB_3_ENDPOINT, 2), "pod/default/web-3"),
        (rule(A, "nat", "KUBE-MARK-MASQ", 1), None),
        (rule(A, "nat", "FLANNEL-POSTRTG", 1), None),
        (rule(A, "filter", "KUBE-SERVICES", 1), "svc/default/empty"),
        (rule(A, "filter", "FORWARD", 0), None),
    ],
)
def test_the_object_behind_a_rule(step: Step, name: str | None) -> None:
    behind = rules().behind(step)
    assert (behind.name if behind else None) == name
    assert behind is None or behind.source.path.endswith("cluster.yaml")


def test_without_a_cluster_the_comment_still_names_the_service() -> None:
    nodes, _ = two_nodes()
    behind = Rules(nodes, Places(nodes)).behind(rule(A, "nat", WEB, 4))
    assert str(behind) == "svc/default/web:http"


def test_large_clusters_rules_without_comment_are_known_by_their_chain() -> None:
    """kube-proxy leaves comments out of endpoints' rules past 1000 endpoints."""
    text = (
        "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-A - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n"
        '-A KUBE-SERVICES -m comment --comment "shop/api:http cluster IP" -j KUBE-SVC-A\n'
        '-A KUBE-SERVICES -m comment --comment "shop/api:http cluster IP" -j KUBE-MARK-MASQ\n'
        "-A KUBE-SVC-A -j KUBE-MARK-MASQ\n"
        "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\nCOMMIT\n"
    )
    nodes = {A: NodeState(A, iptables=iptables.parse(text, "save", family=4))}
    found = Rules(nodes, Places(nodes))
    assert str(found.behind(rule(A, "nat", "KUBE-SVC-A", 1))) == "svc/shop/api:http"
    assert found.behind(rule(A, "nat", "KUBE-MARK-MASQ", 1)) is None  # all Services' own


@pytest.mark.parametrize(
    ("step", "text", "target"),
    [
        (
            rule(A, "filter", "KUBE-FORWARD", 3),
            '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule"'
            " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "ACCEPT",
        ),
        (rule(A, "filter", "FORWARD", 0), ":FORWARD ACCEPT", "ACCEPT"),
        (rule(A, "filter", "KUBE-FORWARD", 99), ":KUBE-FORWARD -", "-"),
        (rule(A, "absent", "FORWARD", 1), ":FORWARD -", "-"),
        (rule("absent", "filter", "FORWARD", 1), ":FORWARD -", "-"),
    ],
)
def test_text_and_target(step: Step, text: str, target: str) -> None:
    assert (rules().text(step), rules().target(step)) == (text, target)


def test_only_what_an_empty_chain_accepts_is_silent() -> None:
    found = rules()
    assert found.is_silent(rule(A, "mangle", "FORWARD", 0))
    assert not found.is_silent(rule(A, "filter", "FORWARD", 0))  # has rules
    assert not found.is_silent(rule(A, "filter", "FORWARD", 1))


def test_an_empty_chain_that_drops_is_not_silent() -> None:
    parsed = iptables.parse("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n", "save", family=4)
    nodes = {A: NodeState(A, iptables=parsed)}
    assert not Rules(nodes, Places(nodes)).is_silent(rule(A, "filter", "FORWARD", 0))


def test_family_6_has_tables_of_its_own() -> None:
    parsed = iptables.parse("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n", "save", family=6)
    nodes = {A: NodeState(A, ip6tables=parsed)}
    step = Step(StepKind.STEP_RULE, A, 6, "filter", "FORWARD", 0)
    assert Rules(nodes, Places(nodes)).policy(step) == "DROP"
    assert Rules(nodes, Places(nodes)).policy(step._replace(family=4)) == "-"


def test_a_rules_own_words() -> None:
    text = (
        '*filter\n:F - [0:0]\n-A F -s 10.0.0.0/8 -m comment --comment "a \\" b" -j DROP\nCOMMIT\n'
    )
    parsed = iptables.parse(text, "save").tables["filter"].chains["F"].rules[0]
    assert comment_of(parsed) == 'a " b'
    assert text_without_comment(parsed) == "-s 10.0.0.0/8 -j DROP"
    assert text_without_comment(replace(parsed, src=None, target=None)) == ""
