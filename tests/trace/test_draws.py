from dataplane.node import iptables
from dataplane.node.state import NodeState
from dataplane.reference.steps import Event, EventKind
from dataplane.trace.draws import draws
from dataplane.trace.places import Places
from dataplane.trace.rules import Rules
from tests.trace.records import WEB, made, rule, to_service, two_nodes

A = "node-a"
THIRD, HALF = round(2**31 / 3), 2**30


def rules() -> Rules:
    nodes, cluster = two_nodes()
    return Rules(nodes, Places(nodes, cluster))


def drawn(step: int, value: float, threshold: int) -> Event:
    return Event(EventKind.EVENT_DRAW, step, round(value * 2**31), threshold)


def test_draws_that_missed_name_their_rules() -> None:
    found = draws(to_service(), rules())
    assert [(each.chain, each.number, each.matched) for each in found] == [
        (WEB, 2, False),
        (WEB, 3, False),
    ]
    assert [str(each) for each in found] == [
        "draw 0.75000 ≥ 0.33333 ✘",
        "draw 0.62500 ≥ 0.50000 ✘",
    ]


def test_the_draw_that_matched_is_that_of_the_rule_on_record() -> None:
    steps = [rule(A, "nat", "KUBE-SERVICES", 2), rule(A, "nat", WEB, 3)]
    record = made(steps=steps, events=[drawn(1, 0.9, THIRD), drawn(1, 0.25, HALF)])
    found = draws(record, rules())
    assert [(each.number, each.matched) for each in found] == [(2, False), (3, True)]
    assert str(found[1]) == "draw 0.25000 < 0.50000 ✔"


def test_a_chain_that_was_left_without_a_match() -> None:
    text = (
        "*nat\n:PREROUTING ACCEPT [0:0]\n:USER - [0:0]\n-A PREROUTING -j USER\n"
        "-A USER -m statistic --mode random --probability 0.50000000000 -j ACCEPT\nCOMMIT\n"
    )
    nodes = {A: NodeState(A, iptables=iptables.parse(text, "save", family=4))}
    steps = [rule(A, "nat", "PREROUTING", 1), rule(A, "nat", "PREROUTING", 0)]
    record = made(steps=steps, events=[drawn(1, 0.75, HALF)])
    [draw] = draws(record, Rules(nodes, Places(nodes)))
    assert (draw.chain, draw.number, draw.matched) == ("USER", 1, False)


def test_a_draw_that_no_rule_explains_is_kept() -> None:
    record = made(steps=[rule(A, "nat", WEB, 4)], events=[drawn(0, 0.5, 12345), drawn(1, 0, 5)])
    assert [each.chain for each in draws(record, rules())] == ["", ""]


def test_a_negated_match_says_yes_to_a_draw_past_its_probability() -> None:
    text = (
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m statistic --mode random"
        " ! --probability 0.50000000000 -j ACCEPT\nCOMMIT\n"
    )
    nodes = {A: NodeState(A, iptables=iptables.parse(text, "save", family=4))}
    record = made(steps=[rule(A, "nat", "PREROUTING", 1)], events=[drawn(0, 0.75, HALF)])
    [draw] = draws(record, Rules(nodes, Places(nodes)))
    assert str(draw) == "draw 0.75000 ≥ 0.50000 ✔"
